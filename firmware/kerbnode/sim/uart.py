"""A chip's end of a serial line: it answers whole frames, byte by byte at the line's rate."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BITS = 10  # of a byte on the line: start, eight, stop


class Uart:
    """What all chips that answer have in common, and how they fail.

    Without a `clock` (milliseconds) all is there at once. A frame whose bytes come `gap_ms` apart
    is none. `silent`: no answer; `cut`: only so many bytes of each; `flip`: (byte, mask) of an
    answer that a disturbance turns round; `noise`: bytes that come by themselves.
    """

    gap_ms = 20

    def __init__(self, baud: int, clock: "Callable[[], int] | None" = None):
        self.silent = False
        self.cut: int | None = None
        self.flip: tuple[int, int] | None = None
        self.noise = b""
        self.asked = 0  # whole requests that were understood
        self._baud = baud
        self._clock = clock
        self._heard = b""
        self._heard_ms = 0
        self._due: list[tuple[int, int]] = []  # (when in ms, byte)

    def write(self, data: bytes) -> int:
        """What the other end says."""
        now = self._clock() if self._clock else 0
        if now - self._heard_ms > self.gap_ms:
            self._heard = b""
        self._heard += data
        self._heard_ms = now + len(data) * BITS * 1000 // self._baud
        while self._heard:
            used, answer = self.understand(self._heard)
            if not used:
                break
            self._heard = self._heard[used:]
            self._send(answer, self._heard_ms)
        return len(data)

    def read(self) -> "bytes | None":
        """What has arrived at the other end."""
        now = self._clock() if self._clock else None
        arrived = self.noise
        self.noise = b""
        while self._due and (now is None or self._due[0][0] <= now):
            arrived += bytes([self._due.pop(0)[1]])
        return arrived or None

    def understand(self, heard: bytes) -> "tuple[int, bytes]":
        """How many bytes made a frame or nonsense (0: not whole yet), and the answer."""
        return len(heard), b""

    def _send(self, answer: bytes, since_ms: int) -> None:
        if not answer or self.silent:
            return
        self.asked += 1
        sent = bytearray(answer)
        if self.flip and self.flip[0] < len(sent):
            sent[self.flip[0]] ^= self.flip[1]
        for number, byte in enumerate(sent[: self.cut]):
            self._due.append((since_ms + (number + 1) * BITS * 1000 // self._baud, byte))
