"""Chips on a UART that speak only when they are asked. Nothing here waits for an answer."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kerbnode.hal.board import Serial

    Reading = tuple[int, int, int]  # 0.1 W, 0.1 V, mA

WAITS = 10  # looks until an answer is given up: 200 ms at the quickest tick of 20 ms
TRIES = 3


class Asked:
    """Asks in one tick and looks for the answer in later ones; `fault` says what was wrong.

    `decode` takes an answer of the right length and gives the reading, or the fault's word.
    """

    def __init__(
        self,
        serial: "Serial",
        request: bytes,
        length: int,
        decode: "Callable[[bytes], Reading | str]",
    ):
        self.fault = ""  # "silent", "short", "noise", "checksum", "address", "range"
        self._serial = serial
        self._request = request
        self._length = length
        self._decode = decode
        self._answer = b""
        self._waited = -1  # not yet asked
        self._failed = 0
        self._reading: Reading | None = None

    def sample(self) -> "Reading | None":
        """The newest reading: None before the first, and when three answers in a row failed."""
        answer = self._answer + (self._serial.read() or b"")
        if 0 <= self._waited < WAITS and len(answer) < self._length:
            self._waited += 1
            self._answer = answer
            return self._reading
        if self._waited >= 0:
            self._judge(answer)
        self._answer = b""
        self._waited = 0
        self._serial.write(self._request)
        return self._reading

    def _judge(self, answer: bytes) -> None:
        found: Reading | str = "silent"
        if len(answer) == self._length:
            found = self._decode(answer)
        elif answer:
            found = "noise" if len(answer) > self._length else "short"
        if not isinstance(found, str):
            self._failed = 0
            self.fault = ""
            self._reading = found
            return
        self._failed += 1
        if self._failed >= TRIES:
            self.fault = found
            self._reading = None
