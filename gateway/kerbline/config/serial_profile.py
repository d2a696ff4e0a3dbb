"""A serial device's profile, found by its name, read and judged whole: every fault at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from kerbline.config import document
from kerbline.config.faults import ConfigFault, Fault, shown
from kerbline.config.faults import Path as Place
from kerbline.config.reader import Reader
from kerbline.config.serial import SerialDevice
from kerbline.config.telegram import (
    BINARY_TYPES,
    MAX_BINARY_BYTES,
    WIDTHS,
    Field,
    Frame,
    Profile,
    Reading,
)
from kerbline.config.units import ENDINGS, conversion, ending

SHIPPED = Path(__file__).resolve().parents[1] / "profiles" / "serial"
_CHANNELS = ("", *"123456789")
_KEYS = {"obis": ["obis"], "separated": ["index"], "pairs": ["key"], "text": [], "binary": []}


def names() -> list[str]:
    """The profiles that are shipped."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def find(name: str, base: Path, folder: Path | None = None) -> Path:
    """The file of a profile: a path from `base`, one in the user's `folder`, or a shipped one.

    Raises ConfigFault when there is none of that name.
    """
    if name.endswith(".toml"):
        return base / name
    for place in (folder / "serial" if folder else None, SHIPPED):
        if place is not None and (place / f"{name}.toml").is_file():
            return place / f"{name}.toml"
    remedy = f'write one of {", ".join(names())}, or the path of a file: "mine.toml"'
    raise ConfigFault([Fault(name, 0, "", "no such profile", remedy)])


def load(path: Path) -> Profile:
    """Read and check a profile; raises ConfigFault with every fault in it."""
    reader, table = document.opened(path)
    profile = reader.section(Profile, table)
    if not reader.faults:
        assert isinstance(profile, Profile)
        _check(reader, profile, path)
    if reader.faults:
        raise ConfigFault(reader.faults)
    assert isinstance(profile, Profile)
    return profile


def values(device: SerialDevice) -> Iterator[tuple[str, str]]:
    """Each asset at a device, with the name of each value that it may get; may raise as `load`."""
    for reading in load(find(device.profile, Path())).readings:
        own = [device.asset] if reading.channel is None else []
        named = [
            asset for key, asset in device.assets.items() if key.partition("@")[0] == reading.name
        ]
        for asset in named or own:
            for field in reading.fields:
                yield asset, field.name


def resolve(
    reader: Reader, device: SerialDevice, at: Place, base: Path, folder: Path | None
) -> SerialDevice:
    """The device with its profile's path; keeps a fault for what does not fit together."""
    try:
        path = find(device.profile, base, folder)
        profile = load(path)
    except ConfigFault as fault:
        for each in fault.faults:
            reader.complain((*at, "profile"), *_told(each))
        return device
    channels = {each.name: each.channel is not None for each in profile.readings}
    for key in device.assets:
        name, _, channel = key.partition("@")
        if name not in channels:
            problem = f"{profile.profile.name} has no reading of that name"
            reader.complain((*at, "assets", key), problem, f"it has {', '.join(channels)}")
        elif channel not in (_CHANNELS if channels[name] else ("",)):
            problem = f"{name} has no such channel"
            reader.complain((*at, "assets", key), problem, "write the name alone, or NAME@1 to @9")
    if device.poll_s is not None and profile.request is None:
        problem = f"{profile.profile.name} is not asked: it pushes"
        reader.complain((*at, "poll_s"), problem, "leave it out; report_s thins what comes")
    return dataclasses.replace(device, profile=str(path))


def _told(fault: Fault) -> tuple[str, str]:
    where = f"{fault.file}:{fault.line}" if fault.line else fault.file
    return ": ".join(part for part in (where, fault.key, fault.problem) if part), fault.remedy


def _check(reader: Reader, profile: Profile, path: Path) -> None:
    if profile.profile.name != path.stem:
        problem = f"the file is called {path.name}"
        reader.complain(("profile", "name"), problem, "rename one of them")
    _frame(reader, profile.frame, binary=profile.content.form == "binary")
    if profile.request is not None:
        _request(reader, profile)
    _distinct(reader, [each.name for each in profile.readings], ("reading",))
    for number, reading in enumerate(profile.readings):
        _reading(reader, profile, reading, ("reading", number))


def _frame(reader: Reader, frame: Frame, *, binary: bool) -> None:
    ways = [key for key in ("end", "bytes", "length") if reader.has(("frame", key))]
    if len(ways) != 1:
        told = " and ".join(ways) or "nothing"
        problem = f"{told} says where a telegram ends"
        reader.complain(("frame",), problem, "write one of end, bytes, length")
        return
    if (ways == ["end"]) == binary:
        remedy = "end goes with text, bytes and length with binary content"
        reader.complain(("frame", ways[0]), "does not fit content.form", remedy)
    if not frame.start and ways != ["end"]:
        reader.complain(("frame", "start"), "is missing", 'write the header: start = "BM"')
    if set(frame.start) & set(frame.end):
        problem = "start and end share a character"
        reader.complain(("frame", "end"), problem, "write another one")
    if ways == ["end"] and not frame.end:
        reader.complain(("frame", "end"), "is empty", 'write what ends a telegram: end = "\\r\\n"')
    if ways != ["end"] and frame.max_bytes > MAX_BINARY_BYTES:
        remedy = f"write up to {MAX_BINARY_BYTES}"
        reader.complain(("frame", "max_bytes"), "is too large for a binary frame", remedy)
    if frame.bytes is not None and frame.bytes < frame.least_bytes:
        reader.complain(("frame", "bytes"), "has no room for start and checksum", "write more")
    if len(frame.start) + len(frame.end) >= frame.max_bytes:
        reader.complain(("frame", "max_bytes"), "has no room for start and end", "write more")


def _request(reader: Reader, profile: Profile) -> None:
    request = profile.request
    assert request is not None
    if bool(request.send) == (request.handshake != "none"):
        problem = "says both or neither of send and handshake"
        reader.complain(("request",), problem, "write one of them")
    if profile.line.period_s <= 0:
        remedy = "write period_s in [line]: how often to ask"
        reader.complain(("line", "period_s"), "a device that is asked needs one", remedy)


def _reading(reader: Reader, profile: Profile, reading: Reading, at: Place) -> None:
    form = profile.content.form
    _distinct(reader, [each.name for each in reading.fields], (*at, "field"))
    if reading.match and form == "binary":
        reader.complain((*at, "match"), "binary frames have no text", "leave it out")
    if reading.channel is not None and form != "obis":
        reader.complain((*at, "channel"), "only OBIS codes have channels", "leave it out")
    if reading.stamp is not None:
        _source(reader, form, (*at, "stamp"))
    for number in range(len(reading.require)):
        _source(reader, form, (*at, "require", number))
    for number, field in enumerate(reading.fields):
        here = (*at, "field", number)
        if form == "binary":
            _binary(reader, field, here, profile.frame)
        else:
            _source(reader, form, here)
            if field.type in BINARY_TYPES or field.at is not None:
                remedy = "write decimal, integer, hex, text, hex_text or degrees_minutes"
                reader.complain((*here, "type"), "is a type of binary frames", remedy)
        _unit(reader, field, here)


def _binary(reader: Reader, field: Field, at: Place, frame: Frame) -> None:
    if field.type not in BINARY_TYPES or field.at is None:
        remedy = f"write at and a type: {', '.join(BINARY_TYPES)}"
        reader.complain((*at, "type"), "does not say where and what a number is", remedy)
    elif field.at + WIDTHS[field.type] > (frame.bytes or frame.max_bytes) - frame.tail_bytes:
        reader.complain((*at, "at"), "lies behind the frame's end", "mend it, or max_bytes")
    for key in ("obis", "index", "key", "pattern", "part", "unit_index", "sign_index"):
        if reader.has((*at, key)):
            reader.complain((*at, key), "is of text telegrams", "leave it out")


def _source(reader: Reader, form: str, at: Place) -> None:
    """One of the keys that fit the content says where the text stands."""
    fitting = [*_KEYS[form], "pattern"]
    written = [key for key in ("obis", "index", "key", "pattern") if reader.has((*at, key))]
    if len(written) != 1 or written[0] not in fitting:
        told = " and ".join(written) or "nothing"
        problem = f"{told} says where it stands in content of form {form}"
        reader.complain(at, problem, f"write {' or '.join(fitting)}")


def _unit(reader: Reader, field: Field, at: Place) -> None:
    if not field.unit:
        return
    if ending(field.name) not in ENDINGS:
        known = ", ".join(f"_{each}" for each in ENDINGS)
        problem = f"{shown(field.name)} ends in no unit that {shown(field.unit)} converts to"
        reader.complain((*at, "name"), problem, f"let it end in one of {known}")
    elif conversion(field.unit, field.name) is None:
        problem = f"{shown(field.unit)} does not convert to _{ending(field.name)}"
        reader.complain((*at, "unit"), problem, "write a unit of the same quantity")


def _distinct(reader: Reader, given: Sequence[str], at: Place) -> None:
    for number, name in enumerate(given):
        if name in given[:number]:
            problem = f"{shown(name)} stands there already"
            reader.complain((*at, number, "name"), problem, "write another one")
