"""A flash in RAM whose power can be cut, or whose space can end, at any of its writes."""

ENOSPC = 28
KEPT, HALF, GARBLED, NOTHING = range(4)  # what a cut leaves of the write it hits


class PowerCut(Exception):
    """The power went while something was written."""


class TornFlash:
    """The contract of kerbnode.flash.Flash, with faults: `cut_at` counts down over all writes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut_at: int | None = None
        self.tear = HALF
        self.full = False
        self.dead = False
        self.writes = 0

    def names(self) -> "list[str]":
        if self.dead:
            raise OSError(5, "no answer")
        return sorted(self.files)

    def size(self, name: str) -> int:
        return len(self.files[name])

    def read(self, name: str, offset: int, buffer: "bytearray | memoryview") -> int:
        data = self.files[name][offset : offset + len(buffer)]
        buffer[: len(data)] = data
        return len(data)

    def append(self, name: str, data: bytes) -> None:
        if self.full:
            self.files[name] += data[: len(data) // 2]
            raise OSError(ENOSPC, "no space")
        torn = self._torn(data)
        self.files[name] += data if torn is None else torn
        if torn is not None:
            raise PowerCut

    def create(self, name: str, data: bytes) -> None:
        if self.full:
            raise OSError(ENOSPC, "no space")
        torn = self._torn(data)
        if torn is None or self.tear == KEPT:
            self.files[name] = data
        else:
            self.files["new"] = torn
        if torn is not None:
            raise PowerCut

    def remove(self, name: str) -> None:
        torn = self._torn(b"")
        if torn is None or self.tear == KEPT:
            del self.files[name]
        if torn is not None:
            raise PowerCut

    def _torn(self, data: bytes) -> "bytes | None":
        """What a cut leaves of `data`, None while the power is on."""
        self.writes += 1
        if self.cut_at is None:
            return None
        self.cut_at -= 1
        if self.cut_at > 0:
            return None
        self.cut_at = None
        half = len(data) // 2
        if self.tear == KEPT:
            return data
        if self.tear == HALF:
            return data[:half]
        if self.tear == GARBLED:
            return data[:half] + bytes([255 - byte for byte in data[half:]])
        return b""
