"""The time that a telegram tells of itself, as milliseconds since 1970; pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

DAY_MS = 86_400_000
SUMMER_MIN = 60
# DSMR P1 5.0.2, 6.4: YYMMDDhhmmssX, X is S in summer time and W in winter time
_DSMR = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([SW])")
_TIME = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})(?:\.([0-9]{1,6}))?")  # NMEA 0183: hhmmss.ss
_DATE = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})")  # NMEA 0183, RMC: ddmmyy


def dsmr(text: str, zone_min: int) -> int | None:
    """A meter's local time, which says itself whether it is summer time; None if it is no time."""
    found = _DSMR.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    zone = timezone(timedelta(minutes=zone_min + SUMMER_MIN * (found[7] == "S")))
    return _ms((2000 + year, month, day), (hour, minute, second), 0, zone)


def nmea(time: str, date: str, now_ms: int) -> int | None:
    """UTC of a sentence; without a date the day that brings it nearest to `now_ms`."""
    found, dated = _TIME.fullmatch(time), _DATE.fullmatch(date)
    if found is None or (date and dated is None):
        return None
    hour, minute, second = (int(part) for part in found.groups()[:3])
    thousandths = int((found[4] or "0").ljust(3, "0")[:3])
    if dated is not None:
        day, month, year = (int(part) for part in dated.groups())
        return _ms((2000 + year, month, day), (hour, minute, second), thousandths, UTC)
    of_day_ms = _ms((1970, 1, 1), (hour, minute, second), thousandths, UTC)
    if of_day_ms is None:
        return None
    days = (now_ms - of_day_ms + DAY_MS // 2) // DAY_MS
    return days * DAY_MS + of_day_ms


def _ms(
    date: tuple[int, int, int], time: tuple[int, int, int], thousandths: int, zone: timezone
) -> int | None:
    try:
        moment = datetime(*date, *time, tzinfo=zone)
    except ValueError:  # month 25: a meter's way to say that it has none
        return None
    return int(moment.timestamp()) * 1_000 + thousandths
