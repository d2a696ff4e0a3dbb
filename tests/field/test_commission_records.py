"""The records of a laptop: signed, chained, and each way to break them named by its line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from kerbline.bundle import ed25519
from kerbline.cli import app
from kerbline.field.commission import clock, ledger
from kerbline.field.commission.label import Label
from kerbline.field.commission.ledger import Ledger
from kerbline.field.commission.places import Places
from kerbline.field.commission.words import CommissionFault

DAY_MS = 86_400_000


def filled(folder: Path, count: int = 5) -> Places:
    """A queue with so many records, a day apart."""
    places = Places(folder / "commission")
    places.folder.mkdir(mode=0o700)
    book = Ledger(places)
    now_ms = clock.installed()
    for number in range(count):
        body = {
            "node": f"n-{number}",
            "mac": "24:0a:c4:00:01:10",
            "asset": f"a-{number}",
            "life": 1,
        }
        assert book.add("bound", f"job-{number}", body, now_ms + number * DAY_MS) == (
            number + 1,
            True,
        )
    return places


def lines(places: Places) -> list[bytes]:
    return places.records.read_bytes().splitlines(keepends=True)


def test_a_queue_is_private_whole_and_says_each_thing_once(tmp_path: Path) -> None:
    places = filled(tmp_path)
    for path in (places.records, places.laptop_key):
        assert path.stat().st_mode & 0o777 == 0o600
    chain = ledger.read(places.records)
    assert [record["n"] for record in chain.records] == [1, 2, 3, 4, 5]
    book = Ledger(places)
    assert {record["laptop"] for record in chain.records} == {book.laptop}
    again = book.add("bound", "job-2", {"life": 1}, 0)
    assert again == (3, False) and len(lines(places)) == 5
    assert book.add("bound", "job-2", {"life": 2, "node": "n-2"}, chain.last_ms or 0)[1]
    assert book.add("failed", "job-2", {"life": 1}, chain.last_ms or 0)[1]
    assert book.add("failed", "job-2", {"life": 1}, chain.last_ms or 0)[1]


def resigned(line: bytes, change: dict[str, object], private: bytes) -> bytes:
    """A record with a change, signed by somebody's key."""
    record = {**json.loads(line), **change, "laptop": ed25519.public(private).hex()}
    del record["signature"]
    plain = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    record["signature"] = ed25519.sign(plain, private).hex()
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def swapped(all_: list[bytes]) -> None:
    all_[1], all_[2] = all_[2], all_[1]


def edited(old: bytes, new: bytes) -> Callable[[list[bytes]], None]:
    def edit(all_: list[bytes]) -> None:
        assert old in all_[2]
        all_[2] = all_[2].replace(old, new)

    return edit


def taken_out(at: int) -> Callable[[list[bytes]], None]:
    def take(all_: list[bytes]) -> None:
        del all_[at]

    return take


def put(at: int, text: bytes) -> Callable[[list[bytes]], None]:
    return lambda all_: all_.insert(at, text)


FOREIGN = bytes(range(32))
# What is done to five lines, which line is named, and what is said of it.
TAMPERED: list[tuple[str, Callable[[list[bytes]], None], int, str]] = [
    ("an asset", edited(b'"a-2"', b'"a-9"'), 3, "signature does not fit"),
    ("a time", edited(b'"at":"2', b'"at":"1'), 3, "signature does not fit"),
    ("a number", edited(b'"n":3', b'"n":4'), 3, "does not follow"),
    ("a space", edited(b'"n":3', b'"n": 3'), 3, "no record"),
    ("a key twice", edited(b'"n":3', b'"n":3,"n":3'), 3, "no record"),
    ("a kind", edited(b'"kind":"bound"', b'"kind":"bidon"'), 3, "not known here"),
    ("a version", edited(b'"v":1', b'"v":2'), 3, "not known here"),
    ("a text for a number", edited(b'"job":"job-2"', b'"job":2'), 3, "job is missing"),
    ("a line taken out", taken_out(2), 3, "does not follow"),
    ("the first line taken out", taken_out(0), 1, "does not follow"),
    ("two lines swapped", swapped, 2, "does not follow"),
    ("a line twice", lambda all_: all_.insert(3, all_[2]), 4, "does not follow"),
    ("an empty line", put(2, b"\n"), 3, "no record"),
    ("no JSON", put(2, b"hello\n"), 3, "no record"),
    ("a list", put(2, b"[]\n"), 3, "no record"),
    ("brackets", put(2, b"[" * 50_000 + b"\n"), 3, "no record"),
    ("a long line", put(2, b'{"a":"' + b"x" * 70_000 + b'"}\n'), 3, "no record"),
    ("bytes", put(2, b"\xff\xfe\n"), 3, "no record"),
    (
        "a stranger's signature",
        lambda all_: all_.__setitem__(2, resigned(all_[2], {"asset": "a-9"}, FOREIGN)),
        3,
        "another laptop",
    ),
]


@pytest.mark.parametrize(("change", "line", "words"), [t[1:] for t in TAMPERED],
                         ids=[t[0] for t in TAMPERED])  # fmt: skip
def test_what_was_changed_is_named_by_its_line(
    tmp_path: Path, change: Callable[[list[bytes]], None], line: int, words: str
) -> None:
    places = filled(tmp_path)
    all_ = lines(places)
    change(all_)
    places.records.write_bytes(b"".join(all_))
    with pytest.raises(CommissionFault) as fault:
        ledger.read(places.records)
    assert fault.value.code == "records_changed"
    assert f"line {line} " in str(fault.value) and words in str(fault.value)
    with pytest.raises(CommissionFault):  # nothing is added behind it
        Ledger(places).add("bound", "job-9", {"life": 1}, 0)
    assert places.records.read_bytes() == b"".join(all_)


def test_the_owner_of_the_key_can_change_the_last_line_and_is_seen(tmp_path: Path) -> None:
    places = filled(tmp_path)
    private = bytes.fromhex(places.laptop_key.read_text())
    all_ = lines(places)
    all_[4] = resigned(all_[4], {"asset": "a-9"}, private)
    places.records.write_bytes(b"".join(all_))
    with pytest.raises(CommissionFault, match="line 5 was changed"):
        ledger.read(places.records)


def test_a_lost_end_is_seen(tmp_path: Path) -> None:
    places = filled(tmp_path)
    whole = lines(places)
    places.records.write_bytes(b"".join(whole[:3]))
    with pytest.raises(CommissionFault, match="5 records were written, 3 are there"):
        ledger.read(places.records)
    places.records.unlink()
    with pytest.raises(CommissionFault, match="5 records were written, 0 are there"):
        ledger.read(places.records)


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_line_that_a_power_cut_left_is_made_anew(tmp_path: Path, cut: int) -> None:
    """The line was told to nobody: the file that tells the end is written after it."""
    places = filled(tmp_path, 4)
    end = places.records.with_suffix(".end").read_bytes()
    book = Ledger(places)
    body = {"node": "n", "asset": "a", "mac": "m", "life": 1}
    book.add("bound", "job-x", body, clock.installed())
    places.records.with_suffix(".end").write_bytes(end)
    os.truncate(places.records, places.records.stat().st_size - cut)
    chain = ledger.read(places.records)
    assert chain.torn and len(chain.records) == 4
    assert book.add("bound", "job-x", body, clock.installed()) == (5, True)
    assert not ledger.read(places.records).torn


def test_an_export_verifies_by_itself_and_by_the_laptops_key(tmp_path: Path) -> None:
    places = filled(tmp_path)
    to = tmp_path / "for-the-office.jsonl"
    assert ledger.export(places.records, to) == 5
    key = Ledger(places).laptop
    assert len(ledger.read(to, laptop=key).records) == 5
    with pytest.raises(CommissionFault, match=r"line 1 .*another laptop"):
        ledger.read(to, laptop="00" * 32)
    empty = Places(tmp_path / "nothing")
    assert ledger.read(empty.records).records == ()


def test_a_clock_that_can_not_be_right_is_doubted_in_the_record(tmp_path: Path) -> None:
    places = filled(tmp_path, 2)
    book = Ledger(places)
    installed = clock.installed()
    told = {
        0: "behind the last record",
        installed + DAY_MS // 2: "behind the last record",
        installed + 30 * 366 * DAY_MS: "years past",
        installed + 3 * DAY_MS: "",
    }
    for number, (now_ms, words) in enumerate(told.items()):
        book.add("bound", f"at-{number}", {"life": 1, "node": "n"}, now_ms)
        doubt = ledger.read(places.records).records[-1]["clock"]
        assert words in doubt and bool(doubt) == bool(words)
    assert "when this program was installed" in clock.doubt(installed - 1, None)


@pytest.mark.parametrize("text", ["", "not hex", "00" * 31, "zz" * 32])
def test_a_laptops_key_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    places = filled(tmp_path, 1)
    places.laptop_key.write_text(text)
    with pytest.raises(CommissionFault, match="holds no key"):
        Ledger(places)
    places.laptop_key.write_text("00" * 32)
    places.laptop_key.chmod(0o644)
    with pytest.raises(CommissionFault, match="others may use it"):
        Ledger(places)


def test_the_commands_tell_list_and_export(tmp_path: Path) -> None:
    (tmp_path / "kerbline").mkdir()
    places = filled(tmp_path / "kerbline")
    env = {"XDG_STATE_HOME": str(tmp_path)}

    def said(*words: str) -> str:
        done = CliRunner().invoke(app, ["commission", *words], env=env, standalone_mode=False)
        if done.exception is not None:
            assert isinstance(done.exception, CommissionFault)
            return str(done.exception)
        return done.output

    assert "5 records, whole" in said("records", "verify")
    table = said("records", "list").splitlines()
    assert len(table) == 5 and "n-4" in table[4] and "a-4" in table[4]
    assert json.loads(said("records", "list", "--json").splitlines()[2])["n"] == 3
    out = tmp_path / "out.jsonl"
    assert "5 records" in said("records", "export", str(out))
    assert said("records", "verify", str(out), "--laptop", Ledger(places).laptop).startswith(
        f"{out}: 5 records, whole"
    )
    assert "another laptop signed it" in said("records", "verify", str(out), "--laptop", "00")
    out.write_bytes(out.read_bytes().replace(b"a-3", b"a-9"))
    assert "line 4 was changed" in said("records", "verify", str(out))
    payload = Label("sl-000110", "24:0a:c4:00:01:10").payload
    assert said("label", payload) == "node sl-000110, MAC 24:0a:c4:00:01:10\n"
    assert "read the code again" in said("label", payload[:-1] + "Z")
    assert "the board's port is missing" in said()


def test_a_lost_key_is_not_made_anew_beside_its_queue(tmp_path: Path) -> None:
    places = filled(tmp_path)
    places.laptop_key.unlink()
    with pytest.raises(CommissionFault, match="is gone; bring it back from a backup"):
        Ledger(places)
    assert not places.laptop_key.exists()


def test_a_file_that_is_not_there_is_not_whole(tmp_path: Path) -> None:
    words = ["commission", "records", "verify", str(tmp_path / "nowhere.jsonl")]
    told = CliRunner().invoke(app, words, standalone_mode=False)
    assert isinstance(told.exception, CommissionFault) and told.exception.code == "records_none"
    assert "nowhere.jsonl" in str(told.exception)
    own = CliRunner().invoke(
        app, words[:-1], env={"XDG_STATE_HOME": str(tmp_path)}, standalone_mode=False
    )
    assert isinstance(own.exception, CommissionFault) and own.exception.code == "records_none"


def test_an_export_to_a_folder_leaves_nothing(tmp_path: Path) -> None:
    places = filled(tmp_path)
    (tmp_path / "out").mkdir()
    for to in (tmp_path / "out", Path()):
        with pytest.raises(CommissionFault, match="name a file"):
            ledger.export(places.records, to)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["commission", "out"]
