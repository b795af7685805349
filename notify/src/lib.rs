//! Alerts out: routing, delivery, retries.
