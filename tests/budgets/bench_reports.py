"""Bytes on the UART of each report of a week, beside flat JSON."""

import json
import math
import random
from collections.abc import Iterator

from kerbwire.schema import SCHEMAS, Schema
from tests.budgets.sessions import PERIOD_S, connected
from tools.figures import Figure

REPORTS = 96 * 7  # a week, one every 15 minutes
TARGETS = {"streetlight": "<= 23", "air_quality": "<= 28"}

Values = tuple[int, ...]


def streetlight(rng: random.Random) -> Iterator[Values]:
    """Dimmed nights with traffic, dark days."""
    energy, hours = 120_000, 4000
    for quarter in range(REPORTS):
        night = quarter % 96 < 26 or quarter % 96 > 72
        level = rng.choice((30, 30, 30, 60, 100)) if night else 0
        power = level * 6 + rng.randrange(-3, 4) if level else 4
        energy += power * PERIOD_S // 36_000
        hours += night and quarter % 4 == 0
        yield level, power, energy, hours, 12 + round(5 * math.sin(quarter / 15)), 0


def water_meter(rng: random.Random) -> Iterator[Values]:
    volume = 1_234_567
    for quarter in range(REPORTS):
        flow = rng.choice((0, 0, 0, 12, 90, 600)) if 24 < quarter % 96 < 92 else 0
        volume += flow * PERIOD_S // 3600
        yield volume, flow, 3, 3600 - quarter // 200, 0


def air_quality(rng: random.Random) -> Iterator[Values]:
    dust, carbon, pressure = 80.0, 450.0, 10_132.0
    for quarter in range(REPORTS):
        dust = max(10, dust + rng.gauss(0, 4))
        carbon = max(400, carbon + rng.gauss(0, 8))
        pressure += rng.gauss(0, 1)
        warm = 120 + round(60 * math.sin(quarter / 15)) + rng.randrange(-2, 3)
        fine = round(dust)
        yield (
            *(
                round(fine * 0.7),
                fine,
                round(fine * 1.4),
                round(carbon),
                150 + rng.randrange(-9, 10),
            ),
            *(warm, 600 - warm + rng.randrange(-4, 5), round(pressure), 0),
        )


def measure(schema: Schema, rows: list[Values]) -> tuple[float, float, float]:
    """Bytes a live report, a backfilled one and the POLL that answers the live one."""
    node, gateway = connected(schema)
    live = polls = now = 0
    for rseq, values in enumerate(rows, 1):
        now += PERIOD_S * 1000
        node.outgoing(now), gateway.outgoing(now)
        node.send_report((rseq, 1, rseq * PERIOD_S, values), now)
        data = node.outgoing(now)
        live += len(data)
        gateway.receive(data, now)
        gateway.keep(1, rseq, rseq)
        answer = gateway.outgoing(now)
        polls += len(answer)
        node.receive(answer, now)
        if not node.up:
            node, gateway = connected(schema)
    node, gateway = connected(schema)
    backfill = 0
    for rseq, values in enumerate(rows, 1):
        node.send_backfill((rseq, 1, rseq * PERIOD_S, values), 0)
        data = node.outgoing(0)
        backfill += len(data)
        gateway.receive(data, 0)
        node.receive(gateway.outgoing(10), 10)
    return live / len(rows), backfill / len(rows), polls / len(rows)


def flat_json(schema: Schema, rows: list[Values]) -> float:
    """Bytes of the same records as people write them, without any transport or security."""
    total = 0
    for row in rows:
        values = {f.name: v / 10**f.scale for f, v in zip(schema.fields, row, strict=True)}
        total += len(json.dumps({"t": 1790000000} | values, separators=(",", ":")))
    return total / len(rows)


def figures() -> list[Figure]:
    found = []
    streams = (streetlight, water_meter, air_quality)
    for schema, stream in zip(SCHEMAS, streams, strict=True):
        rows = list(stream(random.Random(7)))
        live, backfill, poll = measure(schema, rows)
        found += [
            Figure(f"{schema.name}, live", live, "bytes", TARGETS.get(schema.name, "")),
            Figure(f"{schema.name}, backfilled whole", backfill, "bytes"),
            Figure(f"{schema.name}, the POLL that answers", poll, "bytes"),
            Figure(f"{schema.name}, as flat JSON", flat_json(schema, rows), "bytes"),
        ]
    return found
