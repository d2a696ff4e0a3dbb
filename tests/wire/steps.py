"""A pair that can break at any step: before and after each frame in, frame out and key write.

It also writes down under which key and nonce each sealed frame left, and checks at each step that
the two keys in store still lead to a session.
"""

from kerbwire import frame
from kerbwire import messages as m
from kerbwire.channel import Channel
from kerbwire.errors import RemoteError
from kerbwire.limits import DATAGRAM, STREAM
from wire.pair import Pair, drained, frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.engine import Engine
    from wire.pair import Line


class Crash(Exception):
    """The power goes, or the process."""


def key_print(channel: Channel) -> bytes:
    """Tells whether two channels have the same sender key and IV for what they send."""
    keys = channel._keys
    up = channel.direction == frame.UP
    cipher = keys.up if up else keys.down
    nonce = keys.nonce(b"\x00" if up else b"\x01", 1 << 39)
    return bytes(cipher.seal(nonce, b"?", b"who seals"))


class StepPair(Pair):
    """`crash_in` counts down over all steps; at 0 the `victim` restarts."""

    def __init__(self, seed: int, framing: int = STREAM, **line: int):
        self.steps = 0
        self.crash_in = -1
        self.victim = "node"
        self.hellos = 0  # since the crash ...
        self.greetings: set[bytes] = set()  # ... and those of them that are new, no repeats
        self.nonces: set[tuple[bytes, int]] = set()  # all that sealed something
        Pair.__init__(self, seed, framing, **line)

    def _step(self, side: str) -> None:
        self.steps += 1
        assert self.gateway_keys[0] <= self.node_key[0] <= self.gateway_keys[0] + 1
        if self.crash_in < 0:
            return
        self.crash_in -= 1
        if self.crash_in < 0:
            self.hellos = 0
            self.greetings = set()
            if side == "node" and self.victim != "node":
                self.start_gateway()
            if side == "gateway" and self.victim != "gateway":
                self.restart_node()
            if self.victim in (side, "both"):
                raise Crash

    def _node_step(self) -> None:
        try:
            for data in self.down_line.take(self.now):
                self._step("node")
                self.node.receive(data, self.now)
            self._step("node")
            for event in drained(self.node):
                self._note(self.node.channel, self.node._handshake._pending)
                if event[0] == "KEY":
                    self._step("node")
                    self._store_node_key(event)
                    self._step("node")
                    self.node.key_stored(self.now)
                elif event[0] == "KEPT":
                    kept = self.node.kept
                    self.records = {n: self.records[n] for n in self.records if n not in kept}
                    self.gaps = [gap for gap in self.gaps if gap[1] not in kept]
            self.send_waiting()
            self._write(self.node, self.up_line)
        except Crash:
            self.restart_node()

    def _gateway_step(self) -> None:
        try:
            for data in self.up_line.take(self.now):
                self._step("gateway")
                self.gateway.receive(data, self.now)
            self._step("gateway")
            for event in drained(self.gateway):
                self.gateway_events.append(event)
                if event[0] == "KEYS":
                    self._step("gateway")
                    self.keys_stored()
                elif event[0] in ("RECORD", "GAP"):
                    self._store(event)
            pending = self.gateway._handshake._pending
            self._note(self.gateway.channel, pending.channel if pending else None)
            self._write(self.gateway, self.down_line)
        except Crash:
            self.start_gateway()

    def keys_stored(self) -> None:
        stored = [e for e in self.gateway_events if e[0] == "KEYS"][-1]
        self.gateway_keys = stored[1:]
        self._step("gateway")
        self.gateway.key_stored(self.now)

    def _write(self, session: "Engine", line: "Line") -> None:
        while True:
            data = session.outgoing(self.now)
            if not data:
                return
            self._spy(bytes(data))
            side = "node" if session is self.node else "gateway"
            self._step(side)
            line.put(data, self.now)
            self._step(side)

    def _spy(self, data: bytes) -> None:
        """Which key and nonce sealed each of these frames? Never one pair twice."""
        for one in [data] if self.framing == DATAGRAM else frames([data]):
            header = frame.Header(one)
            if header.class_ == m.CLASS_PLAIN:
                if header.direction == frame.UP:
                    self.hellos += 1
                    self.greetings.add(one)
                continue
            sealers = [near for near in self.channels if _sealed(near, header, one)]
            assert sealers, "sealed by a channel that nobody knows"
            name = (key_print(sealers[0]), header.fseq)
            assert name not in self.nonces, "one key and nonce twice"
            self.nonces.add(name)

    def agreed(self) -> bool:
        """Is there one session at both ends, and nothing under way to another?"""
        node, gateway = self.node, self.gateway
        if not (node.up and gateway.up and node.channel and gateway.channel):
            return False
        near, far = node.channel, gateway.channel
        twin = Channel(far._keys, near.direction, near.parity, near.address, 0)
        return key_print(near) == key_print(twin)


def _sealed(near: Channel, header: frame.Header, data: bytes) -> bool:
    if near.direction != header.direction:
        return False
    far = Channel(near._keys, 1 - near.direction, near.parity, near.address, 0)
    far.schema_hash = near.schema_hash
    try:
        far.open(header, data)
    except RemoteError:
        return False
    return True
