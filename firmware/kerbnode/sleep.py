"""A meter's node between two reports: a wake counts a pulse, judges it, and sleeps on.

Loads the rules of flow and nothing else of the node. What a wake must know is in the RTC's memory:
two slots, each with a CRC and a sequence, so that a reset while one is written leaves the other.
A contact is waited for at the level that it has not, so one that rests closed wakes nobody.
"""

from binascii import crc32
from struct import pack, unpack_from

from kerbnode.assets.flow import SAVED, Flow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class Chip(Protocol):
        """What hal.esp32_sleep has of a chip; `woke` is a pin's index, TIMER, or None."""

        def memory(self, blob: "bytes | None" = None) -> bytes: ...
        def rtc_s(self) -> int: ...
        def woke(self) -> "int | None": ...
        def level(self, pin: int) -> int: ...
        def wait_ms(self, ms: int) -> None: ...
        def watch(self, pins: "Sequence[int]") -> None: ...
        def sleep(self, ms: int, pins: "Sequence[int]", levels: "Sequence[int]") -> None: ...


TIMER = -1
BOUNCE_MS = 10  # a contact that has kept its level so long stands
BOUNCES = 20  # such waits at most
NO_PIN = -1
EPOCH_HOURS = 262_968  # of 2000, where the chip's clock begins, since 1970

# A slot: crc, sequence, the numbers of `Kept`, and those of Flow.saved.
HEAD = 9
SLOT = "<II{}i".format(HEAD + SAVED)
SLOT_BYTES = 8 + 4 * (HEAD + SAVED)

# From waking until the pin is read, stock image: 635 ms were measured on an ESP32-S3, 350 of them
# for mounting the file system (docs/understand/water-meter.md). Two pulses may not begin in it.
WAKE_MS = 640
ASLEEP_PULSES_PER_MINUTE = 60_000 // (WAKE_MS + 2 * BOUNCE_MS)


class Kept:
    """What a wake knows: numbers of a slot, by name."""

    __slots__ = ("due_s", "flow", "levels", "pins", "saved_s", "utc_s", "weight")

    def __init__(self, numbers: "Sequence[int]"):
        self.saved_s, self.due_s, self.utc_s = numbers[:3]  # RTC; `utc_s` is UTC's lead, 0 unknown
        self.weight = (numbers[3], numbers[4])
        self.pins = tuple(numbers[5:7])  # forward, backward
        self.levels = tuple(numbers[7:9])
        self.flow = tuple(numbers[HEAD:])

    def numbers(self) -> "tuple[int, ...]":
        """For the constructor."""
        head = (self.saved_s, self.due_s, self.utc_s) + self.weight + self.pins + self.levels
        return head + self.flow


def load(memory: bytes) -> "Kept | None":
    """The newer sound slot, or None."""
    found = _newest(memory)
    return None if found is None else Kept(unpack_from(SLOT, memory, found[1] * SLOT_BYTES)[2:])


def stored(memory: bytes, kept: Kept) -> bytes:
    """The memory with the older slot replaced."""
    sequence, place = _newest(memory) or (0, 1)
    body = pack(SLOT[0] + SLOT[2:], sequence + 1, *kept.numbers())
    slot = pack("<I", crc32(body)) + body
    if len(memory) != 2 * SLOT_BYTES:
        return slot + bytes(SLOT_BYTES)
    return memory[:SLOT_BYTES] + slot if place == 0 else slot + memory[SLOT_BYTES:]


def _newest(memory: bytes) -> "tuple[int, int] | None":
    """(sequence, place) of the newer sound slot."""
    if len(memory) != 2 * SLOT_BYTES:
        return None
    found = None
    for place in range(2):
        at = place * SLOT_BYTES
        check, sequence = unpack_from("<II", memory, at)
        if check == crc32(memory[at + 4 : at + SLOT_BYTES]):
            if found is None or sequence > found[0]:
                found = (sequence, place)
    return found


def pulses(was: int, level: int, *, woke: bool) -> int:
    """How many closings a wake stands for, by the contact's level before it and now.

    A pin that woke the chip and is as it was has moved twice.
    """
    if was:
        return 1 if woke or not level else 0
    return 1 if woke and not level else 0


def awake(chip: "Chip") -> bool:
    """Count this wake. True: the whole node must start; on False the chip sleeps by now."""
    woke = chip.woke()
    memory = chip.memory()
    kept = load(memory)
    if kept is None:
        return True
    if woke is None:  # a reset of another kind: what comes while the node is loaded counts
        chip.watch(kept.pins)
        return True
    now_s = chip.rtc_s()
    new = [0, 0]
    levels = list(kept.levels)
    for index, pin in enumerate(kept.pins):
        if pin != NO_PIN:
            levels[index] = settled(chip, pin)
            new[index] = pulses(kept.levels[index], levels[index], woke=woke == index)
    kept.levels = tuple(levels)
    slept_s = max(0, now_s - kept.saved_s)
    hour = (now_s + kept.utc_s) // 3600 + EPOCH_HOURS if kept.utc_s else None
    flow = Flow(kept.weight, kept.flow)
    begun = flow.step(slept_s, hour, 0, 0) + flow.step(slept_s, hour, new[0], new[1])
    wanted = bool(begun) or not kept.saved_s <= now_s < kept.due_s
    if wanted:  # the whole node takes this step, and tells what begins with it
        flow = Flow(kept.weight, kept.flow)
        flow.leave(slept_s, new[0], new[1])
        chip.watch(kept.pins)
    kept.flow = flow.saved()
    kept.saved_s = now_s
    chip.memory(stored(memory, kept))
    if not wanted:
        chip.sleep(1000 * (kept.due_s - now_s), kept.pins, kept.levels)
    return wanted


def settled(chip: "Chip", pin: int) -> int:
    """The level of a contact that does not bounce any more."""
    level = chip.level(pin)
    for _ in range(BOUNCES):
        still = True
        for _ in range(BOUNCE_MS // 2):
            chip.wait_ms(2)
            still = still and chip.level(pin) == level
        if still:
            break
        level = chip.level(pin)
    return level
