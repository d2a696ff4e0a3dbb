"""A benchmark's line says met, missed, or why nothing was measured."""

import pytest

from tools import bench_wire
from tools.figures import Figure, shown


@pytest.mark.parametrize(
    ("value", "target", "met"),
    [(23, "<= 23", True), (23.1, "<= 23", False), (9_999, ">= 10_000", False), (5, "", None)],
)
def test_a_figure_knows_its_target(value: float, target: str, met: object) -> None:
    assert Figure("live", value, "bytes", target).met is met


def test_what_was_not_measured_is_said_and_is_no_miss() -> None:
    figure = Figure("heap", "no 32-bit runtime", "bytes", "<= 1")
    assert figure.met is None
    assert "not measured: no 32-bit runtime" in shown(figure)


def test_a_target_without_a_sign_is_a_fault() -> None:
    with pytest.raises(ValueError, match="target"):
        assert Figure("live", 1, "bytes", "< 23").met


def test_every_bench_file_is_found() -> None:
    assert {"gateway"} <= set(bench_wire.names())
