#!/usr/bin/env python3
"""Placebo deploys over quiet scenarios: how often does a deploy that did nothing get the blame?

    placebo.py --eval DIR [--seeds 1-21] [--background DIR] [--json] -- PROGRAM ARG...

Builds each seed's scenario with no family in it, so that nothing breaks and nothing is a culprit, lays four pretend deploys
for each service at random moments, replays it, and counts the regressions that name a deploy. The pretend deploys come after the series
were made: what a recorded background does by itself falls on them as chance has it.
Needs numpy, and the scenarios' generator in DIR.
"""
import argparse, json, os, subprocess, sys, tempfile

EACH, APART = 4, 3600          # pretend deploys for each service, and the seconds that keep two of them apart


def placebos(scenarios, seed, n):
    import numpy as np
    rng, pretended = np.random.default_rng(seed + 10**7), []
    first, last = scenarios.START + 4300, scenarios.START + n * scenarios.STEP - 1200
    for service in scenarios.SERVICES:
        room = last - first - (EACH - 1) * APART
        starts = sorted(rng.uniform(0, room, EACH)) if room > 0 else []
        for k, at in enumerate(starts):
            start = int(first + at + k * APART)
            pretended.append({"id": f"placebo-{service}-{k}", "service": service, "environment": "production", "kind": "deploy",
                              "version": f"{rng.integers(16**7):07x}", "started_at": start, "status": "succeeded",
                              "finished_at": start + int(rng.integers(25, 150))})
    return pretended


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--eval", required=True); a.add_argument("--seeds", default="1-21"); a.add_argument("--background")
    a.add_argument("--json", action="store_true"); a.add_argument("program", nargs="+")
    o = a.parse_args()
    sys.path.insert(0, o.eval)
    import scenarios
    low, _, high = o.seeds.partition("-")
    n_deploys, alarms = 0, []
    for seed in range(int(low), int(high or low) + 1):
        with tempfile.TemporaryDirectory() as d:
            world, background = scenarios.build(seed, 6, [], {}, o.background)
            real = len(world.deploys)
            scenarios.write(world, d, [], background)
            pretended = placebos(scenarios, seed, world.n)
            with open(os.path.join(d, "deploys.jsonl"), "a") as f:
                f.writelines(json.dumps(p) + "\n" for p in pretended)
            run = subprocess.run([*o.program, "--config", f"{d}/deployline.toml", "--deploys", f"{d}/deploys.jsonl",
                                  "--series", f"{d}/series.txt.gz", "--out", f"{d}/out"], timeout=300)
            if run.returncode:
                sys.exit(f"seed {seed}: the program failed")
            with open(f"{d}/out/alerts.jsonl") as f:
                told = [json.loads(line) for line in f]
            named = [t for t in told if t["kind"] == "regression" and t["deploy_id"]]
            n_deploys += len(pretended) + real
            alarms += [{"seed": seed, "deploy_id": t["deploy_id"], "service": t["service"], "probability": t["probability"]} for t in named]
    name = os.path.basename(os.path.normpath(o.background)) if o.background else "plain"
    if o.json:
        print(json.dumps({"background": name, "deploys": n_deploys, "alarms": alarms}))
    else:
        print(f"{name}: {len(alarms)} false alarms over {n_deploys} deploys that did nothing, {1000 * len(alarms) / max(n_deploys, 1):.2f} in 1,000")
        for alarm in alarms:
            print(f"  seed {alarm['seed']}: {alarm['deploy_id']} for {alarm['service']}, {alarm['probability']:.2f}")


if __name__ == "__main__":
    main()
