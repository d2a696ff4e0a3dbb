"""The gateway's end of one node on a polled bus: what a turn of that node says and expects."""

from kerbwire import cbor, frame
from kerbwire import messages as m
from kerbwire.channel import Channel
from kerbwire.gateway import GatewaySession
from kerbwire.handshake import CONFIRMING, KEEPING, REST
from kerbwire.intake import Intake
from kerbwire.limits import DATAGRAM, RUSHES, UNACKED_FRAMES
from kerbwire.ranges import RangeSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbwire.catalogue import Schemas
    from kerbwire.engine import Event
    from kerbwire.gateway import Keys

_NEVER = 1 << 62
NOTHING = 0  # what a frame was to the turn: not authentic ...
FRAME = 1  # ... one of those expected
LAST = 2  # ... IDLE: there are no more


class PolledIntake(Intake):
    """An intake whose POLL goes when the bus gives it a turn."""

    __slots__ = ("_long", "_offered", "idle")

    def __init__(
        self,
        epoch: "int | None",
        kept: RangeSet,
        random: "Callable[[int], bytes]",
        schemas: "Schemas | None",
    ):
        Intake.__init__(self, epoch, kept, random, schemas)
        self.idle = False  # was the last message an IDLE?
        self._long = False
        self._offered = False

    def receive(
        self, type_: int, items: "list[int | bytes]", channel: Channel, now: int
    ) -> "list[Event]":
        """As in Intake; IDLE asks for nothing here."""
        self.idle = type_ == m.IDLE
        return [] if self.idle else Intake.receive(self, type_, items, channel, now)

    def pull(self, channel: Channel, now: int, taken: int = 0) -> "tuple[int, bytes] | None":
        """The next (class, body) that is no POLL."""
        held, self._poll_ms = self._poll_ms, _NEVER
        item = Intake.pull(self, channel, now, taken)
        self._poll_ms = min(self._poll_ms, held)
        return item

    def copy(self, now: int) -> "bytes | None":
        """None in a turn: copies have turns of their own."""

    def rush(self, channel: Channel, now: int) -> "bytes | None":
        """A frame with an urgent command that has not gone yet, or once more as it is."""
        orders = self.orders
        body = orders.pull(now, 0, urgent=True)
        if body is None:
            return orders.copy(now)
        data = channel.seal(m.CLASS_CONTROL, body, now)
        orders.sealed(data, now)
        return data

    def poll(self, channel: Channel, credit: int, now: int) -> "tuple[int, bytes]":
        """The POLL that opens a window: short where it has nothing new to say."""
        self._offered = self._offers(now)
        self._long = self._poll_ms != _NEVER or self._offered
        if not self._long:
            return m.CLASS_CONTROL, cbor.encode([m.POLL, credit])
        self.credit = credit
        return self._polled(channel, now)

    def unanswered(self, now: int) -> None:
        """The last POLL may not have come through: what it said is to be said again."""
        if self._long:
            self._poll_ms = now
        if self._offered:
            self._offer_ms = now


class PolledGateway(GatewaySession):
    """The engine of a gateway for one node on a bus, without framing: `bus` moves whole frames."""

    __slots__ = ("_doubtful", "_polled", "_welcomes", "expected")

    def __init__(
        self,
        node_id: bytes,
        keys: "Keys",
        epoch: "int | None",
        kept: RangeSet,
        random: "Callable[[int], bytes]",
        address: int,
        schemas: "Schemas | None" = None,
    ):
        GatewaySession.__init__(
            self, node_id, keys, epoch, kept, random, DATAGRAM, address, schemas
        )
        self._handshake.named = True
        self._polled = PolledIntake(epoch, kept, random, schemas)
        self._polled.orders.copies = RUSHES - 1
        self._intake = self._polled
        self._welcomes = False  # was the last turn one of WELCOME?
        self._doubtful = False  # has it missed its turns?
        self.expected = 1  # frames in the window that the last turn opened

    @property
    def node_id(self) -> bytes:
        """Whose session this is."""
        return self._handshake.node_id

    @property
    def address(self) -> int:
        """Its place on the bus."""
        return self._handshake.address or 0

    @property
    def keying(self) -> bool:
        """Is a greeting of the node under way?"""
        return self._handshake.state != REST

    @property
    def welcomed(self) -> bool:
        """Does a greeting wait for its INFO?"""
        return self._handshake.state == CONFIRMING

    @property
    def ended(self) -> bool:
        """Was the last frame an IDLE?"""
        return self._polled.idle

    def welcome(self) -> "bytes | None":
        """The WELCOME that has not gone yet, once; it opens no window."""
        return self._handshake.outgoing()

    def pressing(self, now: int) -> bool:
        """Is there a command that should not wait for the node's turn?"""
        return self.channel is not None and self._polled.orders.pressing(now)

    @property
    def knows_call(self) -> bool:
        """Does its node answer a CALL, or take it for nothing?"""
        info = self.info
        return self.channel is None or (info is not None and info.messages_version >= 2)

    def urgent_ms(self) -> int:
        """When `rush` has something."""
        return _NEVER if self.channel is None else self._polled.orders.urgent_ms()

    def rush(self, now: int) -> "list[bytes]":
        """Its urgent commands, which go ahead of its turn, each so often."""
        out: list[bytes] = []
        while self.channel is not None:
            frame = self._polled.rush(self.channel, now)
            if frame is None:
                break
            out.append(frame)
        return out

    def take(self, data: bytes, now: int) -> int:
        """A frame of the node: NOTHING, FRAME or LAST."""
        self._polled.idle = False
        if not self.receive(data, now):
            return NOTHING
        self._doubtful = False
        return LAST if self._polled.idle else FRAME

    def doubt(self) -> None:
        """It missed its turns: it may have lost its session, so it is asked for one every other."""
        self._doubtful = True

    def turn(self, credit: int, now: int) -> "list[bytes]":
        """The frames of the node's turn, the last of which opens its window; [] for no turn."""
        self._watch(now)
        self._ask_at_ms = None  # here it goes in a turn, or not at all
        self.expected = 1
        welcome = self._handshake.pending_welcome()
        if welcome is not None and not (self._welcomes and (self.channel or self._doubtful)):
            self._welcomes = True
            return [welcome]  # its node may not know of it: it is not all that is ever said
        self._welcomes = False
        if self.channel is None or self._doubtful:
            self._doubtful = False
            return [] if self._handshake.state == KEEPING else [self._ask()]
        out: list[bytes] = []
        while len(out) < UNACKED_FRAMES:
            data = self._next_frame(now)
            if data is None:
                break
            out.append(data)
        self.expected = credit
        return out + [self.poll(self.channel, credit, now)]

    def _ask(self) -> bytes:
        """HELLO? for this node by name, which opens a window for its HELLO."""
        head = frame.plain_header(frame.DOWN, self.address)
        return head + cbor.encode([m.HELLO_REQUEST, 0, self.node_id])

    def poll(self, channel: Channel, credit: int, now: int) -> bytes:
        """A POLL for so many frames, 0: for none."""
        item = self._polled.poll(channel, credit, now)
        return channel.seal(item[0], item[1], now)

    def unanswered(self, now: int) -> None:
        """Nothing came in the last window."""
        self._polled.unanswered(now)
