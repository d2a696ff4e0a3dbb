"""A TOML file as a table and a reader that knows its lines; what is no TOML is a fault, too."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from kerbline.config import rules
from kerbline.config.faults import Complaint, ConfigFault, Fault
from kerbline.config.locate import locate
from kerbline.config.reader import Reader

_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def opened(path: Path) -> tuple[Reader, Mapping[str, object]]:
    """The file's reader and its table; raises ConfigFault where it can't be read or is no TOML."""
    text = _text(path)
    try:
        table = tomllib.loads(text)
        lines = locate(text)
    except (ValueError, RecursionError) as error:
        raise ConfigFault([_syntax(path, text, error)]) from None
    return Reader(str(path), path.absolute().parent, lines), table


def _text(path: Path) -> str:
    content = rules.read_bytes(path)
    if isinstance(content, Complaint):
        raise ConfigFault([Fault(str(path), 0, "", content.problem, content.remedy)])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fault = Fault(str(path), line, "", "this is not UTF-8", "save the file as UTF-8")
        raise ConfigFault([fault]) from None
    if text.startswith("\ufeff"):
        fault = Fault(str(path), 1, "", "a byte order mark", "save the file as UTF-8 without BOM")
        raise ConfigFault([fault])
    return text.replace("\r\n", "\n")


def _syntax(path: Path, text: str, error: ValueError | RecursionError) -> Fault:
    """tomllib tells the line in its text only; some faults it tells nowhere."""
    message = str(error).splitlines()[0]
    found = _AT_LINE.search(message)
    line = 0
    if found:
        line = int(found[1]) if found[1] else text.rstrip().count("\n") + 1
        message = message[: found.start()]
    elif isinstance(error, RecursionError):
        message = "brackets too deep"
    elif "integer string conversion" in message:
        message = "a number of thousands of digits"
    return Fault(str(path), line, "", f"not TOML: {message}", "mend the syntax of this line")
