"""A whole node on a 32-bit heap: its built files, from main.py on, against a live gateway."""

import shutil
from pathlib import Path

from kerbline.firmware import build as building
from tests.budgets import updated, whole
from tests.budgets.bench_instructions import MICROPYTHON, each
from tools import runtime32
from tools.figures import Figure

RETAINED_BYTES = 75 * 1024
RESIDENT_BYTES = 36 * 1024
FREE_BYTES = 15 * 1024
UPDATE_FREE_BYTES = 12 * 1024  # at any write to flash of an update, beside a full log
HEAP_KIB = 96
GARBAGE_BYTES = 1024
THOUSANDS = 300
SETTLED = 60  # reports until nothing is loaded for the first time
METERED = 8
HOURS = {"water-meter-esp32": 24}  # whose readings a report of that board carries


def steady(runtime: Path, firmware: building.Firmware, reports: int) -> whole.Told:
    """So many reports with settings that change, in the chip's heap beside the fakes' share."""
    world = whole.World(firmware, 1)
    world.plan((reports, whole.LOOK), (reports + 1, whole.END))
    return whole.run([str(runtime)], world, HEAP_KIB + whole.FAKES_KIB)


def cycles(
    runtime: Path, firmware: building.Firmware, reports: int, each: int, log: Path | None = None
) -> whole.Told:
    """One life of so many reports with settings that change; the heap is looked at in between."""
    world = whole.World(firmware, 1)
    looks = [(at, whole.LOOK) for at in range(each, reports + 1, each)]
    world.plan(*looks, (reports + 1, whole.END))
    return whole.run([str(runtime)], world, HEAP_KIB + whole.FAKES_KIB, log=log)


def metered(runtime: Path, firmware: building.Firmware) -> whole.Told:
    """A few reports with the collector off."""
    world = whole.World(firmware, 1)
    until = SETTLED + METERED
    world.plan((SETTLED, whole.METER), (until, whole.METER), (until, whole.END))
    return whole.run([str(runtime)], world, 512)


def figures() -> list[Figure]:
    if not runtime32.PROGRAM.exists():
        return [Figure("whole node", "no 32-bit MicroPython", "bytes", f"<= {RETAINED_BYTES}")]
    found = []
    for board in whole.BOARDS:
        firmware = whole.built(board)
        told = steady(runtime32.PROGRAM, firmware, 2000)
        found += [
            Figure(f"{board}: retained", told.retained, "bytes", f"<= {RETAINED_BYTES}"),
            Figure(
                f"{board}: .mpy in steady state",
                whole.resident(firmware, told.modules),
                "bytes",
                f"<= {RESIDENT_BYTES}",
            ),
            Figure(f"{board}: free at 96K", told.free, "bytes", f">= {FREE_BYTES}"),
        ]
        lives = updated.staged(runtime32.PROGRAM, firmware, updated.small(firmware), full=True)
        least = min(life.tightest for life in lives)
        name = f"{board}: free in an update"
        found.append(Figure(name, least, "bytes", f">= {UPDATE_FREE_BYTES}"))
        waste = metered(runtime32.PROGRAM, firmware)
        made = {"the frame that answers it": waste.garbage_each(whole.ANSWER)}
        report = waste.garbage_each(whole.REPORT)
        hours = HOURS.get(board)
        if hours:
            made[f"each hour in a report of {hours}"] = report / hours
            found.append(Figure(f"{board}: garbage of such a report", report, "bytes"))
        else:
            made["a report's tick and frame"] = report
        for what, each_bytes in made.items():
            name = f"{board}: garbage of {what}"
            found.append(Figure(name, each_bytes, "bytes", f"<= {GARBAGE_BYTES}"))
        found.append(Figure(f"{board}: garbage of a tick", waste.garbage_each(whole.TICK), "bytes"))
    cost: float | str = "no valgrind"
    if shutil.which("valgrind") and MICROPYTHON.exists():
        cost = each("report")  # bench_instructions has the POLL that answers it
    found.append(Figure("a report, from record to bytes", cost, "thousands", f"<= {THOUSANDS}"))
    return found
