"""What the self-test says of what it finds: the likely cause, then what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

Said = tuple[str, str]

HEAP = ("the node's program needs more than this chip has left", "is it this board's own build?")
FLASH = (
    "what was written to flash does not come back",
    "the chip's flash is worn or badly soldered: take another board",
)
FLASH_FULL = (
    "the file system is nearly full",
    "erase the flash and install anew, or take a board with more flash",
)
FILES = ("files are not what the build wrote", "install again; twice the same: take another board")
NO_ASSET = ("this build has no such asset on this board", "build for the right --board")
BATTERY = ("the cell is empty, or not in", "put in a fresh cell; measure it at the connector")
TAMPER = ("the seal's contact is open", "close the cover; is the contact's plug in?")
MOTION = {
    False: "it is at rest now; walk past it and see the lamp rise",
    True: "it tells of motion now; it is warming up, or somebody is there",
}
NO_METER = "no power meter on this board: look whether the lamp goes dark, half and full"
NO_CURRENT = "the lamp draws nothing, so nothing can be told"
SILENT_METER = "the power meter gives no reading, so nothing can be told"
METER = (
    "the power meter gives no reading",
    "has it mains (some are fed by them)? Check its TX, RX and ground",
)
NO_MAINS = ("the power meter sees no mains", "switch the supply on; check the fuse and L and N")
MAINS = ("the mains' voltage is out of bounds", "measure it; is the meter's divider the board's?")
NO_LAMP = (
    "the lamp draws no current at full light",
    "is a lamp connected, its driver alive, the relay closed? Try another lamp",
)
BIG_LAMP = (
    "the lamp draws more than this board is for",
    "another lamp, or lamp_most_w in its file",
)
RELAY = (
    "the lamp draws current with the relay open",
    "the relay's contact is stuck or bridged, or its coil is not connected: listen for the click",
)
DARK = ("the lamp is not dark at 0 %", "is the control line connected, and to DIM+ and DIM-?")
DIMMING = (
    "half light draws no less than full light, or none",
    "the control line is off, short or the wrong way round; does the driver take 1-10 V?",
)
PULSES = (
    "pulses come although nothing should flow",
    "is water flowing? Else a loose or wet contact: check its plug",
)
UART = ("the UART can't be opened", "are its pins free in the node's settings?")
SILENT_LINE = (
    "nobody spoke on the line; a first message at the gateway, or a loop from TX to RX, proves it"
)
WIFI = {
    "no Wi-Fi": (
        "the Wi-Fi can't be joined",
        "are name and password right, is it 2.4 GHz, is it near enough?",
    ),
    "no such host": ("the gateway's name is not known there", "write its address instead"),
}
WEAK_WIFI = ("the Wi-Fi is weak here", "move the antenna or the access point")
GATEWAY = ("the gateway can't be reached", "are its address and port right, does it run?")
GATEWAY_UNPROVED = "sent, and nothing refused it; the first message there proves it"
CLOCK = (
    "the chip's clock is off",
    "an image for another crystal (26 or 40 MHz)? Flash the right one, else take another board",
)
IMPLAUSIBLE = (
    "it answers, and the value can't be",
    "is it the sensor that the board's file names? Try another one",
)

_FAULTS = {
    "silent": ("it does not answer", "is it plugged in, has it power, are its two wires swapped?"),
    "range": ("it measures nothing that can be", "an open or shorted wire? Check its plug"),
    "checksum": ("its answers are damaged", "shorten the wires; check ground and pull-ups"),
    "short": ("its answers break off", "check its wires and its baud rate"),
    "noise": ("there is noise on its line", "check ground; keep it away from the mains"),
    "address": ("another chip answers in its place", "is it the chip that the board's file names?"),
    "trimming": ("its calibration can't be read", "try another one"),
    "reset": ("it loses what it was told", "its supply sags: check its plug and its voltage"),
    "broken": ("its own test fails", "take another one"),
    "laser": ("its laser is out of order", "take another one"),
    "refused": ("it refuses to measure", "cut its power once; then take another one"),
    "late": ("it answers, and measures nothing", "cut its power once; then take another one"),
}
# What a sensor may tell on a bench or a pole: (scale, unit, lowest, highest) of its first value.
_PLAUSIBLE = {
    "power": (0.1, "W", 0.0, 10_000.0),
    "light": (1.0, "lx", 0.0, 160_000.0),
    "thermometer": (1.0, "Celsius", -40.0, 85.0),
    "particles": (0.1, "ug/m3 PM1", 0.0, 1_000.0),
    "climate": (0.1, "Celsius", -40.0, 85.0),
    "pressure": (0.1, "hPa", 500.0, 1_100.0),
    "no2": (0.001, "mV above zero", -150.0, 500.0),
    "o3": (0.001, "mV above zero", -150.0, 500.0),
}
_PLACE = {"pressure": 2}  # of its figure in what one chip tells


def sensor(driver: str, fault: str) -> Said:
    """Of a driver's fault."""
    cause, remedy = _FAULTS.get(fault, (f"it says {fault!r}", "try another one"))
    return f"{driver}: {cause}", remedy


def plausible(role: str, value: float | Sequence[float]) -> tuple[float, str, float, float]:
    """(figure, unit, lowest, highest) of what a sensor in that role told."""
    scale, unit, low, high = _PLAUSIBLE[role]
    if not isinstance(value, int | float):
        value = value[_PLACE.get(role, 0)]
    return round(value * scale, 3), unit, low, high
