"""What a household measures stays: a door before each sink that no personal entry passes.

Whichever way an entry would go, it goes by here: at once, from the log, again by order, and as a
node's state. What is held back counts as delivered. What leaves in its place, sums of zones, is
made elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import orjson

from kerbline.assets import Registry
from kerbline.model import Alarm, Entry, Gap, NodeState
from kerbline.north.sink import Display, Inlet, Journal
from kerbline.store import Batch, Committed
from kerbline.store.entries import READING, decoded
from kerbline.store.retention import STORE

REMEMBERED = 10_000  # answers of the registry
_ASSET, _KIND = 4, 5  # groups of READING


class Privacy:
    """What of a gateway's log is somebody's own, by a registry whose list may change.

    An alarm on a personal asset is personal as its readings are: that water runs at night says
    who is at home. So is a node's state, and a gap in the log of a node: both name it. Of a node
    that the config does not name any more, and whose key was not revoked, nobody knows whose it
    was: its gaps are personal.
    """

    def __init__(self, registry: Registry, gateway: str, sources: Mapping[str, str]) -> None:
        """`sources`: each node's asset at first; `gateway`'s own numbers are of all its assets."""
        self._registry = registry
        self._sources = sources
        self._open_sources = (gateway, STORE)
        self._revision = registry.revision
        self._known: dict[tuple[str, str], bool] = {}
        self._written: dict[tuple[bytes, bytes], bool] = {}

    def holds(self, what: Entry | NodeState) -> bool:
        """May no sink be told that is told of zones alone?"""
        if isinstance(what, Gap):
            nodes = self._registry.nodes
            asset = (self._sources if nodes is None else nodes).get(what.source)
            if asset is None:
                went = self._registry.went.get(what.source)
                return self._holds(*went) if went else what.source not in self._open_sources
            return self._holds(asset, "")
        return self._holds(what.asset, "" if isinstance(what, Alarm) else what.kind)

    def public(self, batch: Batch) -> Batch:
        """What is left of a batch; one that can't be read is lost as a whole."""
        self._mind_revision()
        try:
            texts = [text for some in batch.pieces() for text in some]
            left = [text for text in texts if not self._holds_text(text)]
        except (ValueError, TypeError):  # Garbled, or what nobody could have written
            return Batch.made(batch.seq, batch.at_ms, [batch.lost()])
        if len(left) == len(texts):
            return batch
        return Batch(batch.seq, batch.at_ms, b"[%b]" % b",".join(left))

    def _holds(self, asset: str, kind: str) -> bool:
        self._mind_revision()
        name = (asset, kind)
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = self._known[name] = self._registry.personal(asset, kind)
        return found

    def _holds_text(self, text: bytes) -> bool:
        reading = READING.fullmatch(text)
        if reading is None:
            return any(self.holds(entry) for entry in decoded(b"[%b]" % text))
        name = reading[_ASSET], reading[_KIND]
        found = self._written.get(name)
        if found is None:
            if len(self._written) >= REMEMBERED:
                self._written.clear()
            asset, kind = map(orjson.loads, name)
            found = self._written[name] = self._holds(asset, kind)
        return found

    def _mind_revision(self) -> None:
        if self._revision != self._registry.revision:
            self._revision = self._registry.revision
            self._known.clear()
            self._written.clear()


class Door:
    """One sink's: the log as it reads it, and what comes to it, without what is personal."""

    def __init__(self, journal: Journal, privacy: Privacy) -> None:
        self._journal = journal
        self.privacy = privacy
        self.held_back = 0  # of the entries that came since the start

    async def read(self, after: int, limit: int, sink: str = "") -> Sequence[Batch]:
        """As a `Journal`; of some batches nothing may be left."""
        batches = await self._journal.read(after, limit, sink)
        return [self.privacy.public(batch) for batch in batches]

    def save_cursor(self, sink: str, seq: int) -> None:
        """Note that `sink` has all that is public up to batch `seq`."""
        self._journal.save_cursor(sink, seq)

    def before(self, inlet: Inlet) -> Inlet:
        """An inlet through this door."""
        return _Guarded(inlet, self)

    def screen(self, display: Display) -> Display:
        """A display that sees what passes this door."""
        return _Screened(display, self)


class _Guarded:
    """An `Inlet`."""

    def __init__(self, inlet: Inlet, door: Door) -> None:
        self._inlet = inlet
        self._door = door
        self._holds = door.privacy.holds

    def offer(self, entry: Entry) -> None:
        if self._holds(entry):
            self._door.held_back += 1
        else:
            self._inlet.offer(entry)

    def log_grew(self, committed: Committed | None = None) -> None:
        if committed is not None:
            left = tuple([each for each in committed.entries if not self._holds(each)])
            committed = replace(committed, entries=left)
        self._inlet.log_grew(committed)


class _Screened:
    """A `Display`."""

    def __init__(self, display: Display, door: Door) -> None:
        self._display = display
        self._holds = door.privacy.holds

    def show(self, state: NodeState) -> None:
        if not self._holds(state):
            self._display.show(state)
