"""Is a board's USB chip there, and has it a driver? From Linux's sysfs, judged without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kerbline.boardtools.usb import ADAPTERS, ESPRESSIF
from kerbline.field.doctor.finding import Finding, fault, good, unknown

SYSFS = Path("/sys")
HUB = "09"
SUBJECT = "USB"
# The kernel's module for each maker's chips.
MODULES = {0x10C4: "cp210x", 0x1A86: "ch341", 0x0403: "ftdi_sio", 0x067B: "pl2303",
           ESPRESSIF: "cdc_acm"}  # fmt: skip
OF_CDC = frozenset({(0x1A86, 0x55D3), (0x1A86, 0x55D4)})  # speak the class's own protocol
BRAILLE = (0x1A86, 0x7523)  # brltty takes it for a Braille display


@dataclass(frozen=True, slots=True)
class Device:
    """One USB device that is no hub: where it is plugged in, who it is, its drivers and ttys."""

    place: str
    vendor: int
    product: int
    name: str = ""
    drivers: tuple[str, ...] = ()
    ttys: tuple[str, ...] = ()

    @property
    def adapter(self) -> str:
        """The chip's name where boards carry it, else empty."""
        known = ADAPTERS.get((self.vendor, self.product), "")
        return known or ("ESP32 (its own USB)" if self.vendor == ESPRESSIF else "")

    @property
    def told(self) -> str:
        """Its name and numbers."""
        name = self.adapter or self.name or "a device"
        return f"{name} {self.vendor:04x}:{self.product:04x} at {self.place}"


@dataclass(frozen=True, slots=True)
class Seen:
    """Every device; `visible` False: this system does not show them."""

    devices: tuple[Device, ...]
    visible: bool = True

    @property
    def boards(self) -> tuple[Device, ...]:
        """Those that a board may carry."""
        return tuple(each for each in self.devices if each.adapter)


def look(sysfs: Path = SYSFS) -> Seen:
    """What is plugged in now."""
    folder = sysfs / "bus" / "usb" / "devices"
    if not folder.is_dir():
        return Seen((), visible=False)
    found = []
    for place in sorted(folder.iterdir()):
        vendor = _text(place / "idVendor")
        if not vendor or _text(place / "bDeviceClass") == HUB:
            continue
        drivers, ttys = _interfaces(place)
        name = _text(place / "product")
        number = int(vendor, 16), int(_text(place / "idProduct") or "0", 16)
        found.append(Device(place.name, *number, name, drivers, ttys))
    return Seen(tuple(found))


def judge(seen: Seen, ports: Sequence[str] = ()) -> list[Finding]:
    """Of what is plugged in; `ports`: the serial ports that the system has in any case."""
    if not seen.visible:
        return [unknown("usb_hidden", SUBJECT, "this system does not show its USB devices")]
    found = [_device(each) for each in seen.boards]
    others = [each for each in seen.devices if not each.adapter and each.ttys]
    found += [good("usb_port", SUBJECT, f"{_ports(each)} is {each.told}") for each in others]
    if found or ports:
        return found
    return [
        fault(
            "no_usb",
            SUBJECT,
            "no board is to be seen: nothing is plugged in, or a cable that only charges",
            "take a cable with data wires, another socket, no hub; `kerbline doctor --watch` "
            "tells what appears when you plug it in",
        )
    ]


def judge_change(before: Seen, after: Seen, seconds: float) -> list[Finding]:
    """What was plugged in meanwhile."""
    if not after.visible:
        return judge(after)
    fresh = [each for each in after.devices if each not in before.devices]
    known = [each for each in fresh if each.adapter or each.ttys]
    if known:
        return [_device(each) for each in known]
    if fresh:
        names = ", ".join(each.told for each in fresh)
        what = f"what appeared is no board that is known here: {names}"
        return [fault("usb_stranger", SUBJECT, what, "is it the right cable, in the right socket?")]
    return [
        fault(
            "charge_only",
            SUBJECT,
            f"nothing appeared in {seconds:g} s",
            "if the board's lamp shines, the cable only charges: take one with data wires; "
            "if not, take another socket or board",
        )
    ]


def _device(device: Device) -> Finding:
    if device.ttys:
        return good("usb_port", SUBJECT, f"{_ports(device)} is {device.told}")
    number = device.vendor, device.product
    module = "cdc_acm" if number in OF_CDC else MODULES.get(device.vendor, "its driver")
    also = "; if that does not help, brltty may take it: remove brltty" if number == BRAILLE else ""
    taken = f", taken by {', '.join(device.drivers)}" if device.drivers else ""
    return fault(
        "no_driver",
        SUBJECT,
        f"{device.told} is there and has no serial port{taken}",
        f"load its driver: sudo modprobe {module}, and plug it in again{also}",
    )


def _ports(device: Device) -> str:
    return ", ".join(f"/dev/{tty}" for tty in device.ttys)


def _interfaces(place: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    drivers: list[str] = []
    ttys: list[str] = []
    for interface in sorted(place.glob(f"{place.name}:*")):
        driver = interface / "driver"
        if driver.exists():
            drivers.append(driver.resolve().name)
        ttys += [each.name for each in interface.glob("ttyUSB*") if each.is_dir()]
        ttys += [each.name for each in interface.glob("tty/tty*")]
    return tuple(dict.fromkeys(drivers)), tuple(dict.fromkeys(ttys))


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
