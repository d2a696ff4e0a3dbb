"""What is durable of a campaign: a folder with its bundle and a log of lines, each one a change.

A line that a power cut tore is passed over: what a node runs is asked of the node.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerbline import durable
from kerbline.errors import KerblineError
from kerbline.update.campaign import Course
from kerbline.update.plan import Plan
from kerbline.update.states import Progress

FOLDER = "updates"  # in the gateway's state folder
CURRENT = "campaign"
BEFORE = "before"
DRAFT = "draft"
BUNDLE = "bundle.kerb"
LINES = "progress.jsonl"
_COPY_BYTES = 1 << 16


class JournalFault(KerblineError):
    """The disk refuses what a campaign has to keep, or gives back something else."""

    code = "journal"


@dataclass(frozen=True, slots=True)
class Kept:
    """A campaign as the disk has it."""

    folder: Path
    plan: Plan
    course: Course
    progress: Mapping[str, Progress]

    @property
    def bundle(self) -> Path:
        """The copy of its bundle."""
        return self.folder / BUNDLE


class Journal:
    """Keeps the campaign of one state folder; every call may wait for the disk."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / FOLDER

    def read(self) -> Kept | None:
        """The newest campaign, or None; raises JournalFault where it can't be read."""
        for name in (CURRENT, BEFORE):  # a kill between two renames leaves the one before
            folder = self.folder / name
            try:
                text = (folder / LINES).read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise JournalFault(f"{folder / LINES}: {error.strerror}") from None
            return _parsed(folder, text)
        return None

    def take(self, bundle: Path) -> Path:
        """A durable copy of a bundle, not yet a campaign's; raises JournalFault."""
        draft = self.folder / DRAFT
        try:
            shutil.rmtree(draft, ignore_errors=True)
            durable.folder(draft)
            with durable.writing(draft / BUNDLE) as copy, bundle.open("rb") as source:
                shutil.copyfileobj(source, copy, _COPY_BYTES)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            what = f"{error.filename or draft}: {error.strerror}"
            remedy = "let the gateway's user write there"
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                remedy = "make room for it there"
            raise JournalFault(f"the bundle can't be copied: {what}; {remedy}") from None
        return draft / BUNDLE

    def forget_draft(self) -> None:
        """The bundle that was taken is of no use."""
        shutil.rmtree(self.folder / DRAFT, ignore_errors=True)

    def begin(self, plan: Plan, course: Course) -> Kept:
        """The bundle that was taken is a campaign's from here on; raises JournalFault."""
        draft, current, before = (self.folder / name for name in (DRAFT, CURRENT, BEFORE))
        try:
            begun = _line({"plan": plan.encoded()}) + _line({"course": course.encoded()})
            durable.append(draft / LINES, begun)
            if current.exists():
                shutil.rmtree(before, ignore_errors=True)
                current.replace(before)
            durable.settle(draft, current)
        except OSError as error:
            raise JournalFault(f"{error.filename or draft}: {error.strerror}") from None
        return Kept(current, plan, course, {})

    def append(self, course: Course | None, progress: Mapping[str, Progress]) -> None:
        """Make changes durable; raises JournalFault, and then none of them may be there."""
        lines = b"".join(
            _line({"node": node, "to": each.encoded()}) for node, each in progress.items()
        )
        if course is not None:
            lines += _line({"course": course.encoded()})
        path = self.folder / CURRENT / LINES
        if not path.exists():  # a new one would have no plan
            raise JournalFault(f"{path}: is gone; abort the campaign, and start it again")
        try:
            durable.append(path, lines)
        except OSError as error:
            raise JournalFault(f"{path}: {error.strerror}") from None


def _parsed(folder: Path, text: bytes) -> Kept:
    plan: Plan | None = None
    course = Course()
    progress: dict[str, Progress] = {}
    for line in text.split(b"\n"):
        try:
            match json.loads(line):
                case {"plan": dict(found)}:
                    plan = Plan.decoded(found)
                case {"course": dict(found)}:
                    read = Course.decoded(found)
                    if plan is not None and read.stage < len(plan.stages):
                        course = read
                case {"node": str(node), "to": dict(found)}:
                    progress[node] = Progress.decoded(found)
        except (ValueError, KeyError, TypeError, RecursionError, KerblineError):
            continue  # torn by a power cut, and what follows stands on a line of its own
    if plan is None:
        raise JournalFault(f"{folder / LINES}: damaged: it names no plan; remove {folder}")
    return Kept(folder, plan, course, progress)


def _line(content: Mapping[str, Any]) -> bytes:
    return b"\n" + json.dumps(content, separators=(",", ":")).encode()
