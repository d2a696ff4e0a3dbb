"""One open line, without its bytes' way: what goes out when, and what an incoming byte belongs to.

Pure: times are arguments, in seconds of one monotonic clock; the bus moves the bytes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from kerbline.south.modbus.framing import (
    LONGEST_RTU_BYTES,
    MBAP_BYTES,
    RTU_OVERHEAD_BYTES,
    BusFault,
    Garbled,
    NoAnswer,
    OutOfStep,
    Response,
    response,
    rtu_answer,
    rtu_frame,
    tcp_frame,
    tcp_frames,
    whole_rtu,
)
from kerbline.south.modbus.transaction import Transaction
from kerbline.south.modbus.unit import Unit

MAX_PENDING_BYTES = 4 * LONGEST_RTU_BYTES  # more is a babbling line
BABBLE_CHARACTERS = 2 * LONGEST_RTU_BYTES  # a late answer is no longer
CHARACTER_BITS = 11  # Modbus over serial line V1.02, 2.5.1
SILENCE_CHARACTERS = 3.5
SHORTEST_SILENCE_S = 0.00175  # above 19,200 baud, the same clause
FASTEST_FIXED_BAUD = 19_200
BROADCAST_S = 0.1  # for the units to do it, 2.4.1
MAX_TRANSACTION_ID = 0xFFFF
TID_BYTES = 2
MBAP_TELLING = 4  # the transaction id, and zeros that say that it is one
REFUSAL_BYTES = 2
GIVEN_UP = 16  # transactions whose answers are known for late ones

Done = Sequence[Transaction]


class Line(Protocol):
    """What RTU and TCP have in common."""

    deadline_s: float  # when `expire` has something to say
    strays: int  # bytes and frames that nobody asked for
    precise: bool  # silences on it are to be kept to a fraction of a millisecond
    broken: bool  # only a new connection helps
    echo_found: bool  # our own bytes come back, and the config did not say so

    def room(self) -> int:
        """How many requests may be sent before another answer."""

    def clear_s(self, unit: Unit | None) -> float:
        """From when on a request may go out, to that unit or to the same as before."""

    def send(self, transaction: Transaction, now_s: float) -> bytes:
        """A transaction begins; the bytes that are to go out now."""

    def receive(self, data: bytes, now_s: float) -> Done:
        """What is over by what came."""

    def expire(self, now_s: float) -> Done:
        """What is over because its time is."""

    def abandon(self) -> Done:
        """The line is left: what was under way is over."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a serial line is."""

    baud: int
    unit_switch_s: float = 0.0

    def time_s(self, characters: float) -> float:
        """How long so many characters take."""
        return characters * CHARACTER_BITS / self.baud

    @property
    def silence_s(self) -> float:
        """Between two frames."""
        if self.baud > FASTEST_FIXED_BAUD:
            return SHORTEST_SILENCE_S
        return self.time_s(SILENCE_CHARACTERS)


class RtuLine:
    """A line with one request at a time, whose answers say neither whose nor what they are."""

    __slots__ = (
        "_asked",
        "_bound_s",
        "_echo",
        "_echo_rest",
        "_extra_s",
        "_heard",
        "_last_s",
        "_pace",
        "_pending",
        "_silence_s",
        "_unit",
        "broken",
        "deadline_s",
        "echo_found",
        "precise",
        "strays",
    )

    def __init__(self, pace: Pace, now_s: float, *, echo: bool = False) -> None:
        self._pace = pace
        self._silence_s = pace.silence_s
        self._echo = echo
        self._echo_rest = b""  # of our own request, still to come back
        self._pending = b""
        self._asked: Transaction | None = None
        self._unit: Unit | None = None  # who was asked last
        self._last_s = now_s  # when the line was in use last
        self._bound_s = math.inf  # who babbles longer is not waited for
        self._heard = False  # something came since the request
        self._extra_s = 0.0  # what frames of others took from the unit's time
        self.deadline_s = math.inf
        self.echo_found = False
        self.precise = True
        self.broken = False
        self.strays = 0

    def room(self) -> int:
        """One when nobody is asked."""
        return 0 if self._asked else 1

    def clear_s(self, unit: Unit | None) -> float:
        """After the silence, and the pause that some units want after another was asked."""
        pause_s = self._silence_s
        if unit is not None and self._unit is not None and unit is not self._unit:
            pause_s = max(pause_s, self._pace.unit_switch_s)
        return min(self._last_s + pause_s, self._bound_s + pause_s)

    def send(self, transaction: Transaction, now_s: float) -> bytes:
        """The request's frame; what came before it is forgotten."""
        asked = transaction.wanted
        frame = rtu_frame(transaction.unit.address, asked.payload)
        self._asked, self._unit = transaction, transaction.unit
        self._pending = b""
        self._heard = False
        self._extra_s = 0.0
        self._echo_rest = frame if self._echo else b""
        transaction.sent_s = now_s
        gone_s = now_s + self._pace.time_s(len(frame))
        if transaction.unit.address:
            longest = asked.longest + RTU_OVERHEAD_BYTES
            wait_s = transaction.timeout_s + self._pace.time_s(longest)
        else:
            wait_s = BROADCAST_S
        self.deadline_s = transaction.deadline_s = gone_s + wait_s
        self._last_s = gone_s
        return frame

    def receive(self, data: bytes, now_s: float) -> Done:
        """Bytes came: an end of the transaction, a part of its answer, or none of our business."""
        if not data:
            return ()
        silent = now_s > self._last_s + self._silence_s
        self._last_s = now_s
        asked = self._asked
        if asked is None:
            if silent:
                self._bound_s = now_s + self._pace.time_s(BABBLE_CHARACTERS)
            self.strays += 1  # late, and read away: the silence begins anew
            return ()
        self._heard = True
        self._pending += data
        if not self._drop_echo(asked):
            return ()
        end, payload = rtu_answer(self._pending, asked.wanted, exceptions=asked.refusals)
        if payload:
            size = len(payload) + RTU_OVERHEAD_BYTES
            if end == size and not self._extra_s:
                bytes_s = self._pace.time_s(size + RTU_OVERHEAD_BYTES + len(asked.wanted.payload))
                asked.pause_s = max(now_s - asked.sent_s - bytes_s, 0.0)
            self._end(now_s)
            _settle(asked, payload)
            return (asked,)
        self._pass_over(asked)
        return ()

    def expire(self, now_s: float) -> Done:
        """The unit's time is over."""
        if now_s < self.deadline_s:
            return ()
        return self._give_up(now_s)

    def abandon(self) -> Done:
        """The request under way, without an answer."""
        done = self._give_up(self._last_s)
        for asked in done:
            asked.left = True
        return done

    def _give_up(self, now_s: float) -> Done:
        asked = self._asked
        if asked is None:
            return ()
        self._end(now_s)
        if not asked.unit.address:
            asked.response = Response(asked.wanted.request.words)
        else:
            asked.fault = (Garbled if self._heard else NoAnswer)(f"unit {asked.unit.address}")
        return (asked,)

    def _end(self, now_s: float) -> None:
        self._asked, self.deadline_s = None, math.inf
        self._bound_s = now_s + self._pace.time_s(BABBLE_CHARACTERS)

    def _drop_echo(self, asked: Transaction) -> bool:
        """Take our own bytes out of what came; False when there is nothing else yet.

        That the adapter echoes is seen at a read, whose answer never looks like its request; the
        answer to a write may.
        """
        if not self._echo and self._echoes(asked):
            self._echo = self.echo_found = True
            self._echo_rest = rtu_frame(asked.unit.address, asked.wanted.payload)
        if not self._echo_rest:
            return True
        if self._echo_rest.startswith(self._pending):
            self._heard = False
            return False
        self._pending = self._pending.removeprefix(self._echo_rest)
        self._echo_rest = b""
        return bool(self._pending)

    def _echoes(self, asked: Transaction) -> bool:
        wanted = asked.wanted
        if wanted.payload.startswith(wanted.head):
            return False
        return self._pending.startswith(rtu_frame(asked.unit.address, wanted.payload))

    def _pass_over(self, asked: Transaction) -> None:
        """Frames of others at the head, late ones as a rule, cost the unit none of its time."""
        while size := whole_rtu(self._pending):
            self._pending = self._pending[size:]
            self.strays += 1
            left_s = max(asked.timeout_s - self._extra_s, 0.0)
            more_s = min(self._pace.time_s(size), left_s)  # for ever would be a stall
            self._extra_s += more_s
            self.deadline_s += more_s
        if len(self._pending) > MAX_PENDING_BYTES:
            self._pending = self._pending[-LONGEST_RTU_BYTES:]


class TcpLine:
    """A connection with up to `pipeline` requests under way, known by their numbers."""

    __slots__ = (
        "_ceiling_s",
        "_flights",
        "_given_up",
        "_owed",
        "_pending",
        "_pipeline",
        "_tid",
        "broken",
        "deadline_s",
        "echo_found",
        "precise",
        "strays",
    )

    def __init__(self, pipeline: int, ceiling_s: float) -> None:
        self._pipeline = pipeline
        self._ceiling_s = ceiling_s
        self._flights: dict[int, Transaction] = {}
        self._given_up: deque[tuple[int, Transaction]] = deque(maxlen=GIVEN_UP)
        self._owed: dict[int, float] = {}  # given up by us; a gateway may still be busy with it
        self._pending = b""
        self._tid = 0
        self.deadline_s = math.inf
        self.strays = 0
        self.precise = self.broken = self.echo_found = False

    def room(self) -> int:
        """What is left of the pipeline."""
        return self._pipeline - len(self._flights)

    def clear_s(self, unit: Unit | None) -> float:
        """At once."""
        del unit
        return -math.inf

    def send(self, transaction: Transaction, now_s: float) -> bytes:
        """The request's frame, under a number of its own."""
        self._tid = self._tid % MAX_TRANSACTION_ID + 1
        self._flights[self._tid] = transaction
        transaction.sent_s = now_s
        if self._owed:
            transaction.timeout_s = self._patient(transaction.timeout_s, now_s)
        transaction.deadline_s = now_s + transaction.timeout_s
        if transaction.deadline_s < self.deadline_s:
            self.deadline_s = transaction.deadline_s
        return tcp_frame(self._tid, transaction.unit.address, transaction.wanted.payload)

    def receive(self, data: bytes, now_s: float) -> Done:
        """What is over by what came."""
        if not data:
            return ()
        if self._pending and self._begins(data):
            self._pending = b""  # that was cut short, and will never end
            self.strays += 1
        data = self._pending + data
        try:
            used, frames = tcp_frames(data)
            self._pending = data[used:]
            self._check(frames)
        except OutOfStep as error:
            self.broken = True
            return self._end_all(Garbled(str(error)))  # the oldest is held to have said it
        done: list[Transaction] = []
        for tid, unit, payload in frames:
            asked = self._flights.pop(tid, None)
            if asked is None:
                self._owed.pop(tid, None)
                self.strays += 1
                continue
            if unit != asked.unit.address:
                asked.fault = Garbled(f"unit {unit} for {asked.unit.address}")
            else:
                if not self._owed:
                    asked.pause_s = now_s - (asked.deadline_s - asked.timeout_s)
                _settle(asked, payload)
            done.append(asked)
        if done:
            self._go_on(min(one.sent_s for one in done), now_s)
            self._look_ahead()
        return done

    def _go_on(self, answered_s: float, now_s: float) -> None:
        """The time of requests sent after one that is answered begins now.

        A server may take one after another; how long the queue is is not the last one's fault.
        """
        for asked in self._flights.values():
            if asked.sent_s >= answered_s:
                asked.deadline_s = max(asked.deadline_s, now_s + asked.timeout_s)

    def _begins(self, data: bytes) -> bool:
        """Is this the head of an answer, and no more of what is pending?

        One byte says little: it is held for a head where it would end what is pending.
        """
        begun = data[:MBAP_TELLING]
        if len(begun) < TID_BYTES:
            length = int.from_bytes(self._pending[MBAP_TELLING : MBAP_BYTES - 1], "big")
            if len(self._pending) + len(begun) != MBAP_BYTES - 1 + length:
                return False
        return any(head.startswith(begun) for head in self._heads())

    def _heads(self) -> Iterator[bytes]:
        """How answers that may come begin, up to the length; a wrong unit may follow."""
        for tid, asked in (*self._flights.items(), *self._given_up):
            for size in (asked.wanted.size, REFUSAL_BYTES):
                yield tcp_frame(tid, 0, bytes(size))[: MBAP_BYTES - 1]

    def _check(self, frames: Sequence[tuple[int, int, bytes]]) -> None:
        """Each number is one of ours, and no frame has swallowed the head of another's.

        A device that cuts an answer short makes one frame of two, which only this tells.
        """
        tids = [tid for tid, _, _ in frames]
        if len(self._pending) >= TID_BYTES:
            tids.append(int.from_bytes(self._pending[:TID_BYTES], "big"))
        late = [tid for tid, _ in self._given_up]
        if any(tid not in self._flights and tid not in late for tid in tids):
            raise OutOfStep("an answer to nothing")
        if len(self._flights) > 1 or late:
            heads = list(self._heads())
            if any(head in payload for _, _, payload in frames for head in heads):
                raise OutOfStep("an answer that was cut short")

    def expire(self, now_s: float) -> Done:
        """Whose time is over."""
        if now_s < self.deadline_s:
            return ()
        late = {tid: one for tid, one in self._flights.items() if one.deadline_s <= now_s}
        for tid, asked in late.items():
            del self._flights[tid]
            self._owed[tid] = asked.sent_s + self._ceiling_s
            self._given_up.append((tid, asked))
            asked.fault = NoAnswer(f"unit {asked.unit.address}")
        self.broken |= bool(self._pending)  # of an answer that was cut short
        self._look_ahead()
        return list(late.values())

    def abandon(self) -> Done:
        """All that is under way, without an answer."""
        return self._end_all(NoAnswer("the connection was left"))

    def _end_all(self, fault: BusFault) -> Done:
        flights = list(self._flights.values())
        for at, asked in enumerate(flights):
            asked.fault = fault
            asked.left = at > 0 or isinstance(fault, NoAnswer)
        self._flights.clear()
        self.deadline_s = math.inf
        return flights

    def _look_ahead(self) -> None:
        flights = self._flights.values()
        self.deadline_s = min((one.deadline_s for one in flights), default=math.inf)

    def _patient(self, timeout_s: float, now_s: float) -> float:
        """Behind a gateway a unit waits for one that is silent: that is not its fault."""
        self._owed = {tid: until for tid, until in self._owed.items() if until > now_s}
        return self._ceiling_s if self._owed else timeout_s


def _settle(asked: Transaction, payload: bytes) -> None:
    try:
        asked.response = response(asked.wanted, payload)
    except BusFault as fault:
        asked.fault = fault
