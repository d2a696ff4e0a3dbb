"""The modules sys and micropython, as far as an image's differ from the Unix port's."""

import micropython

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kerbnode.sim.chip.console import Console

MODULES = {"esp32": "ESP32", "esp32s3": "ESP32S3", "esp32c3": "ESP32C3", "esp32c6": "ESP32C6"}


class Implementation:
    """sys.implementation of the image: of that version, else of the interpreter's."""

    def __init__(self, real: "Any", chip: str, version: str):  # noqa: ANN401 - a built-in module
        self.name = "micropython"
        found = [
            int(part) for part in version[version.startswith("v") :].split(".") if part.isdigit()
        ]
        self.version = tuple(found + [""]) if len(found) == 3 else real.version
        self._machine = "Generic " + MODULES[chip] + " module with " + MODULES[chip]
        self._mpy = real._mpy


class System:
    """The module sys of the image: as the real one but for the platform."""

    platform = "esp32"

    def __init__(self, real: "Any", chip: str, version: str):  # noqa: ANN401
        self._real = real
        self.implementation = Implementation(real.implementation, chip, version)

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


class Interrupts:
    """The module micropython: kbd_intr decides whether Ctrl-C on UART0 interrupts."""

    def __init__(self, console: "Console"):
        self._console = console

    def kbd_intr(self, char: int) -> None:
        self._console.interrupts(char == 3)  # no jump before: the chip's is C

    def __getattr__(self, name: str) -> object:
        return getattr(micropython, name)
