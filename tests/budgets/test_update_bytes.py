"""What an update costs on the line: 60 changed lines over 5 modules of a released node."""

from pathlib import Path

from tests.budgets import update_bytes

LINE_BYTES = 8_000


def test_an_update_of_60_lines_is_small(tmp_path: Path) -> None:
    """All frames count, both ways: offers, blocks, their headers and tags, the signature."""
    before, after = update_bytes.builds(tmp_path)
    assert len(update_bytes.CHANGED) * update_bytes.LINES == 60
    cost = update_bytes.cost(before, after)
    assert 2_000 < cost.manifest + cost.parts < cost.line
    assert cost.line <= LINE_BYTES, cost
    assert cost.line < cost.whole / 4
