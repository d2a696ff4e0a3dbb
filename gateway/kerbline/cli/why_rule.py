"""What an operator's rule did, when, and from what: from the store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kerbline.cli.tables import aligned
from kerbline.cli.why_light import decided, instant, valued

if TYPE_CHECKING:
    from kerbline.config import Config
    from kerbline.control.light.decision import Decision

SHOWN = 12  # decisions, the newest


@dataclass(frozen=True, slots=True)
class Found:
    """A rule of the config, how it stood when that was kept last, and what it decided."""

    name: str
    version: str
    is_on: bool
    begun_ms: int | None
    kept_version: str
    decisions: Sequence[Decision]


def look(config: Config, path: Path, name: str, at_ms: int) -> Found:
    """What the store says of a rule until a street time, ms; raises StoreError."""
    from kerbline.agent.light.rules import version
    from kerbline.control.light.decision import MEMORY, RULE, Decision
    from kerbline.store import decisions as kept
    from kerbline.store.reader import Reader

    by = f"{RULE} {name}"
    found: list[Decision] = []
    reader = Reader.open(path)
    try:
        rows = reader.rows("SELECT body FROM memory WHERE rule = ? AND asset = ?", MEMORY, name)
        for each in kept.newest_first(reader, at_ms):
            if json.dumps(by) in each.body:
                with suppress(ValueError):
                    found.append(Decision.parsed(each.body))
            if len(found) == SHOWN:
                break
    finally:
        reader.close()
    memory = json.loads(rows[0][0]) if rows and rows[0][0] else {}
    section = next(rule for rule in config.rules if rule.name == name)
    is_on, begun_ms = bool(memory.get("on")), memory.get("begun_ms")
    return Found(name, version(section), is_on, begun_ms, memory.get("version", ""), found)


def told(found: Found) -> Iterator[str]:
    """For a person."""
    state = "has not begun yet"
    if found.begun_ms is not None:
        begun = f"{instant(found.begun_ms)} UTC"
        state = f"on since {begun}" if found.is_on else f"over; it began last at {begun}"
    if found.kept_version not in ("", found.version):
        state += f", as version {found.kept_version}"
    yield f"rule {found.name} (version {found.version}): {state}"
    for each in found.decisions:
        changed = f" (version {each.version})" if each.version != found.version else ""
        what = f"{each.level_pct} % for {each.hold_s} s" if each.level_pct >= 0 else each.operation
        count = len(each.lamps)
        lamps = "one lamp" if count == 1 else f"{count} lamps" if count else ""
        parts = [part for part in (what, lamps) if part]
        yield f"  {instant(each.at_ms)}  {each.what}{changed}: {', '.join(parts) or 'an alarm'}"
        facts = [(f"    {name}", valued(name, value)) for name, value in each.inputs.items()]
        facts += [(f"    not {lamp}", why) for lamp, why in each.refused.items()]
        yield from aligned(facts)


def to_json(found: Found) -> str:
    """For a machine: one object."""
    return json.dumps(
        {
            "rule": found.name,
            "version": found.version,
            "on": found.is_on,
            "begun_ms": found.begun_ms,
            "kept_version": found.kept_version,
            "decisions": [{**decided(each), "lamps": each.lamps} for each in found.decisions],
        }
    )
