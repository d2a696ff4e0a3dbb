"""Files of one folder, each change durable when the call returns; names are flat."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


class Flash:
    """The journal's folder on littlefs, or on any file system with an atomic rename."""

    def __init__(self, path: str):
        self._path = path
        self._folder = path + "/"

    def names(self) -> "list[str]":
        """The files there, sorted; the folder is made when missing."""
        try:
            return sorted(os.listdir(self._path))
        except OSError:
            os.mkdir(self._path)
            return []

    def size(self, name: str) -> int:
        """The length of a file in bytes."""
        return int(os.stat(self._at(name))[6])

    def read(self, name: str, offset: int, buffer: "bytearray | memoryview") -> int:
        """Fill `buffer` from `offset`; how many bytes there were."""
        with open(self._at(name), "rb") as file:
            file.seek(offset)
            return file.readinto(buffer) or 0

    def append(self, name: str, data: "bytes | bytearray") -> None:
        """Add to the end; a power cut leaves any part of `data`, or garbage of its length."""
        with open(self._at(name), "ab") as file:
            file.write(data)
            _sync(file)

    def create(self, name: str, data: "bytes | bytearray") -> None:
        """A new or replaced file: whole, or not at all."""
        with open(self._at("new"), "wb") as file:
            file.write(data)
            _sync(file)
        os.rename(self._at("new"), self._at(name))

    def remove(self, name: str) -> None:
        """Delete a file."""
        os.remove(self._at(name))

    def _at(self, name: str) -> str:
        return self._folder + name


def _sync(file: "BinaryIO") -> None:
    file.flush()  # MicroPython's flush reaches the medium
    if hasattr(os, "fsync"):
        os.fsync(file.fileno())
