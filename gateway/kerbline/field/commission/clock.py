"""Whether the laptop's clock can be right: what a record tells beside its time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import kerbline

AHEAD_MS = 5 * 366 * 86_400_000  # of the day this program was installed
SURE = ""


def doubt(now_ms: int, last_ms: int | None, installed_ms: int | None = None) -> str:
    """Why the time can't be right, in words; "" where nothing speaks against it.

    `last_ms`: of the last record in the queue. All in ms UTC.
    """
    since_ms = installed() if installed_ms is None else installed_ms
    if last_ms is not None and now_ms < last_ms:
        return f"the clock is behind the last record, of {told(last_ms)}"
    if now_ms < since_ms:
        return f"the clock is before {told(since_ms)}, when this program was installed"
    if now_ms > since_ms + AHEAD_MS:
        return f"the clock is years past {told(since_ms)}, when this program was installed"
    return SURE


def installed() -> int:
    """When this program came to this laptop, by its file's last change of state; ms UTC."""
    return Path(kerbline.__file__).stat().st_ctime_ns // 1_000_000


def told(at_ms: int) -> str:
    """As a record has it: 2026-01-31T12:00:00Z."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def read(text: str) -> int:
    """Ms UTC of such a text; raises ValueError."""
    when = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return int(when.timestamp() * 1000)
