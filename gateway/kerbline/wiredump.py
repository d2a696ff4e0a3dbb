"""Frames of kerbwire as readable lines: what `kerbline wire decode` says of a capture.

`MESSAGES` is the one table of names; tools/dissector.py makes the Wireshark dissector from it, and
a test holds it to protocol/messages.cddl.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kerbline.errors import KerblineError
from kerbwire import cbor, cobs, handshake, keyschedule, seal
from kerbwire import messages as m
from kerbwire.channel import Channel
from kerbwire.errors import RemoteError
from kerbwire.frame import DOWN, UP, Header
from kerbwire.limits import FRAME_BYTES, KEY_BYTES, MAC_BYTES

CLASS_NAMES = ("report", "control", "object", "plain")
DIRECTION_NAMES = ("up", "down")
GENERATIONS = 100_000  # how far a key of long ago is followed
LADDER = 256  # of so many generations one key is remembered
SHOWN_BYTES = 32  # of what is no frame


@dataclass(frozen=True, slots=True)
class Message:
    """A message's name and those of its items behind the type; `rest` names all further ones."""

    name: str
    items: tuple[str, ...]
    rest: str = "more"


MESSAGES: Mapping[int, Message] = {
    m.HELLO: Message("HELLO", ("node-id", "generation", "nonce")),
    m.WELCOME: Message("WELCOME", ("generation", "nonce", "address", "node-id")),
    m.HELLO_REQUEST: Message("HELLO?", ("permit", "node-id")),
    m.INFO: Message(
        "INFO",
        (
            *("messages-version", "schema-hash", "boot-id", "epoch", "first-rseq", "next-rseq"),
            *("uptime-s", "period-s", "firmware", "command-id", "config-version", "build"),
        ),
    ),
    m.REPORT: Message("REPORT", ("n",), "item"),
    m.EVENT: Message("EVENT", ("rseq", "boot", "uptime-s", "code", "value")),
    m.GAP: Message("GAP", ("first", "last", "reason")),
    m.POLL: Message("POLL", ("seen", "behind", "credit"), "spans and offer"),
    m.COMMAND: Message("CMD", ("id", "expires-utc-s", "op"), "argument"),
    m.RESULT: Message("RESULT", ("id", "code", "value")),
    m.IDLE: Message("IDLE", ()),
    m.NEED_KEYFRAME: Message("NEED_KEYFRAME", ()),
    m.BATCH: Message("BATCH", ("packed",)),
    m.DIAG: Message("DIAG", (), "key and value"),
    m.CONFIG: Message("CONFIG", ("version",), "key and value"),
    m.OFFER: Message("OFFER", ("handle", "hash", "size", "block-size", "kind")),
    m.WANT: Message("WANT", ("handle", "first", "bitmap")),
    m.BLOCK: Message("BLOCK", ("handle", "index", "bytes")),
    m.ANCHOR: Message(
        "ANCHOR",
        ("rseq", "boot", "uptime-s", "uptime-ms", "utc-s", "utc-ms", "uncertainty-ms"),
    ),
    m.DISCOVER: Message("DISCOVER", ("permit", "window", "slots", "slot-ms")),
    m.CALL: Message("CALL", ("first", "last")),
    m.CLAIM: Message("CLAIM", ("node-id", "sealed")),
}
KEYFRAME = Message("REPORT", ("n", "rseq", "boot", "uptime-s"), "value")
DELTA = Message("REPORT", ("n", "base", "mask"), "difference")
POLL_AGAIN = Message("POLL", ("credit",))
WANT_HASH = Message("WANT", ("hash",))
_CODES: Mapping[tuple[int, str], Mapping[int, str]] = {
    (m.EVENT, "code"): m.EVENT_NAMES,
    (m.GAP, "reason"): m.GAP_NAMES,
    (m.COMMAND, "op"): m.OP_NAMES,
    (m.RESULT, "code"): m.RESULT_NAMES,
}


class KeysFault(KerblineError):
    """The keys' file says what it should not."""

    exit_status = 2


@dataclass(slots=True)
class _Session:
    """One session of the capture: the far ends of both directions."""

    node_id: bytes
    generation: int
    channels: tuple[Channel, Channel]  # of what goes up, of what goes down


@dataclass(slots=True)
class Reader:
    """Takes frames in the order of the capture; a sealed one opens once its handshake was seen."""

    keys: Mapping[bytes, bytes]  # node id -> K_0
    _greetings: list[tuple[bytes, int, bytes]] = field(default_factory=list)
    _sessions: list[_Session] = field(default_factory=list)
    _ladders: dict[bytes, list[bytes]] = field(default_factory=dict)  # keys, LADDER apart

    def line(self, data: bytes) -> str:
        """What one frame says."""
        try:
            header = Header(data)
            where = f"{DIRECTION_NAMES[header.direction]:4} {CLASS_NAMES[header.class_]:7}"
            if data[0] & 0x10:
                where += f" @{header.address}"
            if header.class_ == m.CLASS_PLAIN:
                return f"{where} {self._plain(data, header)}"
            return f"{where} {self._sealed(data, header)}"
        except RemoteError as fault:
            more = f"... ({len(data)} bytes)" if len(data) > FRAME_BYTES else ""
            return f"bad  {fault.code}: {data[: SHOWN_BYTES if more else None].hex()}{more}"

    def _plain(self, data: bytes, header: Header) -> str:
        if len(data) == header.size:
            raise RemoteError("short")
        type_ = data[header.size]
        has_mac = type_ in (m.HELLO, m.WELCOME)
        body = data[header.size : len(data) - (MAC_BYTES if has_mac else 0)]
        said = _told(cbor.decode(body))
        if not has_mac:
            return said
        node_id, generation, nonce, _ = handshake.greeting(data, header, type_)
        if type_ == m.HELLO:
            self._greetings.append((node_id, generation, nonce))
            key = self._key(node_id, generation)
            return f"{said} mac={_verdict(key, data, b'')}"
        return f"{said} mac={self._welcomed(data, generation, nonce)}"

    def _welcomed(self, data: bytes, generation: int, nonce: bytes) -> str:
        """Which greeting does it answer? Its session's keys are known from here on."""
        verdict = "unknown"
        for node_id, asked, node_nonce in reversed(self._greetings):
            if asked != generation:
                continue
            key = self._key(node_id, generation)
            verdict = _verdict(key, data, node_nonce)
            if key is None or verdict != "right":
                continue
            keys = keyschedule.session_keys(key, node_id, node_nonce, nonce)
            up, down = (Channel(keys, 1 - way, generation & 1, None, 0) for way in (UP, DOWN))
            self._sessions.append(_Session(node_id, generation, (up, down)))
            break
        return verdict

    def _sealed(self, data: bytes, header: Header) -> str:
        number = f"#{header.fseq}"
        fault = "unopened"
        for session in reversed(self._sessions):
            channel = session.channels[header.direction]
            if channel.parity != header.parity:
                continue
            try:
                body = bytes(channel.open(header, data))
            except RemoteError as error:
                fault = error.code if error.code == "replay" else fault
                continue
            name = f"{_id_text(session.node_id)}/{session.generation}"
            if body[:1] == bytes((m.BATCH,)):
                return f"{number} {name} BATCH packed={body[1:].hex()}"
            items = cbor.decode(body)
            if items and items[0] == m.INFO and len(items) > 2 and isinstance(items[2], bytes):
                channel.schema_hash = items[2]
            return f"{number} {name} {_told(items)}"
        return f"{number} parity {header.parity}, {len(data) - header.size} bytes, {fault}"

    def _key(self, node_id: bytes, generation: int) -> bytes | None:
        key = self.keys.get(node_id)
        if key is None or generation > GENERATIONS:
            return None
        ladder = self._ladders.setdefault(node_id, [key])
        while len(ladder) <= generation // LADDER:
            ladder.append(_ratcheted(ladder[-1], LADDER))
        return _ratcheted(ladder[generation // LADDER], generation % LADDER)


def _ratcheted(key: bytes, steps: int) -> bytes:
    for _ in range(steps):
        key = keyschedule.ratchet(key)
    return key


def _verdict(key: bytes | None, data: bytes, nonce: bytes) -> str:
    if key is None:
        return "unknown"
    cut = len(data) - MAC_BYTES
    right = seal.equal(keyschedule.hello_mac(key, data[:cut] + nonce), data[cut:])
    return "right" if right else "wrong"


def message_of(items: list[int | bytes]) -> Message:
    """The names for these items, of which the first is the type."""
    type_ = items[0] if items and isinstance(items[0], int) else -1
    if type_ == m.REPORT and len(items) > 1:
        return KEYFRAME if items[1] == 0 else DELTA
    if type_ == m.POLL and len(items) == 2:
        return POLL_AGAIN
    if type_ == m.WANT and len(items) > 1 and isinstance(items[1], bytes):
        return WANT_HASH
    return MESSAGES.get(type_, Message(f"type {type_}", (), "item"))


def _told(items: list[int | bytes]) -> str:
    message = message_of(items)
    words = [message.name]
    for name, value in zip(message.items, items[1:], strict=False):
        code = _CODES.get((int(items[0]), name), {}).get(value) if isinstance(value, int) else None
        words.append(f"{name}={code or _text(name, value)}")
    further = items[1 + len(message.items) :]
    if further:
        words.append(f"{message.rest}: " + " ".join([_text("", item) for item in further]))
    return " ".join(words)


def _text(name: str, value: int | bytes) -> str:
    if isinstance(value, int):
        return str(value)
    return _id_text(value) if name == "node-id" else value.hex() or "h''"


def _id_text(node_id: bytes) -> str:
    """A node id as it is, but what a terminal might obey as \\xNN."""
    return "".join([chr(c) if 0x20 < c < 0x7F and c != 0x5C else f"\\x{c:02x}" for c in node_id])


def read_keys(path: Path) -> dict[bytes, bytes]:
    """Node ids and their first keys: a line `ID 32-hex-digits` each; # begins a comment."""
    keys = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        words = line.split(b"#")[0].split()
        if not words:
            continue
        if len(words) != 2 or not re.fullmatch(rb"[0-9a-fA-F]{%d}" % (2 * KEY_BYTES), words[1]):
            raise KeysFault(f"{path}:{number}: want a node id and {2 * KEY_BYTES} hex digits")
        keys[words[0]] = bytes.fromhex(words[1].decode("ascii"))
    return keys


def frames_of(capture: bytes) -> Iterator[bytes | str]:
    """The frames of a capture, or what is wrong with one: lines of hex, or a stream as it was."""
    if b"\0" in capture or not capture.isascii():
        yield from _deframed(capture)
        return
    for number, line in enumerate(capture.decode("ascii").splitlines(), 1):
        try:
            frame = bytes.fromhex(line.split("#")[0])
        except ValueError:
            yield f"bad  hex: line {number}"
            continue
        if frame:
            yield frame


def _deframed(stream: bytes) -> Iterator[bytes | str]:
    for number, block in enumerate(stream.split(b"\0")):
        if not block:
            continue
        deframer = cobs.Deframer()
        deframer.take(block + b"\0", 0)
        if deframer.length > 0:
            yield bytes(deframer.frame())
        else:
            why = "cobs" if deframer.length == -1 else f"long (over {FRAME_BYTES})"
            yield f"bad  {why}: block {number}, {len(block)} bytes"


def told(capture: bytes, keys: Mapping[bytes, bytes]) -> Iterable[str]:
    """A line for each frame of a capture."""
    reader = Reader(keys)
    for frame in frames_of(capture):
        yield frame if isinstance(frame, str) else reader.line(frame)
