"""Finding nodes on a bus: framed slotted ALOHA whose window follows what the slots bring.

DISCOVER names a window, how many slots of it follow at once, and a slot's length. Who looks for a
gateway draws a slot of the window, and greets in it if it is one of those that follow.
"""

from kerbwire.errors import RemoteError
from kerbwire.limits import DISCOVER_SLOTS, DISCOVER_WINDOW, SLOT_LEAD_MS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SLOT_MS = 1000  # the longest that a node believes
_FIRST_GUESS = 16
_LEAST_WINDOW = 4
_HELLO_BYTES = 32  # about so much noise where two meet
_IN_COLLISION_100 = 239  # Schoute (1983): so many in 100 slots where nodes met


def own_slot_ms(
    items: "list[int | bytes]", now: int, random: "Callable[[int], bytes]"
) -> "int | None":
    """When the node may greet, DISCOVER having come now; None: not in this round."""
    numbers = [item for item in items[1:5] if isinstance(item, int)]
    if len(numbers) < 4:
        raise RemoteError("value")
    window, slots, slot_ms = numbers[1:]
    if not (0 < slots <= window <= DISCOVER_WINDOW and slots <= DISCOVER_SLOTS):
        raise RemoteError("value")
    if not 0 < slot_ms <= _SLOT_MS:
        raise RemoteError("value")
    slot = int.from_bytes(random(4), "big") % window
    return now + SLOT_LEAD_MS + slot * slot_ms if slot < slots else None


class Census:
    """The gateway's guess of how many nodes look for it."""

    __slots__ = ("guess",)

    def __init__(self) -> None:
        self.guess = _FIRST_GUESS

    def round(self) -> "tuple[int, int]":
        """(window, slots) of the next DISCOVER."""
        window = min(max(self.guess, _LEAST_WINDOW), DISCOVER_WINDOW)
        return window, min(window, DISCOVER_SLOTS)

    def count(self, window: int, slots: int, answers: int, noise: int) -> bool:
        """What a round brought: valid HELLOs and bytes that were none; False: nobody was there."""
        met = min(max(0, slots - answers), (noise + _HELLO_BYTES // 2) // _HELLO_BYTES)
        if answers + met == 0:
            self.guess //= 4
            return self.guess > 0
        if answers + met >= slots and 8 * answers < slots:  # full: there may be any number
            self.guess = min(4 * window, DISCOVER_WINDOW)
            return True
        here = answers + met * _IN_COLLISION_100 // 100
        left = max(0, here * window // slots - answers)
        self.guess = max(1, (max(0, self.guess - answers) + left + 1) // 2)
        return True

    def restart(self) -> None:
        """Begin anew with the first guess."""
        self.guess = _FIRST_GUESS
