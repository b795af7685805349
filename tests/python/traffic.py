"""Sends the StatsD traffic of some services through the `statsd` client of PyPI, as the services would.

    traffic.py HOST PORT SERVICE...

Each service answers 100 requests a second; one in 100 fails. A line `fail SERVICE SHARE` on standard input changes the
share that fails. Ends when standard input does.
"""

import random
import sys
import threading
import time

import statsd

TICK_S = 0.1
REQUESTS_PER_TICK = 10

host, port, *services = sys.argv[1:]
failing = dict.fromkeys(services, 0.01)


def listen():
    for line in sys.stdin:
        _, service, share = line.split()
        failing[service] = float(share)
    ended.set()


ended = threading.Event()
threading.Thread(target=listen, daemon=True).start()
client = statsd.StatsClient(host, int(port))
tick = time.monotonic()
while not ended.is_set():
    # A pipeline packs several metrics into one packet.
    with client.pipeline() as packet:
        for service in services:
            errors = sum(random.random() < failing[service] for _ in range(REQUESTS_PER_TICK))
            packet.incr(f"{service}.http.requests", REQUESTS_PER_TICK)
            if errors:
                packet.incr(f"{service}.http.5xx", errors)
            packet.timing(f"{service}.http.latency", random.lognormvariate(4, 0.2))
            packet.gauge(f"{service}.workers", 12)
        packet.incr("clients.python.ticks")
    tick += TICK_S
    ended.wait(max(0.0, tick - time.monotonic()))
