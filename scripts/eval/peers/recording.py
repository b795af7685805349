"""What a peer is given: one recording's signals and deploys, and where its alerts go. Reads no more than the program beside it may."""
import argparse
import gzip
import json
import math
import os
import tomllib

import numpy as np


class Recording:
    """The files of one scenario. A signal's values are taken up to a moment, so that a peer stays causal by asking in order."""

    def __init__(self, options):
        columns = {}
        with gzip.open(options.series, "rt") as lines:
            for line in lines:
                name, value, stamp = line.split()
                columns.setdefault(name, []).append((int(stamp), float(value)))
        self._series = {name: np.array(rows).T for name, rows in columns.items()}
        with open(options.config, "rb") as config:
            config = tomllib.load(config)
        self.signals = config["signal"]
        self.depends_on = {name: service.get("depends_on", []) for name, service in config.get("service", {}).items()}
        with open(options.deploys) as lines:
            self.deploys = sorted(map(json.loads, lines), key=lambda deploy: deploy["started_at"])
        for deploy in self.deploys:
            if deploy["finished_at"] is None:  # Still running when the recording ends.
                deploy["finished_at"] = math.inf
        self.step = 10
        self._cache = {}

    def values(self, signal, service):
        """Stamps and values of a signal: a ratio where it has a denominator, at stamps where both are there."""
        key = signal["name"], service
        if key not in self._cache:
            empty = np.empty((2, 0))
            stamps, values = self._series.get(signal["series"].format(service=service), empty)
            if "per" in signal:
                others, per = self._series.get(signal["per"].format(service=service), empty)
                _, i, j = np.intersect1d(stamps, others, return_indices=True)
                stamps, values = stamps[i], values[i] / np.maximum(per[j], 1)
            self._cache[key] = stamps, values
        return self._cache[key]

    def window(self, signal, service, after, until):
        """Stamps and values in `(after, until]`."""
        stamps, values = self.values(signal, service)
        lo, hi = np.searchsorted(stamps, [after, until], side="right")
        return stamps[lo:hi], values[lo:hi]

    def reach(self, service):
        """The service, then those that depend on it: where its deploy can show."""
        return [service] + [name for name, needs in self.depends_on.items() if service in needs]


def parser(doc):
    """The arguments that the evaluation passes; a peer adds its own."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("config", "deploys", "series", "out"):
        options.add_argument("--" + name, required=True)
    return options


def write_alerts(options, alerts):
    """Writes `alerts.jsonl` in the order of sending."""
    with open(os.path.join(options.out, "alerts.jsonl"), "w") as out:
        out.writelines(json.dumps(alert) + "\n" for alert in sorted(alerts, key=lambda alert: alert["sent_at"]))
