"""What has happened on the street so far, read from the logs of those who saw it.

Levels and record numbers come from the nodes' own logs, the rest from the MQTT subscriber: the
view shows what was, not what was planned.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Key = tuple[str, int, int]
ANCHOR = "anchor"  # a node's word on the time: kept by the gateway, never published
EVENTS_SHOWN = 200


class Tail:
    """A growing log of JSON lines; `new` gives each line once it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._rest = b""

    def new(self) -> Iterator[dict[str, Any]]:
        """The lines since the last call; what is no JSON is passed over."""
        with suppress(FileNotFoundError), self._path.open("rb") as log:
            log.seek(self._at)
            data = log.read()
            self._at += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                with suppress(ValueError):
                    yield json.loads(line)


@dataclass(slots=True)
class Scene:
    """The street as it is known now; `events` are lines in plain words with their second."""

    names: Mapping[str, str]  # node id: asset
    began: float = field(default_factory=time.monotonic)
    levels: dict[str, int] = field(default_factory=dict)  # asset: physical level, %
    values: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # asset: last published
    up: set[str] = field(default_factory=set)  # nodes with power
    leaking: set[str] = field(default_factory=set)  # meters with an alarm
    made: set[Key] = field(default_factory=set)
    published: set[Key] = field(default_factory=set)
    gone: list[tuple[str, int, int, int]] = field(default_factory=list)  # node, epoch, first, last
    asked: set[str] = field(default_factory=set)  # ids of the operator's commands
    results: dict[str, str] = field(default_factory=dict)  # command id: its final state
    broker_up: bool = True
    gateway_online: bool = False
    status: Mapping[str, Any] = field(default_factory=dict)  # the gateway's last
    events: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=EVENTS_SHOWN))
    said: int = 0  # events so far, those forgotten too

    @property
    def waiting(self) -> int:
        """Records made, not yet with the subscriber, and not declared gone."""
        return sum(not self._is_gone(key) for key in self.made - self.published)

    def say(self, text: str) -> None:
        """Adds a line to the story."""
        self.events.append((time.monotonic() - self.began, text))
        self.said += 1

    def saw_made(self, line: Mapping[str, Any]) -> None:
        """Takes a line of a node's log."""
        node = line["node"]
        if line["t"] == "made" and line["kind"] != ANCHOR:
            self.made.add((node, line["epoch"], line["rseq"]))
        elif line["t"] == "level":
            self.levels[self.names[node]] = line["pct"]
        elif line["t"] == "boot":
            self.up.add(node)

    def saw_published(self, line: Mapping[str, Any]) -> None:
        """Takes a message as the subscriber got it."""
        *_, asset, last = line["topic"].split("/")
        payload = json.loads(line["payload"])
        if last == "readings":
            for reading in payload["readings"]:
                self._reading(payload, reading)
        elif last == "gap" and payload["last"] is not None:
            first, end = payload["first"], payload["last"]
            self.gone.append((payload["source"], payload["epoch"], first, end))
            who = self.names.get(payload["source"], payload["source"])
            self.say(
                f"{who} declares: numbers {first} to {end} will never come ({payload['reason']})"
            )
        elif last == "alarm":
            self._alarm(asset, payload)
        elif last == "result" and payload["id"] in self.asked - set(self.results):
            if payload["state"] not in ("PENDING", "DELIVERED"):
                self.results[payload["id"]] = payload["state"]
                self.say(
                    f"{asset} answers the operator: {payload['state']} {payload['reason']}".rstrip()
                )
        elif last == "status" and payload != self.status:  # retained: an old one comes again
            self.status = payload
            self.gateway_online = payload["state"] == "online"

    def _reading(self, message: Mapping[str, Any], reading: Mapping[str, Any]) -> None:
        source, asset = message["source"], message["asset"]
        if reading["kind"] != "event":
            # a Modbus reading has what changed
            self.values[asset] = {**self.values.get(asset, {}), **reading["values"]}
        if source in self.names:  # else it is bridged
            self.published.add((source, message["epoch"], reading["n"]))

    def _alarm(self, asset: str, alarm: Mapping[str, Any]) -> None:
        if alarm["rule"] != "continuous_flow":
            self.say(f"alarm at {asset}: {alarm['rule']}")
        elif alarm["active"] and asset not in self.leaking:
            self.leaking.add(asset)
            why = alarm["evidence"]
            self.say(
                f"LEAK at {asset}: not one rest in {why['never_rested_h']} h, "
                f"at least {why['smallest_flow_lph']} L/h, {why['lost_l']} L lost so far"
            )
        elif not alarm["active"]:
            self.leaking.discard(asset)
            self.say(f"{asset} has rested: the leak alarm is cleared")

    def _is_gone(self, key: Key) -> bool:
        node, epoch, number = key
        return any((node, epoch) == gap[:2] and gap[2] <= number <= gap[3] for gap in self.gone)
