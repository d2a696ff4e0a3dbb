"""The daybook: what a kill leaves of it is read, and nothing else is."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import orjson

from kerbline.model import Command
from kerbline.store.daybook import ROOM_BYTES, Daybook

AT_MS = 1_790_000_000_000


def command(number: int, words: str = "") -> Command:
    arguments = {"level_pct": number % 100, "hold_s": 60}
    return Command(f"c{number}{words}", "lamp-1", "set_level", arguments, AT_MS + 1, "mqtt")


def opened(folder: Path) -> tuple[Daybook, list[tuple[Command, int]]]:
    daybook = Daybook(folder / "s.db")
    return daybook, daybook.open()


def found(folder: Path) -> list[str]:
    daybook, rest = opened(folder)
    daybook.close()
    return [each.id for each, _ in rest]


def test_what_was_not_struck_off_is_read_by_the_next_run_as_it_was(tmp_path: Path) -> None:
    daybook, rest = opened(tmp_path)
    assert rest == []
    orders = [command(1), Command("c2", "meter-é", "write", {"run": True, "x": (1, 2.5)}, 9, "a b")]
    assert all(daybook.write(each, AT_MS + n) for n, each in enumerate(orders))
    daybook.close()
    assert opened(tmp_path)[1] == [(orders[0], AT_MS), (orders[1], AT_MS + 1)]


def test_it_begins_again_when_all_is_struck_off_and_not_before(tmp_path: Path) -> None:
    daybook, _ = opened(tmp_path)
    for number in range(3):
        assert daybook.write(command(number), AT_MS)
    daybook.strike(["c0", "c2"])
    assert found(tmp_path) == ["c0", "c1", "c2"], "the ledger knows which it has"
    daybook.strike(["c1", "another"])
    assert found(tmp_path) == []
    daybook.write(command(9), AT_MS)
    assert found(tmp_path) == ["c9"], "lines of the round before lie behind it"
    assert (tmp_path / "s.db.daybook").stat().st_size > 2 * 100


def test_a_run_that_was_killed_in_turn_keeps_what_the_one_before_left(tmp_path: Path) -> None:
    daybook, _ = opened(tmp_path)
    daybook.write(command(1), AT_MS)
    second, rest = opened(tmp_path)
    assert len(rest) == 1
    second.write(command(2), AT_MS)
    assert found(tmp_path) == ["c1", "c2"]
    second.strike(["c1", "c2"])
    assert found(tmp_path) == []


def test_it_has_its_room_before_the_disk_is_full(tmp_path: Path) -> None:
    daybook, _ = opened(tmp_path)
    about = (tmp_path / "s.db.daybook").stat()
    assert about.st_blocks * 512 >= about.st_size == ROOM_BYTES
    daybook.close()


def test_what_has_no_room_is_not_written(tmp_path: Path) -> None:
    daybook, _ = opened(tmp_path)
    written = 0
    while daybook.write(command(written, "x" * 50), AT_MS):
        written += 1
    assert 250 <= written < ROOM_BYTES
    assert (tmp_path / "s.db.daybook").stat().st_size <= ROOM_BYTES
    assert len(found(tmp_path)) == written
    daybook.strike([f"c{number}{'x' * 50}" for number in range(written)])
    assert daybook.write(command(0), AT_MS)


def test_a_line_that_was_cut_short_is_left_out_and_written_over(tmp_path: Path) -> None:
    daybook, _ = opened(tmp_path)
    for number in range(3):
        daybook.write(command(number), AT_MS)
    file = tmp_path / "s.db.daybook"
    whole = file.read_bytes()
    for cut in range(0, whole.rindex(b"\n") + 1, 7):
        file.unlink()  # to write over it would sync it
        file.write_bytes(whole[:cut])
        assert found(tmp_path) == ["c0", "c1", "c2"][: whole[:cut].count(b"\n")]
        file.unlink()
        file.write_bytes(whole[:cut])
        after, rest = opened(tmp_path)
        assert after.write(command(7), AT_MS)
        after.close()
        assert found(tmp_path) == [*[each.id for each, _ in rest], "c7"]


def test_a_file_that_the_disk_refused_is_opened_when_it_takes_something(tmp_path: Path) -> None:
    file = tmp_path / "s.db.daybook"
    file.mkdir()
    daybook, rest = opened(tmp_path)
    assert (rest, daybook.write(command(1), AT_MS)) == ([], False)
    daybook.strike(["c0"])
    assert not daybook.write(command(1), AT_MS)
    file.rmdir()
    daybook.strike(["c0"])
    assert daybook.write(command(1), AT_MS)
    assert found(tmp_path) == ["c1"]


def test_what_another_program_left_there_is_no_order(tmp_path: Path) -> None:
    for junk in (b"", b"\n", b"x" * 70_000, b"00000000" * 3 + b"\n", bytes(4096)):
        (tmp_path / "s.db.daybook").write_bytes(junk)
        daybook, rest = opened(tmp_path)
        assert rest == []
        assert daybook.write(command(1), AT_MS)
        daybook.close()
        assert found(tmp_path) == ["c1"]


def test_what_another_version_wrote_there_is_no_order(tmp_path: Path) -> None:
    sound = ["c1", "lamp-1", "release", {}, AT_MS, "mqtt", AT_MS]
    for place, strange in ((0, 5), (1, None), (2, [1]), (3, 4), (3, [[1]]), (4, "1"), (6, None)):
        changed = [*sound[:place], strange, *sound[place + 1 :]]
        for row in (changed, sound[:-1], [*sound, 1], 7, ["c0", "OK", "", AT_MS]):
            body = orjson.dumps(row)
            line = b"0000aaaa%08x%b\n" % (zlib.crc32(body), body)
            (tmp_path / "s.db.daybook").write_bytes(line)
            assert found(tmp_path) == []


def test_a_pipe_in_its_place_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.db.daybook")
    daybook, rest = opened(tmp_path)
    assert (rest, daybook.write(command(1), AT_MS)) == ([], False)
    daybook.strike(["c1"])
    daybook.close()
