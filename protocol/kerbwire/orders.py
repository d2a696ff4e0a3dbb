"""What a gateway tells a node again and again until it is answered: commands, and one CONFIG."""

from kerbwire import cbor, report
from kerbwire import messages as m
from kerbwire.errors import LocalError, RemoteError
from kerbwire.limits import (
    COMMAND_ARGS,
    CONFIG_KEYS,
    COPY_MS,
    DEFERRED_COMMANDS,
    TRIES,
    UNACKED_FRAMES,
)
from kerbwire.retry import Backoff, RoundTrip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Event = tuple[object, ...]

_NEVER = 1 << 62


class _Order:
    """One of them under way; the "command id" of a CONFIG is its version.

    `copies` are left of an urgent one, of `frame`, which has gone; the next is due at `copy_ms`.
    """

    __slots__ = (
        "backoff",
        "body",
        "command_id",
        "copies",
        "copy_ms",
        "due_ms",
        "expires_utc_s",
        "frame",
        "sent_ms",
        "tries",
    )

    def __init__(self, command_id: int, expires_utc_s: int, body: bytes, backoff: Backoff):
        self.command_id = command_id
        self.expires_utc_s = expires_utc_s
        self.body = body
        self.backoff = backoff
        self.tries = 0
        self.sent_ms = 0
        self.due_ms = 0
        self.copies = 0
        self.copy_ms = 0
        self.frame = b""


class Orders:
    """Those of one node, over all of its sessions; of an urgent one so many `copies` go."""

    __slots__ = ("_commands", "_config", "_pulled", "_random", "_round_trip", "copies")

    def __init__(self, random: "Callable[[int], bytes]"):
        self._random = random
        self._commands: list[_Order] = []
        self._config: _Order | None = None
        self._round_trip = RoundTrip()
        self._pulled: _Order | None = None  # to be sealed now
        self.copies = 0

    def begin(self, config_version: int, now: int) -> None:
        """A new session, whose INFO states this version: what is not answered goes again."""
        if self._config and self._config.command_id == config_version:
            self._config = None  # its answer was lost
        for order in self._under_way():
            order.due_ms = now
            order.tries = 0
            order.frame = b""

    def send_command(
        self,
        command_id: int,
        expires_utc_s: int,
        op: int,
        args: "tuple[int, ...]",
        *,
        urgent: bool = False,
    ) -> None:
        """Take a command; LocalError("window") when too many are under way."""
        if len(self._commands) == DEFERRED_COMMANDS:
            raise LocalError("window")
        if len(args) > COMMAND_ARGS or not 0 < command_id < 1 << 40 or min(expires_utc_s, op) < 0:
            raise LocalError("arguments")
        body = cbor.encode([m.COMMAND, command_id, expires_utc_s, op] + list(args))
        order = _Order(command_id, expires_utc_s, body, Backoff(self._random))
        order.copies = self.copies if urgent else 0
        self._commands.append(order)

    def send_config(self, version: int, values: "dict[int, int | bytes]") -> None:
        """Take a CONFIG in place of an earlier one; LocalError("arguments") where it is none."""
        if not 0 < version < 1 << 32 or len(values) > CONFIG_KEYS:
            raise LocalError("arguments")
        items: list[int | bytes] = [m.CONFIG, version]
        for key in sorted(values):
            items += [key, values[key]]
        self._config = _Order(version, 0, cbor.encode(items), Backoff(self._random))

    def result(self, items: "list[int | bytes]", now: int) -> "list[Event]":
        """The events of a RESULT; RemoteError("value") where it is none."""
        _, command_id, code, value = report.integers(items[:4], 4)
        if not 0 <= command_id < 1 << 40 or not 0 <= code < 256:
            raise RemoteError("value")
        if command_id == 0:
            return self._message_result(code, value, items[4:5])
        for order in self._commands:
            if order.command_id == command_id and code == m.NO_TIME and order.copies:
                order.tries = 0  # again, behind an offer
                order.frame = b""
                order.due_ms = now + COPY_MS
                return []
            if order.command_id == command_id:
                if order.tries == 1 and order.copies in (0, self.copies):  # Karn, of copies too
                    self._round_trip.sample(now - order.sent_ms)
                self._commands.remove(order)
                return [("RESULT", command_id, code, value)]
        return []

    def _message_result(self, code: int, type_: int, version: "list[int | bytes]") -> "list[Event]":
        """What became of a message that is no command; of a CONFIG its version stands behind."""
        if self._config and type_ == m.CONFIG and self._config.command_id in version:
            done = self._config.command_id
            self._config = None
            return [("CONFIGURED", done, code)]
        if code != m.UNSUPPORTED:
            return []
        if type_ == m.CONFIG and not version:
            self._config = None  # never to be answered
        return [("UNSUPPORTED", type_)]

    def expired(self, utc_s: int) -> "list[Event]":
        """An EXPIRED event for each command whose time is over."""
        late = [order for order in self._commands if order.expires_utc_s < utc_s]
        for order in late:
            self._commands.remove(order)
        return [("EXPIRED", order.command_id) for order in late]

    def expiry(self) -> "int | None":
        """When the next command expires, UTC in seconds."""
        if not self._commands:
            return None
        return min([order.expires_utc_s for order in self._commands]) + 1

    @property
    def room(self) -> int:
        """Places on the line that none of them takes; one that backs off takes none."""
        return UNACKED_FRAMES - len([o for o in self._under_way() if 0 < o.tries < TRIES])

    def pull(self, now: int, taken: int, *, urgent: bool = False) -> "bytes | None":
        """The next body to send, or None; `taken` places on the line are a block's.

        `urgent`: of those that are, and have not gone yet.
        """
        for order in self._under_way()[: UNACKED_FRAMES - taken]:
            if now >= order.due_ms and not (urgent and (order.tries or not order.copies)):
                self._pulled = order
                order.tries += 1
                order.sent_ms = now
                fresh = order.tries < TRIES
                order.due_ms = now + (
                    self._round_trip.timeout_ms if fresh else order.backoff.next_ms()
                )
                return order.body
        return None

    def sealed(self, frame: bytes, now: int) -> None:
        """What `pull` gave last went in this frame: if it is urgent, copies follow."""
        if self._pulled is not None and self._pulled.copies:
            self._pulled.frame = frame
            self._pulled.copy_ms = now + COPY_MS
        self._pulled = None

    def copy(self, now: int) -> "bytes | None":
        """A frame that goes once more as it is: a receiver that has it drops it unread."""
        for order in self._commands:
            if order.frame and order.copies and now >= order.copy_ms:
                order.copies -= 1
                order.copy_ms = now + COPY_MS
                return order.frame
        return None

    def urgent_ms(self) -> int:
        """When an urgent command or its copy is to go."""
        urgent = [order for order in self._commands[:UNACKED_FRAMES] if order.copies]
        times = [order.copy_ms if order.frame else order.due_ms for order in urgent]
        return min(times) if times else _NEVER

    def deadline(self, taken: int) -> int:
        """When `pull` or `copy` has something next by itself."""
        due = [order.due_ms for order in self._under_way()[: UNACKED_FRAMES - taken]]
        due += [order.copy_ms for order in self._commands if order.frame and order.copies]
        return min(due) if due else _NEVER

    def pressing(self, now: int) -> bool:
        """Is a command due? A CONFIG may wait."""
        return any([now >= order.due_ms for order in self._commands[:UNACKED_FRAMES]])

    def _under_way(self) -> "list[_Order]":
        """What is sent until it is answered, the CONFIG first."""
        return [self._config] + self._commands if self._config else self._commands
