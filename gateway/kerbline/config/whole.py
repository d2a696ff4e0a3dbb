"""Reads a whole config: its sections, and what holds between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from kerbline.config import crossings, district, document, light_checks, light_rules, ngsi_ld
from kerbline.config.awaited import joinable
from kerbline.config.faults import ConfigFault, Fault
from kerbline.config.reader import Reader
from kerbline.config.sections import Config


def load(path: Path) -> Config:
    """Read and check a whole config file; raises ConfigFault with every fault in it."""
    reader, table = document.opened(path)
    config = reader.section(Config, table)
    crossings.check(reader)
    assert isinstance(config, Config)
    may_join = joinable(reader)
    light_checks.check(reader, config.lamp_groups, may_join)
    light_rules.check(reader, config.lamp_groups, may_join)
    config = _with_registers(reader, config, path.absolute().parent)
    light_rules.check_values(reader, config.buses)
    district.check_valves(reader, config.buses)
    config = _with_profiles(reader, config, path.absolute().parent)
    if reader.faults:
        raise ConfigFault(reader.faults)
    return config


def _with_registers(reader: Reader, config: Config, base: Path) -> Config:
    """Modbus devices with the registers of their profiles, judged together with their own."""
    if not config.buses:
        return config
    from kerbline.config import profiles  # only a config with a bus needs them

    folder = reader.accepted.get(("gateway", "profiles"))
    known = profiles.Profiles(folder if isinstance(folder, Path) else None, base)
    return replace(config, buses=profiles.resolve(reader, config.buses, known))


def _with_profiles(reader: Reader, config: Config, base: Path) -> Config:
    """Serial devices with the paths of their profiles, each profile looked through."""
    if reader.faults or not config.serials:
        return config
    from kerbline.config import serial_profile  # only a config with such a device needs it

    folder = reader.accepted.get(("gateway", "profiles"))
    own = folder if isinstance(folder, Path) else None
    serials = tuple(
        serial_profile.resolve(reader, device, ("serial", number), base, own)
        for number, device in enumerate(config.serials)
    )
    return replace(config, serials=serials)


def doubts(path: Path, now: datetime) -> tuple[Fault, ...]:
    """What may hinder a gateway with this config, which `load` takes, at `now`."""
    from kerbline.config import certificates

    reader, table = document.opened(path)
    reader.section(Config, table)
    ngsi_ld.doubts(reader)
    keys = ("ca", "cert", "client_ca")
    for at, file in list(reader.accepted.items()):
        if "tls" not in at[-2:-1] or at[-1] not in keys:
            continue
        assert isinstance(file, Path)
        complaint = certificates.doubt(file, now)
        if complaint is not None:
            reader.complain(at, complaint.problem, complaint.remedy)
    return tuple(reader.faults)


def paths(section: object) -> Iterator[Path]:
    """Every file and folder that a config, or a part of it, names."""
    if isinstance(section, Path):
        yield section
    elif isinstance(section, tuple):
        for each in section:
            yield from paths(each)
    elif dataclasses.is_dataclass(section):
        for field in dataclasses.fields(section):
            yield from paths(getattr(section, field.name))
