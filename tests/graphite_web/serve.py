"""graphite-web itself over the datapoints that the tests write to us as well.

    .cache/graphite/bin/python serve.py .cache/graphite/webapp FOLDER < TARGETS

Reads targets, one a line, and makes up the series that they name beside a few of its own: whisper files and a database
of tags below FOLDER, the same datapoints as Graphite lines in FOLDER/points.txt. Then serves on a port of the system's
choosing, which it prints, until its standard input ends a second time (a closed pipe) or it is killed.
"""
import inspect
import os
import re
import socketserver
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

WEBAPP, FOLDER = sys.argv[1], os.path.abspath(sys.argv[2])
WHISPER = os.path.join(FOLDER, "whisper")
os.makedirs(WHISPER)
os.makedirs(os.path.join(FOLDER, "log", "webapp"), exist_ok=True)
with open(os.path.join(FOLDER, "peer_settings.py"), "w") as settings:
    settings.write(
        "SECRET_KEY = 'nobody is asked for it'\n"
        "TIME_ZONE = 'UTC'\n"
        f"STORAGE_DIR = {FOLDER!r}\nLOG_DIR = {os.path.join(FOLDER, 'log', 'webapp')!r}\nWHISPER_DIR = {WHISPER!r}\n"
        "CARBONLINK_HOSTS = []\nTAGDB_CACHE_DURATION = 0\n"
    )
os.environ.update(GRAPHITE_SETTINGS_MODULE="peer_settings", DJANGO_SETTINGS_MODULE="graphite.settings", GRAPHITE_ROOT=FOLDER)
sys.path[:0] = [WEBAPP, FOLDER]

# `/functions` asks for what Python 3.11 has taken away.
inspect.getargspec = lambda function: tuple(inspect.getfullargspec(function))[:4]
inspect.formatargspec = lambda *_: "()"

import django  # noqa: E402

django.setup()

import whisper  # noqa: E402
from django.core.management import call_command  # noqa: E402
from graphite.finders.standard import StandardFinder  # noqa: E402
from graphite.intervals import Interval, IntervalSet  # noqa: E402
from graphite.readers.whisper import WhisperReader  # noqa: E402
from graphite.render import views  # noqa: E402
from graphite.render.grammar import grammar  # noqa: E402
from graphite.storage import STORE  # noqa: E402
from graphite.tags.utils import TaggedSeries  # noqa: E402

# Sunday, 31 March 2024, 02:00 UTC: an hour after Berlin's clocks went forward. Whoever asks says `now` as well.
UNTIL = 1711850400
# (name, step, seconds before UNTIL)
OWN = [(f"web.{host}.{what}", 10, 4 * 3600) for host in "ab" for what in ("errors", "requests")] + [
    ("web.c.gappy", 10, 4 * 3600), ("db.x.counter", 60, 6 * 3600), ("db.y.gappy", 60, 6 * 3600), ("db.x.latency", 60, 6 * 3600),
    ("slow.thirty", 30, 4 * 3600), ("slow.ninety", 90, 4 * 3600), ("slow.sparse_gappy", 300, 2 * 86400),
    ("daily.wave", 600, 12 * 86400), ("daily.gappy", 600, 12 * 86400), ("edge.zero", 10, 3600), ("edge.negative", 10, 3600),
    ("edge.huge", 10, 3600), ("edge.tiny", 10, 3600), ("edge.flat", 10, 3600), ("edge.steps", 10, 3600),
    ("a-b.c_d.100%", 60, 3600), ("deep.one.two.three.four.five", 60, 3600), ("deep.one.two", 60, 3600),
    ("cpu.load;dc=eu;host=web1", 60, 7200), ("cpu.load;dc=eu;host=web2", 60, 7200), ("cpu.load;dc=us;host=web1;rack=r1", 60, 7200),
    ("cpu.idle;dc=us;host=db1", 10, 7200), ("disk.used;dc=eu;host=web1;mount=/var/log", 60, 7200),
]


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
    if name.endswith("gappy") and (x % 4 == 0 or k // 30 % 5 == 0):
        return None
    last = name.rpartition(".")[2]
    return {
        "counter": float((k * 7 + x % 5) % 400), "zero": 0.0, "negative": -float(x % 1000) / 8, "flat": 7.25,
        "huge": float(x) * 1e250, "tiny": float(x % 1000) * 1e-12, "steps": float(k // 12 % 4),
        "wave": 100.0 + abs(k % 144 - 72) + x % 16 / 4.0,
    }.get(last, float(x % 1000) / 8.0)


def paths(text):
    """The path patterns that a target reads, by graphite-web's own grammar; none if it is no target to it."""
    found = []

    def walk(tokens):
        if tokens.pathExpression:
            found.append(tokens.pathExpression)
        for part in tokens:
            if hasattr(part, "asList"):
                walk(part)

    try:
        walk(grammar.parseString(text))
    except Exception:
        return []
    return found


def concrete(pattern):
    """A few names that a pattern matches."""
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if braces:
        words = braces.group(1).split(",")[:3]
        return [one for word in words for one in concrete(pattern[: braces.start()] + word + pattern[braces.end():])]
    pattern = re.sub(r"\[(.)[^\]]*\]", r"\1", pattern).replace("?", "4")
    if "*" not in pattern:
        return [pattern]
    # Every wildcard stands for the same word in one name: enough for functions by node to tell series apart.
    return [pattern.replace("*", word) for word in ("alpha", "beta")]


def series():
    yield from OWN
    known = {name for name, _, _ in OWN}
    for line in sys.stdin:
        for pattern in paths(line.rstrip("\n")):
            for name in concrete(pattern):
                fits = all(re.fullmatch(r"[^\s;*?{}\[\]()\"'\\]+", part) for part in name.split("."))
                # A name must not be another's folder as well: to graphite-web that is one node or the other.
                if fits and len(name.split(".")) > 1 and name not in known:
                    known.add(name)
                    yield name, 60, 7200


def write_all():
    n_series, tagged = 0, []
    with open(os.path.join(FOLDER, "points.txt"), "w") as lines:
        for name, step, length in series():
            points = [(t, value(name, t // step)) for t in range(UNTIL - length, UNTIL + 1, step) if t % step == 0]
            points = [point for point in points if point[1] is not None]
            path = TaggedSeries.encode(name, sep=os.sep) if ";" in name else name.replace(".", os.sep)
            path = os.path.join(WHISPER, path + ".wsp")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            whisper.create(path, [(step, 30 * 86400 // step)], xFilesFactor=0, sparse=True)
            whisper.update_many(path, points, now=UNTIL)
            lines.writelines(f"{name} {value!r} {t}\n" for t, value in points)
            if ";" in name:
                tagged.append(name)
            n_series += 1
    STORE.tagdb.tag_multi_series(tagged)
    return n_series


# A `now` that is given is taken to be in UTC, whatever `tz` says; one that is not has the zone.
parse = views.parseATTime
views.parseATTime = lambda text, tzinfo=None, now=None: parse(text, tzinfo, now).astimezone(tzinfo) if now is None else parse(text, tzinfo, now)
# Where tagged series lie is no part of the tree.
find_paths = StandardFinder._find_paths
StandardFinder._find_paths = lambda *asked: (path for path in find_paths(*asked) if not path.startswith("_tagged"))
# The files are of the past, and the present is where graphite-web looks for when they are from.
WhisperReader.get_intervals = lambda self: IntervalSet([Interval(0, UNTIL)])


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handler(WSGIRequestHandler):
    def log_message(self, *args):
        pass


call_command("migrate", run_syncdb=True, verbosity=0)
n_series = write_all()
from graphite.wsgi import application  # noqa: E402

server = Server(("127.0.0.1", 0), Handler)
server.set_app(application)
print(server.server_address[1], n_series, flush=True)
server.serve_forever()
