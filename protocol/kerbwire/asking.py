"""Objects that are asked for by their hash, or withdrawn: a gateway's side alone."""

from kerbwire import cbor
from kerbwire import messages as m
from kerbwire.limits import OBJECT_HASH_BYTES, OBJECTS
from kerbwire.objects import Objects, Retried

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbwire.objects import Event

NONE = 0  # a kind that no end takes: offered in the place of an object that is withdrawn


class Asking(Objects):
    """The transfers of an end that asks."""

    __slots__ = ("_request", "_requested", "_withdrawn")

    def __init__(self, random: "Callable[[int], bytes]"):
        Objects.__init__(self, random)
        self._request: Retried | None = None
        self._requested = b""
        self._withdrawn: list[int] = []  # handles

    def offer(self, handle: int, kind: int, digest: bytes, size: int, block: int) -> None:
        """As `Objects.offer`; a withdrawal that was not answered yet makes room."""
        self._withdrawn = [known for known in self._withdrawn if known != handle]
        others = [known for known in self._outgoing if known.handle != handle]
        if len(others) == OBJECTS:
            for old in [known for known in others if known.handle in self._withdrawn][:1]:
                self._outgoing.remove(old)
        Objects.offer(self, handle, kind, digest, size, block)

    def withdraw(self, handle: int) -> None:
        """What is offered under this handle is offered no more, and the peer lets go of it."""
        if [known for known in self._outgoing if known.handle == handle]:
            self.offer(handle, NONE, bytes(OBJECT_HASH_BYTES), 1, 1)
            self._withdrawn.append(handle)

    def want(self, digest: bytes, due_ms: int = 0) -> None:
        """Ask for the object whose SHA-256 begins so, until it is offered; b"" for none more."""
        self._requested = digest
        self._request = None
        if digest:
            self._request = Retried(cbor.encode([m.WANT, digest]), self._random)
            self._request.due_ms = due_ms

    def begin(self) -> None:
        """A new session: the peer may know of nothing any more."""
        Objects.begin(self)
        if self._request:
            self._request.put(self._request.body)

    def pull(self, now: int, *, blocks: bool = True) -> "bytes | None":
        """The next body to seal: answers go first, then what is asked for."""
        body = Objects.pull(self, now, blocks=False)
        if body is None and self._request and self._request.due(now):
            self._request.sent(now, self.round_trip.timeout_ms)
            return self._request.body
        return body or Objects.pull(self, now, blocks=blocks)

    def deadline(self, *, blocks: bool = True) -> "int | None":
        """When `pull` has something next by itself."""
        due = Objects.deadline(self, blocks=blocks)
        if self._request is None:
            return due
        return self._request.due_ms if due is None else min(due, self._request.due_ms)

    def _offered(self, items: "list[int | bytes]") -> "list[Event]":
        events = Objects._offered(self, items)
        digest = items[2]
        if self._request and isinstance(digest, bytes) and digest.startswith(self._requested):
            self._request = None
        return events
