"""Why an ESP32 started, and who guards it until a node does; loaded for that, and gone again."""

import machine

from kerbnode import board as wiring

POWER_ON = 1  # machine.reset_cause()
BROWN_OUT = 6  # which that calls a power-on
# Where the chip tells its own reset cause, bits 0 to 5 (each chip's Technical Reference Manual).
RESET_STATE = {
    "esp32": 0x3FF4_8034,
    "esp32s3": 0x6000_8038,
    "esp32c3": 0x6000_8038,
    "esp32c6": 0x600B_0410,
}
# The brown-out detector, or its interrupt's reset by software; a true power-on is 1.
SAGGED = (15, 3, 12)


def reset_cause() -> int:
    """As machine.reset_cause() has it; 6 is a supply that sagged."""
    cause = machine.reset_cause()
    if cause == POWER_ON and wiring.CHIP in RESET_STATE:
        if machine.mem32[RESET_STATE[wiring.CHIP]] & 0x3F in SAGGED:
            return BROWN_OUT
    return cause


def watchdog(timeout_ms: int) -> machine.WDT:
    """It starts the chip again unless it is fed."""
    return machine.WDT(timeout=timeout_ms)
