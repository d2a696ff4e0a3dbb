"""What the wire costs a device: .mpy bytes of all a node may load, and of what stays loaded."""

from collections.abc import Callable
from pathlib import Path

from tests.budgets import size

GATEWAY_ONLY = {"bases", "gateway", "intake"}


def test_the_stack_fits(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    sizes = size.stack(tmp_path)
    for module, count in sorted(sizes.items(), key=lambda item: -item[1]):
        record_property(module, count)
    assert sum(sizes.values()) <= size.TOTAL_BYTES, size.told(sizes)


def test_no_module_of_the_gateway_is_among_them(tmp_path: Path) -> None:
    assert not GATEWAY_ONLY & set(size.stack(tmp_path))


def test_what_stays_loaded_fits(micropython32: Path, tmp_path: Path) -> None:
    sizes = size.resident(micropython32, tmp_path)
    assert sum(sizes.values()) <= size.RESIDENT_BYTES, size.told(sizes)
