"""The node's end of a session: greets, keeps the next key, confirms, then runs its uplink."""

from kerbwire import frame
from kerbwire import messages as m
from kerbwire.channel import Channel
from kerbwire.engine import Engine
from kerbwire.errors import RemoteError
from kerbwire.handshake import (
    ASKED,
    CONFIRMING,
    GREETING,
    HEARD,
    KEEPING,
    REST,
    STORED,
    WELCOMED,
)
from kerbwire.limits import (
    COPIES,
    DATAGRAM,
    HELLO_REQUEST_MS,
    HELLOS_ON_REQUEST,
    NONCE_BYTES,
    RTO_START_MS,
    STREAM,
    TRIES,
)
from kerbwire.ranges import RangeSet
from kerbwire.retry import Backoff, sooner
from kerbwire.uplink import Uplink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbwire.report import Record
    from kerbwire.seal import Buffer

    Random = Callable[[int], bytes]


# What only greeting needs: a node may forget these modules after ("UP",), they load again.
GREETING_MODULES = ("handshake", "keyschedule", "hkdf", "schema")


class NodeHandshake:
    """The node's side: greets, keeps the next key, confirms with INFO."""

    __slots__ = (
        "_addressed",
        "_backoff",
        "_due_ms",
        "_nonce",
        "_pending",
        "_tries",
        "generation",
        "info",
        "key",
        "node_id",
        "random",
        "state",
    )

    def __init__(
        self,
        node_id: bytes,
        generation: int,
        key: bytes,
        info: m.Info,
        random: "Random",
        *,
        addressed: bool,
    ):
        self.node_id = node_id
        self.generation = generation
        self.key = key
        self.info = info
        self.random = random
        self.state = REST
        self._pending: Channel | None = None  # the new session until it is confirmed
        self._addressed = addressed
        self._backoff = Backoff(random)
        self._due_ms: int | None = None
        self._tries = 0
        self._nonce = b""

    @property
    def channel(self) -> "Channel | None":
        """The session that waits for an answer to its INFO."""
        return self._pending if self.state == CONFIRMING else None

    def step(self, input_: int) -> bool:
        """Take one step of the table; False where the table has none."""
        from kerbwire import handshake

        state = handshake.NODE_STEPS.get((self.state, input_))
        if state is None:
            return False
        self.state = state
        return True

    def ask(self, now: int) -> None:
        """Say HELLO now: at start, on HELLO?, when the session is worn out."""
        before = self.state
        if not self.step(ASKED) or self.state == KEEPING:
            return
        if before != GREETING:  # a HELLO that is out keeps its nonce: its answer may be under way
            self._nonce = self.random(NONCE_BYTES)
        self._restart(now)

    def welcome(self, data: bytes, header: frame.Header, now: int) -> "tuple[int, bytes]":
        """A WELCOME: the (generation, key) to keep; RemoteError where it is not for us."""
        from kerbwire import handshake

        keys, address, following = handshake.take_welcome(
            data, header, self.key, self.node_id, self.generation, self._nonce
        )
        place = address if self._addressed else None
        self._pending = Channel(keys, frame.UP, self.generation & 1, place, now)
        self.generation += 1
        self.key = following
        self.step(WELCOMED)
        self._due_ms = None
        return self.generation, self.key

    def stored(self, now: int) -> None:
        """The host holds the new key durably: INFO may go."""
        if self.step(STORED):
            self._restart(now)

    def heard(self) -> None:
        """A sealed frame came on the new channel: it is the session now."""
        self.step(HEARD)
        self._pending = None
        self._due_ms = None
        self._backoff.reset()

    def outgoing(self, now: int) -> "bytes | None":
        """HELLO or INFO when it is due."""
        if self._due_ms is None or now < self._due_ms:
            return None
        from kerbwire import handshake

        if self.state == CONFIRMING and self._tries == TRIES:
            self.ask(now)  # the gateway may wait for the INFO of another greeting than ours
        self._tries += 1
        wait = RTO_START_MS if self._tries < TRIES else self._backoff.next_ms()
        self._due_ms = now + wait
        if self.state == GREETING:
            place = 0 if self._addressed else None
            return handshake.encode_hello(
                self.key, self.node_id, self.generation, self._nonce, place
            )
        assert self._pending is not None  # CONFIRMING has one
        sealed = self._pending.seal(m.CLASS_CONTROL, handshake.encode_info(self.info), now)
        self._pending.schema_hash = self.info.schema_hash
        return sealed

    def prompt(self, now: int) -> None:
        """Now is the time for HELLO or INFO, if one of them is out."""
        if self.state in (GREETING, CONFIRMING):
            self._due_ms = now

    def deadline(self) -> "int | None":
        """When `outgoing` has something next."""
        return self._due_ms

    def _restart(self, now: int) -> None:
        self._tries = 0
        self._due_ms = now


class NodeSession(Engine):
    """The engine of a node. `send_*` of a record or gap raises LocalError("window") without one.

    Events: ("KEY", generation, key), ("UP",), ("DOWN",), ("SEEN",), ("KEPT",),
    ("PERMIT",): strangers may join, the host says by `claim` who we are,
    ("TIME", utc_ms, uncertainty_ms), ("COMMAND", id, expires_utc_s, op, args),
    ("CONFIG", version, values by key), ("FAULT", code);
    and those of `objects`.
    """

    __slots__ = ("_ask_at_ms", "_asked_ms", "_handshake", "_uplink", "claim", "handout", "info")

    def __init__(
        self,
        node_id: bytes,
        generation: int,
        key: bytes,
        info: m.Info,
        random: "Random",
        framing: int,
    ):
        Engine.__init__(self, framing, random)
        self.info = info  # the host keeps its uptime and numbers current
        self._uplink = Uplink(info, random)
        self._uplink.copies = COPIES * (framing == DATAGRAM)
        self._handshake = NodeHandshake(
            node_id, generation, key, info, random, addressed=framing != STREAM
        )
        self._asked_ms: list[int] = []  # when HELLO? was answered
        self._ask_at_ms: int | None = None  # when a HELLO? too many will be
        self.claim = b""  # a frame that goes before all others
        self.handout = b""  # the schema that the gateway has asked for

    def start(self, now: int) -> None:
        """Say HELLO."""
        self._handshake.ask(now)

    def key_stored(self, now: int) -> None:
        """The key of the last KEY event is durable."""
        self._handshake.stored(now)

    @property
    def up(self) -> bool:
        """Is a session confirmed, and no other under way?"""
        return self.channel is not None and self._handshake.state == REST

    @property
    def kept(self) -> RangeSet:
        """The record numbers that the gateway holds durably: they may be deleted here."""
        return self._uplink.kept

    def window(self, now: int) -> int:
        """How many records or gaps may be handed to `send` now."""
        return self._uplink.window(now) if self.up else 0

    def wants(self, rseq: int) -> bool:
        """Is this record neither kept nor seen nor in flight?"""
        return self._uplink.wants(rseq)

    def send_report(self, record: "Record", now: int) -> None:
        """Hand over a record just made: (rseq, boot id, uptime in s, values)."""
        self._uplink.send_report(record, now)

    def send_backfill(self, record: "Record", now: int) -> None:
        """Hand over a record from the backlog."""
        self._uplink.send_backfill(record, now)

    def send_batch(self, records: "list[Record]", now: int) -> int:
        """Hand over the first ones of these reports, of one boot and numbered in a row; how many.

        As many as fill a frame go: at most BATCH_RECORDS.
        """
        return self._uplink.send_batch(records, now)

    def send_event(self, record: "Record", now: int) -> None:
        """Hand over an event: a record whose values are (code, value)."""
        self._uplink.send_other(m.EVENT, record, now)

    def send_anchor(self, record: "Record", now: int) -> None:
        """Hand over an anchor: a record whose values tie its uptime to UTC (see `anchor`)."""
        self._uplink.send_other(m.ANCHOR, record, now)

    def send_gap(self, first: int, last: int, reason: int, now: int) -> None:
        """Declare numbers that will never come; again until `kept` has passed `last`."""
        self._uplink.send_gap(first, last, reason, now)

    def send_result(self, command_id: int, code: int, value: int) -> None:
        """Answer a command; this needs no window."""
        self._uplink.send_result(command_id, code, value)

    def send_configured(self, version: int, code: int) -> None:
        """Answer a CONFIG; this needs no window."""
        self._uplink.send_configured(version, code)

    def send_diag(self, values: "dict[int, int | bytes]") -> None:
        """Say how the node is, by the keys of `messages.DIAG_NAMES`."""
        self._uplink.send_diag(values)

    def failed(self, now: int) -> None:
        """The line broke: half a frame is forgotten, what was in flight is free again."""
        Engine.failed(self, now)
        self._uplink.release()

    def deadline(self) -> "int | None":
        """When `outgoing` and `next_event` have something without a byte received."""
        when = sooner(self._silence_ms(), sooner(self._ask_at_ms, self._handshake.deadline()))
        if self.up:
            when = sooner(when, self._object_deadline(blocks=True))
            when = sooner(when, self._uplink.deadline())
        return when

    def _watch(self, now: int) -> None:
        Engine._watch(self, now)
        if self._ask_at_ms is not None and now >= self._ask_at_ms:
            self._ask_at_ms = None
            self._asked(now)
        if self._handshake.state == REST and self._worn(now):
            self._handshake.ask(now)

    def _asked(self, now: int) -> None:
        """Answer a HELLO?, at most HELLOS_ON_REQUEST in HELLO_REQUEST_MS; one too many waits."""
        self._asked_ms = [time for time in self._asked_ms if now - time < HELLO_REQUEST_MS]
        if len(self._asked_ms) < HELLOS_ON_REQUEST:
            self._asked_ms.append(now)
            self._handshake.ask(now)
        elif self._ask_at_ms is None:
            self._ask_at_ms = self._asked_ms[0] + HELLO_REQUEST_MS

    def _next_frame(self, now: int) -> "bytes | None":
        data = self.claim or self._handshake.outgoing(now)
        self.claim = b""
        if data is None and self.channel and self.up:
            item = self._uplink.pull(now) or self._object(now, blocks=True)
            if item:
                data = self.channel.seal(item[0], item[1], now)
        return data

    def _plain(self, data: bytes, header: frame.Header, now: int) -> bool:
        if header.direction != frame.DOWN:
            raise RemoteError("direction")
        type_ = data[header.size] if len(data) > header.size else -1
        if type_ == m.HELLO_REQUEST:
            self._asked(now)
            if data[-1] == 1 and self._ask_at_ms is None:
                self._events.append(("PERMIT",))
            return False
        if type_ != m.WELCOME:
            raise RemoteError("type")
        if self._handshake.state != GREETING:  # a repeat of the answer that we took
            return False
        generation, key = self._handshake.welcome(data, header, now)
        self._events.append(("KEY", generation, key))
        return True

    @property
    def _awaited(self) -> "Channel | None":
        return self._handshake.channel

    def _sealed(self, data: "Buffer", header: frame.Header, now: int) -> None:
        channel, type_, items = self._open(data, header, self._handshake.channel)
        if channel is not self.channel:
            self._handshake.heard()
            self.channel = channel
            self._ask_at_ms = None
            self._uplink.begin(now)
            if self._objects:
                self._objects.begin()
            self._silent = True
        self._uplink.heard()
        if self._alive(now):
            self._events.append(("UP",))
        if m.CLASS_OF.get(type_) == m.CLASS_OBJECT:
            if type_ == m.WANT:  # all others are the host's, and need no schema
                from kerbwire import handout
            for event in self.objects.receive(type_, items, now):
                if type_ != m.WANT or not handout.hand_out(self, event):
                    self._events.append(event)
        else:
            self._events += self._uplink.receive(type_, items, channel, now)
