"""The bad wire: between a master and pymodbus's server, with a line's time and a bus's faults.

It knows frames as bytes alone, and all three framings alike: RTU, RTU over TCP, TCP. One wire is
one master's; the loop's own time drives it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from kerbline.sim.modbus import adu
from kerbline.sim.modbus.devices import Send, Server
from kerbline.sim.modbus.faults import Fault, Orders, Schedule
from kerbline.sim.modbus.line_time import LineTime, Speed

PIECES_WITHIN_S = 0.05  # what comes later is no more of the same frame
SERVED_WITHIN_S = 0.5  # what pymodbus has not answered by then it never will
NOISE = 0x55


@dataclass(slots=True)
class Tally:
    """What a bus carried, since the start."""

    requests: Counter[int] = field(default_factory=Counter)  # by unit
    answers: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)  # by name: how often each struck
    unplugged: int = 0
    lines: list[LineTime] = field(default_factory=list)  # with a line's time: of each master


@dataclass(frozen=True, slots=True)
class Trouble:
    """Everything that a wire does to its frames; without any, nothing.

    Which fault strikes which unit when: a sequence of its own for each, from one seed, that goes on
    through new connections.
    """

    orders: Orders = field(default_factory=Orders)
    schedule: Schedule | None = None
    speed: Speed | None = None
    seed: int = 0
    _chances: dict[int, random.Random] = field(default_factory=dict, repr=False, compare=False)

    def chance(self, unit: int) -> random.Random:
        """The unit's own."""
        if unit not in self._chances:
            self._chances[unit] = random.Random(f"{self.seed}/{unit}")
        return self._chances[unit]

    def strikes(self, unit: int, now: float, *, dead: bool) -> Iterator[Fault]:
        """The faults that strike now: before the request is served (`dead`), or after."""
        faults = list(self.orders.faults)
        if self.schedule is not None:
            drawn = self.schedule.at(unit, now)
            faults += [drawn] if drawn is not None else []
        for fault in faults:
            due = (fault.name == "dead") is dead and unit in fault.units
            if due and self.chance(unit).random() < fault.chance:
                yield fault


class BadWire:
    """One master's wire: what it wrote comes in by `heard`, what it hears goes to `send`."""

    def __init__(self, server: Server, trouble: Trouble, send: Send, tally: Tally) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = server
        self._framing = server.framing
        self._serving = server.connect(self._answered)
        self._send = send
        self._tally = tally
        self._echo = trouble.orders.echo
        self._trouble = trouble
        self.line = LineTime(trouble.speed) if trouble.speed else None
        self._pending = b""
        self._heard_at = 0.0
        self._requests: deque[bytes] = deque()
        self._gives_up: asyncio.TimerHandle | None = None  # a request is being served
        self._held: dict[int, list[tuple[bytes, asyncio.TimerHandle]]] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._closed = False

    def heard(self, data: bytes) -> None:
        """The master wrote."""
        if self.line is None:
            self._carried(data)
            return
        end = self.line.request(self._loop.time(), len(data))
        self._at(end, self._carried, data)

    def close(self) -> None:
        """Cut it: what is under way is lost."""
        self._closed = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._requests.clear()
        for held in self._held.values():
            for _, timer in held:
                timer.cancel()
        if self._gives_up is not None:
            self._gives_up.cancel()

    def _carried(self, data: bytes) -> None:
        """The last bit of what the master wrote is through."""
        now = self._loop.time()
        if self.line is not None and self.line.spoiled(now):
            data = _noise(data)
        if self._echo:
            self._send(data)
        if now - self._heard_at > PIECES_WITHIN_S:
            self._pending = b""
        self._heard_at = now
        frames, rest = adu.split(self._pending + data, self._framing)
        if not frames and self._pending:  # what came before was noise
            frames, rest = adu.split(data, self._framing)
            rest = rest if frames else self._pending + data
        self._pending = rest
        for frame in frames:
            self._requested(frame)

    def _requested(self, frame: bytes) -> None:
        unit = adu.unit(frame, self._framing)
        self._tally.requests[unit] += 1
        for held, timer in self._held.pop(unit, []):
            timer.cancel()
            self._put(held)
        if unit not in self._server.units:
            return
        for fault in self._trouble.strikes(unit, self._loop.time(), dead=True):
            self._tally.faults[fault.name] += 1
            return
        self._requests.append(frame)
        self._serve()

    def _serve(self) -> None:
        if self._gives_up is None and self._requests:
            self._gives_up = self._loop.call_later(SERVED_WITHIN_S, self._unserved)
            self._serving.feed(self._requests.popleft())

    def _unserved(self) -> None:
        self._gives_up = None
        self._serve()

    def _answered(self, frame: bytes) -> None:
        """pymodbus has an answer."""
        if self._closed:
            return
        if self._gives_up is not None:
            self._gives_up.cancel()
            self._gives_up = None
        self._spoil(frame)
        self._serve()

    def _spoil(self, frame: bytes) -> None:
        unit = adu.unit(frame, self._framing)
        delay_s = held_s = 0.0
        for fault in self._trouble.strikes(unit, self._loop.time(), dead=False):
            self._tally.faults[fault.name] += 1
            if fault.name == "slow":
                delay_s += fault.amount
            elif fault.name == "late":
                held_s = fault.amount
            else:
                frame = self._changed(frame, unit, fault)
        if held_s:
            self._hold(unit, frame, held_s)
        elif delay_s:
            self._at(self._loop.time() + delay_s, self._put, frame)
        else:
            self._put(frame)

    def _changed(self, frame: bytes, unit: int, fault: Fault) -> bytes:
        chance = self._trouble.chance(unit)
        match fault.name:
            case "crc":
                return adu.broken(frame, self._framing, chance.randrange(8 * len(frame)))
            case "wrong-unit":
                others = sorted(self._server.units - {unit}) or [unit % 247 + 1]
                return adu.from_unit(frame, self._framing, chance.choice(others))
            case "exception":
                return adu.refused(frame, self._framing, int(fault.amount))
            case _:  # truncated
                return frame[: chance.randrange(1, len(frame))]

    def _hold(self, unit: int, frame: bytes, held_s: float) -> None:
        """Keep an answer until the unit is asked again, or so long: then it comes all the same."""

        def release() -> None:
            self._held[unit] = [each for each in self._held[unit] if each[1] is not timer]
            self._put(frame)

        timer = self._loop.call_later(held_s, release)
        self._held.setdefault(unit, []).append((frame, timer))

    def _put(self, frame: bytes) -> None:
        """An answer goes on the line."""
        if frame:
            self._tally.answers[adu.unit(frame.ljust(adu.MBAP_BYTES), self._framing)] += 1
        if self.line is None:
            self._send(frame)
            return
        sent = 0
        for when, arrived in self.line.answer(self._loop.time(), len(frame)):
            self._at(when, self._arrive, frame[sent:arrived])
            sent = arrived

    def _arrive(self, data: bytes) -> None:
        assert self.line is not None
        self._send(_noise(data) if self.line.spoiled(self._loop.time()) else data)

    def _at(self, when: float, call: Send, data: bytes) -> None:
        def run() -> None:
            self._timers.discard(timer)
            call(data)

        timer = self._loop.call_at(when, run)
        self._timers.add(timer)


def _noise(data: bytes) -> bytes:
    return bytes(each ^ NOISE for each in data)
