"""The file system of one build: its manifest (kerbwire/manifest.py) names objects of littlefs.

An object is `/o/` and its hash. Laid by cable alone, and never updated; choice.py mounts it.
"""

from binascii import hexlify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    Stat = tuple[int, int, int, int, int, int, int, int, int, int]

ENOENT = 2
EACCES = 13
SLASH = 0x2F
ENTRY = 19  # bytes behind a name
NONE = 255

home = "/"  # where objects and slots lie
manifest = b""  # of the build that runs
slot = NONE  # which it is, of two
trial = False  # it has not confirmed itself
unconfirmed = 4  # ... and that is told (kerbwire.messages.UPDATE_NAMES): it has heard no gateway


class SlotFS:
    """The files of a manifest, to be mounted; what `open` gives is littlefs's own."""

    def __init__(self, manifest: bytes):
        self.manifest = manifest

    def mount(self, readonly: bool, mkfs: bool) -> None:  # noqa: FBT001 - called by position
        """Nothing is made."""

    def umount(self) -> None:
        """Nothing is held."""

    def stat(self, path: str) -> "Stat":
        """A folder's is there where some name begins with it."""
        at = _behind(self.manifest, path)
        size = int.from_bytes(self.manifest[at : at + 3], "big") if at else 0
        return 0x8000 if at else 0x4000, 0, 0, 0, 0, 0, size, 0, 0, 0

    def open(self, path: str, mode: str) -> "BinaryIO":
        """The object of that name, to be read."""
        at = _behind(self.manifest, path)
        if not at or "r" not in mode or "+" in mode:
            raise OSError(EACCES)
        return open(place(self.manifest, at), mode)  # type: ignore[return-value]


def place(manifest: "bytes | bytearray", at: int) -> str:
    """The object of an entry, of which `at` is behind the name."""
    return home + "o/" + hexlify(bytes(manifest[at + 3 : at + ENTRY])).decode()


def first(manifest: "bytes | bytearray") -> int:
    """Where the first entry begins; IndexError where that is no manifest."""
    at = 20 + manifest[19]  # behind the board's name
    at += 1 + manifest[at]  # behind a next root
    return at + 3 + ENTRY * manifest[at]  # behind an image and the entries' count


def _behind(manifest: bytes, path: str) -> int:
    """What is behind that name, 0 for a folder; OSError where there is neither.

    Nothing is made on the way: an import asks four times, and a heap in holes stays so.
    """
    name = path.strip("/").encode()
    size = len(name)
    at = first(manifest)
    while at < len(manifest):
        end = at + 1 + manifest[at]
        if manifest.startswith(name, at + 1):
            if end == at + 1 + size:
                return end
            if not size or manifest[at + 1 + size] == SLASH:
                return 0
        at = end + ENTRY
    raise OSError(ENOENT)
