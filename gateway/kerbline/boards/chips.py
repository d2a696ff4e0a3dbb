"""What a chip and its usual modules have: the facts that a board is checked against.

Each chip names the documents that its facts come from. A fact stands here once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Pin = int | str  # a GPIO's number on a chip, a name on the simulated board

_DOWNLOAD = "low at reset starts the ROM's download mode instead of the node"
_ROM_WORDS = "its level at reset decides whether the ROM talks on UART0"
_JTAG = "its level at reset chooses where JTAG's signals come from"


def _span(*parts: int | tuple[int, int]) -> frozenset[int]:
    """GPIO numbers: single ones, and (first, last) for runs."""
    found: set[int] = set()
    for part in parts:
        found.update(range(part[0], part[1] + 1) if isinstance(part, tuple) else [part])
    return frozenset(found)


def _channels(pins: Iterable[int]) -> dict[int, int]:
    """GPIO to ADC channel, where the channels count up in the order given."""
    return {pin: channel for channel, pin in enumerate(pins)}


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip under one stock image of MicroPython.

    `modules`: GPIOs that each module bonds out; `strapping`: pin to what a wrong level at reset
    does; `pulls`: "up" or "down", the chip's own resistor between reset and our code; `adc1`,
    `adc2`: pin to channel; `wake`: pins that end a deep sleep, by the image's `wake_call`.
    """

    name: str
    documents: str
    image: str
    micropython: tuple[int, int]  # the first release whose image will do
    native: str  # mpy-cross -march; what we ship is byte code, which any arch loads
    modules: Mapping[str, frozenset[int]] = field(default_factory=dict)
    gpios: frozenset[int] = frozenset()
    input_only: frozenset[int] = frozenset()
    strapping: Mapping[int, str] = field(default_factory=dict)
    flash: frozenset[int] = frozenset()
    usb: frozenset[int] = frozenset()
    console: frozenset[int] = frozenset()  # UART0, where the stock image has its REPL
    pulls: Mapping[int, str] = field(default_factory=dict)
    adc1: Mapping[int, int] = field(default_factory=dict)
    adc2: Mapping[int, int] = field(default_factory=dict)
    adc2_broken: bool = False  # not only while Wi-Fi runs
    wake: frozenset[int] = frozenset()
    wake_call: str = ""
    uarts: int = 0
    i2cs: int = 0
    pulse_counter: bool = False
    wifi: bool = True

    @property
    def real(self) -> bool:
        """Not the simulated one, whose pins are names."""
        return bool(self.gpios)


HOST = Chip(
    name="host",
    documents="MicroPython's Unix port, or CPython",
    image="",
    micropython=(1, 24),
    native="x64",
    uarts=3,
    i2cs=2,
)

# WROVER-E and the R2 variants of WROOM-32E lead GPIO 16 (and 17) to PSRAM.
_WROOM_32E = _span((0, 5), (12, 19), (21, 23), (25, 27), (32, 36), 39)

ESP32 = Chip(
    name="esp32",
    documents="ESP32 Series Datasheet v4.9: 2.2 pins, 2.4 strapping pins, appendix A IO_MUX; "
    "ESP32 TRM v5.3: 4.11 RTC pins, 29 ADC; ESP32-WROOM-32E Datasheet: 3.2",
    image="ESP32_GENERIC",
    micropython=(1, 24),
    native="xtensawin",
    modules={
        "ESP32-WROOM-32E": _WROOM_32E,
        "ESP32-WROOM-32E-R2": _WROOM_32E - {16},
        "ESP32-WROVER-E": _WROOM_32E - {16, 17},
    },
    gpios=_span((0, 19), (21, 23), (25, 27), (32, 39)),
    input_only=_span((34, 39)),
    strapping={
        0: _DOWNLOAD,
        2: "high at reset keeps the ROM from its download mode",
        5: "its level at reset sets the timing of the SDIO slave",
        12: "high at reset sets the flash to 1.8 V, and the chip does not start",
        15: _ROM_WORDS,
    },
    flash=_span((6, 11)),
    console=_span(1, 3),
    pulls={
        **dict.fromkeys((0, 1, 3, 5, 14, 15), "up"),
        **dict.fromkeys((2, 4, 12, 13), "down"),
    },
    adc1=_channels((36, 37, 38, 39, 32, 33, 34, 35)),
    adc2=_channels((4, 0, 2, 15, 13, 12, 14, 27, 25, 26)),
    wake=_span(0, 2, 4, (12, 15), (25, 27), (32, 39)),
    wake_call="wake_on_ext1",
    uarts=3,
    i2cs=2,
    pulse_counter=True,
)

_S3_WROOM_1 = _span((0, 21), (35, 48))

ESP32S3 = Chip(
    name="esp32s3",
    documents="ESP32-S3 Series Datasheet v2.0: 2.2 pins, 2.3.3 ADC and RTC pins, 3 boot "
    "configurations; ESP32-S3-WROOM-1 Datasheet v1.6: 3.2",
    image="ESP32_GENERIC_S3",
    micropython=(1, 24),
    native="xtensawin",
    modules={
        "ESP32-S3-WROOM-1": _S3_WROOM_1,
        "ESP32-S3-WROOM-1-R8": _S3_WROOM_1 - _span((35, 37)),  # eight lines of PSRAM
    },
    gpios=_span((0, 21), (26, 48)),
    strapping={
        0: _DOWNLOAD,
        3: _JTAG,
        45: "high at reset sets the flash to 1.8 V, and the chip does not start",
        46: _ROM_WORDS,
    },
    flash=_span((26, 34)),
    usb=_span(19, 20),
    console=_span(43, 44),
    pulls={**dict.fromkeys((0, 43, 44), "up"), **dict.fromkeys((45, 46), "down")},
    adc1=_channels(range(1, 11)),
    adc2=_channels(range(11, 21)),
    wake=_span((0, 21)),
    wake_call="wake_on_ext1",
    uarts=3,
    i2cs=2,
    pulse_counter=True,
)

ESP32C3 = Chip(
    name="esp32c3",
    documents="ESP32-C3 Series Datasheet v2.1: 2.2 pins, 2.3.3 analogue pins, 3 boot "
    "configurations; ESP32-C3 Errata: ADC2; ESP32-C3-MINI-1 Datasheet v1.7: 3.2",
    image="ESP32_GENERIC_C3",
    micropython=(1, 24),
    native="rv32imc",
    modules={
        "ESP32-C3-MINI-1": _span((0, 10), (18, 21)),
        "ESP32-C3-WROOM-02": _span((0, 10), (18, 21)),
    },
    gpios=_span((0, 21)),
    strapping={
        2: "low at reset keeps the chip from starting",
        8: "low at reset together with GPIO9 is no valid start",
        9: _DOWNLOAD,
    },
    flash=_span((11, 17)),
    usb=_span(18, 19),
    console=_span(20, 21),
    pulls={9: "up", 19: "up", 20: "up", 21: "up"},
    adc1=_channels(range(5)),
    adc2={5: 0},
    adc2_broken=True,
    wake=_span((0, 5)),
    wake_call="wake_on_gpio",  # no image of 1.24 has it: those sleep by the timer alone
    uarts=2,
    i2cs=1,
)

ESP32C6 = Chip(
    name="esp32c6",
    documents="ESP32-C6 Series Datasheet v1.3: 2.2 pins, 2.3.3 analogue pins, 3 boot "
    "configurations; ESP32-C6-WROOM-1 Datasheet v1.3: 3.2",
    image="ESP32_GENERIC_C6",
    micropython=(1, 24),
    native="rv32imc",
    modules={
        "ESP32-C6-WROOM-1": _span((0, 13), (15, 23)),
        "ESP32-C6-MINI-1": _span((0, 9), (12, 23)),
    },
    gpios=_span((0, 30)),
    strapping={
        4: "its level at reset sets the timing of the SDIO slave",
        5: "its level at reset sets the timing of the SDIO slave",
        8: "low at reset together with GPIO9 is no valid start",
        9: _DOWNLOAD,
        15: _JTAG,
    },
    flash=_span((24, 30)),
    usb=_span(12, 13),
    console=_span(16, 17),
    pulls={9: "up", 13: "up", 16: "up", 17: "up"},
    adc1=_channels(range(7)),
    wake=_span((0, 7)),
    wake_call="wake_on_ext1",
    uarts=2,
    i2cs=1,
    pulse_counter=True,
)

CHIPS = {chip.name: chip for chip in (ESP32, ESP32S3, ESP32C3, ESP32C6, HOST)}
