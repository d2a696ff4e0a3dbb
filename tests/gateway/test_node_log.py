"""What is declared as lost of a node's log when its session begins."""

from __future__ import annotations

from kerbline.model import Gap
from kerbline.south.node_log import NodeLog
from kerbwire.messages import Info
from kerbwire.schema import STREETLIGHT

NOW_MS = 1_790_000_000_000


Told = list[tuple[int, int, int | None, str]]


def begun(log: NodeLog, epoch: int, first: int, kept: int) -> Told:
    """Epoch, first, last and reason of each gap that a session declares."""
    info = Info(STREETLIGHT.hash, 11, epoch, 1)
    info.first_rseq = first
    gaps = list(log.begin(info, kept))
    assert all((gap.source, gap.declared_at_ms) == ("sl-1", NOW_MS) for gap in gaps)
    return [(gap.epoch, gap.first, gap.last, gap.reason) for gap in gaps]


def log_of(epoch: int | None) -> NodeLog:
    return NodeLog("sl-1", epoch, lambda: NOW_MS)


def test_where_nothing_went_nothing_is_declared() -> None:
    log = log_of(None)
    assert begun(log, 7, 1, 0) == []
    assert begun(log, 7, 21, 20) == []
    assert log.epoch == 7


def test_a_log_that_begins_anew_ends_the_one_before_open_ended() -> None:
    log = log_of(7)
    assert begun(log, 8, 1, 0) == [(7, 1, None, "log_lost")]
    assert begun(log, 8, 1, 0) == []


def test_what_a_lost_store_had_kept_is_declared() -> None:
    assert begun(log_of(None), 7, 21, 3) == [(7, 4, 20, "store_lost")]


def test_flash_that_does_not_answer_is_no_other_log() -> None:
    log = log_of(7)
    assert begun(log, 0, 1, 0) == []
    assert log.epoch == 7
    assert isinstance(next(log.begin(Info(STREETLIGHT.hash, 12, 8, 1), 0)), Gap)
