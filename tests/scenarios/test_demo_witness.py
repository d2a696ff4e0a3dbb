"""The witness can fail: each planted fault is reported, and a clean run is not."""

import json
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kerbline.demo import witness
from kerbline.demo.scene import Scene

EPOCH = 7
START_MS = 1_000_000
Lines = list[dict[str, Any]]


class Run:
    """The files of a small run that went well: a lamp, a leaky meter, a cut, a command."""

    def __init__(self) -> None:
        self.made: Lines = []
        self.published: Lines = []
        self.stored: Lines = []
        self.worlds: dict[str, dict[str, Any]] = {
            "sl-1": {"asset": "lamp-1", "lamp_w": 60, "position_m": 30, "cars": [[0, 0, 10, 1]]},
            "wm-1": {"asset": "meter-1", "water": {"leak_from_street_ms": 5000}, "cars": []},
        }
        for world in self.worlds.values():
            world["clock"] = [[START_MS, 0, 1], [START_MS + 5000, 5000, 3600]]
        for node in self.worlds:
            self.made.append({"t": "boot", "node": node})
        for number in range(1, 11):
            self.add("sl-1", number, "streetlight", [30, 245, 9, 1, 12, 0, 60])
            self.add("wm-1", number, "water_meter", [number, 20, 0, 3600, 0, *range(24)])
        self.add("sl-1", 11, "event", [2, 1])
        self.level(-9000, 30)
        self.level(2900, 95)  # the car is there at 3000
        self.level(4000, 50)
        self.made.append({"t": "boot", "node": "sl-1"})
        self.say("lamp-1/command", {"id": "c1", "arguments": {"level_pct": 50}}, 3900)
        self.say("lamp-1/result", {"id": "c1", "state": "OK"}, 4100)
        self.gap(12, 75)
        leak = {"rule": "continuous_flow", "active": True}
        self.say("meter-1/alarm", leak, 11_500)
        values = {"power_w": 5.0}
        self.say("gw/readings", {"source": "gw", "epoch": 1, "readings": [
            {"n": 1, "kind": "modbus", "values": values}]})  # fmt: skip

    def add(self, node: str, number: int, kind: str, values: list[int]) -> None:
        """One record that is made, published and stored."""
        where = {"node": node, "epoch": EPOCH, "rseq": number}
        self.made.append({"t": "made", **where, "kind": kind, "values": values})
        names = witness.FIELDS.get(kind, "event value").split()
        city: dict[str, Any] = dict(zip(names, values, strict=False))
        if kind == "water_meter":
            city["hourly_l"] = values[5:]
        for name in witness.TENTHS.get(kind, "").split():
            city[name] /= 10
        if kind == "event":
            city["event"] = "motion"
        reading = {"n": number, "kind": kind, "values": city}
        self.say(f"{node}/readings", {"source": node, "epoch": EPOCH, "readings": [reading]})
        entry = {"type": "reading", "source": node, "epoch": EPOCH, "number": number}
        self.stored.append({**entry, "kind": kind, "values": city})

    def level(self, at_ms: int, pct: int) -> None:
        self.made.append({"t": "level", "node": "sl-1", "real_ms": START_MS + at_ms, "pct": pct})

    def gap(self, first: int, last: int | None) -> None:
        gap = {"source": "sl-1", "epoch": EPOCH, "first": first, "last": last}
        self.say("sl-1/gap", gap)

    def say(self, topic: str, payload: dict[str, Any], at_ms: int = 0) -> None:
        line = {"real_ms": START_MS + at_ms, "topic": f"k/gw/{topic}"}
        self.published.append({**line, "payload": json.dumps(payload)})

    def count(self, folder: Path) -> dict[str, Any]:
        """Writes the files and lets the witness count them."""
        log, published, store = folder / "made", folder / "published", folder / "store.db"
        log.write_text("".join(json.dumps(line) + "\n" for line in self.made) + '{"t": "ma')
        published.write_text("".join(json.dumps(line) + "\n" for line in self.published))
        with sqlite3.connect(store) as database:
            database.execute("CREATE TABLE batch (seq, entries, body)")
            body = zlib.compress(json.dumps(self.stored).encode())
            database.execute("INSERT INTO batch VALUES (1, ?, ?)", (len(self.stored), body))
        worlds = []
        for node, world in self.worlds.items():
            worlds.append(folder / node / "world.json")
            worlds[-1].parent.mkdir()
            worlds[-1].write_text(json.dumps({**world, "witness": str(log)}))
        return witness.count(worlds, published, store)


def published_value(run: Run) -> None:
    run.published[3]["payload"] = run.published[3]["payload"].replace(
        '"volume_l": 2', '"volume_l": 3'
    )


def no_result(run: Run) -> None:
    run.published = [line for line in run.published if not line["topic"].endswith("result")]


def no_level(run: Run) -> None:
    run.made = [line for line in run.made if line.get("pct") != 50]


def always_bright(run: Run) -> None:
    for line in run.made:
        if line["t"] == "level" and line["real_ms"] < START_MS:
            line["pct"] = 100


def late_lamp(run: Run) -> None:
    for line in run.made:
        if line.get("pct") == 95:
            line["real_ms"] = START_MS + 4001


def dark_too_soon(run: Run) -> None:
    run.level(1500, 10)
    for line in run.made:
        if line.get("pct") == 95:
            line["real_ms"] = START_MS + 1400


def false_alarm(run: Run) -> None:
    run.say("meter-9/alarm", {"rule": "continuous_flow", "active": True})


def no_alarm(run: Run) -> None:
    run.published = [line for line in run.published if not line["topic"].endswith("alarm")]


def second_store(run: Run) -> None:
    run.stored.append(run.stored[4])


def changed_store(run: Run) -> None:
    run.stored[0]["values"] = {**run.stored[0]["values"], "power_w": 24.6}


def second_content(run: Run) -> None:
    other = json.loads(run.published[0]["payload"])
    other["readings"][0]["values"]["power_w"] = 99
    run.say("sl-1/readings", other)


def number_reused(run: Run) -> None:
    run.made.append(run.made[4])


def invented(run: Run) -> None:
    del run.made[4]


PLANTED: dict[str, tuple[Callable[[Run], object], str]] = {
    "a loss": (lambda run: run.published.pop(4), "1 lost: sl-1/00000007/3"),
    "a store that lost": (lambda run: run.stored.pop(4), "published, but not stored"),
    "a record stored twice": (second_store, "1 doubled"),
    "a record stored with other values": (changed_store, "1 doubled"),
    "a value changed on the way": (published_value, "1 doubled"),
    "a key published with two contents": (second_content, "1 doubled"),
    "a number given twice": (number_reused, "1 doubled"),
    "a record that nobody made": (invented, "1 published, but never made"),
    "a gap of 65 numbers": (lambda run: run.gap(12, 76), "too wide"),
    "a gap without end": (lambda run: run.gap(12, None), "too wide"),
    "two gaps for one cut": (lambda run: run.gap(76, 77), "66 numbers gone in 1 cuts"),
    "a lamp that came late": (late_lamp, "did not follow"),
    "a lamp that left early": (dark_too_soon, "did not follow"),
    "a lamp that is always bright": (always_bright, "did not follow"),
    "a command without result": (no_result, "c1 was not carried out"),
    "a command that did nothing": (no_level, "c1 was not carried out"),
    "a leak not found": (no_alarm, "the leak was not found"),
    "a leak found where there is none": (false_alarm, "false alarm"),
}


def test_a_clean_run_has_no_fault(tmp_path: Path) -> None:
    assert Run().count(tmp_path) == {
        "readings_made": 21,
        "readings_stored": 21,
        "readings_published": 21,
        "declared_gaps": 1,
        "lost": 0,
        "doubled": 0,
        "redelivered": 0,
        "commands_ok": 1,
        "lamps_followed": True,
        "lamps_ahead": 0,
        "leak_found_s": 6.5,
        "bridged": 1,
        "power_cuts": 1,
        "faults": [],
    }


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_reported(name: str, tmp_path: Path) -> None:
    plant, expected = PLANTED[name]
    run = Run()
    plant(run)
    (fault,) = run.count(tmp_path)["faults"]
    assert expected in fault


def test_the_same_message_again_is_redelivered_not_doubled(tmp_path: Path) -> None:
    run = Run()
    run.published += run.published[:5]
    figures = run.count(tmp_path)
    assert (figures["redelivered"], figures["doubled"], figures["faults"]) == (5, 0, [])


def test_a_lost_record_in_a_declared_gap_is_not_lost(tmp_path: Path) -> None:
    run = Run()
    run.made.append({**run.made[2], "rseq": 20})
    figures = run.count(tmp_path)
    assert (figures["readings_made"], figures["lost"], figures["faults"]) == (22, 0, [])


def test_the_witness_imports_nothing_of_kerbline() -> None:
    source = Path(witness.__file__).read_text(encoding="utf-8")
    assert "from kerb" not in source and "import kerb" not in source


def test_the_view_waits_for_no_anchor() -> None:
    scene = Scene({"sl-0001": "lamp-1"})
    made = {"t": "made", "node": "sl-0001", "epoch": 7, "rseq": 1, "kind": "anchor"}
    scene.saw_made(made)
    assert scene.waiting == 0
    scene.saw_made({**made, "rseq": 2, "kind": "streetlight"})
    assert scene.waiting == 1
