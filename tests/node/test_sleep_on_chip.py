"""The chip's side of a meter's sleep, on modules in the image's place: what wakes it, and how."""

import sys

from kerbnode import sleep
from kerbnode.assets.flow import Flow

told: "list[tuple[object, ...]]" = []
levels = {32: 1, 33: 0}
state = {"cause": 4, "reason": 2}
memory = [b""]


wired: "dict[int, tuple[object, Pin]]" = {}


class Pin:
    IN, PULL_UP = 1, 2

    def __init__(self, number: int, mode: int = -1, pull: "int | None" = None):
        self.number = number

    def value(self) -> int:
        return levels[self.number]

    def irq(self, handler: object) -> None:
        wired[self.number] = handler, self


class Machine:
    Pin = Pin
    DEEPSLEEP_RESET = 4

    class RTC:
        def memory(self, *blob: bytes) -> "bytes | None":
            if not blob:
                return memory[0]
            if len(blob[0]) > 2048:
                raise ValueError("buffer too long")
            memory[0] = bytes(blob[0])
            return None

    def reset_cause(self) -> int:
        return state["cause"]

    def wake_reason(self) -> int:
        return state["reason"]

    def deepsleep(self, ms: int) -> None:
        told.append(("sleep", ms))


class Both:
    """ESP32 and ESP32-S3."""

    def wake_on_ext0(self, pin: Pin, level: bool) -> None:  # noqa: FBT001 - the image's own
        told.append(("ext0", pin.number, level))

    def wake_on_ext1(self, pins: "tuple[Pin, ...]", level: bool) -> None:  # noqa: FBT001
        told.append(("ext1", [pin.number for pin in pins], level))


class One:
    """ESP32-C6."""

    wake_on_ext1 = Both.wake_on_ext1


class Neither:
    """ESP32-C3 with the image 1.24."""


if sys.implementation.name == "micropython":

    def chip_of(image: object) -> "object":
        """The module on that image."""
        sys.modules["machine"], sys.modules["esp32"] = Machine(), image
        from kerbnode.hal import esp32_sleep

        esp32_sleep.esp32, esp32_sleep.machine = image, sys.modules["machine"]
        told.clear()
        return esp32_sleep

    def test_each_contact_wakes_at_the_level_that_it_has_not() -> None:
        chip = chip_of(Both()).Chip()
        chip.sleep(5000, (32, 33), (1, 0))
        assert told == [("ext0", 32, False), ("ext1", [33], True), ("sleep", 5000)]
        told.clear()
        chip.sleep(5000, (32, sleep.NO_PIN), (0, 1))
        assert told == [("ext0", 32, True), ("sleep", 5000)]

    def test_one_level_for_both_leaves_out_what_stands_differently() -> None:
        chip = chip_of(One()).Chip()
        chip.sleep(1, (32, 33), (1, 1))
        chip.sleep(1, (32, 33), (1, 0))
        assert [entry for entry in told if entry[0] == "ext1"] == [
            ("ext1", [32, 33], False),
            ("ext1", [32], False),
        ]

    def test_which_contact_woke_is_known() -> None:
        module = chip_of(Both())
        chip = module.Chip()
        for reason, index in ((2, 0), (3, 1), (4, sleep.TIMER)):
            state["reason"] = reason
            assert chip.woke() == index
        state["cause"] = 3
        assert chip.woke() is None
        state["cause"] = 4
        assert module.able()
        assert not chip_of(Neither()).able()

    def test_a_wake_is_counted_and_the_chip_sleeps_on() -> None:
        module = chip_of(Both())
        chip = module.Chip()
        state["reason"] = 2
        now_s = chip.rtc_s()
        head = (now_s, now_s + 3600, 0, 1, 1, 32, 33, 1, 0)
        chip.memory(sleep.stored(b"", sleep.Kept(head + Flow().saved())))
        assert not sleep.awake(chip)
        kept = sleep.load(memory[0])
        assert kept.flow[0] == 1, "shorter than the chip's start"
        assert told[:2] == [("ext0", 32, False), ("ext1", [33], True)]
        assert 3590_000 <= told[2][1] <= 3600_000

    def test_contacts_are_watched_while_the_node_is_loaded() -> None:
        chip = chip_of(Both()).Chip()
        levels[32] = 1
        chip.watch((32, sleep.NO_PIN))
        handler, pin = wired[32]
        chip.wait_ms(20)
        for level in (0, 1, 0):  # bounces
            levels[32] = level
            handler(pin)
        chip.wait_ms(20)
        levels[32] = 1
        handler(pin)
        assert chip.watched() == (1, 0)
        assert chip.watched() == (0, 0)
