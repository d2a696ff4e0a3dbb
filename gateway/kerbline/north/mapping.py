"""What an entry looks like to the city: topic and JSON payload. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from kerbline.model import ANCHOR_KIND, Alarm, CommandResult, Entry, Gap, Key, Reading
from kerbline.north.port import Message
from kerbline.north.topics import Topics

READINGS_PER_MESSAGE = 50
LATEST_MS = 253_402_300_799_999  # the last moment of the year 9999


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message with the keys of the entries that it delivers (a gap has none)."""

    message: Message
    keys: tuple[Key, ...] = ()


class Mapper:
    """Turns entries into messages for one gateway's topics."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def outgoing(self, entries: Iterable[Entry]) -> list[Outgoing]:
        """All entries as messages, up to 50 readings of one source, epoch and asset in each."""
        groups: dict[tuple[str, int, str], list[Reading]] = {}
        messages = []
        for entry in entries:
            if isinstance(entry, Reading):
                if entry.kind == ANCHOR_KIND:
                    continue  # what dates a node's records is nobody's but ours
                name = (entry.key.source, entry.key.epoch, entry.asset)
                groups.setdefault(name, []).append(entry)
            elif isinstance(entry, Gap):
                messages.append(self._gap(entry))
            else:
                messages.append(self._alarm(entry))
        for readings in groups.values():
            for start in range(0, len(readings), READINGS_PER_MESSAGE):
                messages.append(self._readings(readings[start : start + READINGS_PER_MESSAGE]))
        return messages

    def result(self, result: CommandResult) -> Outgoing:
        """What became of a command."""
        payload = {
            "id": result.command_id,
            "asset": result.asset,
            "state": result.state,
            "reason": result.reason,
            "at": rfc3339(result.at_ms),
        }
        return Outgoing(Message(self._topics.result(result.asset), orjson.dumps(payload)))

    def status(self, state: str, at_ms: int | None) -> Message:
        """Whether the gateway is there: "online" or "offline"; a will can't know when."""
        payload = {"state": state, "at": None if at_ms is None else rfc3339(at_ms)}
        return Message(self._topics.status, orjson.dumps(payload), retained=True)

    def _readings(self, readings: Sequence[Reading]) -> Outgoing:
        key = readings[0].key
        numbers = [reading.key.number for reading in readings]
        payload = {
            "source": key.source,
            "asset": readings[0].asset,
            "epoch": key.epoch,
            "first": min(numbers),
            "last": max(numbers),
            "readings": [
                {
                    "n": reading.key.number,
                    "kind": reading.kind,
                    "observed_at": rfc3339(reading.observed_at_ms),
                    "uncertainty_ms": reading.uncertainty_ms,
                    "values": reading.values,
                    "quality": reading.quality,
                }
                for reading in readings
            ],
        }
        message = Message(self._topics.readings(key.source), orjson.dumps(payload, default=dict))
        return Outgoing(message, tuple([reading.key for reading in readings]))

    def _gap(self, gap: Gap) -> Outgoing:
        payload = {
            "source": gap.source,
            "epoch": gap.epoch,
            "first": gap.first,
            "last": gap.last,
            "reason": gap.reason,
            "declared_at": rfc3339(gap.declared_at_ms),
        }
        return Outgoing(Message(self._topics.gap(gap.source), orjson.dumps(payload)))

    def _alarm(self, alarm: Alarm) -> Outgoing:
        payload = {
            "source": alarm.key.source,
            "epoch": alarm.key.epoch,
            "n": alarm.key.number,
            "asset": alarm.asset,
            "rule": alarm.rule,
            "active": alarm.active,
            "severity": alarm.severity,
            "observed_at": rfc3339(alarm.observed_at_ms),
            "evidence": alarm.evidence,
        }
        message = Message(self._topics.alarm(alarm.asset), orjson.dumps(payload, default=dict))
        return Outgoing(message, (alarm.key,))


def rfc3339(utc_ms: int) -> str:
    """UTC in milliseconds since 1970 as `2026-01-31T12:00:00.000Z`; clipped to 1970..9999."""
    seconds, ms = divmod(min(max(utc_ms, 0), LATEST_MS), 1000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{ms:03d}Z"
