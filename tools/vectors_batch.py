"""The golden vectors of packed columns: each mode, predictor and start, by the second coder."""

from collections.abc import Mapping, Sequence
from typing import Any

from tools import second_batch
from tools.second_batch import Code, Fields, Record

Rows = Sequence[Record]
Tables = Mapping[str, tuple[Fields, int]]  # by asset class: fields, usual period in s

NONE: Code = (None, 0)
LIGHTS: Rows = (
    (300, 9, 5000, (0, 0, 982, 9, 12, 1, 5000)),
    (301, 9, 5900, (30, 185, 986, 9, 15, 5, 5900)),
    (302, 9, 6801, (30, 183, 991, 9, 16, 5, 6801)),
    (303, 9, 7700, (100, 604, 1006, 9, 25, 5, 7700)),
    (304, 9, 8600, (100, 601, 1021, 10, 24, 5, 8600)),
    (305, 9, 9500, (0, 0, 1021, 10, 12, 1, 9500)),
)
HOURS_L = ((0,) * 6 + (22, 0, 31, 4, 0, 0, 9, 15, 0, 1, 2, 40, 0, 0, 300, 7, 0, 11),) * 2
WATER: Rows = (
    (7, 9, 600_000, (120_000, 11, 3, 3601, 0, *HOURS_L[0])),
    (8, 9, 686_401, (120_442, 11, 3, 3599, 0, *HOURS_L[1])),
)
AIR: Rows = (
    (70_000, 9, 100, (63, 95, 153, 431, 178, -3, 652, 10130, 0)),
    (70_001, 9, 700, (69, 93, 159, 432, 189, -4, 653, 10130, 0)),
    (70_002, 9, 1299, (0, 0, 0, 9000, 0, 12, 655, 10131, 4)),
    (70_003, 9, 1900, (59, 90, 143, 430, -196, 0, 655, 10130, 0)),
)
WIDE: Rows = ((9, 9, 0, (0,) * 7), (10, 9, 900, (0, 0, -(1 << 61), 0, 0, 0, 900)))
# Uptime, level, lamp hours. What the hours leave over is kept, and through the dark; where they
# move by more than was lit, or in the dark, nothing is left.
BURNING = (
    *((0, 0, 9), (4000, 50, 10), (7300, 50, 11), (10_200, 50, 11), (11_100, 0, 11)),
    *((11_600, 51, 11), (11_700, 50, 12), (12_600, 50, 13), (16_199, 50, 13), (16_200, 0, 14)),
    *((19_700, 50, 14), (27_700, 49, 17), (30_700, 50, 18)),
)
BURNT: Rows = [
    (1 + n, 9, at, (level, 5 * level, 70 + n, hours, 12, 1, at))
    for n, (at, level, hours) in enumerate(BURNING)
]
# Shares of what is below 0, or 0, count for nothing.
BELOW: Rows = [
    (5 + n, 9, 600 * n, (one, two, ten, 400, 1, 2, 3, 4, 0))
    for n, (one, two, ten) in enumerate(
        ((-5, -3, 8), (-4, 6, 9), (0, 7, 11), (10, -2, -1), (7, 5, 6), (3, 1, 4), (-9, -7, -6))
    )
]
# Steps down and up that no slope divides, and a slope that is not used.
FALLING: Rows = [
    (5 + n, 9, 900 * n, (50, power, 70, 9, warm, 1, 900 * n))
    for n, (power, warm) in enumerate(((700, 30), (613, 24), (502, 18), (501, 17), (777, 35)))
]
LONG: Rows = [
    (
        100 + n,
        9,
        600 * n + n // 7,
        (60 + n * 7 % 5, 90, 150, 430 + n, 18, n - 24, 65, 9990, n // 40),
    )
    for n in range(49)
]
RARE: Rows = [(20 + n, 9, 900 * n, (n // 9 * 40_000, 0, 0, 0, 0, 0, 900 * n)) for n in range(12)]
FAR: Rows = ((1, 9, 50, LIGHTS[0][3]), (4097, 9, 50 + 4096 * 900, LIGHTS[1][3]))
# A class of its own: what `other` is of a field with several numbers, and records in no order.
MIXED: Fields = (
    ("several", 0, "C62", 1, 0, 0, 3),
    ("share", 0, "C62", 7, 0, 0, 1),
    ("integral", 0, "C62", 5, 0, 7, 1),
    ("hours", 0, "HUR", 6, 0, 0, 1),
    ("slope", 0, "C62", 8, 0, 0, 1),
    ("latest", 0, "C62", 2, 0, 0, 1),
    ("total", 0, "C62", 3, 0, 0, 1),
    ("share_of_share", 0, "C62", 7, 1, 0, 1),
)
MIXTURE: Rows = (
    (1, 9, 4000, (3, 4, 5, 6, 7, 8, 9, 10, 11, 12)),
    (2, 9, 9000, (2, -1, 0, 4, 1500, 9, 0, 0, 12, 8)),
    (3, 9, 8000, (0, 9, -9, 0, 1490, 9, -3, -9, 12, 0)),
    (4, 9, 8000, (-7, 0, 1, -3, 1490, 9, 20, 1, 6, -2)),
)


def batches(given: Mapping[str, Any], tables: Tables) -> list[dict[str, Any]]:
    """Every mode, with and without a base; the encoder of a node may choose others."""
    boot = given["boot_id"]

    def made(
        kind: str,
        name: str,
        base: Rows,
        records: Rows,
        codes: Sequence[Code],
        slope: int = 0,
    ) -> dict[str, Any]:
        fields, period = tables[kind]
        first = base[0] if base else None
        slopes = [slope if each[3] == second_batch.SLOPE else 0 for each in fields]
        data = second_batch.encode(records, first, fields, period, codes, slopes)
        held = {first[0]: first} if first else {}
        assert second_batch.decode(data, fields, boot, period, held) == list(records)
        case = {"name": name, "schema": kind, "period_s": period, "base": first, "records": records}
        return case | {"packed": data.hex()}

    def mixed() -> dict[str, Any]:
        nonlocal tables
        tables = {**tables, "class_9": (MIXED, 900)}
        codes = [(12, 0)] + [(6, 0)] * len(MIXED)
        case = made("class_9", "several numbers referred to", MIXTURE[:1], MIXTURE[1:], codes, 3)
        return case | {"fields": MIXED}

    lit = [(0, 0), (0, 5), (3, 0), (0, 0), NONE, (1, 0), (2, 0), NONE]
    alone = ((300, 8, 5000, (0, 0, 982, 9, -4, 1, 4990)),)
    ring = [(0, 0), (3, 0), NONE, NONE, (2, 0), NONE, (0, 4)]
    dust = [(0, 0), (5, 0), (5, 0), (6, 0), (8, 0), (7, 0), (4, 0), (2, 0), (0, 0), (0, 1)]
    rices = [(5, 0)] * 8
    return [
        made("streetlight", "one record of another boot", (), alone, [NONE] * 8),
        made("streetlight", "against a base", LIGHTS[:1], LIGHTS[1:], lit, 5),
        made("streetlight", "without a base", (), LIGHTS, lit, 5),
        made("water_meter", "a profile alone", (), WATER[:1], [NONE] * 6 + [(5, 0)]),
        made("water_meter", "a live profile", WATER[:1], WATER[1:], ring),
        made("air_quality", "escapes and both signs", AIR[:1], AIR[1:], dust),
        made("streetlight", "62 bits", WIDE[:1], WIDE[1:], [NONE] * 3 + [(15, 0)] + [NONE] * 4),
        made("streetlight", "hours left over", BURNT[:1], BURNT[1:], [(11, 0), *rices[1:]]),
        made("air_quality", "shares of less than nothing", BELOW[:1], BELOW[1:], [(4, 0)] * 10),
        made("streetlight", "a slope down", FALLING[:1], FALLING[1:], rices, 15),
        made("streetlight", "the least slope", FALLING[:1], FALLING[1:], rices, 1),
        made("air_quality", "48 records", LONG[:1], LONG[1:], [(0, 0)] * 10),
        made("streetlight", "a parameter of 15", RARE[:1], RARE[1:], [NONE, (0, 15), *rices[2:]]),
        made("streetlight", "as far from its base as can be", FAR[:1], FAR[1:], [(0, 9)] * 8, 1),
        mixed(),
    ]


def named(case: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """The same batch with its schema's hash in front."""
    bits = format(int(case["packed"], 16), f"0{4 * len(case['packed'])}b")
    longer = "1" + format(int(digest, 16), "064b") + bits[1:]
    packed = second_batch.packed(longer).hex()
    return {**case, "name": f"{case['name']}, its schema named", "packed": packed}
