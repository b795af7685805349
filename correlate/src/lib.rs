//! Baselines, change points, verdicts and blame.
