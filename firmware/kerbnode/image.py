"""The MicroPython image that a release may bring: into the board's other app partition.

Nothing is started here: choice.py starts a slot and its image together, and goes back with both.
What it needs for that stands in the blob `image`: of each slot the partition that it runs with
(choice.IMAGE_BODY); behind that the partition that was written last, how many bytes of it are
durable, and their image's digest. Loaded for an image, and gone again.
"""

from hashlib import sha256
from struct import pack, unpack

import slots
from kerbnode import nvs
from kerbwire import messages as m
from kerbwire.limits import OBJECT_HASH_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from kerbnode.hal.board import Nvs
    from kerbnode.hal.esp32_image import Place
    from kerbwire.objects import Digest

FORM = ">BBBI16s"
LENGTH = 23  # choice.IMAGE_BODY
NONE = 255
FLUSH_BYTES = 4096
PIECE = 1024


class Kept:
    """The blob `image`; `slots` by slot."""

    def __init__(self, store: "Nvs"):
        """OSError where NVS does not answer; before the first image both slots run with this."""
        self._nvs = store
        body = nvs.get_checked(store, "image")
        self.slots = bytearray(2)
        if body is not None and len(body) == LENGTH:
            self.slots[0], self.slots[1], self.place, self.written, self.digest = unpack(FORM, body)
        else:
            self.slots[0] = self.slots[1] = _chip().running().subtype
            self.place, self.written, self.digest = NONE, 0, b""

    def keep(self) -> None:
        """Make it durable; OSError."""
        first, second = self.slots
        body = pack(FORM, first, second, self.place, self.written, self.digest)
        nvs.set_checked(self._nvs, "image", body)

    def has(self, place: int, written: int, digest: bytes) -> None:
        """So much of that image is in that partition; OSError."""
        if (self.place, self.written, self.digest) != (place, written, digest):
            self.place, self.written, self.digest = place, written, digest
            self.keep()

    def bind(self, place: int) -> None:
        """The slot that does not run is to run with that partition, NONE: may not run; OSError."""
        other = slots.slot ^ 1
        if self.slots[other] != place:
            self.slots[other] = place
            self.keep()


class Coming:
    """An image that is offered, and the partition that it goes to."""

    def __init__(self, store: "Nvs", digest: bytes, size: int, block: int):
        """OSError where the board has no place for it."""
        self.kind = m.OBJECT_IMAGE
        self.path = "-"  # it is no file
        self.size = size
        self.block = block
        self._kept = Kept(store)
        self._place: Place = _chip().following()
        self.digest = digest
        self._at = 0

    def held(self) -> "tuple[int, object]":
        """How many blocks are here, and a SHA-256 of them; another image is given up."""
        kept = self._kept
        if kept.place != self._place.subtype or kept.digest != self.digest:
            kept.place, kept.written, kept.digest = self._place.subtype, 0, self.digest
            if kept.slots[slots.slot ^ 1] == kept.place:
                kept.slots[slots.slot ^ 1] = NONE  # the build before loses its image
            kept.keep()
        self._at = kept.written
        if self._at != self.size:
            self._at -= self._at % self.block
        digest = sha256()
        for _ in _pieces(self._place, self._at, digest):
            pass
        return -(-self._at // self.block), digest

    def put(self, data: bytes) -> None:
        """The next block; OSError."""
        self._place.write(self._at, data)
        self._at += len(data)
        if self._at - self._kept.written >= FLUSH_BYTES - self.block:
            self.close()

    def close(self) -> None:
        """What has come is durable; OSError."""
        if self._kept.written != self._at:
            self._kept.written = self._at
            self._kept.keep()

    def damaged(self) -> bool:
        """It did not end well: was all of it here? Then it is of no use."""
        if self._at != self.size:
            return False
        self.remove()
        return True

    def remove(self) -> None:
        """It is of no use."""
        self._at = 0
        try:
            self.close()
        except OSError:
            pass


def located(store: "Nvs", wanted: "tuple[int, bytes] | None") -> "Generator[None, None, int]":
    """Read which partition holds that image (size, digest) whole, step by step: its subtype.

    NONE: none does. Without one wanted it is the one that runs. OSError.
    """
    chip = _chip()
    running = chip.running()
    if wanted is None:
        return int(running.subtype)
    size, digest = wanted
    places = [running]
    try:
        places.append(chip.following())  # what a cable laid there counts too
    except OSError:
        pass
    for place in places:
        if size > place.size:
            continue
        hashed = sha256()
        yield from _pieces(place, size, hashed)
        if hashed.digest()[:OBJECT_HASH_BYTES] == digest:
            if place is not running:
                Kept(store).has(place.subtype, size, digest)  # another one gives it up first
            return int(place.subtype)
    kept = Kept(store)
    if kept.written == size and kept.digest == digest:
        kept.has(kept.place, 0, digest)  # it did not stay in flash as it came
    return NONE


def refused(store: "Nvs", wanted: "tuple[int, bytes]") -> "Generator[None, None, int]":
    """Why this board can't have that image (messages.UPDATE_NAMES), NONE where it can; OSError."""
    try:
        chip = _chip()
    except ImportError:  # no chip at all
        return m.UPDATE_NO_OTA
    try:
        return NONE if wanted[0] <= chip.following().size else m.UPDATE_NO_ROOM
    except OSError:
        runs = yield from located(store, wanted)
        return m.UPDATE_NO_OTA if runs == NONE else NONE


def settle() -> None:
    """The build is confirmed, and its image with it; what fails here choice.py does at a boot."""
    try:
        _chip().settle()
    except OSError:
        pass


def _pieces(place: "Place", size: int, hashed: "Digest") -> "Generator[None, None, None]":
    """Feed the first `size` bytes of a partition to a hash."""
    piece = memoryview(bytearray(PIECE))
    for at in range(0, size, PIECE):
        part = piece[: min(PIECE, size - at)]
        place.read(at, part)
        hashed.update(part)  # type: ignore[arg-type]
        yield


def _chip() -> "Any":  # noqa: ANN401 - a module
    """What the chip has; ImportError where this is none."""
    from kerbnode.hal import esp32_image

    return esp32_image
