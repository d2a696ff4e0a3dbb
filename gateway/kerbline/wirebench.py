"""Bytes that a stream of readings takes on the wire, both engines sealing every frame.

A stream has one JSON object a line: asset class, `t` in UTC milliseconds, values by name. Each
record goes through a node's engine and a gateway's, and what comes out must equal what went in, at
the resolution of each field and of 1 s.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import Any, cast

from kerbline.errors import KerblineError
from kerbwire import cobs
from kerbwire import messages as m
from kerbwire.errors import WireError
from kerbwire.gateway import GatewaySession
from kerbwire.limits import DATAGRAM
from kerbwire.node import NodeSession
from kerbwire.ranges import RangeSet
from kerbwire.schema import Schema, by_name

ADDRESS = 7  # each frame has an address byte, as on a bus or in a datagram
BATCHES = {"water_meter": (4, 7)}  # reports in a batch
USUAL_BATCHES = (4, 24)
EPOCH = 1
ACK_MS = 50  # from a report to the POLL that answers it
LINE_BYTES = 65_536
UPTIME_S = 1 << 32  # bounds of what a record can say: protocol/wire.md, section 4
VALUE = 1 << 62
WANTED = 'want {"asset": class, "t": UTC in ms, "values": {field: number}}'

Record = tuple[int, int, int, tuple[int, ...]]  # rseq, boot id, uptime in s, values


class StreamFault(KerblineError):
    """A stream that can't be read, or that did not come back as it was."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The records of one asset; `origins` has each boot's UTC second of uptime 0."""

    schema: Schema
    period_s: int
    records: tuple[Record, ...]
    origins: dict[int, int]


@dataclass(frozen=True, slots=True)
class Figures:
    """Bytes of one way to send a stream, frame and COBS and address included."""

    reports: int
    frames: tuple[int, ...]  # of each frame, as a datagram
    uart: tuple[int, ...]  # of each frame, on a UART

    def as_json(self) -> dict[str, float]:
        return {
            "uart_mean": round(sum(self.uart) / self.reports, 3),
            "uart_max": max(self.uart),
            "datagram_mean": round(sum(self.frames) / self.reports, 3),
            "reports": self.reports,
        }


def read(path: Path) -> Stream:
    """The stream in a file; StreamFault says in which line it is none."""
    rows: list[tuple[int, dict[str, Any]]] = []
    schema: Schema | None = None
    with path.open("rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(LINE_BYTES + 1), b""), 1):
            try:
                if len(line) > LINE_BYTES:
                    raise ValueError(f"more than {LINE_BYTES} bytes in a line")
                item = json.loads(line.decode("utf-8"))
                schema = schema or by_name(item["asset"])
                if schema is None or item["asset"] != schema.name:
                    raise ValueError(f"asset {item['asset']!r}")
                if not 0 <= item["t"] < 1 << 53:
                    raise ValueError("t is no UTC in milliseconds")
                rows.append((round(item["t"] / 1000), item["values"]))
                if len(_numbers(schema, item["values"])) != schema.width:
                    raise ValueError("numbers of a field")
            except KeyError as fault:
                raise StreamFault(f"{path}:{number}: no reading: lacks {fault}") from None
            except TypeError:
                raise StreamFault(f"{path}:{number}: no reading: {WANTED}") from None
            except (ValueError, OverflowError) as fault:
                raise StreamFault(f"{path}:{number}: no reading: {fault}") from None
            except RecursionError:
                raise StreamFault(f"{path}:{number}: no reading: nested too deep") from None
    if schema is None or len(rows) < 2:
        raise StreamFault(f"{path}: fewer than two readings")
    return _stream(path, schema, rows)


def _stream(path: Path, schema: Schema, rows: Sequence[tuple[int, dict[str, Any]]]) -> Stream:
    """Records with numbers, each that of its line; an uptime that falls back is a new boot."""
    period_s = median_low([after[0] - before[0] for before, after in pairwise(rows)])
    if not 0 <= period_s < UPTIME_S:
        raise StreamFault(f"{path}: {period_s} s from one reading to the next")
    origins: dict[int, int] = {}
    records: list[Record] = []
    boot, last_s = 0, 0
    for number, (seconds, values) in enumerate(rows, 1):
        uptime_s = int(values.get("uptime_s", seconds - rows[0][0]))
        if not boot or uptime_s < last_s:
            boot += 1
            origins[boot] = seconds - uptime_s
        last_s = uptime_s
        if not 0 <= seconds - origins[boot] < UPTIME_S:
            told = f"{seconds - origins[boot]} s since its boot"
            raise StreamFault(f"{path}:{number}: no reading: {told}: want 0 to 2^32 - 1")
        record = (number, boot, seconds - origins[boot], _numbers(schema, values))
        records.append(record)
    return Stream(schema, period_s, tuple(records), origins)


def _numbers(schema: Schema, values: dict[str, Any]) -> tuple[int, ...]:
    """The record's numbers in schema order, at the resolution of each field."""
    numbers: list[int] = []
    for field in schema.fields:
        value = values[field.name]
        several = value if isinstance(value, list) else [value]
        numbers += [round(each * 10**field.scale) for each in several]
    if any(abs(number) >= VALUE for number in numbers):
        raise ValueError("a value of more than 62 bits")
    if set(values) != {field.name for field in schema.fields}:
        raise ValueError(f"fields {sorted(values)}")
    return tuple(numbers)


class Pair:
    """A node and a gateway with a session; the frames of a new one are told apart."""

    def __init__(self, stream: Stream) -> None:
        self.handshake_bytes = 0
        self.poll_bytes: list[int] = []
        self._stream = stream
        self._random = random.Random(1).randbytes
        self._held = RangeSet()
        self._boot = 0
        self._now = 0
        self._got: list[Record] = []

    def at(self, record: Record) -> None:
        """Time goes on to this record; another boot, or a session worn out, makes a new one."""
        now = 1000 * (self._stream.origins[record[1]] + record[2] - self._stream.origins[1])
        self._now = max(self._now + ACK_MS, now)
        if record[1] != self._boot:
            self._boot = record[1]
            self._start()
            self._greet(record)
        self.node.info.uptime_s = record[2]
        for session in (self.node, self.gateway):  # what silence alone has brought: IDLE, HELLO
            while session.outgoing(self._now):
                pass
        if not self.node.up:
            self._greet(record)

    def live(self, record: Record) -> tuple[int, int]:
        """A record just made."""
        self.node.send_report(record, self._now)
        return self._sent()

    def batch(self, records: list[Record]) -> Iterator[tuple[int, int]]:
        """Records of the backlog, in as few frames as take them."""
        while records:
            taken = self.node.send_batch(records, self._now)
            records = records[taken:]
            yield self._sent()

    def _sent(self) -> tuple[int, int]:
        """One frame's bytes, bare and on a UART; it is answered before anything else."""
        frame = self.node.outgoing(self._now)
        if not frame or self.node.outgoing(self._now):
            raise StreamFault("a report went in no frame, or in more than one")
        self.gateway.receive(frame, self._now)
        while (event := self.gateway.next_event()) is not None:
            if event[0] == "RECORD":
                rseq, boot_id, uptime_s, values = cast(Record, event[3:])
                self._got.append((rseq, boot_id, uptime_s, values))
                self._held.add(rseq, rseq)
                self.gateway.keep(EPOCH, rseq, rseq)
        self._now += ACK_MS
        answer = self.gateway.outgoing(self._now)
        self.poll_bytes.append(len(cobs.encode(answer)))
        self.node.receive(answer, self._now)
        while self.node.next_event() is not None:
            pass
        return len(frame), len(cobs.encode(frame))

    def check(self) -> None:
        """StreamFault where what came out is not what went in: fields, boots and seconds."""
        for sent, got in zip(self._stream.records, self._got, strict=False):
            if sent != got:
                raise StreamFault(f"record {sent[0]} came back as {got}, not as {sent}")
        if len(self._got) != len(self._stream.records):
            raise StreamFault(f"{len(self._stream.records)} went in, {len(self._got)} came out")

    def _start(self) -> None:
        """A node that has just started; its gateway has no session."""
        info = m.Info(self._stream.schema.hash, self._boot, EPOCH, firmware=1)
        info.period_s = self._stream.period_s
        node_id, keys = b"sl-0001", (0, bytes(16), None)
        self.node = NodeSession(node_id, 0, bytes(16), info, self._random, DATAGRAM)
        self.gateway = GatewaySession(
            node_id, keys, EPOCH, self._held, self._random, DATAGRAM, ADDRESS
        )

    def _greet(self, record: Record) -> None:
        """A new session between the two."""
        self.node.info.next_rseq = record[0]
        self.node.info.uptime_s = record[2]
        self.node.start(self._now)
        self.handshake_bytes = 0
        for _ in range(2):  # HELLO and WELCOME, INFO and POLL
            for sender, receiver in ((self.node, self.gateway), (self.gateway, self.node)):
                data = sender.outgoing(self._now)
                self.handshake_bytes += len(cobs.encode(data))
                receiver.receive(data, self._now)
                self.gateway.key_stored(self._now)
                self.node.key_stored(self._now)
        for session in (self.node, self.gateway):
            while session.next_event() is not None:
                pass


def live(stream: Stream) -> tuple[Figures, Pair]:
    """Each record when it is made, answered before the next one."""
    pair = Pair(stream)
    sizes = []
    for record in stream.records:
        pair.at(record)
        sizes.append(pair.live(record))
    pair.check()
    return _figures(stream, sizes), pair


def batched(stream: Stream, count: int) -> Figures:
    """So many records in a frame, less where the boot changes; each answered before the next."""
    pair = Pair(stream)
    sizes: list[tuple[int, int]] = []
    for group in _groups(stream.records, count):
        pair.at(group[-1])
        sizes += pair.batch(group)
    pair.check()
    return _figures(stream, sizes)


def _groups(records: Sequence[Record], count: int) -> Iterator[list[Record]]:
    group: list[Record] = []
    for record in records:
        if group and (len(group) == count or group[0][1] != record[1]):
            yield group
            group = []
        group.append(record)
    yield group


def _figures(stream: Stream, sizes: Sequence[tuple[int, int]]) -> Figures:
    frames, uart = zip(*sizes, strict=True)
    return Figures(len(stream.records), frames, uart)


def measure(path: Path) -> dict[str, Any]:
    """All figures of a stream: live, each batch size, a handshake and the mean POLL on a UART."""
    stream = read(path)
    try:
        figures, pair = live(stream)
        report: dict[str, Any] = {"live": figures.as_json()}
        for count in BATCHES.get(stream.schema.name, USUAL_BATCHES):
            report[f"batch{count}"] = batched(stream, count).as_json()
    except (StreamFault, WireError) as fault:
        raise StreamFault(f"{path}: {fault}") from None
    report["handshake_bytes"] = pair.handshake_bytes
    report["poll_bytes"] = round(sum(pair.poll_bytes) / len(pair.poll_bytes), 3)
    return report


def told(report: dict[str, Any]) -> str:
    """The figures for a reader."""
    lines = ["bytes a report    UART mean   UART most   datagram mean   reports"]
    for name, part in report.items():
        if isinstance(part, dict):
            lines.append(
                f"{name:16} {part['uart_mean']:10.2f} {part['uart_max']:11} "
                f"{part['datagram_mean']:15.2f} {part['reports']:9}"
            )
    lines.append(f"beside them: {report['handshake_bytes']} bytes of HELLO, WELCOME, INFO and POLL")
    lines.append(
        f"a session, and {report['poll_bytes']:.1f} bytes of POLL that answer a live report"
    )
    return "\n".join(lines)
