"""What NVS says of the slots, and what a boot tells of it; loaded for that, and gone again."""

import os
from hashlib import sha256
from struct import pack, unpack

import slots
from kerbnode import nvs
from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.app import Node
    from kerbnode.hal.board import Nvs

FORM = ">BBBBIB"  # choice.FORM
NONE = 255
OFFER_MS = 5000  # in which the gateway goes on with an update that is under way ...
WAKES = 100  # ... so many times, or a campaign that is no more would empty a cell
WAITED = "w"
LENGTH = 9
SEQUENCE_AT = 4  # in a manifest
EXPIRES_AT = 8
BOARD_AT = 19
BUILD_BYTES = 8
EPOCH_S = 946_684_800  # 2000-01-01


class State:
    """The blob `slots`; `told` is an outcome that nobody may have heard of yet."""

    def __init__(self, store: "Nvs"):
        """OSError where NVS does not answer; what it lost is taken from what is in the slots."""
        self._nvs = store
        body = nvs.get_checked(store, "slots")
        if body is None or len(body) != LENGTH:  # what was confirmed is one of the two, or below
            body = pack(FORM, slots.slot, NONE, 0, 0, max(_laid("a"), _laid("b")), NONE)
        self.good, self.trial, self.tries, self.awake, self.highest, self.told = unpack(FORM, body)

    def keep(self) -> None:
        """Make it durable; OSError."""
        body = pack(FORM, self.good, self.trial, self.tries, self.awake, self.highest, self.told)
        nvs.set_checked(self._nvs, "slots", body)


def sequence(manifest: bytes) -> int:
    """Of a build; 0 where there is none."""
    return int.from_bytes(manifest[SEQUENCE_AT : SEQUENCE_AT + 4], "big")


def expired(node: "Node", manifest: bytes) -> bool:
    """May it not be started any more? A node that does not know the time takes it."""
    clock = node.clock
    expires_s = int.from_bytes(manifest[EXPIRES_AT : EXPIRES_AT + 4], "big")
    now = clock.utc_ms(node.board.monotonic_ms()) if expires_s and clock.trusted else None
    return now is not None and now // 1000 - EPOCH_S >= expires_s


def _laid(slot: str) -> int:
    """The sequence in that slot."""
    try:
        with open(slots.home + "slot_" + slot, "rb") as file:
            return sequence(file.read(SEQUENCE_AT + 4))
    except OSError:
        return 0


def begin(node: "Node") -> None:
    """A boot: the build's name for INFO, and what became of an update before it."""
    if not slots.manifest:
        return
    if node.rest is not None:
        try:
            node.rest.lingers_ms = OFFER_MS if _awaited(slots.home + "u/") else 0
        except OSError:
            pass  # none ever was
    node.session.info.build = sha256(slots.manifest).digest()[:BUILD_BYTES]
    try:
        state = State(node.board.nvs)
        if state.told != NONE and tell(node, state.told):
            state.told = NONE
            state.keep()
        if not slots.trial:
            follow(node.board.nvs, state)
    except OSError:
        pass  # unread or worn out: the build that runs goes on


def _awaited(folder: str) -> bool:
    """Is an update under way, in this wake and some before it? Else what came of it goes. OSError.

    A file's name counts the wakes since a gateway went on with it: its campaign may be no more.
    """
    names = os.listdir(folder)
    waited = [name for name in names if name.startswith(WAITED)]
    wakes = int(waited[0][len(WAITED) :]) if waited else 0
    if wakes >= WAKES:
        for name in names:
            os.remove(folder + name)
        return False
    if waited:
        os.rename(folder + waited[0], folder + WAITED + str(wakes + 1))
    elif names:
        with open(folder + WAITED + "1", "wb"):
            pass
    return bool(names)


def owe(store: "Nvs", outcome: int) -> None:
    """From here on this is to be told, at the next boot if it isn't before; OSError."""
    state = State(store)
    state.told = outcome
    state.keep()


def tell(node: "Node", outcome: int) -> bool:
    """Of an update; is it durable?"""
    node.tell(m.EV_UPDATE, outcome)
    return node.journal.flush()


def follow(store: "Nvs", state: State) -> None:
    """The newest confirmed build names the next root: a cut between two blobs is made up for."""
    if sequence(slots.manifest) != state.highest:
        return
    at = BOARD_AT + 1 + slots.manifest[BOARD_AT]
    root = slots.manifest[at + 1 : at + 1 + slots.manifest[at]]
    if root and nvs.get_checked(store, "root") != root:
        nvs.set_checked(store, "root", root)
