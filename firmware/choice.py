"""Which build runs: of two slots, `/slot_a` and `/slot_b`, the good one or the one on trial.

Laid by cable alone, and never updated: whatever runs in a slot, a build on trial has three boots
and 120 s awake, then the good slot is taken again. Where another MicroPython image runs than the
one that a slot was made for, the chip restarts with that: NVS decides, the bootloader follows.
"""

import os
import sys
from binascii import crc32
from hashlib import sha256
from struct import pack, unpack

import slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The blob `slots`: good slot, slot on trial, its boots, its time awake in steps, highest confirmed
# sequence, what is to be told (kerbwire.messages.UPDATE_NAMES); a CRC.
FORM = ">BBBBIB"
BODY = 9
# The blob `image`: of each slot the partition (its subtype) whose image it runs with, NONE where
# that is not known; what follows is kerbnode/image.py's. Without it no image was ever brought.
IMAGE_BODY = 23
NONE = 255
TRIES = 3
STEP_MS = 15_000
STEPS = 8
WATCHDOG_MS = 30_000
BOOTS_FAILED = 3
DAMAGED = 19
PIECE = 256
DEEP_SLEEP = 4  # machine.reset_cause()
PERIODIC = 1  # machine.Timer's
TIMER = 1  # the node's own is 0


def _sound(number: int, *, whole: bool, read: bool = False) -> bytes:
    """That slot's manifest, b"" where it is none; `whole`: and where an object is not there.

    `read`: and where one is not what its name says.
    """
    path = slots.home + "slot_" + "ab"[number]
    try:
        found = bytearray(os.stat(path)[6])
        with open(path, "rb") as file:
            file.readinto(found)
        at = slots.first(found)
        for _ in range(found[at - 2] << 8 | found[at - 1]):
            at += 1 + found[at]
            size = int.from_bytes(found[at : at + 3], "big")
            place = slots.place(found, at)
            if whole and os.stat(place)[6] != size:
                return b""
            if read and _hashed(place) != found[at + 3 : at + slots.ENTRY]:
                return b""
            at += slots.ENTRY
        if at != len(found) or found[:4] != b"KBM1":
            return b""
    except (OSError, IndexError, ValueError):
        return b""
    return bytes(found)


def _hashed(path: str) -> bytes:
    """What a file is named by; OSError."""
    digest = sha256()
    piece = bytearray(PIECE)
    with open(path, "rb") as file:
        while True:
            got = file.readinto(piece)
            if not got:
                return bytes(digest.digest()[: slots.ENTRY - 3])
            digest.update(memoryview(piece)[:got])


def _blob(nvs: "Any", name: str, size: int) -> "bytearray | None":  # noqa: ANN401 - esp32.NVS
    """That blob without its CRC; None where it can't be read."""
    blob = bytearray(size + 4)
    try:
        if nvs.get_blob(name, blob) == size + 4 and unpack("<I", blob[size:])[0] == crc32(
            blob[:size]
        ):
            return blob[:size]
    except OSError:
        pass
    return None


def _state(nvs: "Any") -> "list[int] | None":  # noqa: ANN401
    """What NVS says of the slots; None where that can't be read."""
    body = _blob(nvs, "slots", BODY)
    return list(unpack(FORM, body)) if body else None


def _keep(nvs: "Any", state: "list[int]") -> bool:  # noqa: ANN401
    """Make it durable; False where NVS is worn out."""
    body = pack(FORM, *state)
    try:
        nvs.set_blob("slots", body + pack("<I", crc32(body)))
        nvs.commit()
    except OSError:
        return False
    return True


def _give_up(nvs: "Any", state: "list[int]", why: int) -> None:  # noqa: ANN401
    state[1:4] = NONE, 0, 0
    state[5] = why
    _keep(nvs, state)


def _order(nvs: "Any", images: "bytearray | None") -> "list[int]":  # noqa: ANN401
    """The slots as they are to be tried; a trial that comes first is counted by then."""
    state = _state(nvs)
    if state is None:  # the lower sequence has been good; all other slots are tried after it
        return sorted((0, 1), key=lambda number: _sound(number, whole=False)[4:8] or b"\xff" * 4)
    order = [state[0] & 1, state[0] & 1 ^ 1]
    if state[1] == NONE:
        return order
    tries = 2 * TRIES if images and images[0] != images[1] else TRIES  # each needs a restart before
    if state[2] >= tries or not _sound(state[1] & 1, whole=True):
        _give_up(nvs, state, BOOTS_FAILED)
        return order
    state[2] += 1
    slots.trial = _keep(nvs, state)  # without that it might go on for ever
    return [state[1] & 1] + order if slots.trial else order


def _guard(nvs: "Any") -> None:  # noqa: ANN401
    """Whatever the build on trial does, this chip does not stay with it unless it confirms."""
    import machine

    def tick(timer: "Any") -> None:  # noqa: ANN401
        state = _state(nvs)
        if state is not None and state[1] == NONE:
            timer.deinit()
            return
        if state is not None:
            state[3] += 1
            if state[3] >= STEPS:
                _give_up(nvs, state, slots.unconfirmed)
            elif _keep(nvs, state):
                return
        machine.reset()  # NVS repairs itself then: after a write that failed none is to be trusted

    machine.WDT(timeout=WATCHDOG_MS)
    machine.Timer(TIMER, mode=PERIODIC, period=STEP_MS, callback=tick)


def _suits(nvs: "Any", number: int, images: "bytearray | None") -> bool:  # noqa: ANN401
    """Does the image run that this slot runs with? The chip restarts where it can have that."""
    if not images or images[number] == NONE:
        return True
    import machine
    from esp32 import Partition

    state = _state(nvs)
    running = Partition(Partition.RUNNING)  # type: ignore[arg-type]
    if running.info()[1] == images[number]:
        if not slots.trial:
            try:
                Partition.mark_app_valid_cancel_rollback()
            except OSError:
                pass  # a factory image needs no word
            if state and state[1] == NONE and state[2]:
                state[2] = 0
                _keep(nvs, state)
        return True
    if state is None:
        return False
    if not slots.trial or not state[2] & 1:  # what was started last did not come as far as here
        state[2] += 1
        if state[2] > (2 * TRIES if slots.trial else TRIES):
            if slots.trial:
                _give_up(nvs, state, BOOTS_FAILED)
            return False
        if not _keep(nvs, state):
            return False
    try:
        Partition.find(Partition.TYPE_APP, images[number])[0].set_boot()
    except (OSError, IndexError):  # it is damaged
        if not slots.trial:
            return False
        _give_up(nvs, state, BOOTS_FAILED)
    machine.reset()
    return False


def doubt() -> None:
    """The build that runs has failed: is it what it was? Else the one before it is the good one.

    Flash forgets bits. What runs is read once more, for no boot has the time for it; the other has
    to be whole, to the last bit, and to have been confirmed. A trial is left by its boots.
    """
    import esp32

    nvs = esp32.NVS("kerbnode")
    state = _state(nvs)
    images = _blob(nvs, "image", IMAGE_BODY)
    other = slots.slot ^ 1
    if (
        state is None
        or state[1] != NONE
        or slots.slot == NONE
        or (images and images[other] == NONE)
    ):
        return
    if _sound(slots.slot, whole=True, read=True):
        return
    found = _sound(other, whole=True, read=True)
    if found and int.from_bytes(found[4:8], "big") <= state[4]:
        state[0] = other
        state[5] = DAMAGED
        _keep(nvs, state)


def main() -> None:
    """Mount the build that is to run at /app."""
    import esp32
    import machine
    import vfs

    nvs = esp32.NVS("kerbnode")
    awake = machine.reset_cause() != DEEP_SLEEP  # a wake that counts a pulse has no time
    images = _blob(nvs, "image", IMAGE_BODY)
    order = _order(nvs, images)
    for place, number in enumerate(order + order[-2:]):  # where none suits, one runs anyway
        found = _sound(number, whole=awake or slots.trial)
        if found and (place >= len(order) or _suits(nvs, number, images)):
            slots.slot = number
            slots.manifest = found
            vfs.mount(slots.SlotFS(found), "/app")
            sys.path.insert(0, "/app")
            break
        slots.trial = False
    if slots.trial:
        _guard(nvs)
    sys.modules.pop("choice", None)
