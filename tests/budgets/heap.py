"""What the node's stack does to a heap of 32 bit: records an exchange, plays it to a node alone.

The recording is made by both ends on CPython; the node that is measured gets the same chances
and the same bytes, so it says the same.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from kerbwire import cobs
from kerbwire import messages as m
from kerbwire.gateway import GatewaySession
from kerbwire.limits import ACK_SPANS, STREAM
from kerbwire.node import NodeSession
from kerbwire.ranges import RangeSet
from kerbwire.schema import AIR_QUALITY
from tools import firmware
from tools.trees import ROOT

PROBE = ROOT / "tests" / "wire" / "heap_probe.py"
KEY = bytes(range(16))
NODE_ID = b"sl-0001"
VALUES = (56, 80, 112, 450, 150, 118, 482, 10_132, 0)
HEAP_KIB = 256

Given = bytes | int | tuple["Given", ...]


def _plain(value: Given) -> object:
    if isinstance(value, bytes | bytearray):
        return "x" + value.hex()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


class Recorder:
    """Drives a node and a gateway on CPython and notes each call of the node."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, tuple[Given, ...]]] = []
        self.chances: list[bytes] = []
        self.now = 1000
        info = m.Info(AIR_QUALITY.hash, 1, 77, 1)
        info.period_s = 900
        self._node = NodeSession(NODE_ID, 0, KEY, info, self._random, STREAM)
        keys = (0, KEY, None)
        self._gateway = GatewaySession(NODE_ID, keys, 77, RangeSet(), bytes, STREAM, None)
        self._gateway.set_utc(1_790_000_000_000, 20)

    def _random(self, count: int) -> bytes:
        self.chances.append(bytes([len(self.chances) + 1]) * count)
        return self.chances[-1]

    def call(self, label: str, method: str, *given: Given) -> bytes:
        self.calls.append((label, method, given))
        return getattr(self._node, method)(*given) or b""

    def exchange(self, label: str, *, told: bool = True) -> None:
        """The node's bytes go up, and 10 ms later the answer comes down, if it does."""
        data = self.call(f"{label}.out", "outgoing", self.now)
        self._gateway.receive(data, self.now)
        while event := self._gateway.next_event():
            if event[0] == "KEYS":
                self._gateway.key_stored(self.now)
            elif event[0] == "RECORD":
                self._gateway.keep(77, event[3], event[3])  # type: ignore[arg-type]
        self.now += 10
        answer = self._gateway.outgoing(self.now)
        if told and answer:
            self.call(f"{label}.answer", "receive", answer, self.now)
        while event := self._node.next_event():
            if event[0] == "KEY":
                self.call("key_stored", "key_stored", self.now)

    def handshake(self) -> None:
        """From HELLO to a confirmed session."""
        self.call("start", "start", self.now)
        self.exchange("hello")
        self.exchange("info")
        assert self._node.up

    def steady(self) -> None:
        """Live reports, an event, a gap, a command, then frames of others, doubles and noise."""
        for rseq in range(1, 12):
            self.now += 900_000 if rseq % 10 == 0 else 1000
            self.call("report", "send_report", (rseq, 1, rseq, (rseq, *VALUES[1:])), self.now)
            self.exchange("report")
        self.call("event", "send_event", (12, 1, 12, (m.EV_MOTION, 1)), self.now)
        self.exchange("event")
        self.call("gap", "send_gap", 13, 20, m.GAP_POWER, self.now)
        self.exchange("gap")
        self._gateway.send_command(1, 2_000_000_000, m.OP_SET_LEVEL, (30, 0, 500))
        self.call("command", "receive", self._gateway.outgoing(self.now), self.now)
        self.call("result", "send_result", 1, m.OK, 0)
        self.exchange("result")
        again = next(given[0] for label, _, given in self.calls if label == "report.answer")
        assert isinstance(again, bytes)
        self.call("duplicate", "receive", again, self.now)
        self.call("other's", "receive", cobs.encode(b"\x7c\x09" + bytes(range(1, 40))), self.now)
        self.call("noise", "receive", b"\x07" * 300 + b"\0", self.now)

    def fill(self) -> None:
        """As full as a session can be: spans, frames in flight, half a frame."""
        for rseq in range(22, 22 + 2 * ACK_SPANS, 2):
            self.call("backfill", "send_backfill", (rseq, 1, 60, VALUES), self.now)
            self.exchange("backfill")
        rseq = 1000
        while self._node.window(self.now):
            self.call("report", "send_report", (rseq, 1, rseq, VALUES), self.now)
            rseq += 1
        self.exchange("flight", told=False)
        self.call("half", "receive", b"\x07" * 200, self.now)

    def lines(self) -> Iterator[str]:
        """As heap_probe.py reads it."""
        yield json.dumps([_plain(item) for item in (STREAM, KEY, AIR_QUALITY.hash)])
        yield json.dumps([_plain(chance) for chance in self.chances])
        for label, method, given in self.calls:
            yield json.dumps([label, method, [_plain(item) for item in given]])


def recorded(into: Path) -> Path:
    """A recording that greets, exchanges and fills."""
    recorder = Recorder()
    recorder.handshake()
    recorder.steady()
    recorder.fill()
    file = into / "recording.jsonl"
    file.write_text("\n".join(recorder.lines()) + "\n")
    return file


def compiled(into: Path) -> dict[str, int]:
    """The wire's files as a device gets them, into that folder; bytes of each."""
    sizes = {}
    for path, text in firmware.small_sources().items():
        if path.parts[0] == "kerbwire" or path.stem in ("__init__", "loaded"):
            made = firmware.compile_one(text, path, into)
            assert not made.complaint, made.complaint
            if path.parts[0] == "kerbwire":
                sizes[path.stem] = made.size_bytes
    return sizes


def compiled_one(source: Path, into: Path) -> None:
    """A module of the wire by itself, before any node loads it."""
    made = firmware.compile_one(source.read_text(), Path("kerbwire") / source.name, into)
    assert not made.complaint, made.complaint


def played(
    runtime: Path, code: Path, recording: Path, *more: str, kib: int = HEAP_KIB
) -> dict[str, str]:
    """What the probe tells; an empty dict where the heap was too small."""
    command = [str(runtime), "-X", f"heapsize={kib}K", str(PROBE), str(recording), *more]
    environment = {"MICROPYPATH": f".frozen:{code}"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if "MemoryError" in done.stdout + done.stderr:
        return {}
    assert done.returncode == 0, done.stdout + done.stderr
    told = (line.partition(" ") for line in done.stdout.splitlines())
    return {name: value for name, _, value in told}


def least_heap_kib(runtime: Path, code: Path, recording: Path) -> int:
    """The smallest heap in which all of it runs, with the probe's own share."""
    low, high = 8, HEAP_KIB
    while high - low > 1:
        middle = (low + high) // 2
        if played(runtime, code, recording, kib=middle):
            high = middle
        else:
            low = middle
    return high
