"""What a sink remembers of its broker across a restart, beside its cursor in the store.

One small file: up to when anything may have been upserted, what waited at an orderly end, and
what the live lane delivered beyond the cursor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from kerbline import durable
from kerbline.north.live import Log, Mark
from kerbline.north.ngsi_ld.newest import Past
from kerbwire.ranges import RangeSet

ANY_MS = 1 << 62
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """As it was saved; `platform` tells brokers apart: another one has nothing of ours."""

    platform: str
    cursor: int = 0  # what was delivered up to here is not in `delivered`
    past: Past = field(default_factory=Past)
    delivered: Mapping[Log, Spans] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Safe from a power cut on return; raises OSError."""
        text = {
            "platform": self.platform,
            "cursor": self.cursor,
            "until_ms": self.past.until_ms,
            "open": sorted(self.past.open),
            "delivered": [[*log, spans] for log, spans in self.delivered.items()],
        }
        durable.folder(path.parent)
        durable.replace(path, orjson.dumps(text))


def load(path: Path, platform: str, *, cursor: int) -> Memory:
    """What is known of `platform`, for a sink at `cursor`.

    A file that is no good, or is gone though something was delivered: anything may be there.
    """
    try:
        given = orjson.loads(path.read_bytes())
        if given["platform"] != platform:
            return Memory(platform)
        past = Past(int(given["until_ms"]), frozenset(_open(each) for each in given["open"]))
        delivered = {
            (str(source), int(epoch)): tuple((int(first), int(last)) for first, last in spans)
            for source, epoch, spans in given["delivered"]
        }
        return Memory(platform, int(given["cursor"]), past, delivered)
    except FileNotFoundError:
        return Memory(platform, past=Past(ANY_MS if cursor else -1))
    except (OSError, ValueError, KeyError, TypeError):
        return Memory(platform, past=Past(ANY_MS))


def _open(given: Any) -> tuple[str, str, int]:  # noqa: ANN401 - any JSON
    entity, attribute, at_ms = given
    return str(entity), str(attribute), int(at_ms)


def spans(marks: Iterable[Mark]) -> Spans:
    """Record numbers as few spans."""
    found = RangeSet()
    for mark in marks:
        if isinstance(mark, int) and mark > 0:
            found.add(mark, mark)
    return found.spans()


def numbers(given: Spans, most: int) -> set[Mark]:
    """The same the other way round, up to `most` of the highest."""
    found: set[Mark] = set()
    for first, last in reversed(given):
        found.update(range(max(first, last - most + len(found) + 1), last + 1))
        if len(found) >= most:
            break
    return found
