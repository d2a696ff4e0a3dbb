"""From a telegram to the values of each asset in it, by its profile; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kerbline.config.telegram import WIDTHS, Content, Field, Frame, Profile, Reading, Source
from kerbline.model import Value
from kerbline.south.serial.numbers import Number, WrongValue

CHANNELS = range(1, 10)  # M-Bus devices behind a meter: DSMR P1 5.0.2, 6.12 has four
NO_CHANNEL = 0
MAX_PARTS = 2_000  # values of one telegram that are looked at
_OBIS = re.compile(
    r"([^()\r\n]{0,64})\(([^()]{0,2048})\)"
)  # IEC 62056-21, 6.5: address(value*unit)


@dataclass(slots=True)
class Decoded:
    """What a telegram says to one reading of its profile."""

    reading: Reading
    channel: int = NO_CHANNEL
    values: dict[str, Value] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    time: str | None = None  # as the device writes it; None: it tells none
    date: str = ""


class Text:
    """The parts of a text telegram, found once."""

    __slots__ = ("_by_code", "_columns", "_pairs", "body")

    def __init__(self, body: str, content: Content) -> None:
        self.body = body
        self._by_code: Mapping[str, Sequence[str]] = {}
        self._columns: Sequence[str] = ()
        self._pairs: Mapping[str, str] = {}
        if content.form == "obis":
            self._by_code = _codes(body)
        elif content.form == "separated":
            self._columns = body.split(content.separator, MAX_PARTS)
        elif content.form == "pairs":
            cut = (part.partition(content.equals) for part in body.split(content.separator))
            self._pairs = {key.strip(): value.strip() for key, _, value in cut}

    def column(self, index: int | None) -> str:
        """The text between two separators; empty where there is none."""
        if index is None or index >= len(self._columns):
            return ""
        return self._columns[index].strip()

    def get(self, source: Source, channel: int) -> str:
        """What stands where `source` says; empty where nothing does."""
        if source.obis is not None:
            return self.code(source.obis, channel, source.part)
        if source.index is not None:
            return self.column(source.index)
        if source.key is not None:
            return self._pairs.get(source.key, "")
        found = re.search(source.pattern or "", self.body)
        if found is None:
            return ""
        return (found[1] if found.re.groups else found[0]) or ""

    def code(self, obis: str, channel: int, part: int | None = None) -> str:
        """A value of an OBIS code, or of the first that is there: that part of it, or the last.

        A meter may leave medium and channel out: 1-0:1.8.0 is 1.8.0 (IEC 62056-61, annex A).
        """
        parts: Sequence[str] = ()
        for code in obis.replace("{n}", str(channel)).split("|"):
            parts = self._by_code.get(code) or self._by_code.get(code.partition(":")[2], ())
            if parts:
                break
        if part is None:
            return parts[-1].strip() if parts else ""
        return parts[part - 1].strip() if part <= len(parts) else ""


def _codes(body: str) -> dict[str, list[str]]:
    """Each code with its values; a value without a code belongs to the code before it.

    1-0:1.8.0*255 is the present value, 1-0:1.8.0*01 an earlier one, and a code of its own.
    """
    found: dict[str, list[str]] = {}
    parts: list[str] = []
    for number, match in enumerate(_OBIS.finditer(body)):
        if number >= MAX_PARTS:
            break
        code = match[1].strip().removesuffix("*255")
        if code:
            parts = []
            found.setdefault(code, parts)
        parts.append(match[2])
    return found


class Decoder:
    """Decodes the telegrams of one profile."""

    __slots__ = ("_content", "_frame", "_numbers", "_readings")

    def __init__(self, profile: Profile) -> None:
        self._frame = profile.frame
        self._content = profile.content
        self._readings = profile.readings
        self._numbers = {
            (reading.name, each.name): Number(each)
            for reading in profile.readings
            for each in reading.fields
        }

    def decode(self, telegram: bytes) -> list[Decoded]:
        """What the telegram says, each reading and channel apart; empty if it is not for us."""
        if self._content.form == "binary":
            length = self._frame.length
            if length is not None and len(telegram) + self._frame.tail_bytes < length.least:
                return []
            every = (self._of_bytes(reading, telegram) for reading in self._readings)
            return [each for each in every if each.values or each.flags]
        body = _body(telegram, self._frame).decode("latin-1")
        text = Text(body, self._content)
        return [
            decoded
            for reading in self._readings
            if not reading.match or re.search(reading.match, body)
            for channel in _channels(reading, text)
            if (decoded := self._of_text(reading, channel, text)) is not None
        ]

    def _of_text(self, reading: Reading, channel: int, text: Text) -> Decoded | None:
        decoded = Decoded(reading, channel)
        if reading.stamp is not None:
            decoded.time = text.get(reading.stamp, channel) or None
            decoded.date = text.column(reading.stamp.date_index)
        failed = [
            each.flag for each in reading.require if text.get(each, channel) not in each.values
        ]
        if failed:
            decoded.flags.update(failed)
            return decoded
        for each in reading.fields:
            self._take(decoded, each, text)
        # a channel that somebody put into the meter and that never told anything
        return decoded if decoded.values or decoded.flags or decoded.time else None

    def _take(self, decoded: Decoded, each: Field, text: Text) -> None:
        told = text.get(each, decoded.channel)
        unit = text.column(each.unit_index)
        if each.obis is not None:
            told, _, unit = told.partition("*")
        if not told:
            if each.required:
                decoded.flags.add("missing")
            return
        sign = text.column(each.sign_index)
        number = self._numbers[decoded.reading.name, each.name]
        try:
            decoded.values[each.name] = number.of_text(told, unit, sign)
        except WrongValue as wrong:
            decoded.flags.add(str(wrong))

    def _of_bytes(self, reading: Reading, telegram: bytes) -> Decoded:
        decoded = Decoded(reading)
        for each in reading.fields:
            assert each.at is not None
            raw = telegram[each.at : each.at + WIDTHS[each.type]]
            if len(raw) < WIDTHS[each.type]:  # a shorter frame of the same family
                if each.required:
                    decoded.flags.add("missing")
                continue
            number = self._numbers[reading.name, each.name]
            big = (each.byte_order or self._frame.byte_order) == "high_first"
            try:
                decoded.values[each.name] = number.of_bytes(raw, big=big)
            except WrongValue as wrong:
                decoded.flags.add(str(wrong))
        return decoded


def _body(telegram: bytes, frame: Frame) -> bytes:
    return telegram[len(frame.start) : len(telegram) - len(frame.end)]


def _channels(reading: Reading, text: Text) -> Iterator[int]:
    if reading.channel is None:
        yield NO_CHANNEL
        return
    for channel in CHANNELS:
        if text.code(reading.channel.obis, channel) in reading.channel.values:
            yield channel
