"""Who answers on a line: units found, asked who they are, likened to the profiles.

Nothing here writes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass

from kerbline.config import ModbusBus
from kerbline.config.profiles import Profiles
from kerbline.errors import KerblineError
from kerbline.field.modbus.likeness import Likeness, nearest
from kerbline.field.modbus.line import Bench, Busy, Master
from kerbline.field.modbus.reading import lives
from kerbline.south.modbus.framing import BusFault, Function, Request

FIRST_S = 0.1  # most answer within 50 ms; an adapter takes 16 of them
LAST_S = 0.5
LAST_UNIT = 255  # a device on TCP may have it for itself
MAX_TEXT = 60
_WHO = (1, 0)  # basic identification, from the first object on (43/14, V1.1b3 6.21)
# (baud, parity): the usual ones first; all units of a line have one
SPEEDS = tuple(
    (baud, parity)
    for baud in (9_600, 19_200, 38_400, 115_200, 57_600, 4_800, 2_400, 1_200)
    for parity in ("none", "even", "odd")
)

Progress = Callable[[str], None]


class BadUnits(KerblineError):
    """No such units; the text says how to write them."""

    code = "bad_units"
    exit_status = 2


@dataclass(frozen=True, slots=True)
class Found:
    """A unit, what it calls itself ("" if it does not say), and the profile it is like."""

    unit: int
    words: str
    likeness: Likeness | None


async def answering(
    master: Master, units: Sequence[int], first_s: float, say: Progress, *, patient: bool = True
) -> AsyncIterator[int]:
    """The units that answer, each as it is found: short time-outs first, long where it may help.

    An answer that comes too late is heard while the next unit is asked: then the last two are
    asked again. Where nobody answers all are, with a longer time-out and another function, if
    `patient`.
    """
    found: set[int] = set()
    late = _strays(master)
    for at, unit in enumerate(units):
        say(f"unit {unit} ({at + 1} of {len(units)}), found {len(found)}")
        again = [unit]
        if await lives(master, unit, first_s, Function.READ_HOLDING_REGISTERS):
            again = []
            found.add(unit)
            yield unit
        if _strays(master) > late:
            for other in (*units[max(at - 2, 0) : at], *again):
                if other not in found and await lives(
                    master, other, LAST_S, Function.READ_INPUT_REGISTERS
                ):
                    found.add(other)
                    yield other
            late = _strays(master)
    if found or not patient:
        return
    for at, unit in enumerate(units):
        say(f"nobody so far; more patiently: unit {unit} ({at + 1} of {len(units)})")
        if await lives(master, unit, LAST_S, Function.READ_INPUT_REGISTERS):
            yield unit


def _strays(master: Master) -> int:
    return master.strays if isinstance(master, Bench) else 0


def units_of(text: str) -> list[int]:
    """`1-247`, `3,7` or `10-19`: these units; raises BadUnits."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not first.isdecimal() or not last.isdecimal():
            raise BadUnits(f"--units {text}: write 1-247, 3,7 or 10-19")
        found += range(int(first), int(last) + 1)
    if not found or not all(1 <= unit <= LAST_UNIT for unit in found):
        raise BadUnits(f"--units {text}: 1 to 247; over TCP to {LAST_UNIT}")
    return list(dict.fromkeys(found))


async def introduced(master: Master, unit: int, profiles: Profiles) -> Found:
    """A unit that answers: who it says it is, and which profile fits."""
    words = await _who(master, unit)
    return Found(unit, words, await nearest(master, unit, profiles, words, LAST_S))


async def _who(master: Master, unit: int) -> str:
    """Vendor, product and revision; most devices do not know the question."""
    request = Request(unit, Function.READ_DEVICE_IDENTIFICATION, 0, 1, _WHO)
    try:
        objects = (await master.transact(request, LAST_S)).objects
    except (BusFault, Busy):
        return ""
    texts = [objects[number].decode("utf-8", "replace").strip("\0 ") for number in sorted(objects)]
    said = " ".join(text for text in texts if text)
    return "".join(each if each.isprintable() else "?" for each in said)[:MAX_TEXT]


def table(bus: ModbusBus, found: Iterable[Found]) -> list[str]:
    """What to paste into a config; a unit without a profile stands there as a comment."""
    lines = ["[[modbus]]", f'name = "{bus.name}"', f'port = "{bus.port}"']
    if bus.framer == "tcp":
        lines.append('framer = "tcp"')
    else:
        lines += [f"baud = {bus.baud}", f'parity = "{bus.parity}"', f"stop_bits = {bus.stop_bits}"]
    for each in sorted(found, key=lambda one: one.unit):
        says = f'; it calls itself "{each.words}"' if each.words else ""
        lines.append("")
        if each.likeness is None:
            lines += [
                f"# Unit {each.unit} answers, and no profile fits{says}. Write one, or registers:",
                f'# [[modbus.device]]\n# unit = {each.unit}\n# asset = "unit-{each.unit}"',
            ]
            continue
        fits = min(each.likeness.score, 1.0)
        lines += [
            f"# {each.likeness.title}? Fits by {fits:.0%}{says}",
            "[[modbus.device]]",
            f"unit = {each.unit}",
            f'asset = "unit-{each.unit}"',
            f'profile = "{each.likeness.profile}"',
        ]
    return lines
