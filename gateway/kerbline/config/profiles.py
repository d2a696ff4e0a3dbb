"""Device profiles: which registers a kind of device has, as data in TOML; found, read and judged.

A profile of the user's own folder hides the shipped one of its name: a site can mend what is wrong
without waiting for us.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from kerbline.config import document, faults, registers
from kerbline.config.faults import ConfigFault, Fault, shown
from kerbline.config.modbus import (
    BIT_TABLES,
    DEFAULT_POLL_S,
    MAX_BITS,
    MAX_GAP,
    MAX_WORDS,
    Deadband,
    Heartbeat,
    ModbusBus,
    ModbusDevice,
    Order,
    Parity,
    RawValue,
    Register,
    RegisterType,
    Retention,
    Seconds,
    Table,
)
from kerbline.config.reader import Key, Reader
from kerbline.config.rules import Between, Filled, Matching, OneOf
from kerbline.config.terms import Baud

SHIPPED = Path(__file__).resolve().parents[1] / "profiles"
SUFFIX = ".toml"

Text = Annotated[str, Matching(r"[^\x00-\x1f\x7f]{1,200}", "one line of up to 200 characters")]


@dataclass(frozen=True, slots=True)
class Manual:
    """Where the register table stands, so that a person can look it up."""

    title: Text
    edition: Text
    table: Text  # the page, clause or table


@dataclass(frozen=True, slots=True)
class About:
    """Which devices a profile is of."""

    name: Annotated[str, Matching(r"[a-z0-9][a-z0-9-]{0,47}", "small letters, digits and -")]
    title: Text
    maker: Text
    models: Annotated[tuple[Text, ...], Filled()]
    manual: Manual
    poll_s: Seconds = DEFAULT_POLL_S


@dataclass(frozen=True, slots=True)
class FactoryLine:
    """How a device's line is set when it comes out of its box."""

    unit: Annotated[int, Between(1, 247)] = 1
    baud: Baud = 9_600
    parity: Parity = "none"
    stop_bits: Annotated[int, OneOf(1, 2)] = 1


@dataclass(frozen=True, slots=True)
class DeviceLimits:
    """What one request may ask of such a device."""

    max_words: Annotated[int, Between(1, MAX_WORDS)] = MAX_WORDS
    max_bits: Annotated[int, Between(1, MAX_BITS)] = MAX_BITS
    max_gap: Annotated[int, Between(-1, MAX_WORDS)] = MAX_GAP
    write: Annotated[str, OneOf("auto", "single", "multiple")] = "auto"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for each register that does not say otherwise: the same keys, the same values."""

    type: RegisterType | None = None
    table: Table | None = None
    word_order: Order | None = None
    byte_order: Order | None = None
    scale: float | None = None
    deadband: Deadband | None = None
    heartbeat_s: Heartbeat | None = None
    invalid: tuple[RawValue, ...] | None = None
    retention: Annotated[Retention | None, Key("class")] = None
    poll_s: Seconds | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of device and its registers, as the file has them: ranges not yet spread."""

    about: Annotated[About, Key("profile")]
    registers: Annotated[tuple[Register, ...], Key("register"), Filled()]
    line: FactoryLine = field(default_factory=FactoryLine)
    limits: DeviceLimits = field(default_factory=DeviceLimits)
    defaults: Defaults = field(default_factory=Defaults)


class Profiles:
    """The profiles of a config, each read once.

    `folder` is the user's own, if there is one; paths that a config names count from `base`.
    """

    def __init__(self, folder: Path | None = None, base: Path = Path()) -> None:
        self._folders = [*([folder] if folder else []), SHIPPED]
        self._base = base
        self._read: dict[Path, tuple[Profile, tuple[Register, ...]]] = {}
        self._same: dict[Register, Register] = {}

    def same(self, register: Register) -> Register:
        """The one object for all equal registers, so that fifty meters share a hundred names.

        They take less memory, and a tick finds them in the processor's cache.
        """
        return self._same.setdefault(register, register)

    def names(self) -> dict[str, Path]:
        """Each profile that a name finds, and its file."""
        found: dict[str, Path] = {}
        for folder in self._folders:
            for path in sorted(folder.glob(f"*{SUFFIX}")):
                found.setdefault(path.stem, path)
        return dict(sorted(found.items()))

    def hidden(self, name: str) -> bool:
        """Is there a shipped profile that the user's of the same name hides?"""
        return (SHIPPED / f"{name}{SUFFIX}").is_file() and self.names().get(name) != (
            SHIPPED / f"{name}{SUFFIX}"
        )

    def find(self, name: str) -> Path:
        """The file of a profile by its name, or the path of one; ConfigFault if there is none."""
        if name.endswith(SUFFIX):
            return self._base / name
        for folder in self._folders:
            path = folder / f"{name}{SUFFIX}"
            if path.is_file():
                return path
        known = ", ".join(self.names())
        remedy = f'write one of {known}, or the path of a file: "mine.toml"'
        raise ConfigFault([Fault(name, 0, "", "no profile is called so", remedy)])

    def get(self, name: str) -> tuple[Profile, tuple[Register, ...]]:
        """A profile and its registers with ranges spread; raises ConfigFault."""
        path = self.find(name)
        if path not in self._read:
            profile = load(path)
            self._read[path] = profile, registers.expanded(profile.registers)
        return self._read[path]


def load(path: Path) -> Profile:
    """Read and check a profile; raises ConfigFault with every fault in it."""
    reader, table = document.opened(path)
    profile = reader.section(Profile, _filled(reader, table))
    assert isinstance(profile, Profile)
    name = reader.accepted.get(("profile", "name"))
    if name is not None and name != path.stem:
        problem = f"the file is called {path.name}"
        reader.complain(("profile", "name"), problem, "rename one of them")
    placed: list[registers.Placed] = [
        (("register", number), register)
        for number, register in registers.listed(profile.registers, Register)
        if registers.usable(register)
    ]
    limits = profile.limits if registers.usable(profile.limits) else DeviceLimits()
    registers.check(reader, placed, {False: limits.max_words, True: limits.max_bits})
    registers.check_names(reader, placed)
    if reader.faults:
        raise ConfigFault(reader.faults)
    return profile


def _filled(reader: Reader, table: Mapping[str, object]) -> Mapping[str, object]:
    """The profile's table with its defaults, where they are good, written into each register."""
    defaults, listed = table.get("defaults"), table.get("register")
    if not isinstance(defaults, dict) or not isinstance(listed, list):
        return table
    trial = reader.afresh()
    trial.section(Defaults, defaults, ("defaults",))
    given = {key: defaults[key] for key in defaults if ("defaults", key) in trial.accepted}
    filled = [{**given, **each} if isinstance(each, dict) else each for each in listed]
    return {**table, "register": filled}


def resolve(
    reader: Reader, buses: tuple[ModbusBus, ...], profiles: Profiles
) -> tuple[ModbusBus, ...]:
    """The buses with what the profiles of their devices say; keeps a fault for what does not fit.

    What is not usable is left as it is: its faults are kept already.
    """
    made = []
    for number, bus in registers.listed(buses, ModbusBus):
        at: faults.Path = ("modbus", number)
        if registers.usable(dataclasses.replace(bus, devices=())):
            registers.check_bus(reader, at, bus)
        devices = tuple(
            _device(reader, (*at, "device", n), device, profiles)
            for n, device in registers.listed(bus.devices, ModbusDevice)
        )
        made.append(dataclasses.replace(bus, devices=devices))
    return tuple(made)


def _device(
    reader: Reader, at: faults.Path, device: ModbusDevice, profiles: Profiles
) -> ModbusDevice:
    if not registers.usable(dataclasses.replace(device, registers=())):
        return device
    placed: list[registers.Placed] = []
    inherited: tuple[Register, ...] = ()
    if device.profile is not None:
        try:
            profile, inherited = profiles.get(device.profile)
        except ConfigFault as fault:
            for each in fault.faults:
                reader.complain((*at, "profile"), *_told(each))
            return device
        device = _with(reader, at, device, profile)
        inherited = _chosen(reader, at, device, inherited)
        placed += [((*at, "profile"), register) for register in inherited]
        _fit(reader, at, device, inherited)
    elif not device.registers:
        remedy = 'write profile = "NAME", or add [[modbus.device.register]]'
        reader.complain(at, "has neither a profile nor registers", remedy)
    own: list[registers.Placed] = [
        ((*at, "register", n), register)
        for n, register in registers.listed(device.registers, Register)
        if registers.usable(register)
    ]
    limits = {False: device.max_words, True: device.max_bits}
    registers.check(reader, own, limits)
    registers.check_names(reader, [*placed, *own])
    added = tuple(map(profiles.same, registers.expanded(register for _, register in own)))
    return dataclasses.replace(device, registers=inherited + added if added else inherited)


def _with(reader: Reader, at: faults.Path, device: ModbusDevice, profile: Profile) -> ModbusDevice:
    """The device with what its profile says where the file says nothing."""
    said = {key for key in _INHERITED if reader.has((*at, key))}
    given = {key: getattr(profile.limits, key) for key in _INHERITED - said - {"poll_s"}}
    if "poll_s" not in said:
        given["poll_s"] = profile.about.poll_s
    return dataclasses.replace(device, **given)


_INHERITED = {each.name for each in dataclasses.fields(DeviceLimits)} | {"poll_s"}


def _chosen(
    reader: Reader, at: faults.Path, device: ModbusDevice, inherited: tuple[Register, ...]
) -> tuple[Register, ...]:
    """The profile's registers, or `only` those that the device names."""
    if not device.only:
        return inherited
    names = {register.name for register in inherited}
    for number, name in enumerate(device.only):
        if name not in names:
            problem = f"{shown(name)} is no register of {device.profile}"
            remedy = f"`kerbline modbus profile show {device.profile}` tells them"
            reader.complain((*at, "only", number), problem, remedy)
    return tuple(register for register in inherited if register.name in device.only)


def _fit(
    reader: Reader, at: faults.Path, device: ModbusDevice, inherited: tuple[Register, ...]
) -> None:
    """Keep a fault for each of the profile's registers that is too wide for the device's reads."""
    for register in inherited:
        key = "max_bits" if register.table in BIT_TABLES else "max_words"
        if register.width > getattr(device, key):
            problem = f"{register.name} of {device.profile} takes {register.width} at once"
            remedy = f"write {register.width} or more, or leave {register.name} out of `only`"
            reader.complain((*at, key), problem, remedy)


def _told(fault: Fault) -> tuple[str, str]:
    """A fault of another file in a message of this one: problem and remedy."""
    where = f"{fault.file}:{fault.line}" if fault.line else fault.file
    return ": ".join(part for part in (where, fault.key, fault.problem) if part), fault.remedy
