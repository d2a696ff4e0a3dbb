"""What is wrong in a config file, said so that a technician can mend it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from kerbline.errors import KerblineError

Path = tuple[str | int, ...]  # ("node", 1, "baud"): the second [[node]]'s baud

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: where it stands (line 0: the file as a whole), what it is and what to do."""

    file: str
    line: int
    key: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (where, self.key, self.problem) if part) + (
            f"; {self.remedy}"
        )


class ConfigFault(KerblineError):
    """A config that can't be used; `faults` holds every fault found, in the file's order."""

    code = "config"
    exit_status = 2

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: fault.line))
        super().__init__("\n".join(str(fault) for fault in self.faults))


@dataclass(frozen=True, slots=True)
class Complaint:
    """A fault that does not yet know where it stands."""

    problem: str
    remedy: str


def spelled(path: Path) -> str:
    """A path as a person counts it: ("node", 1, "baud") is node[2].baud."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            name = part if _BARE_KEY.fullmatch(part) else json.dumps(part[:40])
            text += f".{name}" if text else name
    return text


def shown(value: object) -> str:
    """A value of the file in a message: on one line, without control characters, and short."""
    text = json.dumps(value, default=str)
    if isinstance(value, PurePath):
        return text
    return text if len(text) <= 48 else text[:44] + " ..."
