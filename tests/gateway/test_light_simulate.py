"""`kerbline light simulate`: its files, what is wrong in them, and that it owes nobody light."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kerbline.cli import app
from tests import light_checker, light_traffic
from tests.light_traffic import Walk

NIGHT = {"start": "2025-03-20T18:00:00Z", "days": 0.25}  # it is dark from the sixth minute on
HEADER = "t_s,kind,speed_mps,enter_m,direction\n"


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A short street, six hours of a night."""
    path = tmp_path / "street.toml"
    path.write_text(light_traffic.street_toml(lamps=6, **NIGHT))
    return path


def run(street: Path, events: str | bytes, *words: str) -> Result:
    """Plays `events`; the trace is beside the street's file."""
    file = street.with_name("events.csv")
    file.write_bytes(events if isinstance(events, bytes) else events.encode())
    out = street.with_name("trace.csv")
    given = ["light", "simulate", street, "--events", file, "--out", out, "--jobs", "1", *words]
    return CliRunner().invoke(app, [*map(str, given)], standalone_mode=False)


def said(result: Result, street: Path) -> str:
    """The error without its folder."""
    return str(result.exception).replace(f"{street.parent}/", "")


def rows(street: Path) -> list[tuple[float, int, float]]:
    lines = street.with_name("trace.csv").read_text().splitlines()
    assert lines[0] == "t_s,lamp,level_pct"
    return [
        (float(at), int(lamp), float(level))
        for at, lamp, level in (line.split(",") for line in lines[1:])
    ]


def verdict(street: Path) -> light_checker.Verdict:
    return light_checker.judged(
        street, street.with_name("events.csv"), street.with_name("trace.csv")
    )


def test_without_anybody_all_lamps_stay_at_the_floor(street: Path) -> None:
    assert run(street, HEADER).return_value == 0
    found = rows(street)
    assert [row for row in found if row[0] == 0] == [(0.0, lamp, 0.0) for lamp in range(6)]
    assert {lamp: level for _, lamp, level in found} == dict.fromkeys(range(6), 20.0)
    assert verdict(street).violation_s == 0


def test_a_car_is_lit_all_the_way_and_the_street_is_dark_behind_it(street: Path) -> None:
    result = run(street, f"{HEADER}9000,vehicle,14,0,1\n")
    assert result.return_value == 0
    found = rows(street)
    full = {lamp: at for at, lamp, level in reversed(found) if level == 100}
    assert sorted(full) == list(range(6))
    assert full[5] < 9000 + (150 - 60) / 14
    last = {lamp: (at, level) for at, lamp, level in found}
    assert all(level == 20 and at < 9040 for at, level in last.values())
    assert verdict(street).violation_s == 0


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"lamps": 0}, "street.toml:6: street.lamps: 0 is out of range; write 1 to 1_000"),
        ({"latitude": 95}, "street.toml:2: street.latitude: 95.0 is out of range"),
        ({"loss": "nan"}, "street.toml:14: street.loss: NaN is no measurable number"),
        ({"loss": -0.1}, "street.toml:14: street.loss: -0.1 is out of range; write 0 to 1"),
        ({"floor_pct": 101}, "street.floor_pct: 101.0 is out of range"),
        ({"full_pct": 10}, "street.floor_pct: 20 is above full_pct, 10; write a floor of"),
        ({"start": '"soon"'}, 'street.start: "soon" is no time; write start = 2026-01-31T12'),
        ({"start": 7}, "street.start: 7 is no time"),
        ({"days": '"a"'}, 'street.days: "a" where a number belongs'),
    ],
)
def test_a_bad_street_is_told_by_line_and_key(
    street: Path, changed: dict[str, object], complaint: str
) -> None:
    street.write_text(light_traffic.street_toml(**{"lamps": 6, **NIGHT, **changed}))
    assert complaint in said(run(street, HEADER), street)


def test_a_key_that_is_missing_is_an_error_and_one_too_many_a_warning(street: Path) -> None:
    text = street.read_text()
    street.write_text(text.replace("loss = 0.1\n", ""))
    assert "street.loss: is missing; write loss = " in said(run(street, HEADER), street)
    street.write_text(f"{text}colour = 3\n")
    result = run(street, HEADER)
    assert result.return_value == 0
    assert "street.colour: is not a key that belongs here" in result.stderr


GOOD = "5,vehicle,14,0,1\n"


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ("", "events.csv:1: t_s: is not a column; write a first line with t_s, kind,"),
        (b"\xff\xfe\x00", "events.csv:1: this is not UTF-8; save the file as UTF-8"),
        ("t_s,kind\n", "events.csv:1: speed_mps: is not a column"),
        (f"t_s,{HEADER}", "events.csv:1: t_s: is more than one column"),
        (f"{HEADER}{GOOD}nan,vehicle,14,0,1\n", 'events.csv:3: t_s: "nan" is no time'),
        (f"{HEADER}-1,vehicle,14,0,1\n", 'events.csv:2: t_s: "-1" is no time from the start on'),
        (f"{HEADER}21600,vehicle,14,0,1\n", 'events.csv:2: t_s: "21600" is after the end'),
        (f"{HEADER}5,tram,14,0,1\n", 'kind: "tram" is not known; write one of vehicle, cyclist'),
        (f"{HEADER}5,vehicle,0,0,1\n", 'events.csv:2: speed_mps: "0" is no speed; write metres'),
        (f"{HEADER}5,vehicle,inf,0,1\n", 'events.csv:2: speed_mps: "inf" is no speed'),
        (f"{HEADER}5,vehicle,14,70,1\n", 'enter_m: "70" is no end to come from here; write 0,'),
        (f"{HEADER}5,vehicle,14,0,-1\n", 'enter_m: "0" is no end to come from here; write 150'),
        (f"{HEADER}5,vehicle,14,0,2\n", 'events.csv:2: direction: "2" is no direction; write 1'),
        (f"{HEADER}5,vehicle,14,0\n", "events.csv:2: 4 cells where 5 belong; write one event"),
        (f"{HEADER}{'9' * 2000}\n", "events.csv:2: a line of thousands of signs"),
    ],
)
def test_bad_events_are_told_by_line_and_column(
    street: Path, events: str | bytes, complaint: str
) -> None:
    assert complaint in said(run(street, events), street)
    assert not street.with_name("trace.csv").exists()


def test_many_bad_events_are_told_at_once_but_not_without_end(street: Path) -> None:
    result = run(street, HEADER + "5,tram,14,0,1\n" * 100)
    assert len(said(result, street).splitlines()) == 20


def test_a_pipe_or_a_folder_is_no_file_of_events(street: Path) -> None:
    given = ["light", "simulate", str(street), "--events", str(street.parent), "--out", "x.csv"]
    result = CliRunner().invoke(app, given, standalone_mode=False)
    assert "this is not a file; write the path of a CSV file" in str(result.exception)


def test_what_is_read_is_not_written_over(street: Path) -> None:
    given = ["light", "simulate", str(street), "--events", str(street.with_name("events.csv"))]
    street.with_name("events.csv").write_text(HEADER)
    for name in ("events.csv", "street.toml"):
        before = street.with_name(name).read_text()
        words = [*given, "--out", str(street.with_name(name))]
        result = CliRunner().invoke(app, words, standalone_mode=False)
        assert f"{name} is read, too; write another name" in str(result.exception)
        assert street.with_name(name).read_text() == before


def test_a_full_disk_is_told_with_the_file(street: Path) -> None:
    street.with_name("events.csv").write_text(HEADER)
    given = ["light", "simulate", str(street), "--events", str(street.with_name("events.csv"))]
    result = CliRunner().invoke(app, [*given, "--out", "/dev/full"], standalone_mode=False)
    assert isinstance(result.exception, OSError)
    assert result.exception.filename == "/dev/full"


def test_rows_of_a_fade_are_a_number(street: Path) -> None:
    assert "is not a number" in said(run(street, HEADER, "--every", "nan"), street)


def test_a_file_that_is_not_there_is_named(street: Path) -> None:
    given = ["light", "simulate", str(street), "--events", "none.csv", "--out", "x.csv"]
    result = CliRunner().invoke(app, given, standalone_mode=False)
    assert isinstance(result.exception, OSError)


def test_events_may_stand_in_any_order_and_their_columns_too(street: Path) -> None:
    first = f"{HEADER}9000,vehicle,14,0,1\n9100,cyclist,5,150,-1\n"
    other = "direction,enter_m,speed_mps,kind,t_s\n-1,150,5,cyclist,9100\n1,0,14,vehicle,9000\n"
    run(street, first)
    found = street.with_name("trace.csv").read_bytes()
    run(street, other)
    assert street.with_name("trace.csv").read_bytes() == found


def test_the_result_hangs_on_the_seed_and_on_nothing_else(tmp_path: Path) -> None:
    street = tmp_path / "street.toml"
    street.write_text(light_traffic.street_toml(lamps=4, days=3))
    events = light_traffic.drawn(light_traffic.vehicles(60), 3, 90, 0, 7)
    text = light_traffic.written(tmp_path / "e.csv", events).read_text()
    traces = []
    for words in ((), ("--jobs", "3"), ("--seed", "2"), ("--every", "20")):
        run(street, text, *words)
        traces.append(street.with_name("trace.csv").read_bytes())
    alone, shared, other_seed, coarse = traces
    assert alone == shared
    assert alone != other_seed
    assert len(coarse) < len(alone) / 4


def test_a_coarse_trace_tells_the_same_energy_and_no_less_light(tmp_path: Path) -> None:
    street = tmp_path / "street.toml"
    street.write_text(light_traffic.street_toml(lamps=6, loss=0, **NIGHT))
    walks = [Walk("vehicle", 400, 8, 14)]
    events = light_traffic.drawn(walks, 0.25, 150, 18, 7)
    text = light_traffic.written(tmp_path / "e.csv", events).read_text()
    found = []
    for words in (("--every", "0"), ("--every", "20")):
        told = run(street, text, *words).stdout
        found.append((verdict(street), told))
    fine, coarse = (each for each, _ in found)
    assert fine.violation_s == coarse.violation_s == 0
    assert fine.kwh <= coarse.kwh <= fine.kwh * 1.02
    energies = [told.split("energy by night")[1].split()[0] for _, told in found]
    assert float(energies[0]) == pytest.approx(float(energies[1]), rel=0.002)


def test_what_is_printed_is_what_the_checker_finds(street: Path) -> None:
    walks = [Walk("vehicle", 300, 8, 14), Walk("pedestrian", 100, 0.8, 1.5)]
    events = light_traffic.drawn(walks, 0.25, 150, 18, 7)
    text = light_traffic.written(street.with_name("e.csv"), events).read_text()
    words = " ".join(run(street, text).stdout.split())
    found = verdict(street)

    def said(name: str) -> float:
        return float(words.split(name)[1].split()[0])

    off_kwh = found.standby_kwh
    assert said("beside") == pytest.approx(off_kwh, abs=0.001)
    assert said("energy by night") == pytest.approx(found.kwh - off_kwh, rel=0.01)
    assert said("at full") == pytest.approx(found.always_kwh - off_kwh, rel=0.002)
    assert said("knows all") == pytest.approx(found.clairvoyant_kwh - off_kwh, rel=0.002)
    mine, best = found.saved(standby_by_day=False)
    assert said("such a one saves") == pytest.approx(100 * mine / best, abs=0.3)


def test_a_stage_without_sun_or_without_night(tmp_path: Path) -> None:
    street = tmp_path / "street.toml"
    place = {"latitude": 78.0, "longitude": 15.0, "lamps": 3, "days": 3}
    street.write_text(light_traffic.street_toml(**{**place, "start": "2025-06-20T00:00:00Z"}))
    assert run(street, f"{HEADER}5,vehicle,14,0,1\n").return_value == 0
    assert all(level == 0 for _, _, level in rows(street))
    street.write_text(light_traffic.street_toml(**{**place, "start": "2025-12-20T00:00:00Z"}))
    assert run(street, f"{HEADER}{GOOD}130000,pedestrian,1.2,60,-1\n").return_value == 0
    found = verdict(street)
    assert found.violation_s == 0
    assert found.night_s == pytest.approx(3 * 86_400)
