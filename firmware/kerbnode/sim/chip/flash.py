"""Its flash in files: the file system's partition, NVS, and what lies before the file system."""

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BLOCK = 4096
NOT_FOUND = -0x1102  # ESP_ERR_NVS_NOT_FOUND


class Flash:
    """A file as block device; the file system's partition."""

    def __init__(self, path: str):
        self._file = open(path, "r+b", 0)
        self._blocks = self._file.seek(0, 2) // BLOCK

    def readblocks(self, number: int, buffer: bytearray, offset: int = 0) -> None:
        self._file.seek(number * BLOCK + offset)
        self._file.readinto(buffer)

    def writeblocks(self, number: int, buffer: bytearray, offset: "int | None" = None) -> None:
        self._file.seek(number * BLOCK + (offset or 0))
        self._file.write(buffer)

    def ioctl(self, operation: int, argument: int) -> "int | None":
        if operation == 4:
            return self._blocks
        if operation == 5:
            return BLOCK
        if operation == 6:
            self._file.seek(argument * BLOCK)
            self._file.write(b"\xff" * BLOCK)
            return 0
        return None


class Apps(Flash):
    """A file as the flash from its first byte on; what is behind its end is erased."""

    def readblocks(self, number: int, buffer: "bytearray | memoryview", offset: int = 0) -> None:
        self._file.seek(number * BLOCK + offset)
        got = self._file.readinto(buffer)
        buffer[got:] = b"\xff" * (len(buffer) - got)

    def writeblocks(self, number: int, buffer: bytearray, offset: "int | None" = None) -> None:
        """Clears bits."""
        held = bytearray(len(buffer))
        self.readblocks(number, held, offset or 0)
        if held.count(b"\xff") != len(held):
            buffer = bytearray([one & other for one, other in zip(held, buffer)])
        super().writeblocks(number, buffer, offset)


class Nvs:
    """esp32.NVS: blobs of a namespace, kept in one file for all; a null there can't be read."""

    file: "Any" = None  # opened before the flash is mounted over the host's files
    kept: "dict[str, dict[str, str | None]]" = {}  # what all see that opened it

    def __init__(self, namespace: str):
        if not Nvs.kept:
            Nvs.file.seek(0)
            text = Nvs.file.read()
            Nvs.kept = json.loads(text) if text.strip() else {}
        self._own = Nvs.kept.setdefault(namespace, {})

    def set_blob(self, name: str, blob: bytes) -> None:
        if not 0 < len(name) < 16:
            raise OSError(-0x1109, "ESP_ERR_NVS_KEY_TOO_LONG")
        self._own[name] = bytes(blob).hex()
        # The chip writes at once as well; commit() promises it.
        Nvs.file.seek(0)
        Nvs.file.write(json.dumps(Nvs.kept) + " " * 2000)
        Nvs.file.flush()

    def get_blob(self, name: str, buffer: bytearray) -> int:
        if name not in self._own:
            raise OSError(NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        text = self._own[name]
        if text is None:
            raise OSError(-0x110B, "ESP_ERR_NVS_INVALID_STATE")
        blob = bytes.fromhex(text)
        if len(blob) > len(buffer):
            raise OSError(-0x110C, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(blob)] = blob
        return len(blob)

    def erase_key(self, name: str) -> None:
        if name not in self._own:
            raise OSError(NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        del self._own[name]
        self.set_blob("_", b"")
        del self._own["_"]

    def commit(self) -> None:
        pass
