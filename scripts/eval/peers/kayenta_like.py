#!/usr/bin/env python3
"""A judge after Kayenta's, as a peer: before against after each deploy, since there is no canary beside it.

    evaluate.py --seeds 1-60 -- python3 kayenta_like.py

A metric fails where the 98 % confidence interval of the shift (Mann-Whitney, Hodges-Lehmann) lies beyond 25 % of its
estimate in the bad direction, and the means differ by at least `--effect` (Kayenta's `effectSize.allowedIncrease`). Every metric is
critical. Control: half an hour before the deploy; experiment: what came since it ended, judged once there are 50 datapoints, which
its maintainers advise, and again at 14 minutes.
"""
import numpy as np

import recording

CONFIDENCE_Z = 2.3263478740408408  # Two-sided 98 %.
TOLERANCE = 0.25

options = recording.parser(__doc__)
options.add_argument("--control", type=int, default=1800)
options.add_argument("--looks", default="510,840")
options.add_argument("--effect", type=float, default=0.1)
options.add_argument("--outliers", action="store_true", help="take out what lies beyond 3 interquartile ranges")
options.add_argument("--probability", type=float, default=0.56)
options = options.parse_args()


def without_outliers(values):
    low, high = np.percentile(values, [25, 75])
    return values[(values >= low - 3 * (high - low)) & (values <= high + 3 * (high - low))]


def shift(experiment, control):
    """The interval and the Hodges-Lehmann estimate of how far the experiment lies above the control."""
    differences = np.sort(np.subtract.outer(experiment, control).ravel())
    n, m = len(experiment), len(control)
    rank = int(n * m / 2 - CONFIDENCE_Z * np.sqrt(n * m * (n + m + 1) / 12))
    rank = max(rank, 0)
    return differences[rank], differences[-1 - rank], np.median(differences)


def fails(signal, experiment, control):
    if options.outliers:
        experiment, control = without_outliers(experiment), without_outliers(control)
    if len(experiment) < 50 or len(control) < 50 or np.ptp(np.concatenate([experiment, control])) == 0:
        return False
    low, high, estimate = shift(experiment, control)
    bound, ratio = TOLERANCE * abs(estimate), experiment.mean() / max(control.mean(), 1e-12)
    if signal["bad"] == "down":
        return high < -bound and ratio < 1 / (1 + options.effect)
    return low > bound and ratio > 1 + options.effect


def main():
    recorded, alerts = recording.Recording(options), []
    for deploy in recorded.deploys:
        service, end = deploy["service"], deploy["finished_at"]
        if not np.isfinite(end):
            continue
        for look in map(int, options.looks.split(",")):
            windows = [(signal, recorded.window(signal, service, end, end + look)[1],
                        recorded.window(signal, service, deploy["started_at"] - options.control, deploy["started_at"])[1])
                       for signal in recorded.signals]
            if any(fails(*window) for window in windows):
                alerts.append({"incident": deploy["id"], "kind": "regression", "sent_at": end + look, "service": service,
                               "onset": end, "deploy_id": deploy["id"], "probability": options.probability})
                break
    recording.write_alerts(options, alerts)


main()
