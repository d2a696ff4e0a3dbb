"""A simulated bus as a process: what was asked for, put together, served until it is ended."""

from __future__ import annotations

import asyncio
import json
import selectors
import signal
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from pymodbus.simulator import SimDevice

from kerbline.clock import Clock, StreetTable
from kerbline.config.profiles import Profiles
from kerbline.errors import KerblineError
from kerbline.sim.modbus import cabinet, devices, ends, faults, values
from kerbline.sim.modbus.adu import Framing
from kerbline.sim.modbus.faults import BadFault, Orders, Schedule
from kerbline.sim.modbus.line_time import Speed
from kerbline.sim.modbus.wire import Tally, Trouble

REPORT_S = 1.0
SPIN_S = 0.0005  # a sleep ends late by up to this; the rest of a wait is watched
CABINET = "lighting-cabinet"
LAST_PORT = 65_535
DEFAULT_SHARE = 0.2


class BadBus(KerblineError):
    """A bus that can't be served as asked; the text says the remedy."""

    code = "sim"
    exit_status = 2


@dataclass(frozen=True, slots=True)
class Bus:
    """Everything that a bus is made of; of the cabinet's profile, the units are the demo's."""

    where: str | Path  # "[host:]port", or the link of a pty
    framing: Framing
    units: frozenset[int]
    profile: str = CABINET
    folder: Path | None = None  # of the user's own profiles
    trouble: Trouble = field(default_factory=Trouble)
    holes: bool = False
    clock_table: Path | None = None
    report: Path | None = None

    def devices(self) -> list[SimDevice]:
        """Each unit; raises ConfigFault for a bad profile, BadBus for a bad clock table."""
        table = StreetTable()
        if self.clock_table is not None:
            try:
                table = StreetTable.parse(self.clock_table.read_text(encoding="utf-8"))
            except ValueError as error:
                raise BadBus(f"{self.clock_table}: {error}; `docs/understand/time.md`") from None
        value: devices.ValueOf = (
            cabinet.Cabinet().value if self.profile == CABINET else values.value
        )
        profile, registers = Profiles(self.folder).get(self.profile)
        clock = Clock(table)
        return [
            devices.device(unit, registers, clock, value, profile.limits, holes=self.holes)
            for unit in sorted(self.units)
        ]

    def served(self, tally: Tally) -> AbstractAsyncContextManager[str]:
        """Plugged in for as long as the context lasts; gives the address."""
        units, trouble = self.devices(), self.trouble
        if isinstance(self.where, Path):
            return ends.over_rtu(units, self.where, trouble=trouble, tally=tally)
        host, _, port = self.where.rpartition(":")
        if not port.isdecimal() or int(port) > LAST_PORT:
            raise BadBus(f"{self.where}: no address of TCP; write HOST:PORT or PORT")
        return ends.over_tcp(
            units,
            host.strip("[]") or "127.0.0.1",
            int(port),
            framing=self.framing,
            trouble=trouble,
            tally=tally,
        )


def units_of(text: str) -> frozenset[int]:
    """`50`: units 1 to 50; `3,7` and `10-19`: these. Raises BadFault."""
    try:
        return faults.units(f"1-{int(text)}" if text.isdecimal() else text)
    except ValueError as error:
        raise BadFault(f"--units {text}: {error}; write 50, 3,7 or 10-19") from None


def trouble_of(
    orders: Orders, chaos: str | None, seed: int, baud: int, turn_round_ms: float
) -> Trouble:
    """From what a command line says; raises BadFault."""
    schedule = None
    if chaos:
        number, _, share = chaos.partition(":")
        try:
            schedule = Schedule(int(number), float(share or DEFAULT_SHARE))
        except ValueError:
            raise BadFault(f"--chaos {chaos}: write SEED or SEED:SHARE, as 7:0.2") from None
    if baud < 0 or turn_round_ms < 0:
        raise BadFault("--baud and --turn-round-ms are not negative; write --baud 19200")
    speed = Speed(baud, turn_round_ms / 1_000) if baud else None
    return Trouble(orders, schedule, speed, seed)


def told(tally: Tally, elapsed_s: float) -> dict[str, object]:
    """What a bus carried, for a machine; of several masters the first one's line."""
    report: dict[str, object] = {
        "elapsed_s": round(elapsed_s, 6),
        "requests": {str(unit): count for unit, count in sorted(tally.requests.items())},
        "answers": {str(unit): count for unit, count in sorted(tally.answers.items())},
        "faults": dict(sorted(tally.faults.items())),
        "unplugged": tally.unplugged,
    }
    if tally.lines:
        report |= {
            "busy_s": round(sum(line.busy_s for line in tally.lines), 6),
            "collisions": sum(line.collisions for line in tally.lines),
            "silences_broken": sum(line.silences_broken for line in tally.lines),
        }
    return report


def run(bus: Bus) -> None:
    """Serve until SIGTERM or Ctrl-C; prints one line when it is ready."""

    def loop() -> asyncio.AbstractEventLoop:
        if bus.trouble.speed is None:
            return asyncio.new_event_loop()
        return asyncio.SelectorEventLoop(PreciseSelector())

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_until_ended(bus))


async def _until_ended(bus: Bus) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    tally, began = Tally(), loop.time()
    async with bus.served(tally) as address:
        print(f"ready {address}", flush=True)
        while not ended.is_set():
            try:
                async with asyncio.timeout(REPORT_S if bus.report else None):
                    await ended.wait()
            except TimeoutError:
                _write(bus.report, told(tally, loop.time() - began))
        _write(bus.report, told(tally, loop.time() - began))


def _write(report: Path | None, told: dict[str, object]) -> None:
    if report is not None:
        part = report.with_name(f".{report.name}.part")
        part.write_text(json.dumps(told) + "\n", encoding="utf-8")
        part.replace(report)


class PreciseSelector(selectors.SelectSelector):
    """Ends a wait within microseconds: asyncio's own rounds up to whole milliseconds."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As the class above, and a wait's last half millisecond is watched, not slept."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        deadline = time.monotonic() + timeout
        if timeout > SPIN_S:
            found = super().select(timeout - SPIN_S)
            if found:
                return found
        while time.monotonic() < deadline:
            found = super().select(0)
            if found:
                return found
        return []
