"""What the wire costs a device: .mpy bytes of all a node may load, and of what stays."""

from collections.abc import Callable
from pathlib import Path

from tests.budgets import heap, size


def test_the_stack_fits(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    sizes = heap.compiled(tmp_path)
    for module, count in sorted(sizes.items(), key=lambda item: -item[1]):
        record_property(module, count)
    assert size.own_line(sizes) < size.stack(sizes) <= size.TOTAL_BYTES, size.told(sizes)
    assert sum(sizes[name] for name in size.UPDATE) <= size.UPDATE_BYTES, size.told(sizes)


def test_what_stays_loaded_fits(micropython32: Path, tmp_path: Path) -> None:
    sizes = size.resident(micropython32, tmp_path)
    assert 0 < sum(sizes.values()) <= size.RESIDENT_BYTES, size.told(sizes)
