"""Node keys: where they start, that they last, and that a damaged file is said and not used."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from kerbline.keys import KeyFault, KeyRing, NodeKeys

FIRST = bytes(range(16))
SECOND = bytes(range(16, 32))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "node.key"
    path.touch(mode=0o600)
    path.write_text(FIRST.hex().upper() + "\n")
    return path


def test_a_node_starts_with_its_key_file_at_generation_0(tmp_path: Path, key_file: Path) -> None:
    ring = KeyRing(tmp_path / "keys")
    assert ring.load("n-1", key_file) == NodeKeys(0, FIRST)
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("next_key", [None, SECOND])
def test_what_is_stored_is_there_after_a_restart(
    tmp_path: Path, key_file: Path, next_key: bytes | None
) -> None:
    ring = KeyRing(tmp_path / "keys")
    ring.load("n-1", key_file)
    ring.store("n-1", NodeKeys(6, FIRST))
    ring.store("n-1", NodeKeys(7, SECOND, next_key))
    assert KeyRing(tmp_path / "keys").load("n-1", key_file) == NodeKeys(7, SECOND, next_key)
    kept = sorted((tmp_path / "keys").iterdir())
    assert [path.name for path in kept] == ["n-1.json", "n-1.new"]
    assert not any(kept[1].read_bytes()), "no key of an earlier generation stays"
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o600, 0o600]
    assert stat.S_IMODE(kept[0].parent.stat().st_mode) == 0o700


def test_what_lies_ready_for_the_next_key_takes_no_new_place(
    tmp_path: Path, key_file: Path
) -> None:
    ring = KeyRing(tmp_path / "keys")
    ring.load("n-1", key_file)
    places = set[frozenset[int]]()
    for generation in range(4):
        ring.store("n-1", NodeKeys(generation, SECOND))
        places.add(frozenset(path.stat().st_ino for path in (tmp_path / "keys").iterdir()))
    assert len(places) == 1 and len(places.pop()) == 2


def test_a_kill_between_two_keys_costs_neither(tmp_path: Path, key_file: Path) -> None:
    ring = KeyRing(tmp_path / "keys")
    ring.load("n-1", key_file)
    ring.store("n-1", NodeKeys(7, FIRST))
    kept = tmp_path / "keys" / "n-1.json"
    (tmp_path / "keys" / "n-1.old").hardlink_to(kept)  # where the old key was about to go
    assert ring.load("n-1", key_file) == NodeKeys(7, FIRST)
    ring.store("n-1", NodeKeys(8, SECOND))
    assert ring.load("n-1", key_file) == NodeKeys(8, SECOND)
    assert not (tmp_path / "keys" / "n-1.old").exists()


def test_a_new_key_file_starts_again(tmp_path: Path, key_file: Path) -> None:
    ring = KeyRing(tmp_path / "keys")
    ring.load("n-1", key_file)
    ring.store("n-1", NodeKeys(7, FIRST))
    key_file.write_text(SECOND.hex())
    assert KeyRing(tmp_path / "keys").load("n-1", key_file) == NodeKeys(0, SECOND)


def test_a_draft_that_a_power_cut_left_is_no_hindrance(tmp_path: Path, key_file: Path) -> None:
    ring = KeyRing(tmp_path / "keys")
    ring.load("n-1", key_file)
    ring.store("n-1", NodeKeys(7, FIRST))
    (tmp_path / "keys" / "n-1.new").write_text('{"generation"')
    assert ring.load("n-1", key_file) == NodeKeys(7, FIRST)
    ring.store("n-1", NodeKeys(8, FIRST))
    assert ring.load("n-1", key_file) == NodeKeys(8, FIRST)


def test_every_damage_is_said_set_aside_and_tells_no_key(
    tmp_path: Path, key_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ring = KeyRing(tmp_path / "keys")
    ring.load("n-1", key_file)
    ring.store("n-1", NodeKeys(7, SECOND, FIRST))
    path = tmp_path / "keys" / "n-1.json"
    whole = path.read_bytes()
    torn = [whole[:length] for length in range(0, len(whole) - 1, 7)]
    flipped = [
        bytes([*whole[:at], whole[at] ^ 1, *whole[at + 1 :]]) for at in range(0, len(whole), 5)
    ]
    other = json.loads(whole)
    other["generation"] = 8
    for damaged in [*torn, *flipped, json.dumps(other).encode(), b"[]", b"\xff" * 40]:
        path.write_bytes(damaged)
        caplog.clear()
        keys = ring.load("n-1", key_file)
        if keys == NodeKeys(0, FIRST):
            assert "n-1.json: damaged; set aside" in caplog.text
            assert path.with_suffix(".damaged").read_bytes() == damaged
        else:
            assert json.loads(damaged) == json.loads(whole)
        assert SECOND.hex() not in caplog.text


def test_a_key_is_not_shown(tmp_path: Path, key_file: Path) -> None:
    assert FIRST.hex() not in repr(NodeKeys(1, FIRST, SECOND))
    assert repr(FIRST) not in repr(NodeKeys(1, FIRST, SECOND))
    key_file.chmod(0o644)
    with pytest.raises(KeyFault, match="mode 0644") as raised:
        KeyRing(tmp_path).load("n-1", key_file)
    assert FIRST.hex() not in str(raised.value).lower()


def test_a_folder_that_can_not_be_written_is_said(tmp_path: Path, key_file: Path) -> None:
    (tmp_path / "keys").write_text("a file")
    ring = KeyRing(tmp_path / "keys" / "deeper")
    with pytest.raises(KeyFault, match="can't be read: Not a directory"):
        ring.load("n-1", key_file)
    with pytest.raises(KeyFault, match="can't be written: Not a directory"):
        ring.store("n-1", NodeKeys(1, FIRST))
