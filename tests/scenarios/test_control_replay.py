"""The street's local twin: with the config that ran it finds what was, with another one not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kerbline.cli import app
from kerbline.errors import KerblineError
from kerbline.model import Entry, Reading
from kerbline.store import FILE_NAME, StoreError
from tests import light_recorded

RECORDED = ("2026-12-18T14:00", "2026-12-18T17:10")
SPAN = ("2026-12-18T15:10", "2026-12-18T16:50")  # dusk is in it


def at_ms(text: str) -> int:
    """Of a UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an evening is recorded."""
    found = tmp_path_factory.mktemp("street")
    light_recorded.record(found, at_ms(RECORDED[0]), at_ms(RECORDED[1]))
    return found


def asked(folder: Path, store: Path | None = None, **given: object) -> Result:
    """The command, over the span, with another config."""
    light_recorded.config(folder, "other.toml", **given)
    words = ["--config", str(folder / "other.toml"), "--from", SPAN[0], "--to", SPAN[1]]
    words += ["--store", str(store)] if store else []
    return CliRunner().invoke(app, ["control", "replay", "--json", *words], catch_exceptions=False)


def replayed(folder: Path, store: Path | None = None, **given: object) -> dict[str, Any]:
    """What it says."""
    told = asked(folder, store, **given)
    assert told.exit_code == 0, told.output
    found: dict[str, Any] = json.loads(told.output)
    return found


def test_the_config_that_ran_finds_what_was(folder: Path) -> None:
    found = replayed(folder)
    would, did = found["would_have_been"], found["did"]
    assert found["known_share"] == 1
    assert did["energy_kwh"] > 0.1
    assert would["energy_kwh"] == pytest.approx(did["energy_kwh"], rel=0.01)
    assert would["below_floor_lamp_s"] == did["below_floor_lamp_s"] == 0
    assert did["raised"] > 300
    assert would["raised"] == pytest.approx(did["raised"], abs=2)
    assert would["let_go"] == pytest.approx(did["let_go"], abs=2)
    assert would["alarms"] == did["alarms"] == {"rule-warm": 1}
    assert found["reports_alike"] >= 0.95 * found["reports"] > 20


def test_another_config_finds_what_it_costs(folder: Path) -> None:
    as_it_was = replayed(folder)["would_have_been"]

    brighter = replayed(folder, level=60)
    lit_h = 4 * 1.144  # from dusk to the end of the span
    most = 0.56 * 35 * lit_h / 1000  # of lamps that nobody passes
    gained = brighter["would_have_been"]["energy_kwh"] - as_it_was["energy_kwh"]
    assert 0.5 * most < gained < most
    assert brighter["did"] == replayed(folder)["did"]

    doubtful = replayed(folder, misses=1)["would_have_been"]
    assert doubtful["energy_kwh"] > 1.05 * as_it_was["energy_kwh"]

    cool = replayed(folder, above=50)["would_have_been"]
    assert cool["alarms"] == {}
    assert cool["energy_kwh"] < 0.99 * as_it_was["energy_kwh"]


def test_a_higher_floor_was_broken_and_would_not_have_been(folder: Path) -> None:
    found = replayed(folder, floor=40)
    fade_s = 4 * 2  # the last lamps to go on fade up while night begins
    assert found["would_have_been"]["below_floor_lamp_s"] < fade_s
    assert found["did"]["below_floor_lamp_s"] > 3_600
    assert found["would_have_been"]["energy_kwh"] > 1.1 * found["did"]["energy_kwh"]


def test_what_is_not_known_counts_on_neither_side(folder: Path, tmp_path: Path) -> None:
    """Lamp 3's records of half an hour never came."""

    def keeps(entry: Entry) -> bool:
        lost = at_ms("2026-12-18T16:00"), at_ms("2026-12-18T16:30")
        is_lost = isinstance(entry, Reading) and lost[0] <= entry.observed_at_ms < lost[1]
        return not (is_lost and entry.asset == "lamp-3")  # type: ignore[union-attr]

    store = light_recorded.copied(folder / "state" / FILE_NAME, tmp_path / "part.db", keeps)
    found = replayed(folder, store)
    assert 0.85 < found["known_share"] < 0.93  # up to a report's time at each end
    assert found["gaps"]["power"] > 20
    would, did = found["would_have_been"]["energy_kwh"], found["did"]["energy_kwh"]
    assert would == pytest.approx(did, rel=0.03)
    assert did < 0.95 * replayed(folder)["did"]["energy_kwh"]


def test_lamps_without_a_meter_go_by_their_watts(folder: Path, tmp_path: Path) -> None:
    path = folder / "state" / FILE_NAME
    store = light_recorded.without_meter(path, tmp_path / "bare.db")
    unknown = replayed(folder, store)
    assert unknown["lamps_without_watts"] == [f"lamp-{number}" for number in (1, 2, 3, 4)]
    assert unknown["did"]["energy_kwh"] == 0
    found = replayed(folder, store, watts="lamp_w = 60")
    assert found["lamps_without_watts"] == []
    own = replayed(folder)["would_have_been"]["energy_kwh"]
    gear_kwh = 4 * 1.144 * light_recorded.GEAR_W / 1000
    full = light_recorded.FULL_W / (light_recorded.FULL_W - light_recorded.GEAR_W)
    assert found["would_have_been"]["energy_kwh"] == pytest.approx(
        (own - gear_kwh) * full, rel=0.01
    )


def test_a_log_that_breaks_off_is_said(folder: Path, tmp_path: Path) -> None:
    """A page of the table's tree is overwritten: the log can be read up to there."""
    raw = bytearray((folder / "state" / FILE_NAME).read_bytes())
    page = 4096
    damaged = 0
    for at in range(3 * page, len(raw), 7 * page):
        raw[at : at + page] = bytes(page)
        damaged += 1
    assert damaged > 2
    (tmp_path / "bad.db").write_bytes(raw)
    light_recorded.config(folder, "other.toml")
    words = ["--config", str(folder / "other.toml"), "--from", SPAN[0], "--to", SPAN[1]]
    words += ["--store", str(tmp_path / "bad.db")]
    told = CliRunner().invoke(app, ["control", "replay", *words])
    assert isinstance(told.exception, StoreError)
    assert "bad.db is damaged" in str(told.exception)


def test_a_replay_writes_nothing(folder: Path) -> None:
    def held() -> dict[str, bytes]:
        return {each.name: each.read_bytes() for each in (folder / "state").iterdir()}

    before = held()
    replayed(folder)
    assert held() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", SPAN[0], "--to", SPAN[0]], "nothing lies between"),
        (["--from", "2026-11-01", "--to", "2026-11-02"], "nothing of that span any more"),
        (["--from", "2027-11-01", "--to", "2027-11-02"], "nothing of that span yet"),
        (["--from", SPAN[0], "--to", SPAN[1], "--store", "no.db"], "no.db: no such file"),
    ],
)
def test_what_can_not_be_replayed_is_said(folder: Path, words: list[str], said: str) -> None:
    light_recorded.config(folder, "other.toml")
    asked = ["control", "replay", "--config", str(folder / "other.toml"), *words]
    told = CliRunner().invoke(app, asked)
    assert isinstance(told.exception, KerblineError)
    assert said in str(told.exception)


def test_a_config_without_a_place_is_no_twin(folder: Path) -> None:
    light_recorded.config(folder, "other.toml")
    text = (folder / "other.toml").read_text()
    bare = text.partition("[light]")[0] + text[text.index("[[node]]") :]
    (folder / "bare.toml").write_text(bare)
    words = ["--config", str(folder / "bare.toml"), "--from", SPAN[0], "--to", SPAN[1]]
    words += ["--store", str(folder / "state" / FILE_NAME)]
    told = CliRunner().invoke(app, ["control", "replay", *words])
    assert isinstance(told.exception, KerblineError)
    assert "add [light] with position" in str(told.exception)


def test_both_stand_beside_each_other(folder: Path) -> None:
    light_recorded.config(folder, "other.toml")
    words = ["--config", str(folder / "other.toml"), "--from", SPAN[0], "--to", SPAN[1]]
    lines = CliRunner().invoke(app, ["control", "replay", *words]).output.splitlines()
    assert lines[1] == "known: 6.7 of 6.7 lamp hours (100.0 %)"
    assert lines[2].split() == ["would", "have", "been", "did"]
    assert [line.split("  ")[0] for line in lines[3:8]] == [
        "energy, kWh",
        "below the floor, lamp seconds",
        "lamps raised by control",
        "lamps let go",
        "alarms rule-warm",
    ]
