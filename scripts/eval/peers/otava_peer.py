#!/usr/bin/env python3
"""Apache Otava (PyPI) as a peer: its change points on every signal within reach of a deploy, a few times after each.

    evaluate.py --seeds 1-60 -- python3 otava_peer.py

Otava knows change points and no deploys, so this asks it the way a shop would wire it up: at `--looks` seconds after a deploy
ended, over the last `--history` seconds of each signal of the service and of those that depend on it, means of `--mean` datapoints. A
change point in the bad direction since the deploy began blames the deploy of the service itself that began last before it,
else of the closest dependency. One that turns back on a signal that was told of, to within half the change, is a recovery.
"""
import numpy as np
from otava.analysis import compute_change_points

import recording

options = recording.parser(__doc__)
options.add_argument("--looks", default="60,120,180,300,480,660,840")
options.add_argument("--history", type=int, default=5400)
options.add_argument("--mean", type=int, default=6)
options.add_argument("--window", type=int, default=50)
options.add_argument("--pvalue", type=float, default=1e-5)
options.add_argument("--magnitude", type=float, default=0.2)
options.add_argument("--probability", type=float, default=0.59)
options = options.parse_args()


def change_points(recorded, signal, service, now):
    """Otava's last change point on the means of `--mean` datapoints: stamp of the first changed mean, mean before, mean after.

    What it found earlier in the history has turned again since, as a blip does.
    """
    stamps, values = recorded.window(signal, service, now - options.history, now)
    n = len(values) // options.mean
    if n < options.window or np.ptp(values) == 0:
        return []
    means = values[len(values) - n * options.mean:].reshape(n, options.mean).mean(axis=1)
    starts = stamps[len(stamps) - n * options.mean:].reshape(n, options.mean)[:, 0]
    found, _ = compute_change_points(list(means), window_len=options.window, max_pvalue=options.pvalue,
                                     min_magnitude=options.magnitude)
    return [(starts[point.index] - recorded.step, point.stats.mean_1, point.stats.mean_2) for point in found[-1:]]


def suspect(recorded, service, onset, now):
    """The deploy to blame for a change at `onset`: begun in the quarter of an hour before it, of the service itself if there is one."""
    slack = options.mean * recorded.step  # A mean may straddle the onset.
    live = [d for d in recorded.deploys if d["started_at"] <= min(onset + slack, now) and onset - d["finished_at"] <= 900]
    own = [d for d in live if d["service"] == service]
    needed = [d for d in live if d["service"] in recorded.depends_on.get(service, [])]
    return max(own or needed, key=lambda d: d["started_at"], default=None)


def main():
    recorded = recording.Recording(options)
    looks = sorted((deploy["finished_at"] + int(after), deploy["id"]) for deploy in recorded.deploys
                   if np.isfinite(deploy["finished_at"]) for after in options.looks.split(","))
    deploys, told, alerts = {deploy["id"]: deploy for deploy in recorded.deploys}, {}, []
    for now, looked in looks:
        deploy = deploys[looked]
        for service in recorded.reach(deploy["service"]):
            for signal in recorded.signals:
                sign = 1 if signal["bad"] == "up" else -1
                for onset, before, after in change_points(recorded, signal, service, now):
                    worse = sign * (after - before) > 0
                    known = [t for t in told.values() if t["signal"] == signal["name"] and t["service"] == service]
                    for t in known:
                        if not worse and onset > t["onset"] and not t["mended"] and sign * (after - (t["before"] + t["after"]) / 2) < 0:
                            t["mended"] = True
                            alerts.append({**t["alert"], "kind": "recovered", "sent_at": now, "onset": int(onset)})
                    if not worse or onset < deploy["started_at"] - options.mean * recorded.step:
                        continue
                    blamed = suspect(recorded, service, onset, now)
                    if blamed is None or blamed["id"] in told:
                        continue
                    alert = {"incident": blamed["id"], "kind": "regression", "sent_at": now, "service": service, "onset": int(onset),
                             "deploy_id": blamed["id"], "probability": options.probability}
                    alerts.append(alert)
                    told[blamed["id"]] = {"alert": alert, "signal": signal["name"], "service": service, "onset": onset,
                                          "before": before, "after": after, "mended": False}
    recording.write_alerts(options, alerts)


main()
