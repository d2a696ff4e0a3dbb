"""The gateway's end of a node's session: verifies, ratchets, welcomes, then runs its intake."""

from kerbwire import cbor, frame, handshake, keyschedule, seal
from kerbwire import messages as m
from kerbwire.asking import Asking
from kerbwire.channel import Channel
from kerbwire.engine import Engine
from kerbwire.errors import RemoteError
from kerbwire.handshake import CONFIRMING, GREETED, HEARD, KEEPING, REST, STORED
from kerbwire.intake import Intake
from kerbwire.limits import (
    COPIES,
    DATAGRAM,
    FAILED_TAGS,
    HELLO_REQUEST_GAP_MS,
    MAC_BYTES,
    NONCE_BYTES,
    RATCHET_FREE_STEPS,
    RATCHET_GAP_MS,
    RATCHET_STEPS,
)
from kerbwire.ranges import RangeSet
from kerbwire.retry import sooner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Random = Callable[[int], bytes]
    from kerbwire.catalogue import Schemas
    from kerbwire.schema import Schema
    from kerbwire.seal import Buffer

    Keys = tuple[int, bytes, "bytes | None"]  # generation, its key, the next one's


class _Greeted:
    """One HELLO that the gateway has answered or is about to answer."""

    __slots__ = ("channel", "hello", "welcome")

    def __init__(self, hello: bytes, channel: Channel, welcome: bytes):
        self.hello = hello
        self.channel = channel
        self.welcome = welcome


class GatewayHandshake:
    """The gateway's side: verifies HELLO, ratchets, answers WELCOME, waits for INFO."""

    __slots__ = (
        "_answer",
        "_confirmed",
        "_far_ms",
        "_pending",
        "address",
        "keys",
        "named",
        "node_id",
        "random",
        "state",
    )

    def __init__(self, node_id: bytes, keys: "Keys", random: "Random", address: "int | None"):
        self.node_id = node_id
        self.keys = keys
        self.random = random
        self.address = address
        self.state = REST
        self._pending: _Greeted | None = None
        self._confirmed: _Greeted | None = None
        self._answer: bytes | None = None
        self.named = False  # does WELCOME say whom it is for?
        self._far_ms: int | None = None  # when a HELLO far ahead was last looked at

    @property
    def channel(self) -> "Channel | None":
        """The session that waits for its INFO."""
        return self._pending.channel if self._pending and self.state == CONFIRMING else None

    def step(self, input_: int) -> bool:
        """Take one step of the table; False where the table has none."""
        state = handshake.GATEWAY_STEPS.get((self.state, input_))
        if state is None:
            return False
        self.state = state
        return True

    def hello(self, data: bytes, header: frame.Header, now: int) -> "tuple[bool, Keys | None]":
        """A HELLO: is it new or still pending, and the keys to keep before WELCOME goes.

        No keys where these are durable or on their way there: one greeting of each generation
        costs a write, all others of it none.
        """
        node_id, generation, nonce, _ = handshake.greeting(data, header, m.HELLO)
        if node_id != self.node_id:
            raise RemoteError("unknown_node")
        for known in (self._pending, self._confirmed):
            if known and known.hello == data:  # the same nonce: the same answer, nothing started
                if known is self._confirmed or self.state == CONFIRMING:
                    self._answer = known.welcome
                return known is self._pending, None
        key = self._ratcheted(generation, now)
        cut = len(data) - MAC_BYTES
        if not seal.equal(keyschedule.hello_mac(key, data[:cut]), data[cut:]):
            raise RemoteError("mac")
        self._greet(data, key, generation, nonce, now)
        keys = (generation, key, keyschedule.ratchet(key))
        written = keys == self.keys
        writing = self.state == KEEPING
        self.keys = keys
        self.step(GREETED)
        if written and not writing:
            self.stored()
        return True, None if written else keys

    def stored(self) -> None:
        """The host holds both keys durably: WELCOME may go."""
        if self.step(STORED) and self._pending:
            self._answer = self._pending.welcome

    def confirm(self) -> "Keys":
        """INFO came on the new channel: the keys to keep (K_g is erased)."""
        self.step(HEARD)
        self._confirmed = self._pending
        self._pending = None
        generation, key, following = self.keys
        self.keys = (generation + 1, following or keyschedule.ratchet(key), None)
        return self.keys

    def forget(self) -> None:
        """The session that waits for its INFO has had too many failed tags."""
        self.state = REST
        self._pending = None

    def outgoing(self) -> "bytes | None":
        """The WELCOME that is due, once."""
        answer = self._answer
        self._answer = None
        return answer

    def pending_welcome(self) -> "bytes | None":
        """The WELCOME whose INFO has not come."""
        return self._pending.welcome if self._pending and self.state == CONFIRMING else None

    def _ratcheted(self, generation: int, now: int) -> bytes:
        """K of that generation; steps cost time before the MAC can be checked, so they are few."""
        current, key, following = self.keys
        if not current <= generation <= current + RATCHET_STEPS:
            raise RemoteError("generation")
        if generation > current + RATCHET_FREE_STEPS:
            if self._far_ms is not None and now - self._far_ms < RATCHET_GAP_MS:
                raise RemoteError("ratchet")
            self._far_ms = now
        if generation > current and following:
            current += 1
            key = following
        for _ in range(generation - current):
            key = keyschedule.ratchet(key)
        return key

    def _greet(self, hello: bytes, key: bytes, generation: int, nonce: bytes, now: int) -> None:
        ours = self.random(NONCE_BYTES)
        keys = keyschedule.session_keys(key, self.node_id, nonce, ours)
        channel = Channel(keys, frame.DOWN, generation & 1, self.address, now)
        head = frame.plain_header(frame.DOWN, self.address)
        items: list[int | bytes] = [m.WELCOME, generation, ours, self.address or 0]
        data = head + cbor.encode(items + [self.node_id] if self.named else items)
        welcome = data + keyschedule.hello_mac(key, data + nonce)
        self._pending = _Greeted(hello, channel, welcome)


class GatewaySession(Engine):
    """The engine of a gateway for one node.

    Events: ("KEYS", generation, key, next key or None), ("UP", Info), ("DOWN",),
    ("RECORD", kind, epoch, rseq, boot id, uptime_s, values), ("GAP", epoch, first, last, reason),
    ("RESULT", command id, code, value), ("EXPIRED", command id),
    ("DIAG", values by key), ("SCHEMA", hash, encoding, hash of another one or b""): it was lacking
    and is known now, keep it, and forget that other one;
    ("UNSUPPORTED", message type), ("CONFIGURED", version, code), ("FAULT", code); and those of
    `objects`.
    """

    __slots__ = ("_ask_at_ms", "_asked_ms", "_greeted_ms", "_handshake", "_intake")

    def __init__(
        self,
        node_id: bytes,
        keys: "Keys",
        epoch: "int | None",
        kept: RangeSet,
        random: "Random",
        framing: int,
        address: "int | None",
        schemas: "Schemas | None" = None,
    ):
        """`address`: the connection id on UDP, None on a point-to-point line.

        `schemas` by hash, of all nodes of a gateway; None for those of this version.
        """
        Engine.__init__(self, framing, random)
        self._handshake = GatewayHandshake(node_id, keys, random, address)
        self._intake = Intake(epoch, kept, random, schemas)
        if framing == DATAGRAM:
            self._intake.orders.copies = COPIES
        self._asked_ms = -HELLO_REQUEST_GAP_MS
        self._greeted_ms = 0
        self._ask_at_ms: int | None = None

    def start(self, now: int) -> None:
        """A point-to-point line opened: say HELLO?, unless there is a session that is heard."""
        if self.channel is None or self._silent:
            self._ask_at_ms = now

    def key_stored(self, now: int) -> None:
        """The keys of the last KEYS event are durable."""
        self._handshake.stored()

    @property
    def up(self) -> bool:
        """Is a session confirmed?"""
        return self.channel is not None

    @property
    def heard_ms(self) -> int:
        """When the node was last heard, be it that it greeted and has no session; 0: never."""
        return max(self._heard_ms, self._greeted_ms)

    @property
    def heard_newest(self) -> bool:
        """Was the last authentic frame the newest so far? (A peer's address follows only that.)"""
        return self.channel is not None and self.channel.heard_newest

    @property
    def waiting(self) -> int:
        """Events that the host has not taken yet: it should not feed what it can't digest."""
        return len(self._events)

    @property
    def kept(self) -> RangeSet:
        """The record numbers that are durable here, of the log that the last INFO named."""
        return self._intake.kept

    @property
    def info(self) -> "m.Info | None":
        """What the node said of itself at the start of this session."""
        return self._intake.info

    @property
    def schema(self) -> "Schema | None":
        """What its reports say, if that is known."""
        return self._intake.schema

    def set_class(self, class_id: int) -> None:
        """What this node is: it teaches schemas of that class only."""
        self._intake.catalogue.class_id = class_id

    def set_utc(self, offset_ms: int, uncertainty_ms: int) -> None:
        """utc = now + offset, for time offers."""
        self._intake.set_utc(offset_ms, uncertainty_ms)

    def keep(self, epoch: int, first: int, last: int) -> None:
        """first..last of this log are durable: the node is told that it may delete them."""
        self._intake.keep(epoch, first, last)

    def ask_again(self) -> None:
        """The node is to send again what is not kept: what was seen of it is gone."""
        self._intake.ask_again()

    def send_command(
        self,
        command_id: int,
        expires_utc_s: int,
        op: int,
        args: "tuple[int, ...]",
        *,
        urgent: bool = False,
    ) -> None:
        """Hand over a command; LocalError("window") when too many are under way.

        An `urgent` one goes again before anybody can know that it was lost.
        """
        self._intake.orders.send_command(command_id, expires_utc_s, op, args, urgent=urgent)

    def send_config(self, version: int, values: "dict[int, int | bytes]") -> None:
        """Send a CONFIG until the node has answered; it takes the place of an earlier one."""
        self._intake.orders.send_config(version, values)

    def deadline(self) -> "int | None":
        """When `outgoing` and `next_event` have something without a byte received."""
        resting = moving = None
        if self.channel:
            resting = self._intake.deadline(self._block_on_line())
            moving = self._object_deadline(blocks=self._intake.orders.room > 1)
        when = sooner(sooner(resting, moving), sooner(self._intake.expiry(), self._ask_at_ms))
        return sooner(when, self._silence_ms())

    def _watch(self, now: int) -> None:
        Engine._watch(self, now)
        self._events += self._intake.expired(now)
        pending = self._handshake.channel
        if pending is not None and pending.failed_tags >= FAILED_TAGS:
            self._handshake.forget()
            self._ask_at_ms = now
        if self._worn(now):
            self._down()
            self.channel = None
            self._ask_at_ms = now

    def outgoing(self, now: int) -> bytes:
        """What to write now, as in Engine."""
        return bytes(Engine.outgoing(self, now))

    def _next_frame(self, now: int) -> "bytes | None":
        data = self._handshake.outgoing()
        if data is not None:
            return data
        if self._ask_at_ms is not None and now >= self._ask_at_ms:
            self._ask_at_ms = None
            self._asked_ms = now
            head = frame.plain_header(frame.DOWN, self._handshake.address)
            return head + cbor.encode([m.HELLO_REQUEST])
        if self.channel:
            copy = self._intake.copy(now)
            if copy is not None:
                return copy
            item = self._intake.pull(self.channel, now, self._block_on_line())
            if item is None:
                item = self._object(now, blocks=self._intake.orders.room > 1)
            if item:
                data = self.channel.seal(item[0], item[1], now)
                self._intake.orders.sealed(data, now)
                return data
        return None

    def _plain(self, data: bytes, header: frame.Header, now: int) -> bool:
        if header.direction != frame.UP:
            raise RemoteError("direction")
        greets, keys = self._handshake.hello(data, header, now)
        if greets:
            self._greeted_ms = now
            self._ask_at_ms = None  # no need to ask
        if keys:
            self._events.append(("KEYS",) + keys)
        return greets  # one that is over may be anybody's: no sign of life

    @property
    def _awaited(self) -> "Channel | None":
        return self._handshake.channel

    def _sealed(self, data: "Buffer", header: frame.Header, now: int) -> None:
        try:
            channel, type_, items = self._open(data, header, self._handshake.channel)
        except RemoteError as fault:
            if fault.code == "unknown_session" and self._ask_at_ms is None:
                self._ask_at_ms = max(now, self._asked_ms + HELLO_REQUEST_GAP_MS)
            raise
        if channel is not self.channel:
            self._begin(channel, type_, items, now)
            return
        if channel.heard_newest:
            self._intake.heard(now)
        if self._alive(now):
            self._events.append(("UP", self.info))
        if m.CLASS_OF.get(type_) == m.CLASS_OBJECT:
            self._take_object(type_, items, now)
            return
        lacking = self._intake.catalogue.lacking
        try:
            self._events += self._intake.receive(type_, items, channel, now)
        finally:
            if self._intake.catalogue.lacking != lacking:
                self._ask_schema()

    def _take_object(self, type_: int, items: "list[int | bytes]", now: int) -> None:
        """An object's message; the schema that is lacking stays in here."""
        for event in self.objects.receive(type_, items, now):
            left = self._intake.catalogue.take(event, self.objects, now)
            if left is not None:
                self._events.append(left)
            if left is not None and left[0] == "SCHEMA":
                self._intake.look_up()
                if self._intake.catalogue.lacking:
                    self._ask_schema()

    @property
    def objects(self) -> "Asking":
        """The transfers of objects, and what is asked for."""
        if self._objects is None:
            self._objects = Asking(self._random)
        assert isinstance(self._objects, Asking)
        return self._objects

    def _ask_schema(self) -> None:
        """Ask the node for the schema that is lacking."""
        self.objects.want(self._intake.catalogue.wanted)

    def _block_on_line(self) -> int:
        """The place that a block takes from the commands."""
        return 1 if self._objects and self._objects.busy else 0

    def _begin(self, channel: Channel, type_: int, items: "list[int | bytes]", now: int) -> None:
        """The first sealed frame of a new session: INFO confirms it and ends the old one."""
        if type_ != m.INFO:
            raise RemoteError("type")
        info = handshake.decode_info(items)
        keys = self._handshake.confirm()
        channel.schema_hash = info.schema_hash
        self.channel = channel
        self._ask_at_ms = None
        self._alive(now)
        self._intake.catalogue.begin(info.schema_hash)
        self._intake.begin(info, now)
        if self._objects:
            self._objects.begin()
        if self._intake.catalogue.lacking or self._objects:
            self._ask_schema()
        self._events.append(("KEYS",) + keys)
        self._events.append(("UP", info))
