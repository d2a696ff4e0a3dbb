"""The demo: a simulated street, everything that serves it, and a story that breaks it."""

from __future__ import annotations

from pathlib import Path


def main(
    *,
    headless: bool,
    seconds: float,
    report: Path | None = None,
    broker: str = "nats",
    keep: Path | None = None,
    record: Path | None = None,
) -> int:
    """Tells the story in about `seconds`; 0 when it all happened and nothing was lost, else 1."""
    from kerbline.demo import story  # the witness stands in this package and needs none of it

    return story.run(story.Options(headless, seconds, report, broker, keep, record))
