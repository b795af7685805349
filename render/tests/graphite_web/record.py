"""Records what graphite-web itself answers to the targets in targets.txt, as answers.jsonl beside it.

    python -m venv V && V/bin/pip install 'Django==3.2.25' pyparsing pytz six urllib3 whisper django-tagging==0.4.3 cairocffi
    (and an unpacked source distribution of graphite-web 1.1.10, whose webapp/ folder is the first argument)
    V/bin/python record.py graphite-web-1.1.10/webapp

The series are made up by a formula that ../graphite_web.rs repeats, so that only the answers need to be kept.
"""
import datetime
import fnmatch
import json
import os
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = tempfile.mkdtemp()
os.makedirs(os.path.join(ROOT, "storage", "log", "webapp"))
os.environ.update(GRAPHITE_ROOT=ROOT, GRAPHITE_STORAGE_DIR=os.path.join(ROOT, "storage"), DJANGO_SETTINGS_MODULE="graphite.settings")
sys.path.insert(0, sys.argv[1])

import django  # noqa: E402

django.setup()

import pytz  # noqa: E402
from graphite.render import evaluator  # noqa: E402
from graphite.util import timebounds  # noqa: E402

FROM, UNTIL = 1795437000, 1795437600
SERIES = {
    "web.a.errors": 10, "web.b.errors": 10, "web.c.gappy": 10, "web.a.requests": 10, "web.b.requests": 10,
    "db.x.counter": 60, "db.y.gappy": 60, "db.x.latency": 60,
}


def value(name, k):
    """The k-th value of a series: FNV-1a of the name and a 32-bit mix of k."""
    x = 2166136261
    for byte in name.encode():
        x = ((x ^ byte) * 16777619) & 0xFFFFFFFF
    x = (x ^ (k * 2654435761)) & 0xFFFFFFFF
    x ^= x >> 16
    x = (x * 0x7FEB352D) & 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 0x846CA68B) & 0xFFFFFFFF
    x ^= x >> 16
    if name.endswith("gappy") and x % 4 == 0:
        return None
    if name.endswith("counter"):
        return float((k * 7 + x % 5) % 400)
    return float(x % 1000) / 8.0


def expand(pattern):
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if not braces:
        return [pattern]
    words = braces.group(1).split(",")
    return [one for word in words for one in expand(pattern[: braces.start()] + word + pattern[braces.end():])]


def matching(pattern):
    fits = lambda p, name: len(p.split(".")) == len(name.split(".")) and all(map(fnmatch.fnmatchcase, name.split("."), p.split(".")))
    return [name for name in SERIES if any(fits(p, name) for p in expand(pattern))]


def prefetch(context, expressions):
    start, end, now = timebounds(context)
    read = {}
    for expression in expressions:
        read[expression] = []
        for name in matching(expression):
            step = SERIES[name]
            first, last = start - start % step + step, end - end % step + step
            values = [value(name, t // step) for t in range(first, last, step)]
            read[expression].append((name, ((first, last, step), values)))
    context.setdefault("prefetched", {}).setdefault((start, end, now), {}).update(read)


evaluator.prefetchData = prefetch


def answer(target):
    moment = lambda seconds: datetime.datetime.fromtimestamp(seconds, pytz.utc)
    context = {
        "startTime": moment(FROM), "endTime": moment(UNTIL), "now": moment(UNTIL), "tzinfo": pytz.utc, "localOnly": False,
        "template": {}, "data": [], "prefetched": {}, "xFilesFactor": 0.0, "maxDataPoints": None, "targets": [target],
    }
    series = evaluator.evaluateTarget(context, [target])
    gap = lambda v: None if v is None or v != v else v
    return [[one.name, int(one.start), int(one.end), int(one.step), [gap(v) for v in one]] for one in series]


with open(os.path.join(HERE, "targets.txt")) as targets, open(os.path.join(HERE, "answers.jsonl"), "w") as answers:
    for line in targets:
        answers.write(json.dumps([line.rstrip("\n"), answer(line.rstrip("\n"))]) + "\n")
