"""A JSON object in a private file, with a check: whole and as written, or not taken at all."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from kerbline import durable
from kerbline.keys.faults import KeyFault
from kerbline.keys.files import replace


def write(path: Path, body: dict[str, Any]) -> None:
    """Durable when this returns; raises KeyFault."""
    try:
        durable.folder(path.parent)
        replace(path, json.dumps(body | {"check": _check(body)}).encode() + b"\n")
    except OSError as error:
        raise KeyFault(f"{path}: can't be written: {error.strerror}") from None


def read(path: Path) -> dict[str, Any] | None:
    """What was written; None where there is no file, KeyFault for a damaged one."""
    try:
        body = json.loads(durable.content(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFault(f"{path}: can't be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or body.pop("check", None) != _check(body):
        raise KeyFault(f"{path}: damaged")
    return body


def _check(body: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())
