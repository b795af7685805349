#!/usr/bin/env python3
"""How soon and how often can a decision be right that knows all but whether the deploy did it?

    oracle.py SCENARIOS [--trials 200] [--false 0.002]

SCENARIOS is the folder of scenarios.py, whose services and noise this uses. For each family of culprits: the exact
likelihood ratio of "this deploy did it" against "nothing changed", with every noise parameter, the level, the shape and the signal
known, and the size and the lag of the effect distributed as the generator draws them. The deploy is named when the ratio
reaches 1/`--false`: then at most that share of harmless deploys is ever named (Ville), which for 0.002 is the bar of 0.2 per 100.

Latency: median and 95th percentile on the log scale see one AR(1) level (0.7, 0.045) through independent noise: a Kalman filter.
Counts: Poisson with a log-normal AR(1) rate (0.8, 0.25): a forward filter on a grid. Orders: Poisson.
"""
import argparse
import importlib.util
import math
import os

import numpy as np

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("scenarios")
options.add_argument("--trials", type=int, default=200)
options.add_argument("--false", type=float, default=0.002)
options.add_argument("--seed", type=int, default=1)
options = options.parse_args()

spec = importlib.util.spec_from_file_location("scenarios", os.path.join(options.scenarios, "scenarios.py"))
generator = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generator)
rng = np.random.default_rng(options.seed)
STEP = generator.STEP
HISTORY = 60  # Bins before the deploy that settle the filters.


def ln_mean_exp(columns):
    """Of rows, over the last axis."""
    top = columns.max(axis=-1)
    return top + np.log(np.exp(columns - top[..., None]).mean(axis=-1))


def kalman(observed, effects, variances, phi=0.7, sd=0.045):
    """ln likelihood up to each bin under each effect: `observed` (bins, 2) of one level through independent noise."""
    level, spread = np.zeros(len(effects)), np.full(len(effects), sd**2)
    total, out = np.zeros(len(effects)), []
    for t in range(len(observed)):
        for value, variance in zip(observed[t], variances):
            off = value - effects[:, t] - level
            seen = spread + variance
            total = total - 0.5 * (np.log(seen) + off**2 / seen)
            gain = spread / seen
            level, spread = level + gain * off, spread * (1 - gain)
        out.append(total)
        level, spread = phi * level, phi**2 * spread + sd**2 * (1 - phi**2)
    return np.array(out)


GRID = np.linspace(-1.0, 1.0, 41)


def poisson_filter(counts, means, effects, phi=0.8, sd=0.25):
    """The same for counts with a log-normal AR(1) rate; sd = 0 for none. `effects` are factors."""
    grid = GRID * 4 * sd if sd > 0 else np.zeros(1)
    if sd > 0:
        move = np.exp(-0.5 * ((grid[None, :] - phi * grid[:, None]) / (sd * math.sqrt(1 - phi**2))) ** 2)
        move /= move.sum(axis=1, keepdims=True)
        start = np.exp(-0.5 * (grid / sd) ** 2)
    else:
        move, start = np.ones((1, 1)), np.ones(1)
    belief = np.tile(start / start.sum(), (len(effects), 1))
    total, out = np.zeros(len(effects)), []
    for t, count in enumerate(counts):
        rate = means[t] * effects[:, t, None] * np.exp(grid)[None, :]
        ln = count * np.log(rate) - rate
        top = ln.max(axis=1, keepdims=True)
        belief = belief * np.exp(ln - top)
        norm = belief.sum(axis=1)
        total = total + np.log(norm) + top[:, 0]
        belief = belief / norm[:, None] @ move
        out.append(total)
    return np.array(out)


def hypotheses(n, sizes, lags, ramp):
    """Effects by row: none, then every size at every lag (bins after the deploy), as exponents of the factor."""
    rows = [np.zeros(n)]
    for size in sizes:
        for lag in lags:
            after = np.arange(n) - HISTORY - lag
            rows.append(np.log1p(np.clip(after / 240, 0, 1) * (size - 1)) if ramp else np.where(after >= 0, math.log(size), 0.0))
    return np.array(rows)


def trial(signal, services, low, high, lags, ramp):
    """Seconds from onset until the deploy is named, or infinity."""
    rps, ratio, _, _ = generator.SERVICES[str(rng.choice(services))]
    horizon = 240 if ramp else 90
    n = HISTORY + horizon + 10
    size, lag = rng.uniform(low, high), int(rng.integers(0, lags)) if lags > 1 else 0
    truth = hypotheses(n, [size], [lag], ramp)[1]
    effects = hypotheses(n, np.linspace(low, high, 12), range(lags), ramp)
    requests = rng.poisson(rps * 1.2, n)
    if signal == "latency":
        tail = 1 / math.sqrt(rps * 1.2)
        noise = [(0.6 * tail) ** 2, 0.05**2 + (1.6 * tail) ** 2]
        level = truth + generator.ar1(rng, n, 0.7, 0.045)
        observed = np.stack([level + rng.normal(0, math.sqrt(v), n) for v in noise], axis=1)
        likelihoods = kalman(observed, effects, noise)
    elif signal == "errors":
        sd = 0.25 if ratio * rps > 0.2 else 0.0
        means = np.maximum(requests * ratio, 1e-9)
        wander = generator.ar1(rng, n, 0.8, sd) if sd > 0 else np.zeros(n)
        likelihoods = poisson_filter(rng.poisson(means * np.exp(truth + wander)), means, np.exp(effects), 0.8, sd)
    else:
        means = np.full(n, rps * 1.2 * 0.08)
        likelihoods = poisson_filter(rng.poisson(means * np.exp(truth)), means, np.exp(effects), 0.8, 0.0)
    ratio = ln_mean_exp(likelihoods[:, 1:] - likelihoods[:, :1])
    sure = np.flatnonzero(ratio[HISTORY:] >= -math.log(getattr(options, "false")))
    sure = sure[sure >= lag]
    return (sure[0] - lag + 1) * STEP if len(sure) and sure[0] - lag < horizon else math.inf


EVERY = list(generator.SERVICES)
FAMILIES = {  # As the generator's functions of the same names draw them: signal, services, sizes, lags in bins, whether a ramp.
    "step_errors": ("errors", ["checkout", "search", "listing", "cart", "auth", "feed", "images"], 4, 25, 9, False),
    "step_latency": ("latency", EVERY, 1.25, 2.2, 6, False),
    "ramp_latency": ("latency", EVERY, 1.6, 2.5, 1, True),
    "throughput_drop": ("orders", ["checkout", "cart", "auth", "feed"], 0.35, 0.75, 1, False),
    "dependency": ("errors", ["auth", "payments", "search"], 4, 10, 2, False),
    "rare_errors": ("errors", ["admin", "shipping", "payments"], 12, 40, 1, False),
    "decoy_near": ("errors", ["checkout", "search", "cart", "auth"], 5, 15, 1, False),
    "same_service_pair": ("latency", ["checkout", "search", "listing", "feed"], 1.4, 2, 1, False),
    "rollback": ("errors", ["checkout", "search", "cart", "auth", "feed"], 6, 20, 1, False),
    "subtle_errors": ("errors", ["checkout", "search", "listing", "feed", "auth", "cart"], 1.8, 3.2, 4, False),
    "subtle_latency": ("latency", ["search", "listing", "auth", "images", "feed", "cart"], 1.07, 1.16, 1, False),
}


def main():
    print(f"| family | named in time | delay median / p90 |\n|---|---|---|")
    pooled = []
    for name, family in FAMILIES.items():
        delays = np.array([trial(*family) for _ in range(options.trials)])
        found = delays[np.isfinite(delays)]
        pooled.append(delays)
        print(f"| {name} | {len(found) / len(delays):.3f} | {np.median(found):.0f} / {np.percentile(found, 90):.0f} s |", flush=True)
    pooled = np.concatenate(pooled)
    found = pooled[np.isfinite(pooled)]
    print(f"| all, equally often | {len(found) / len(pooled):.3f} | {np.median(found):.0f} / {np.percentile(found, 90):.0f} s |")


main()
