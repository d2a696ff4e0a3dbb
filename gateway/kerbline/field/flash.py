"""Flashes many boards at once, each by itself: one that fails stops no other.

What a board needs is worked out once. A link that dies or a line that is noisy gets one more
attempt, which goes on where the first one was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from kerbline import boards
from kerbline.boardtools import loader, usb
from kerbline.boardtools.loader import ChipFound, Region, Written
from kerbline.boardtools.loader_link import LoaderFault
from kerbline.errors import KerblineError
from kerbline.field import flash_images, log_in_flash
from kerbline.field.flash_images import Cache, Memory, Stock
from kerbline.firmware import build, image, kept

JOBS = 20
SLOW_BAUD = 115_200
RETURN_S = 6.0  # a cable that is put in again; an adapter that starts anew
RETURN_STEP_S = 0.2
AGAIN = frozenset({"link_lost", "noise"})


class FlashFault(KerblineError):
    """Nothing can be flashed; the text says why and what to do."""

    code = "flash"


@dataclass(frozen=True, slots=True)
class Job:
    """What boards of one class get: a checked image, and the node's file system in it."""

    board: str
    chip: str
    build: str
    stock: Stock
    system: bytes

    def regions(self, *, wipe: bool = False) -> tuple[Region, ...]:
        """For the loader; `wipe`: the NVS with the node's key goes too."""
        return flash_images.regions(self.stock, self.system, wipe=wipe)


@dataclass(frozen=True, slots=True)
class Step:
    """How far a board is: finding, writing (done of bytes), again, done or failed."""

    port: str
    what: str
    done: int = 0
    of: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one board fared; `fault` is None where all of it is in its flash."""

    port: str
    slot: str
    seconds: float
    found: ChipFound | None = None
    written: Written | None = None
    fault: LoaderFault | None = None
    attempts: int = 1


Tell = Callable[[Step], None]


def prepare(
    board_name: str,
    micropython: Path | None,
    expected: str,
    cache: Cache,
    bundle: Path | None = None,
    root: Path | None = None,
) -> Job:
    """Check the image and build the node, from the tree or a bundle; raises KerblineError."""
    file = boards.find(board_name)
    board = boards.load(file)
    chip = board.chip.name
    if chip not in flash_images.BOOT_OFFSETS:
        raise FlashFault(f"{board_name}: its chip {chip} has no flash to write")
    try:
        stock = flash_images.stock(micropython, chip, expected, cache)
    except OSError as fault:
        raise FlashFault(
            f"{micropython}: {fault.strerror}; name MicroPython's .bin for {chip}"
        ) from None
    if bundle is not None:
        program = of_bundle(bundle, root, board.name, chip)
    else:
        program = build.build(build.of_board(board, str(file)), keep=kept.folder())
        over = build.exceeded(program)
        if over:
            raise FlashFault("\n".join([*over, "nothing was flashed: over budget"]))
    system = image.made(program.layout(), stock.partitions["vfs"][1])
    named = f"{program.about['version']}+{program.about['commit']}"[:48]
    return Job(board.name, chip, named, stock, system)


def of_bundle(path: Path, root: Path | None, board: str, chip: str) -> build.Firmware:
    """A release as a build; with a root its signatures are verified."""
    from kerbline import bundle as bundles

    loaded = bundles.load(path, bundles.Root.load(root) if root is not None else None)
    about = loaded.about
    if about.board != board:
        raise FlashFault(f"{path}: is for {about.board}, not {board}; take the bundle of {board}")
    parts = [
        build.Part(name, content, resident=False, source_bytes=0)
        for name, content in (*loaded.files.items(), *loaded.starts.items())
    ]
    told = {"version": about.version, "commit": loaded.build.hex()}
    target = build.Target(board, chip, "")
    return build.Firmware(target, tuple(parts), told, released=loaded.manifest_bytes)


def one(
    job: Job,
    port: str,
    memory: Memory,
    tell: Tell,
    baud: int,
    stop: threading.Event,
    *,
    spare: bool = False,
) -> Outcome:
    """Flash the board at a port; never raises a LoaderFault. `spare`: no node that has a log."""
    slot = usb.socket_of(port).slot
    outcome = Outcome(port, slot, 0.0)
    began = time.monotonic()
    moved = threading.Event()

    def watched(step: Step) -> None:
        if step.done:
            moved.set()
        tell(step)

    for attempt in (1, 2):
        outcome = replace(outcome, attempts=attempt, fault=None)
        try:
            outcome = _flashed(job, outcome, memory, watched, baud, stop, spare=spare)
            tell(_last(outcome))
            break
        except LoaderFault as fault:
            outcome = replace(outcome, fault=fault)
            if attempt == 2 or fault.code not in AGAIN or stop.is_set():
                tell(_last(outcome))
                break
            # What is noisy, or breaks before a byte is taken, may be too fast.
            baud = SLOW_BAUD if fault.code == "noise" or not moved.is_set() else baud
            tell(Step(port, "again", text=fault.cause))
            _await_return(port, stop)
    return replace(outcome, seconds=time.monotonic() - began)


def many(
    job: Job,
    ports: Sequence[str],
    memory: Memory,
    tell: Tell,
    jobs: int = JOBS,
    baud: int = loader.BAUD,
    *,
    spare: bool = False,
) -> list[Outcome]:
    """Flash the boards at these ports, so many at once; in the order of the ports.

    `spare`: a node that has readings in its log stays as it is, with the fault `unsent`.

    An interrupt stops all of them at their next block, and is raised when they have.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(max(1, min(jobs, len(ports))), "flash") as pool:
        given = (memory, tell, baud, stop)
        work = [pool.submit(one, job, port, *given, spare=spare) for port in ports]
        try:
            wait(work)
        except BaseException:
            stop.set()
            for each in work:
                each.cancel()
            raise
    return [each.result() for each in work]


def _flashed(
    job: Job,
    outcome: Outcome,
    memory: Memory,
    tell: Tell,
    baud: int,
    stop: threading.Event,
    *,
    spare: bool,
) -> Outcome:
    port = outcome.port
    tell(Step(port, "finding"))

    def progress(done: int, of: int) -> None:
        if stop.is_set():
            raise LoaderFault(port, "stopped", "stopped", "flash it again: it goes on from there")
        tell(Step(port, "writing", done, of))

    with loader.entered(port, job.chip, baud) as entered:
        held = log_in_flash.records(entered) if spare else 0
        if held:
            return replace(outcome, found=entered.found, fault=entered.fault("unsent", _held(held)))
        mac = entered.found.mac
        regions = job.regions()
        written = entered.write(regions, progress, memory.of(mac))
        with suppress(OSError):  # it only saves time: a full disk stops no board
            memory.keep(mac, job.board, job.build, regions)
        return replace(outcome, found=entered.found, written=written)


def _await_return(port: str, stop: threading.Event) -> None:
    """Until the port can be opened again, or RETURN_S are over."""
    end = time.monotonic() + RETURN_S
    while time.monotonic() < end and not stop.wait(RETURN_STEP_S):
        try:
            usb.opened(port).close()
            return
        except usb.lost():
            continue


def _held(records: int) -> str:
    return (
        f"a node works here, with up to {records:,} readings in its log: what its gateway has not "
        "got of them would be lost"
    )


def _last(outcome: Outcome) -> Step:
    """How it ended."""
    if outcome.fault is None:
        return Step(outcome.port, "done", text=_sum(outcome))
    return Step(outcome.port, "failed", text=f"{outcome.fault.cause}; {outcome.fault.remedy}")


def _sum(outcome: Outcome) -> str:
    found, written = outcome.found, outcome.written
    assert found is not None and written is not None
    if not written.written_bytes:
        return f"{found.name} {found.mac}: all of it is there already"
    return (
        f"{found.name} {found.mac}: {written.written_bytes / 1024:,.0f} KiB written and proved, "
        f"{written.sent_bytes / 1024:,.0f} KiB sent"
    )
