"""Takes a release from the gateway: its signed manifest, then what this node lacks of it.

What comes is in `/u`, whole blocks only, flushed at least every 4 KiB: a lost line costs no block,
a power cut at most so much. Loaded when something is offered, and gone again when it is done.
"""

import asyncio
import os
from hashlib import sha256

import slots
from kerbnode import loaded
from kerbnode.standing import WAITED
from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from kerbnode.app import Node
    from kerbnode.image import Coming as ComingImage

    Event = tuple[object, ...]

FLUSH_BYTES = 4096
PIECE = 256
ENOSPC = 28
SPARE_BLOCKS = 16  # for the journal, and for what littlefs writes anew before it lets go
SIGNED_BYTES = 8192 + 2048  # of a signed manifest, at most
KINDS = (m.OBJECT_UPDATE, m.OBJECT_PARTS, m.OBJECT_IMAGE)


class Coming:
    """One object that is offered, and its file."""

    def __init__(self, kind: int, digest: bytes, size: int, block: int):
        self.kind = kind
        self.size = size
        self.block = block
        self._name = "%d-%s-%d" % (kind, "".join(["%02x" % code for code in digest]), block)
        self.path = folder() + "/" + self._name
        self._file: BinaryIO | None = None
        self._written = 0  # since the last flush

    def held(self) -> "tuple[int, object]":
        """How many blocks are here, and a SHA-256 of them; others of its kind go."""
        begun = "%d-" % self.kind
        for name in _names():
            if name != self._name and (name.startswith(begun) or name.startswith(WAITED)):
                os.remove(folder() + "/" + name)
        digest = sha256()
        count = 0
        try:
            count = int(os.stat(self.path)[6])
        except OSError:
            pass
        if count != self.size and count % self.block:
            os.remove(self.path)  # what a full flash has left of a block
            count = 0
        if count:
            piece = bytearray(PIECE)
            with open(self.path, "rb") as file:
                while True:
                    got = file.readinto(piece)
                    if not got:
                        break
                    digest.update(memoryview(piece)[:got])
        self._file = open(self.path, "ab")
        return -(-count // self.block), digest

    def put(self, data: bytes) -> None:
        """The next block; OSError."""
        assert self._file is not None
        self._file.write(data)
        self._written += len(data)
        if self._written >= FLUSH_BYTES - self.block:
            self._written = 0
            self._file.flush()

    def damaged(self) -> bool:
        """It did not end well: was all of it here? Then it is of no use; OSError."""
        if int(os.stat(self.path)[6]) != self.size:
            return False
        self.remove()
        return True

    def close(self) -> None:
        """All of it to flash; OSError."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def remove(self) -> None:
        """It is used, or of no use."""
        try:
            self.close()
            os.remove(self.path)
        except OSError:
            pass


def folder() -> str:
    """Where what is under way lies."""
    return slots.home + "u"


def _names() -> "list[str]":
    try:
        return os.listdir(folder())
    except OSError:
        os.mkdir(folder())
        return []


class Update:
    """The objects under way of one node, by handle."""

    def __init__(self, node: "Node"):
        self._node = node
        self._coming: dict[int, Coming | ComingImage] = {}

    def take(self, event: "Event") -> None:
        """An event of the session's objects."""
        node = self._node
        kind, handle = event[:2]
        assert isinstance(handle, int)
        try:
            if kind == "OFFER":
                for following in self._offered(event):
                    self.take(following)
            elif kind == "BLOCK" and handle in self._coming:
                data = event[3]
                assert isinstance(data, bytes)
                self._coming[handle].put(data)
            elif kind == "OBJECT" and handle in self._coming:
                self._ended(self._coming.pop(handle), whole=bool(event[2]))
        except (MemoryError, OSError) as fault:
            self._failed(handle, fault)
        if not self._coming and node.update is self:
            node.update = None

    def close(self) -> None:
        """The node ends: what has come is durable."""
        for coming in self._coming.values():
            _close(coming)

    def _offered(self, event: "Event") -> "list[Event]":
        _, handle, kind, digest, size, block = event
        assert isinstance(handle, int) and isinstance(kind, int) and isinstance(digest, bytes)
        assert isinstance(size, int) and isinstance(block, int)
        objects = self._node.session.objects
        if self._node.leaving:
            return []  # what it leaves for is there; all else is offered again then
        if kind not in KINDS or slots.trial or not slots.manifest:
            objects.refuse(handle)
            return []
        if kind == m.OBJECT_UPDATE and size > SIGNED_BYTES:
            objects.refuse(handle)
            self._tell(m.UPDATE_MALFORMED)
            return []
        for known in [known for known in self._coming if self._coming[known].kind == kind]:
            self._coming.pop(known).close()  # a gateway that began anew gives it another handle
        if kind == m.OBJECT_IMAGE:
            found = self._image(digest, size, block)
            if found is None:
                objects.refuse(handle)
                self._tell(m.UPDATE_PARTS)
                return []
            coming: Coming | ComingImage = found
        else:
            coming = Coming(kind, digest, size, block)
        self._coming[handle] = coming  # should it be unreadable, it goes
        held, hashed = coming.held()
        if kind == m.OBJECT_PARTS:
            from kerbnode import room

            room.check(size, held * block, SPARE_BLOCKS)
            loaded.forget("kerbnode", ("room",))
        return objects.accept(handle, held, hashed)  # type: ignore[arg-type]

    def _image(self, digest: bytes, size: int, block: int) -> "ComingImage | None":
        """An image, if it is the one of the manifest that is under way; OSError."""
        from kerbnode import room

        wanted = room.image()
        loaded.forget("kerbnode", ("room",))
        if wanted is None or wanted != (size, digest[: len(wanted[1])]):
            return None
        from kerbnode import image

        return image.Coming(self._node.board.nvs, wanted[1], size, block)

    def _ended(self, coming: "Coming | ComingImage", *, whole: bool) -> None:
        coming.close()
        if not whole:
            if coming.damaged():
                self._tell(m.UPDATE_DAMAGED)
            return
        node = self._node
        for handle in list(self._coming):  # another one beside it comes again
            node.session.objects.refuse(handle)
        self.close()
        self._coming.clear()
        from kerbnode import working

        node.update = working.of(node, coming.kind, getattr(coming, "path", "-"))

    def _failed(self, handle: int, fault: "MemoryError | OSError") -> None:
        self._node.session.objects.refuse(handle)
        coming = self._coming.pop(handle, None)
        outcome = m.UPDATE_MEMORY
        if isinstance(fault, OSError):
            outcome = m.UPDATE_FLASH
            if fault.errno == ENOSPC:
                outcome = m.UPDATE_NO_ROOM | sum(fault.args[1:]) << m.UPDATE_BITS
            if coming is not None:
                coming.remove()
        elif coming is not None:  # its blocks are good for another time
            _close(coming)
        self._tell(outcome)

    def _tell(self, outcome: int) -> None:
        self._node.tell(m.EV_UPDATE, outcome)


def _close(coming: "Coming | ComingImage") -> None:
    try:
        coming.close()
    except OSError:
        pass


def take(node: "Node", event: "Event") -> "asyncio.Task[None] | None":
    """An event of the session's objects; what follows from it goes on beside all else."""
    if node.update is None:
        node.update = Update(node)
    update = node.update
    update.take(event)
    if node.update is update:
        return None
    from kerbnode import working

    if node.update is None:
        working.gone()
        return None
    loaded.forget("kerbnode", ("update",))
    return asyncio.create_task(working.run(node, node.update))  # type: ignore[arg-type]
