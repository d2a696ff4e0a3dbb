"""What a file gave back for a dataclass: is each of its plain fields what it is declared as?"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T", bound=Any)

_PLAIN = {"int": int, "str": str, "bool": bool}


def as_declared(made: T) -> T:
    """The same; raises TypeError where a number, a text or a truth is something else."""
    for field in fields(made):
        kind = _PLAIN.get(str(field.type))
        if kind is not None and type(getattr(made, field.name)) is not kind:
            raise TypeError(f"{field.name} is no {field.type}")
    return made
