"""Texts and bytes of a telegram as values, in the unit that their name ends in; pure."""

from __future__ import annotations

import math
import re
import struct
from decimal import Decimal

from kerbline.config.telegram import INTEGERS, Field
from kerbline.config.units import conversion
from kerbline.model import Value

MAX_TEXT = 128  # DSMR P1 5.0.2, 6.12: an identifier has up to 48 octets, as 96 digits
MAX_UNITS = 64
DEGREE_DIGITS = 7  # a centimetre
# More digits than any meter has: what is longer is no number
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_HEX = re.compile(r"[0-9A-Fa-f]{1,16}")
_ANGLE = re.compile(r"([0-9]{1,3})([0-9]{2}(?:\.[0-9]{0,8})?)")  # NMEA 0183: dddmm.mmmm
_OCTETS = re.compile(r"(?:[0-9A-Fa-f]{2}){1,64}")


class WrongValue(ValueError):
    """A text that is none of its type; the text is the quality flag."""


class Number:
    """How one field becomes a value; made once for a profile."""

    __slots__ = ("_factors", "_field", "_offset", "_plain", "_scale")

    def __init__(self, field: Field) -> None:
        self._field = field
        self._scale = Decimal(repr(field.scale)).normalize()
        self._offset = Decimal(repr(field.offset)).normalize()
        self._plain = field.scale == 1 and field.offset == 0
        self._factors: dict[str, Decimal | None] = {}

    def of_text(self, text: str, unit: str, sign: str) -> Value:
        """The value of a text that is not empty; raises WrongValue."""
        field = self._field
        if field.states is not None:
            return self._state(text)
        match field.type:
            case "decimal":
                return self._scaled(_decimal(_DECIMAL, text), unit or field.unit)
            case "integer":
                return self._scaled(_decimal(_INTEGER, text), unit or field.unit)
            case "hex":
                if not _HEX.fullmatch(text):
                    raise WrongValue("malformed")
                return self._scaled(Decimal(int(text, 16)), unit or field.unit)
            case "degrees_minutes":
                return _degrees(text, sign)
            case "hex_text":
                if not _OCTETS.fullmatch(text):
                    raise WrongValue("malformed")
                return _printable(bytes.fromhex(text).decode("latin-1"))
            case _:
                return _printable(text)

    def of_bytes(self, raw: bytes, *, big: bool) -> Value:
        """The value of as many bytes as the type has; raises WrongValue."""
        field = self._field
        if field.type == "float32":
            (number,) = struct.unpack(">f" if big else "<f", raw)
            if not math.isfinite(number):
                raise WrongValue("not_a_number")
            return float(number) * field.scale + field.offset
        _, signed = INTEGERS[field.type]
        whole = int.from_bytes(raw, "big" if big else "little", signed=signed)
        if field.states is not None:
            return self._state(str(whole))
        return self._scaled(Decimal(whole), field.unit)

    def _state(self, text: str) -> Value:
        states = self._field.states or {}
        if text not in states:
            raise WrongValue("malformed")
        number = float(states[text])
        return int(number) if number.is_integer() else number

    def _scaled(self, number: Decimal, unit: str) -> int | float:
        """Whole where the device's digits and the factor leave nothing behind the point."""
        if unit:
            factor = self._factor(unit)
            if factor is None:
                raise WrongValue("unit")
            number *= factor
        if not self._plain:
            number = number * self._scale + self._offset
        exponent = number.as_tuple().exponent
        return int(number) if isinstance(exponent, int) and exponent >= 0 else float(number)

    def _factor(self, unit: str) -> Decimal | None:
        if unit not in self._factors:
            factor = conversion(unit, self._field.name)
            if len(self._factors) >= MAX_UNITS:  # a unit is a peer's text
                return factor and factor.normalize()
            self._factors[unit] = factor and factor.normalize()
        return self._factors[unit]


def _decimal(form: re.Pattern[str], text: str) -> Decimal:
    if not form.fullmatch(text):
        raise WrongValue("malformed")
    return Decimal(text)


def _degrees(text: str, sign: str) -> float:
    found = _ANGLE.fullmatch(text)
    if found is None or sign not in ("N", "E", "S", "W") or float(found[2]) >= 60:
        raise WrongValue("malformed")
    degrees = round(int(found[1]) + float(found[2]) / 60, DEGREE_DIGITS)
    return -degrees if sign in ("S", "W") else degrees


def _printable(text: str) -> str:
    """A peer's text: bounded, and nothing in it that is no letter."""
    if not text.isprintable() or len(text) > MAX_TEXT:
        raise WrongValue("malformed")
    return text
