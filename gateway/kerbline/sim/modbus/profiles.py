"""Where a simulated device's registers come from: the device profile of that name or file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from kerbline.config import document
from kerbline.config.faults import ConfigFault
from kerbline.config.modbus import Register
from kerbline.config.reader import Key
from kerbline.config.rules import Filled
from kerbline.errors import KerblineError

SHIPPED = Path(__file__).parent.parent.parent / "profiles"


class NoProfile(KerblineError):
    """There is no such profile; the text names those that are."""

    code = "profile"
    exit_status = 2


@dataclass(frozen=True, slots=True)
class _Registers:
    registers: Annotated[tuple[Register, ...], Key("register"), Filled()]


def registers(profile: str) -> tuple[Register, ...]:
    """The registers of a profile by name or file; raises NoProfile or ConfigFault."""
    path = Path(profile) if profile.endswith(".toml") else SHIPPED / f"{profile}.toml"
    if not path.exists():
        known = ", ".join(sorted(each.stem for each in SHIPPED.glob("*.toml")))
        raise NoProfile(f"no profile {profile}; give a file or one of: {known}")
    reader, table = document.opened(path)
    found = reader.section(_Registers, {"register": table.get("register", [])})
    if reader.faults:
        raise ConfigFault(reader.faults)
    assert isinstance(found, _Registers)
    return found.registers
