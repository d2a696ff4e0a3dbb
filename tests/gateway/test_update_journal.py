"""What is durable of a campaign: through torn lines, kills between two steps, and a full disk."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kerbline.update.campaign import Course, Run
from kerbline.update.journal import Journal, JournalFault
from kerbline.update.plan import Member, Plan
from kerbline.update.states import Progress, State

PLAN = Plan(
    version="1.2.0",
    build=bytes(range(8)),
    board="streetlight-esp32",
    sequence=8,
    began_ms=1_790_000_000_000,
    members=tuple(Member(f"sl-{number}", "udp", "street") for number in range(5)),
    window=(60, 180),
)


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def begun(folder: Path, plan: Plan = PLAN) -> Journal:
    journal = Journal(folder)
    bundle = folder / "release.kerb"
    bundle.write_bytes(b"a bundle" * 1_000)
    journal.take(bundle)
    journal.begin(plan, Course())
    return journal


def lines(folder: Path) -> Path:
    return folder / "updates" / "campaign" / "progress.jsonl"


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    assert Journal(tmp_path).read() is None
    journal = begun(tmp_path)
    trial = Progress(State.TRIAL, "", 5, tries=2, excused=True, after=(7, 100))
    journal.append(None, {"sl-1": Progress(State.DUE), "sl-2": Progress(State.DUE)})
    journal.append(Course(Run.PAUSED, "by an operator", 9, stage=1), {"sl-1": trial})
    kept = Journal(tmp_path).read()
    assert kept is not None
    assert kept.plan == PLAN
    assert kept.course == Course(Run.PAUSED, "by an operator", 9, stage=1)
    assert kept.progress == {"sl-1": trial, "sl-2": Progress(State.DUE)}
    assert kept.bundle.read_bytes() == b"a bundle" * 1_000
    for path in (kept.bundle, lines(tmp_path)):
        assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "updates").stat().st_mode & 0o777 == 0o700


def test_a_line_torn_at_any_place_costs_itself_alone(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    journal.append(None, {"sl-1": Progress(State.DUE)})
    whole = lines(tmp_path).read_bytes()
    journal.append(None, {"sl-1": Progress(State.PARTS)})
    longer = lines(tmp_path).read_bytes()
    for end in range(len(whole), len(longer)):
        lines(tmp_path).write_bytes(longer[:end])
        journal.append(None, {"sl-2": Progress(State.STAGED)})
        kept = journal.read()
        assert kept is not None
        assert kept.progress == {"sl-1": Progress(State.DUE), "sl-2": Progress(State.STAGED)}


def test_a_campaign_takes_the_place_of_the_last_one_or_leaves_it(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    other = Plan(**{**PLAN.encoded(), "build": b"another!", "members": PLAN.members})
    journal.take(tmp_path / "release.kerb")
    assert journal.read() == journal.read()
    found = journal.read()
    assert found is not None and found.plan == PLAN  # what is only copied is none yet
    # A kill between the renames of `begin`: the old one is out of the way, the new not there yet.
    (tmp_path / "updates" / "campaign").rename(tmp_path / "updates" / "before")
    found = journal.read()
    assert found is not None and found.plan == PLAN
    journal.begin(other, Course())
    found = journal.read()
    assert found is not None and found.plan.build == b"another!"


def test_a_full_disk_refuses_and_leaves_what_was(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    bundle = tmp_path / "release.kerb"
    with (
        full_disk(4_000),
        pytest.raises(JournalFault, match=r"can't be copied: .*File too large; make room"),
    ):
        journal.take(bundle)
    assert not (tmp_path / "updates" / "draft").exists()
    before = lines(tmp_path).read_bytes()
    with full_disk(len(before) + 20), pytest.raises(JournalFault, match="File too large"):
        journal.append(None, {f"sl-{number}": Progress(State.DUE) for number in range(5)})
    assert lines(tmp_path).read_bytes() == before
    journal.append(None, {"sl-1": Progress(State.DUE)})
    kept = journal.read()
    assert kept is not None and kept.progress == {"sl-1": Progress(State.DUE)}


def test_a_journal_that_somebody_removed_is_not_begun_without_its_plan(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    lines(tmp_path).unlink()
    with pytest.raises(JournalFault, match="is gone; abort the campaign"):
        journal.append(None, {"sl-1": Progress(State.DUE)})
    assert journal.read() is None


def test_a_journal_that_is_none_is_told(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    lines(tmp_path).write_bytes(os.urandom(500))
    with pytest.raises(JournalFault, match="damaged: it names no plan; remove"):
        journal.read()


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        (b'"stages":[1,10,100]', b'"stages":[]'),
        (b'"stages":[1,10,100]', b'"stages":[1,10]'),
        (b'"sequence":8', b'"sequence":"8"'),
        (b'"window":[60,180]', b'"window":[60]'),
        (b'"line":"udp"', b'"line":7'),
        (b'"time_zone":""', b'"time_zone":"Nowhere/Land"'),
    ],
)
def test_a_plan_that_nothing_can_follow_is_told(
    tmp_path: Path, found: bytes, instead: bytes
) -> None:
    journal = begun(tmp_path)
    text = lines(tmp_path).read_bytes()
    assert found in text
    lines(tmp_path).write_bytes(text.replace(found, instead))
    with pytest.raises(JournalFault, match="damaged: it names no plan; remove"):
        journal.read()


@pytest.mark.parametrize(
    "line",
    [
        b'{"course":{"run":"running","stage":3}}',
        b'{"course":{"run":"running","stage":-1}}',
        b'{"course":{"run":"running","at_ms":"now"}}',
        b'{"node":"sl-1","to":{"state":"due","tries":"2"}}',
    ],
)
def test_a_step_that_is_none_is_passed_over(tmp_path: Path, line: bytes) -> None:
    journal = begun(tmp_path)
    journal.append(Course(Run.PAUSED, stage=2), {"sl-1": Progress(State.PARTS)})
    lines(tmp_path).write_bytes(lines(tmp_path).read_bytes() + b"\n" + line)
    kept = journal.read()
    assert kept is not None and kept.course == Course(Run.PAUSED, stage=2)
    assert kept.progress == {"sl-1": Progress(State.PARTS)}
