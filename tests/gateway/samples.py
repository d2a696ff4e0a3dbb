"""Entries to store and publish."""

from __future__ import annotations

from kerbline.model import Alarm, Command, Entry, Gap, Key, Reading, Severity
from kerbline.store import Store

EPOCH = 7
T0_MS = 1_790_000_000_000


def reading(number: int, source: str = "sl-1", kind: str = "streetlight", **more: float) -> Reading:
    """A report of a streetlight, whose energy tells its number."""
    values = {
        "level_pct": 30,
        "power_w": 24.5,
        "energy_wh": number,
        "lamp_hours": 12,
        "temperature_c": 14,
        "status": 0,
        **more,
    }
    key = Key(source, EPOCH, number)
    return Reading(key, f"of-{source}", kind, T0_MS + number, 50, values, (), T0_MS)


def gap(first: int, last: int | None, reason: str = "power", source: str = "sl-1") -> Gap:
    """A gap in the log of `source`."""
    return Gap(source, EPOCH, first, last, reason, T0_MS)


def alarm(number: int) -> Alarm:
    """A finding of the gateway's leak rule."""
    key = Key("gw-1", 1, number)
    return Alarm(
        key,
        "meter-2",
        "continuous_flow",
        active=True,
        severity=Severity.WARNING,
        observed_at_ms=T0_MS,
    )


def command(name: str, level: int = 60, expires_at_ms: int = T0_MS + 60_000) -> Command:
    """An order to a lamp."""
    return Command(name, "lamp-1", "set_level", {"level_pct": level}, expires_at_ms, "mqtt")


def stored(store: Store, after: int = 0) -> list[Entry]:
    """Everything in the log after a batch, in order."""
    return [entry for batch in store.read(after, 1_000_000) for entry in batch.entries]


def numbers(entries: list[Entry], source: str = "sl-1") -> list[int]:
    """The record numbers of the readings of a source, in order."""
    return [e.key.number for e in entries if isinstance(e, Reading) and e.key.source == source]
