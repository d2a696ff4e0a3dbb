"""The files of a simulated street: STREET.toml, and EVENTS.csv of those who come along.

Everything is judged before anything runs. Events are read line by line, in any order, and kept by
the night that they belong to; a file may be larger than memory.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

from kerbline.config import document
from kerbline.config.faults import Complaint, ConfigFault, Fault, shown
from kerbline.config.reader import STRANGE
from kerbline.config.rules import Between

DAY_S = 86_400
COLUMNS = ("t_s", "kind", "speed_mps", "enter_m", "direction")
KINDS = ("vehicle", "cyclist", "pedestrian")
SLOWEST_MPS, FASTEST_MPS = 0.1, 60.0  # what the gateway counts on, too
SAME_M = 0.001  # of a length that was rounded
LONGEST_LINE = 1000
MOST_FAULTS = 20  # that are told
KEPT = 20_000  # events in memory before they go to their nights' files
FIELDS = 4  # numbers that an event has there
FIRST_YEAR, LAST_YEAR = 1970, 2099


class Moment:
    """A time with its date, UTC where nothing else is said."""

    __slots__ = ()

    def judge(self, value: object) -> Complaint | None:
        """Of a TOML date and time, a date, or the same as a text."""
        try:
            year = utc(value).year
        except (ValueError, OverflowError):
            return Complaint(f"{shown(value)} is no time", "write start = 2026-01-31T12:00:00Z")
        if FIRST_YEAR <= year <= LAST_YEAR:
            return None
        return Complaint(f"the year {year} is out of range", f"write {FIRST_YEAR} to {LAST_YEAR}")


def utc(value: object) -> datetime:
    """What `start` says; ValueError where it is no time."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, date):
        raise ValueError
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Street:
    """[street] of STREET.toml: lamps in a row, lamp i at i x spacing_m, and the messages' line."""

    latitude: Annotated[float, Between(-90, 90)]
    longitude: Annotated[float, Between(-180, 180)]
    start: Annotated[object, Moment()]
    days: Annotated[float, Between(0.001, 36_525)]
    lamps: Annotated[int, Between(1, 1000)]
    spacing_m: Annotated[float, Between(1, 1000)]
    lamp_w: Annotated[float, Between(0.1, 10_000)]
    standby_fraction: Annotated[float, Between(0, 1)]
    full_pct: Annotated[float, Between(1, 100)]
    floor_pct: Annotated[float, Between(0, 100)]
    sensor_range_m: Annotated[float, Between(0.1, 1000)]
    latency_ms: Annotated[float, Between(0, 60_000)]
    loss: Annotated[float, Between(0, 1)]

    @property
    def start_s(self) -> int:
        """The start in seconds since 1970; a part of one is dropped."""
        return int(utc(self.start).timestamp())

    @property
    def end_s(self) -> float:
        """The end in seconds from the start."""
        return self.days * DAY_S

    @property
    def last_lamp_m(self) -> float:
        """Where the last lamp stands."""
        return (self.lamps - 1) * self.spacing_m

    @property
    def full(self) -> int:
        """The level in whole percent that is no less than `full_pct`."""
        return math.ceil(self.full_pct)

    @property
    def floor(self) -> int:
        """The level in whole percent that is no less than `floor_pct`."""
        return math.ceil(self.floor_pct)


@dataclass(frozen=True, slots=True)
class File:
    """STREET.toml."""

    street: Street


def read_street(path: Path) -> tuple[Street, tuple[str, ...]]:
    """The street and what of its file is passed over; raises ConfigFault with every fault."""
    reader, table = document.opened(path)
    file = reader.section(File, table)
    faults = [fault for fault in reader.faults if fault.problem != STRANGE]
    if faults:
        raise ConfigFault(faults)
    assert isinstance(file, File)
    street = file.street
    if street.floor_pct > street.full_pct:
        reader.complain(
            ("street", "floor_pct"),
            f"{street.floor_pct:g} is above full_pct, {street.full_pct:g}",
            "write a floor of full_pct at most",
        )
        raise ConfigFault([reader.faults[-1]])
    return street, tuple(f"{fault}; it is passed over" for fault in reader.faults)


class Person(NamedTuple):
    """Somebody on the way along the street: seconds from its start, metres from its lamp 0."""

    t_s: float
    speed_mps: float
    enter_m: float
    direction: int

    def way_m(self, length_m: float) -> float:
        """What is before it when it enters."""
        return length_m - self.enter_m if self.direction > 0 else self.enter_m


@dataclass(frozen=True, slots=True)
class Events:
    """What was read of EVENTS.csv."""

    length_m: float  # of the street: to where somebody enters it, or as far as it may be
    count: int
    in_the_dark: int


class Nights:
    """Events in files of a folder, one file for each of some sorted, disjoint spans of time."""

    def __init__(self, folder: Path, spans: Sequence[tuple[float, float]]):
        self._folder = folder
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]
        self._held: dict[int, array[float]] = {}
        self._count = 0
        self.kept = 0

    def add(self, person: Person, gone_s: float) -> None:
        """Keep somebody who is there until `gone_s` in each span that this meets."""
        first = bisect_left(self._ends, person.t_s)
        if first == len(self._ends) or self._starts[first] > gone_s:
            return
        self.kept += 1
        while first < len(self._ends) and self._starts[first] <= gone_s:
            self._held.setdefault(first, array("d")).extend(person)
            self._count += 1
            first += 1
        if self._count >= KEPT:
            self.flush()

    def flush(self) -> None:
        """To the files."""
        for night, numbers in self._held.items():
            with (self._folder / f"{night}.events").open("ab") as file:
                numbers.tofile(file)
        self._held.clear()
        self._count = 0


def people(folder: Path, night: int) -> list[Person]:
    """Those of one span, in order of time."""
    path = folder / f"{night}.events"
    if not path.exists():
        return []
    numbers = array("d")
    numbers.frombytes(path.read_bytes())
    rows = zip(*(iter(numbers),) * FIELDS, strict=True)
    return sorted(Person(t_s, mps, enter_m, int(side)) for t_s, mps, enter_m, side in rows)


def read_events(path: Path, street: Street, nights: Nights) -> Events:
    """Sorts the file's events into their nights; raises ConfigFault with the first faults."""
    if path.exists() and not path.is_file():
        fault = Fault(str(path), 0, "", "this is not a file", "write the path of a CSV file")
        raise ConfigFault([fault])
    faults: list[Fault] = []
    count = 0
    ends_m: set[float] = set()  # told by those who come from there
    with path.open("rb") as stream:
        lines = _lines(path, stream)
        order = _header(path, next(lines, ""))
        for line, text in enumerate(lines, 2):
            if not text:
                continue
            person = _event(text.split(","), order, street)
            if isinstance(person, Person):
                count += 1
                if person.direction < 0:
                    ends_m.add(person.enter_m)
                # Whoever ends a street of unknown length is there for as long as it may be.
                most_m = street.lamps * street.spacing_m
                nights.add(person, person.t_s + person.way_m(most_m) / person.speed_mps)
                continue
            faults.append(Fault(str(path), line, *person))
            if len(faults) == MOST_FAULTS:
                break
    if faults:
        raise ConfigFault(faults)
    nights.flush()
    longest_m = street.last_lamp_m + street.spacing_m
    return Events(max(ends_m, default=longest_m), count, nights.kept)


def _lines(path: Path, stream: BinaryIO) -> Iterator[str]:
    """Lines without their end and without blanks; a strange one raises ConfigFault."""
    for number, raw in enumerate(iter(lambda: stream.readline(LONGEST_LINE + 1), b""), 1):
        if len(raw) > LONGEST_LINE:
            problem, remedy = "a line of thousands of signs", "write one event a line"
            raise ConfigFault([Fault(str(path), number, "", problem, remedy)])
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            fault = Fault(str(path), number, "", "this is not UTF-8", "save the file as UTF-8")
            raise ConfigFault([fault]) from None
        yield text.strip().replace(" ", "")


def _header(path: Path, text: str) -> tuple[int, ...]:
    """In which column each of COLUMNS stands."""
    names = [name.strip('"') for name in text.split(",")]
    missing = [name for name in COLUMNS if names.count(name) != 1]
    if missing:
        problem = "is not a column" if names.count(missing[0]) == 0 else "is more than one column"
        remedy = f"write a first line with {', '.join(COLUMNS)}"
        raise ConfigFault([Fault(str(path), 1, missing[0], problem, remedy)])
    return tuple(names.index(name) for name in COLUMNS)


def _event(
    cells: list[str], order: tuple[int, ...], street: Street
) -> Person | tuple[str, str, str]:
    """A line's event, or key, problem and remedy."""
    if len(cells) <= max(order):
        return "", f"{len(cells)} cells where {max(order) + 1} belong", "write one event a line"
    t_text, kind, speed_text, enter_text, side_text = (cells[at].strip('"') for at in order)
    t_s, speed_mps = _number(t_text), _number(speed_text)
    enter_m, side = _number(enter_text), _number(side_text)
    if t_s is None or not 0 <= t_s < street.end_s:
        late = t_s is not None and t_s >= street.end_s
        problem = "is after the end of the run" if late else "is no time from the start on"
        remedy = f"write 0 to below {street.end_s:g} seconds"
        return "t_s", f"{shown(t_text)} {problem}", f"{remedy}, or raise days of the street"
    if kind not in KINDS:
        return "kind", f"{shown(kind)} is not known", f"write one of {', '.join(KINDS)}"
    if speed_mps is None or not SLOWEST_MPS <= speed_mps <= FASTEST_MPS:
        remedy = f"write metres per second, {SLOWEST_MPS:g} to {FASTEST_MPS:g}"
        return "speed_mps", f"{shown(speed_text)} is no speed", remedy
    if side not in (1, -1):
        return "direction", f"{shown(side_text)} is no direction", "write 1 or -1"
    end_m = street.last_lamp_m
    # Its end is the last lamp; some mean by it one spacing more.
    ends = (0.0,) if side > 0 else (end_m, end_m + street.spacing_m)
    if enter_m is None or min(abs(enter_m - end) for end in ends) > SAME_M:
        wanted = f"write {ends[0]:g}" + (", where lamp 0 stands" if side > 0 else ", the length")
        return "enter_m", f"{shown(enter_text)} is no end to come from here", wanted
    return Person(t_s, speed_mps, max(enter_m, 0.0), int(side))


def _number(text: str) -> float | None:
    """A finite number as a CSV file has it."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None
