"""The witness of a simulated street: counts what was made, stored and published, key by key.

Stands alone on purpose (standard library and paho-mqtt, nothing of kerbline): it has its own
table of record fields, its own street clock and its own idea of what a loss is. Usage:

    witness.py listen --port 1883 --prefix kerbline --out published.jsonl
    witness.py send   --port 1883 --topic kerbline/gw/lamp-1/command --payload '{"id": ...}'
    witness.py count  --worlds nodes/*/world.json --published published.jsonl --store store.db
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

Key = tuple[str, int, int]  # node, log epoch, record number
Content = tuple[object, ...]  # kind, then the values as the node's whole numbers

CUT_NUMBERS = 64  # what one power cut may cost in record numbers
BRIGHT_PCT = 90
FOLLOW_MS = 1000
AHEAD_MS = 200  # seen 10 m off, at 50 km/h and more, no lamp that rises in 0.9 s is bright so early
FIELDS = {  # in the order in which a node gives its values
    "streetlight": "level_pct power_w energy_wh lamp_hours temperature_c status uptime_s",
    "water_meter": "volume_l flow_lph backflow_l battery_mv alarms hourly_l",
    "air_quality": "pm1_ugm3 pm2_5_ugm3 pm10_ugm3 co2_ppm no2_ppb temperature_c humidity_pct"
    " pressure_hpa status",
}
ANCHOR = "anchor"  # a node's own record of the time: kept, never published
TENTHS = {  # fields with one decimal digit, by kind; all others are whole numbers
    "streetlight": "power_w",
    "air_quality": "pm1_ugm3 pm2_5_ugm3 pm10_ugm3 no2_ppb temperature_c humidity_pct pressure_hpa",
}
EVENTS = {
    "boot": 1,
    "motion": 2,
    "motion_clear": 3,
    "lamp_failure": 4,
    "continuous_flow": 5,
    "burst": 6,
    "tamper": 7,
    "sensor_fault": 8,
    "clock_jump": 9,
    "safe_mode": 10,
    "lamp_cycling": 11,
    "day_burner": 12,
    "lamp_restored": 13,
    "backflow": 20,
    "battery_low": 21,
    "fan_failure": 30,
    "sensor_stuck": 31,
}


@dataclass
class Made:
    """What the nodes gave numbers to, from their append-only logs."""

    records: dict[Key, Content] = field(default_factory=dict)
    twice: set[Key] = field(default_factory=set)  # one number given twice
    boots: Counter[str] = field(default_factory=Counter)
    levels: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # (real ms, %)

    def add(self, line: Mapping[str, Any]) -> None:
        """Takes one line of a node's log."""
        node = line["node"]
        if line["t"] == "made" and line["kind"] != ANCHOR:
            key = (node, line["epoch"], line["rseq"])
            if key in self.records:
                self.twice.add(key)
            self.records[key] = (line["kind"], *line["values"])
        elif line["t"] == "level":
            self.levels.setdefault(node, []).append((line["real_ms"], line["pct"]))
        elif line["t"] == "boot":
            self.boots[node] += 1


@dataclass
class Published:
    """What a subscriber got, from its append-only log."""

    records: dict[Key, Content] = field(default_factory=dict)
    raw: Counter[Key] = field(default_factory=Counter)
    changed: set[Key] = field(default_factory=set)  # one key, two contents
    bridged: set[Key] = field(default_factory=set)  # of Modbus devices
    gaps: set[tuple[str, int, int, int | None]] = field(default_factory=set)
    alarms: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)  # (real ms, payload)
    commands: dict[str, tuple[int, Mapping[str, Any]]] = field(default_factory=dict)
    results: dict[str, set[str]] = field(default_factory=dict)  # id: states

    def add(self, line: Mapping[str, Any]) -> None:
        """Takes one message as it came: real_ms, topic, payload."""
        *_, asset, last = line["topic"].split("/")
        if last not in ("readings", "gap", "alarm", "command", "result"):
            return
        payload = json.loads(line["payload"])
        if last == "readings":
            for reading in payload["readings"]:
                self.reading(payload["source"], payload["epoch"], reading)
        elif last == "gap":
            self.gaps.add((payload["source"], payload["epoch"], payload["first"], payload["last"]))
        elif last == "alarm":
            self.alarms.append((line["real_ms"], {"asset": asset, **payload}))
        elif last == "command":
            self.commands.setdefault(payload["id"], (line["real_ms"], {"asset": asset, **payload}))
        else:
            self.results.setdefault(payload["id"], set()).add(payload["state"])

    def reading(self, source: str, epoch: int, reading: Mapping[str, Any]) -> None:
        """Takes one reading of a message."""
        key = (source, epoch, reading["n"])
        content = contents(reading["kind"], reading["values"])
        if self.records.setdefault(key, content) != content:
            self.changed.add(key)
        self.raw[key] += 1
        if reading["kind"] == "modbus":
            self.bridged.add(key)


def contents(kind: str, values: Mapping[str, Any]) -> Content:
    """Published values as the node had them; what fits no table is kept as it is."""
    if kind == "event" and set(values) == {"event", "value"}:
        return (kind, EVENTS.get(values["event"], values["event"]), values["value"])
    fields, tenths = FIELDS.get(kind, "").split(), TENTHS.get(kind, "").split()
    if set(values) != set(fields):
        return (kind, *sorted(values.items()))
    numbers: list[int] = []
    for name in fields:
        several = values[name] if isinstance(values[name], list) else [values[name]]
        numbers += [round(value * (10 if name in tenths else 1)) for value in several]
    return (kind, *numbers)


def stored_records(path: Path) -> list[tuple[Key, Content]]:
    """Every reading in the gateway's store, as often as it lies there; read only."""
    rows = sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute("SELECT body FROM batch")
    entries = (entry for (body,) in rows for entry in json.loads(zlib.decompress(body)))
    return [
        ((e["source"], e["epoch"], e["number"]), contents(e["kind"], e["values"]))
        for e in entries
        if e["type"] == "reading" and e["kind"] != ANCHOR
    ]


def real_ms(clock: Sequence[Sequence[float]], street_ms: float) -> float:
    """When street time gets to `street_ms`; `clock` is rows of real ms, street ms, rate."""
    if not clock:
        return street_ms
    real, street, rate = clock[0]
    if street_ms < street:
        return real + street_ms - street
    for row in clock:
        if row[1] <= street_ms:
            real, street, rate = row
    return real + (street_ms - street) / rate


def passings(world: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    """When each car enters the street and when it passes here, real ms."""
    for enter_ms, enter_m, speed, direction in world["cars"]:
        away_s = (world["position_m"] - enter_m) / (speed * direction)
        clock = world["clock"]
        yield real_ms(clock, enter_ms), real_ms(clock, enter_ms + 1000 * away_s)


def level_at(levels: Iterable[tuple[int, int]], at_ms: float) -> int:
    """The level in force at a real time; 0 before the first one."""
    return ([0] + [pct for since, pct in levels if since <= at_ms])[-1]


def follows(world: Mapping[str, Any], levels: Sequence[tuple[int, int]]) -> bool:
    """Was this lamp dim before each car came, and bright within a second of it?"""
    for entered, passed in passings(world):
        around = [pct for at, pct in levels if abs(at - passed) <= FOLLOW_MS]
        brightest = max(level_at(levels, passed - FOLLOW_MS), *around, 0)
        if level_at(levels, entered) >= BRIGHT_PCT or brightest < BRIGHT_PCT:
            return False
    return True


def obeyed(
    command: Mapping[str, Any], sent: int, levels: Iterable[tuple[int, int]], states: set[str]
) -> bool:
    """Was the command answered OK, and did the lamp get to the level within five seconds?"""
    wanted = command.get("arguments", {}).get("level_pct")
    return "OK" in states and (
        wanted is None or any(pct == wanted and 0 <= at - sent <= 5000 for at, pct in levels)
    )


class Count:
    """The figures, and every fault in words."""

    def __init__(
        self,
        worlds: Mapping[str, Mapping[str, Any]],
        made: Made,
        published: Published,
        stored: Sequence[tuple[Key, Content]],
    ) -> None:
        self.worlds = worlds
        self.made = made
        self.published = published
        self.stored = Counter(key for key, _ in stored)
        self.stored_changed = {
            key for key, content in stored if made.records.get(key, content) != content
        }
        # The gateway declares gaps of its own numbers too; those are not of nodes.
        self.gaps = {gap for gap in published.gaps if gap[0] in self.worlds}
        self.faults: list[str] = []

    def figures(self) -> dict[str, Any]:
        """All numbers of the report; `faults` is empty when all is well."""
        made, published = self.made.records, self.published
        of_nodes = {key for key in published.records if key[0] in self.worlds}
        stored = {key for key in self.stored if key[0] in self.worlds}
        lost = [key for key in made if key not in published.records and not self.in_gap(key)]
        doubled = (
            self.made.twice
            | published.changed
            | self.stored_changed
            | {key for key, times in self.stored.items() if times > 1}
            | {key for key in of_nodes & set(made) if published.records[key] != made[key]}
        )
        self.blame("lost", lost)
        self.blame("doubled, or changed on the way", doubled)
        self.blame("published, but never made", of_nodes - set(made))
        self.blame("published, but not stored", of_nodes - stored)
        self.check_gaps()
        return {
            "readings_made": len(made),
            "readings_stored": len(stored),
            "readings_published": len(of_nodes),
            "declared_gaps": len(self.gaps),
            "lost": len(lost),
            "doubled": len(doubled),
            "redelivered": sum(published.raw[key] - 1 for key in of_nodes),
            "commands_ok": self.commands_ok(),
            "lamps_followed": self.lamps_followed(),
            "lamps_ahead": self.lamps_ahead(),
            "leak_found_s": self.leak_found_s(),
            "bridged": len(published.bridged),
            "power_cuts": sum(boots - 1 for boots in self.made.boots.values()),
            "faults": self.faults,
        }

    def blame(self, what: str, keys: Iterable[Key]) -> None:
        """Notes a fault that these records show."""
        shown = sorted(keys)
        if shown:
            some = ", ".join(f"{node}/{epoch:08x}/{n}" for node, epoch, n in shown[:4])
            self.faults.append(f"{len(shown)} {what}: {some}{' ...' if shown[4:] else ''}")

    def in_gap(self, key: Key) -> bool:
        """Did the gateway say of this number that it will never come?"""
        return any(
            (source, epoch) == key[:2] and first <= key[2] and (last is None or key[2] <= last)
            for source, epoch, first, last in self.gaps
        )

    def check_gaps(self) -> None:
        """A power cut may cost a node 64 numbers; anything beyond is a fault."""
        numbers: dict[str, set[tuple[int, int]]] = {}
        for source, epoch, first, last in self.gaps:
            if last is None or last - first >= CUT_NUMBERS:
                self.faults.append(f"gap of {source} too wide: {first}..{last}")
            else:
                spanned = {(epoch, number) for number in range(first, last + 1)}
                numbers.setdefault(source, set()).update(spanned)
        for source, gone in numbers.items():
            cuts = max(self.made.boots[source] - 1, 0)
            if len(gone) > CUT_NUMBERS * cuts:
                self.faults.append(f"{source} declares {len(gone)} numbers gone in {cuts} cuts")

    def commands_ok(self) -> int:
        """How many of the commands seen were answered OK and done."""
        nodes = {world["asset"]: node for node, world in self.worlds.items()}
        done = 0
        for number, (sent, command) in self.published.commands.items():
            levels = self.made.levels.get(nodes.get(command["asset"], ""), [])
            if obeyed(command, sent, levels, self.published.results.get(number, set())):
                done += 1
            else:
                self.faults.append(f"command {number} was not carried out")
        return done

    def lamps_followed(self) -> bool:
        """Did every lamp follow every car? False when there was none."""
        lamps = {node: world for node, world in self.worlds.items() if world.get("lamp_w")}
        dark = [n for n, world in lamps.items() if not follows(world, self.made.levels.get(n, []))]
        if dark:
            self.faults.append(f"did not follow the car: {', '.join(sorted(dark))}")
        return not dark and any(world["cars"] for world in lamps.values())

    def lamps_ahead(self) -> int:
        """How many lamps were bright before they could see the car: their gateway told them."""
        return sum(
            level_at(self.made.levels.get(node, []), passed - AHEAD_MS) >= BRIGHT_PCT
            for node, world in self.worlds.items()
            for _, passed in passings(world)
            if world.get("lamp_w")
        )

    def leak_found_s(self) -> float | None:
        """Real seconds from the beginning of the leak to its alarm here; None: not found."""
        found = None
        leaks = {
            world["asset"]: real_ms(world["clock"], world["water"]["leak_from_street_ms"])
            for world in self.worlds.values()
            if world.get("water", {}).get("leak_from_street_ms")
        }
        for at_ms, alarm in self.published.alarms:
            if alarm["rule"] != "continuous_flow" or not alarm["active"]:
                continue
            if alarm["asset"] not in leaks:
                self.faults.append(f"false alarm: continuous flow at {alarm['asset']}")
            elif found is None:
                found = round((at_ms - leaks[alarm["asset"]]) / 1000, 1)
        if leaks and found is None:
            self.faults.append("the leak was not found")
        return found


def read_lines(path: Path) -> Iterator[Any]:
    """The JSON lines of a log but those that a kill has cut short."""
    if path.exists():
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                with suppress(ValueError):
                    yield json.loads(line)


def count(worlds: Sequence[Path], published: Path, store: Path) -> dict[str, Any]:
    """The figures of a run from its files."""
    read = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in worlds}
    made, seen = Made(), Published()
    for log in {world["witness"] for world in read.values()}:
        for line in read_lines(Path(log)):
            made.add(line)
    for line in read_lines(published):
        seen.add(line)
    return Count(read, made, seen, stored_records(store)).figures()


def connected(options: argparse.Namespace, name: str, *, clean: bool) -> mqtt.Client:
    """A client that waits for the broker and comes back to it quickly."""
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, name, clean_session=clean, protocol=mqtt.MQTTv311
    )
    client.reconnect_delay_set(1, 1)
    while True:
        try:
            client.connect(options.host, options.port, keepalive=10)
        except OSError:
            time.sleep(0.1)
        else:
            return client


def listen(options: argparse.Namespace) -> int:
    """Appends every message below the prefix to a file, until killed."""
    with options.out.open("a", encoding="utf-8") as out:

        def append(_client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
            line = {
                "real_ms": time.time_ns() // 1_000_000,
                "topic": message.topic,
                "payload": message.payload.decode(),
                "dup": message.dup,
            }
            out.write(json.dumps(line) + "\n")
            out.flush()

        def subscribe(client: mqtt.Client, *_: object) -> None:
            client.subscribe(f"{options.prefix}/#", qos=1)

        def subscribed(*_: object) -> None:
            print("listening", flush=True)

        client = connected(options, options.name, clean=False)
        client.on_message, client.on_connect, client.on_subscribe = append, subscribe, subscribed
        client.loop_forever()
    return 0


def send(options: argparse.Namespace) -> int:
    """Publishes one message and waits for the broker's ack."""
    client = connected(options, "", clean=True)
    client.loop_start()
    client.publish(options.topic, options.payload, qos=1).wait_for_publish(10)
    client.disconnect()
    return 0


def report(options: argparse.Namespace) -> int:
    """Prints the figures as JSON; 1 when there is a fault."""
    figures = count(options.worlds, options.published, options.store)
    print(json.dumps(figures))
    return 1 if figures["faults"] else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="The witness of a simulated street.")
    commands = parser.add_subparsers(required=True)
    for name, act in (("listen", listen), ("send", send), ("count", report)):
        command = commands.add_parser(name, help=act.__doc__)
        command.set_defaults(act=act)
        if act is report:
            command.add_argument("--worlds", type=Path, nargs="+", required=True)
            command.add_argument("--published", type=Path, required=True)
            command.add_argument("--store", type=Path, required=True)
            continue
        command.add_argument("--host", default="127.0.0.1")
        command.add_argument("--port", type=int, required=True)
        if act is listen:
            command.add_argument("--prefix", default="kerbline")
            command.add_argument("--name", default="witness")
            command.add_argument("--out", type=Path, required=True)
        else:
            command.add_argument("--topic", required=True)
            command.add_argument("--payload", required=True)
    options = parser.parse_args(arguments)
    return int(options.act(options))


if __name__ == "__main__":
    sys.exit(main())
