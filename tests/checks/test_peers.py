"""An environment of other people's libraries counts only when it is whole and of these versions."""

from pathlib import Path

from tools import peers


def test_what_is_not_whole_is_absent(tmp_path: Path) -> None:
    assert peers.interpreter("cose", tmp_path) is None
    python = tmp_path / "cose" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert peers.interpreter("cose", tmp_path) is None
    made = tmp_path / "cose" / ".made"
    made.write_text(" ".join(peers.LIBRARIES["cose"]))
    assert peers.interpreter("cose", tmp_path) == python
    assert peers.install("cose", tmp_path) == "", "it is made once"
    made.write_text("cwt==3.2.0")
    assert peers.interpreter("cose", tmp_path) is None
    made.write_text(" ".join(peers.LIBRARIES["cose"]))
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert peers.interpreter("cose", tmp_path) is None


def test_what_can_not_be_installed_says_why(tmp_path: Path) -> None:
    (tmp_path / "cose").touch()  # no folder can be made there
    assert peers.install("cose", tmp_path)
    assert peers.interpreter("cose", tmp_path) is None
