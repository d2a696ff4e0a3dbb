"""Which build is to run: a build confirms itself here, and orders of the gateway change slots.

`choice`, which only a cable lays, counts a trial's boots and its time. Loaded at a first ack, for
an order and for an update, and gone again.
"""

import asyncio
import os
from binascii import unhexlify

import slots
from kerbnode import loaded, nvs
from kerbnode.standing import State, expired, follow, sequence, tell
from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerbnode.app import Node

NONE = 255
MODULES = ("standing", "trial", "image")


def confirm(node: "Node") -> "Iterator[None]":
    """The gateway has acked and the lamp or meter was looked at: this build stays. OSError.

    What is left to do: old objects go.
    """
    state = State(node.board.nvs)
    state.good = slots.slot
    state.trial = NONE
    state.highest = max(state.highest, sequence(slots.manifest))
    state.tries = state.awake = 0
    state.told = m.UPDATE_CONFIRMED
    state.keep()
    slots.trial = False
    if node.board.nvs.get("image") is not None:
        from kerbnode import image

        image.settle()
    follow(node.board.nvs, state)
    if tell(node, m.UPDATE_CONFIRMED):
        state.told = NONE
        state.keep()
    under_way = slots.home + "u"
    for name in os.listdir(under_way) if _is_there(under_way) else []:
        os.remove(under_way + "/" + name)  # offered once more before the gateway had heard of it
    return swept()


async def confirmed(node: "Node") -> None:
    """Confirm, and sweep one step at a time; then this code goes.

    What fails is tried again, by the next ack or by the next update; choice.py tells it at last.
    """
    try:
        for _ in confirm(node) if slots.trial else ():
            await asyncio.sleep(0)
    except MemoryError:
        slots.unconfirmed = m.UPDATE_MEMORY
    except OSError:
        slots.unconfirmed = m.UPDATE_FLASH
    finally:
        loaded.forget("kerbnode", MODULES)
        loaded.forget("kerbwire", ("manifest",))


def activate(node: "Node") -> bool:
    """The staged build is on trial from the next boot on; False where there is none.

    One that has expired meanwhile is told.
    """
    other = slots.slot ^ 1
    state = State(node.board.nvs)
    staged = read(other)
    if slots.trial or sequence(staged) <= state.highest or lacking(staged):
        return False
    if _unfit(node, other):
        return False
    if expired(node, staged):
        node.tell(m.EV_UPDATE, m.UPDATE_EXPIRED)
        return False
    state.good = slots.slot
    state.trial = other
    state.tries = state.awake = 0
    state.keep()
    return True


def go_back(node: "Node") -> bool:
    """The other slot is the good one, if it has been; an unconfirmed build leaves its trial."""
    state = State(node.board.nvs)
    if not slots.trial:
        other = slots.slot ^ 1
        before = read(other)
        if not before or sequence(before) > state.highest or lacking(before):
            return False
        if _unfit(node, other):
            return False
        state.good = other
    state.trial = NONE
    state.tries = state.awake = 0
    state.told = m.UPDATE_ORDERED_BACK
    state.keep()
    return True


def _unfit(node: "Node", slot: int) -> bool:
    """Is the image gone that this slot runs with, or not whole yet?"""
    body = nvs.get_checked(node.board.nvs, "image")
    return body is not None and body[slot] == NONE


def read(slot: int) -> bytes:
    """A slot's manifest, b"" where there is none."""
    from kerbwire import manifest
    from kerbwire.errors import RemoteError

    try:
        with open(path(slot), "rb") as file:
            found: bytes = file.read()
        manifest.decode(found, entries=False)
    except (OSError, RemoteError):
        return b""
    return found


def path(slot: int) -> str:
    """Where a slot lies."""
    return slots.home + "slot_" + "ab"[slot]


def lacking(manifest: bytes) -> "list[tuple[int, bytes]]":
    """(size, digest) of each object that is not here; of no manifest itself."""
    from kerbwire import manifest as manifests

    if not manifest:
        return [(0, b"")]
    found = manifests.objects(manifest)
    return [(size, digest) for size, digest in found if not here(size, digest)]


def here(size: int, digest: bytes) -> bool:
    """Is that object in flash?"""
    try:
        return int(os.stat(object_path(digest))[6]) == size
    except OSError:
        return False


def object_path(digest: bytes) -> str:
    """Where an object lies."""
    return slots.home + "o/" + "".join(["%02x" % code for code in digest])


def swept() -> "Iterator[None]":
    """Remove objects that no slot names, one at each step; a cut leaves the rest for the next."""
    other = path(slots.slot ^ 1)
    found = read(slots.slot ^ 1)
    if not found and _is_there(other):
        return  # it may be sound, and what it names its last copy
    folder = slots.home + "o"
    for name in os.listdir(folder) if _is_there(folder) else []:
        if not _named(name, slots.manifest) and not _named(name, found):
            try:
                os.remove(folder + "/" + name)
            except OSError:
                pass  # another has done it, or the next does
        yield


def _named(name: str, manifest: bytes) -> bool:
    """Has a manifest an object of that name? Nothing is made of it: there is no room for a list."""
    try:
        return unhexlify(name) in manifest
    except ValueError:
        return False


def _is_there(path: str) -> bool:
    try:
        os.stat(path)
    except OSError:
        return False
    return True
