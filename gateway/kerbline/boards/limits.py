"""What a board's self-test takes for good, as its file's [selftest] says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from kerbline.config.reader import Reader
from kerbline.config.rules import Between

RISING = (
    ("mains_least_v", "mains_most_v"),
    ("lamp_off_w", "lamp_least_w"),
    ("lamp_least_w", "lamp_most_w"),
    ("half_least_pct", "half_most_pct"),
)


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Limits of the self-test. Watts, volts and percent are those of the board's power meter.

    The mains' are EN 50160's 230 V and 10 % either way, with the meter's own 3 %.
    """

    heap_free_bytes: Annotated[int, Between(1_024, 8 << 20)] = 65_536
    heap_piece_bytes: Annotated[int, Between(512, 8 << 20)] = 16_384
    flash_free_blocks: Annotated[int, Between(1, 16_384)] = 64
    clock_ppm: Annotated[int, Between(10, 100_000)] = 10_000
    sensor_ms: Annotated[int, Between(500, 60_000)] = 8_000
    lamp_ms: Annotated[int, Between(600, 30_000)] = 4_000
    lamp_off_w: Annotated[float, Between(0, 1_000)] = 3.0
    lamp_least_w: Annotated[float, Between(0.5, 10_000)] = 8.0
    lamp_most_w: Annotated[float, Between(1, 10_000)] = 400.0
    half_least_pct: Annotated[int, Between(1, 99)] = 10
    half_most_pct: Annotated[int, Between(2, 99)] = 90
    mains_least_v: Annotated[int, Between(50, 500)] = 200
    mains_most_v: Annotated[int, Between(50, 500)] = 260
    join_ms: Annotated[int, Between(1_000, 120_000)] = 20_000
    rssi_least_dbm: Annotated[int, Between(-100, -20)] = -80


def check(reader: Reader) -> None:
    """Complain of each lower limit that is not below its upper one."""
    known = SelfTest()
    for low, high in RISING:
        given = [name for name in (low, high) if reader.has(("selftest", name))]
        values: list[float] = []
        for name in (low, high):
            value = reader.accepted.get(("selftest", name), getattr(known, name))
            if isinstance(value, int | float):
                values.append(value)
        sound = all(("selftest", name) in reader.accepted for name in given)
        if given and sound and values[0] >= values[1]:
            at = 0 if given == [low] else 1
            other = f"{(high, low)[at]} is {values[1 - at]:g}"
            remedy = f"write {('less', 'more')[at]} than {values[1 - at]:g}"
            reader.complain(
                ("selftest", given[-1]), f"leaves nothing that is good: {other}", remedy
            )
