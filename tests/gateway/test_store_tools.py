"""`kerbline store` as a person meets it: what a store holds, its tables, and sending it again."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest
from pyarrow import parquet as pq

from kerbline.model import Entry, Gap
from kerbline.store import Batch, GroupCommit, GroupPolicy, Notes, Store, StoreError, StoreTaken
from kerbline.store.export import Choice, Export
from kerbline.store.reader import Reader
from kerbline.store.replay import order
from tests.gateway.samples import EPOCH, T0_MS, alarm, gap, numbers, reading, stored
from tests.gateway.test_north_tls import Office

MINUTE_MS = 60_000
ROWS = 90


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Thirty commits of three readings, a minute apart; one sink has 20 of them, one nothing."""
    path = tmp_path / "s.db"
    store = Store.open(path)
    store.open_cursor("file:day")
    for batch in range(30):
        entries: list[Entry] = [reading(n) for n in range(batch * 3 + 1, batch * 3 + 4)]
        notes = Notes(cursors={"mqtt": min(batch, 20)})
        store.append(entries, T0_MS + batch * MINUTE_MS, notes)
    store.close()
    return path


def kerbline(*words: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "kerbline", "store", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_info_tells_sizes_sinks_and_gaps(path: Path) -> None:
    store = Store.open(path)  # a gateway is running
    store.append([gap(91, 95, "power"), gap(99, None, "log_lost")], T0_MS + 30 * MINUTE_MS)
    found = json.loads(kerbline("info", "--file", path, "--json").stdout)
    store.close()
    assert (found["running"], found["batches"], found["entries"]) == (True, 31, ROWS + 2)
    assert (found["oldest_ms"], found["newest_ms"]) == (T0_MS, T0_MS + 30 * MINUTE_MS)
    assert found["gaps"] == {"log_lost": 1, "power": 1}
    sinks = {each["sink"]: each for each in found["sinks"]}
    assert (sinks["mqtt"]["batches"], sinks["mqtt"]["entries"]) == (11, 32)
    assert (sinks["file:day"]["batches"], sinks["file:day"]["entries"]) == (31, ROWS + 2)
    assert sinks["file:day"]["age_s"] - sinks["mqtt"]["age_s"] == 20 * 60
    assert 1 < found["bytes_an_entry"] < 200
    text = kerbline("info", "--file", path).stdout
    assert "32 entries in 11 batches behind" in text
    assert "no gateway runs" in text


def test_info_by_the_config_tells_what_is_left(tmp_path: Path, path: Path) -> None:
    (tmp_path / "kerbline.db").write_bytes(path.read_bytes())
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'[gateway]\nid = "gw-1"\nstate_dir = "{tmp_path}"\n[store]\nmax_bytes = 5_000_000\n'
    )
    found = json.loads(kerbline("info", config, "--json").stdout)
    assert found["cap_bytes"] == 5_000_000
    assert found["left_bytes"] == 5_000_000 - found["used_bytes"] > 0


@pytest.mark.parametrize("name", ["info", "export", "verify"])
def test_what_is_no_store_is_said_in_a_line(tmp_path: Path, name: str) -> None:
    done = kerbline(name, "--file", tmp_path / "none.db", status=1)
    assert "no such file" in done.stderr
    junk = tmp_path / "junk.db"
    junk.write_bytes(b"no database at all" * 100)
    done = kerbline(name, "--file", junk, status=1)
    assert len((done.stdout + done.stderr).splitlines()) <= 2
    assert list(tmp_path.iterdir()) == [junk], "and nothing is made or moved"


def test_looking_leaves_nothing_beside_a_store_at_rest(path: Path) -> None:
    beside = sorted(path.parent.iterdir())
    for name in ("info", "export", "verify"):
        kerbline(name, "--file", path)
    assert sorted(path.parent.iterdir()) == beside


def test_csv_has_every_row_with_its_key_and_units(tmp_path: Path, path: Path) -> None:
    out = tmp_path / "o.csv"
    assert "90 rows" in kerbline("export", "--file", path, "--out", out).stderr
    rows = list(csv.DictReader(out.open()))
    assert [(r["source"], r["epoch"], int(r["number"])) for r in rows] == [
        ("sl-1", str(EPOCH), n) for n in range(1, ROWS + 1)
    ]
    assert rows[4]["power_w"] == "24.5"
    assert rows[4]["observed_at"] == "2026-09-21T14:13:20.005Z"
    at = datetime.fromisoformat(rows[4]["observed_at"])
    assert round(at.timestamp() * 1000) == T0_MS + 5
    assert not list(tmp_path.glob("*.part"))


def test_an_export_is_chosen_by_time_asset_and_kind(tmp_path: Path, path: Path) -> None:
    store = Store.open(path)
    wm = [reading(n, "wm-1", "water_meter") for n in (1, 2)]
    store.append([*wm, alarm(1), gap(200, 201)], T0_MS)
    store.close()
    out = tmp_path / "o.csv"

    def keys(*words: str) -> list[tuple[str, int]]:
        kerbline("export", "--file", path, "--out", out, *words)
        return [(row["source"], int(row["number"])) for row in csv.DictReader(out.open())]

    assert keys("--asset", "of-wm-1") == [("wm-1", 1), ("wm-1", 2)]
    assert keys("--kind", "alarm", "--kind", "gap") == [("gw-1", 1), ("sl-1", 200)]
    span = ("--from", "2026-09-21T14:13:20.003Z", "--to", "2026-09-21T16:13:20.005+02:00")
    assert keys(*span) == [("sl-1", 3), ("sl-1", 4)]
    done = kerbline("export", "--file", path, "--from", "yesterday", status=2)
    assert "2026-11-21T06:00:00Z" in done.stderr
    span = ("--from", "2026-09-22", "--to", "2026-09-21")
    assert "not before" in kerbline("export", "--file", path, *span, status=2).stderr
    words = ("--asset", "lamp-99", "--asset", "of-wm-1", "--kind", "street-light")
    told = kerbline("export", "--file", path, *words).stderr.splitlines()
    assert told == [
        "0 rows",
        "the log has nothing of asset lamp-99",
        "the log has nothing of kind street-light",
    ]


@pytest.mark.parametrize("name", ["s.db", "s.db-wal", "s.db-shm", "s.db.lock", "gw.toml", "link"])
def test_an_export_replaces_nothing_of_the_gateways(tmp_path: Path, path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to(path)
    config = tmp_path / "gw.toml"
    config.write_text("[gateway]")
    before = path.read_bytes()
    reader = Reader.open(path)
    with pytest.raises(StoreError, match="belongs to the gateway"):
        Export(reader, Choice()).to_file(tmp_path / name, "csv", [config])
    reader.close()
    done = kerbline("export", "--file", path, "--out", path, "--format", "csv", status=1)
    assert "name another file" in done.stderr
    assert path.read_bytes() == before
    assert config.read_text() == "[gateway]"


def test_an_export_goes_where_a_link_leads_and_replaces_files_alone(
    tmp_path: Path, path: Path
) -> None:
    (tmp_path / "far").mkdir()
    link, there = tmp_path / "o.csv", tmp_path / "far" / "o.csv"
    link.symlink_to(there)
    kerbline("export", "--file", path, "--out", link)
    assert link.is_symlink()
    assert len(there.read_text().splitlines()) == ROWS + 1
    os.mkfifo(tmp_path / "pipe.csv")
    for out in ("pipe.csv", "far"):
        done = kerbline(
            "export", "--file", path, "--out", tmp_path / out, "--format", "csv", status=1
        )
        assert "no regular file" in done.stderr
    assert (tmp_path / "pipe.csv").is_fifo()


def test_json_lines_have_everything(path: Path) -> None:
    store = Store.open(path)
    store.append([alarm(1), gap(200, None)], T0_MS)
    store.close()
    lines = kerbline("export", "--file", path, "--format", "jsonl").stdout.splitlines()
    last = [json.loads(line) for line in lines[-3:]]
    assert [each["type"] for each in last] == ["reading", "alarm", "gap"]
    assert last[0]["values"]["energy_wh"] == ROWS
    assert last[2]["declared_at"] == "2026-09-21T14:13:20.000Z"
    assert [each["kind"] for each in last] == ["streetlight", "alarm", "gap"]
    assert [(each["number"], each.get("last_number", 0)) for each in last[1:]] == [
        (1, 0),
        (200, None),
    ]
    assert len(lines) == ROWS + 2


def test_parquet_has_types_and_time_zones(tmp_path: Path, path: Path) -> None:
    store = Store.open(path)
    mixed = reading(91, "wm-1", "modbus", flow=0.5)
    mixed.values.update(power_w=3, serial="A1", bands=(1, 2.5), open=True)  # type: ignore[attr-defined]
    store.append([mixed, alarm(1), gap(200, None)], T0_MS)
    store.close()
    out = tmp_path / "o.parquet"
    kerbline("export", "--file", path, "--out", out)
    table = pq.read_table(out)  # type: ignore[no-untyped-call]
    assert str(table.schema.field("observed_at").type) == "timestamp[ms, tz=UTC]"
    assert table.num_rows == ROWS + 3
    row = table.slice(ROWS, 1).to_pylist()[0]
    assert (row["source"], row["number"], row["bands"], row["open"]) == (
        "wm-1",
        91,
        [1.0, 2.5],
        True,
    )
    assert row["power_w"] == 3.0
    assert table.slice(ROWS + 2, 1).to_pylist()[0]["kind"] == "gap"
    assert sorted(table.column("number").to_pylist())[:3] == [1, 1, 2]


def test_without_pyarrow_the_remedy_is_named(tmp_path: Path, path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError('absent')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[1:] = "
        f"['store', 'export', '--file', {str(path)!r}, '--out', {str(tmp_path / 'o.parquet')!r}]\n"
        "from kerbline.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "Parquet needs pyarrow: pip install 'kerbline[analysis]'"


def test_an_export_holds_a_part_of_the_log_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = Store.open(path)
    for first in range(1, 20_000, 500):
        store.append([reading(n) for n in range(first, first + 500)], T0_MS)
    store.close()
    reader = Reader.open(path)
    tracemalloc.start()
    written = Export(reader, Choice()).to_file(tmp_path / "o.csv", "csv")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    reader.close()
    assert written.rows == 20_000
    assert peak < 4_000_000, "one batch of 500, and not 20,000 readings"


def drained(store: Store, sink: str) -> list[int]:
    """What a sink delivers until there is nothing more, its cursor saved after each read."""
    cursor, delivered = store.open_cursor(sink), []
    while batches := store.read(cursor, 10, sink):
        delivered += numbers([entry for batch in batches for entry in batch.entries])
        cursor = batches[-1].seq
        store.append([], T0_MS, Notes(cursors={sink: cursor}))
    return delivered


def test_a_replay_sends_its_span_and_then_what_was_not_sent(path: Path) -> None:
    span = ("--from", "2026-09-21T14:18:20Z", "--to", "2026-09-21T14:23:20Z")  # minutes 5 to 9
    done = kerbline("replay", "--file", path, "--sink", "mqtt", *span)
    assert "batches 6 to 10, 15 entries" in done.stdout
    found = json.loads(kerbline("info", "--file", path, "--json").stdout)
    assert {s["sink"]: s["again"] for s in found["sinks"]} == {"mqtt": 5, "file:day": 0}
    store = Store.open(path)
    assert drained(store, "mqtt") == [*range(16, 31), *range(61, 91)]
    assert drained(store, "file:day") == list(range(1, ROWS + 1)), "another sink has no part in it"
    store.close()
    store = Store.open(path)
    assert drained(store, "mqtt") == [], "once"
    store.close()


def test_a_replay_goes_on_after_a_kill_and_takes_a_second_one_in(path: Path) -> None:
    first = order(path, "mqtt", T0_MS + 5 * MINUTE_MS, T0_MS + 10 * MINUTE_MS)
    store = Store.open(path)
    batches = store.read(store.open_cursor("mqtt"), 6, "mqtt")
    store.append([], T0_MS, Notes(cursors={"mqtt": batches[-1].seq}))
    assert (first.first, batches[-1].seq) == (6, 7)
    store.close()
    order(path, "mqtt", T0_MS + 12 * MINUTE_MS, T0_MS + 13 * MINUTE_MS)
    store = Store.open(path)
    assert drained(store, "mqtt") == [*range(22, 40), *range(61, 91)], "8 to 13, then from 21"
    store.close()


def test_a_replay_says_what_hinders_it(path: Path) -> None:
    with pytest.raises(StoreError, match="there is file:day, mqtt"):
        order(path, "nats", T0_MS, T0_MS + 1)
    with pytest.raises(StoreError, match="delivered nothing"):
        order(path, "mqtt", T0_MS + 25 * MINUTE_MS, T0_MS + 26 * MINUTE_MS)
    store = Store.open(path)
    with pytest.raises(StoreTaken, match="stop the other kerbline first"):
        order(path, "mqtt", T0_MS, T0_MS + 1)
    store.close()


def test_a_replay_holds_no_reading_that_the_cap_lets_go(path: Path) -> None:
    order(path, "mqtt", T0_MS, T0_MS + 10 * MINUTE_MS)
    store = Store.open(path)
    store.drop_cursors(["mqtt"])
    store._policy = type(store._policy)(max_bytes=1)
    store.keep_within(T0_MS)
    lost = {
        n for e in stored(store) if isinstance(e, Gap) for n in range(e.first, (e.last or 0) + 1)
    }
    assert lost == set(range(61, 91)), "what was delivered once is no loss"
    assert drained(store, "mqtt") == []
    store.close()


def test_a_sink_reads_through_the_group_commit_by_its_name(path: Path) -> None:
    order(path, "mqtt", T0_MS, T0_MS + MINUTE_MS)

    async def first() -> Sequence[Batch]:
        store = Store.open(path)
        group = GroupCommit(store, GroupPolicy(), lambda: T0_MS)
        batches = [
            *await group.read(store.open_cursor("mqtt"), 1, "mqtt"),
            *await group.read(1, 1, "mqtt"),
        ]
        await group.close()
        return batches

    assert [batch.seq for batch in asyncio.run(first())] == [1, 21]


def test_sinks_that_are_gone_hold_nothing(path: Path) -> None:
    store = Store.open(path)
    assert store.drop_cursors(["mqtt"]) == ("file:day",)
    store.close()
    store = Store.open(path)
    assert store.drop_cursors(["mqtt"]) == ()
    assert store.open_cursor("mqtt") == 20
    store.close()


@pytest.mark.parametrize("words", [["verify"], ["info"], ["export"], ["replay"]])
def test_a_file_that_is_no_store_is_named_and_left_alone(tmp_path: Path, words: list[str]) -> None:
    file = tmp_path / "gw.toml"
    file.write_text("[gateway]\n")
    if words == ["replay"]:
        words += ["--sink", "mqtt", "--from", "2026-01-01", "--to", "2026-02-01"]
    done = kerbline(*words, "--file", file, status=1)
    assert (done.stdout, done.stderr) == (
        "",
        f"{file} is no store of kerbline's: name kerbline.db in a gateway's state_dir, "
        "or its config without --file\n",
    )
    assert list(tmp_path.iterdir()) == [file]


CONFIG = """\
[gateway]
id = "gw-1"
state_dir = "state"
[mqtt]
host = "broker.example"
password_file = "secret"
[mqtt.tls]
ca = "ca.pem"
[[file]]
name = "archive"
folder = "archive"
[[node]]
id = "sl-1"
asset = "lamp-1"
kind = "streetlight"
key_file = "lamp.key"
port = "udp"
[udp]
listen = "[::1]:5683"
"""


@pytest.mark.parametrize(
    "out",
    ["gw.toml", "secret", "ca.pem", "lamp.key", "state/keys/sl-1.json", "state/new", "archive/x"],
)
def test_an_export_replaces_none_of_the_configs_files(tmp_path: Path, path: Path, out: str) -> None:
    Office(tmp_path, "ca")
    for name in ("secret", "lamp.key"):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text("00" * 16)
    config = tmp_path / "gw.toml"
    config.write_text(CONFIG)
    (tmp_path / "state" / "keys").mkdir(parents=True)
    (tmp_path / "archive").mkdir()
    path.rename(tmp_path / "state" / "kerbline.db")
    target = tmp_path / out
    before = target.read_bytes() if target.exists() else None
    done = kerbline("export", config, "--format", "csv", "--out", target, status=1)
    assert done.stderr == f"{target} belongs to the gateway: name another file\n"
    assert (target.read_bytes() if target.exists() else None) == before
    assert kerbline("export", config, "--out", tmp_path / "all.csv").stderr == "90 rows\n"
