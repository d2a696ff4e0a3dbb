"""A signature that is on two releases is told by whoever is offered both."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kerbline.bundle import Bundle, loads, parts
from kerbline.update.journal import FOLDER, JournalFault
from kerbline.update.signatures import SEEN, Signatures
from tests.field import releases

MORE = releases.with_files({"kerbnode/more.mpy": b"M\x06\x00\x1f" + bytes(40)})


def signed(index: int, *, root: bytes = b"\1" * 8, **changes: Any) -> Bundle:
    """A release as a copy of the key would have signed it with that index."""
    return replace(loads(releases.unsigned(**changes), "made", None), root=root, index=index)


@pytest.fixture
def seen(tmp_path: Path) -> Signatures:
    (tmp_path / FOLDER).mkdir()
    return Signatures(tmp_path)


def test_two_releases_with_one_signature_are_both_named(seen: Signatures, tmp_path: Path) -> None:
    first, second = signed(5, version="1.0.0"), signed(5, version="1.1.0", files=MORE)
    assert seen.take(first) == seen.take(first) == ""
    kept = (tmp_path / FOLDER / SEEN).read_bytes()
    for _ in range(2):
        wrong = Signatures(tmp_path).take(second)
        for named in ("1.0.0", first.build.hex(), "1.1.0", second.build.hex(), "index 5"):
            assert named in wrong
    assert seen.take(signed(6, files=MORE, sequence=9)) == ""
    assert seen.take(signed(5, root=b"\2" * 8, version="1.2.0", files=MORE)) == "", (
        "of another root"
    )
    assert (tmp_path / FOLDER / SEEN).read_bytes().count(b"\n") == kept.count(b"\n") + 3


def test_what_a_release_has_parts_from_was_signed_too(seen: Signatures) -> None:
    old, other = signed(2), signed(2, files=MORE, sequence=8)
    delta = parts.made(other.manifest_bytes, other.object, old.manifest_bytes, old.object)
    new = signed(3, files=MORE, sequence=8, patches=((old, delta),))
    assert seen.take(new) == ""
    assert old.build.hex() in seen.take(other)


def test_a_line_that_is_torn_hides_no_other(seen: Signatures, tmp_path: Path) -> None:
    file = tmp_path / FOLDER / SEEN
    seen.take(signed(5))
    file.write_bytes(file.read_bytes() + b'\n{"root":"')
    assert seen.take(signed(6, files=MORE)) == ""
    assert seen.take(signed(5, files=MORE)) and seen.take(signed(6))


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / FOLDER / SEEN).mkdir(parents=True)
    with pytest.raises(JournalFault, match=SEEN):
        Signatures(tmp_path).take(signed(5))
