"""Which log a node writes, and what is lost of it where it or our store began anew."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from kerbline.model import Gap
from kerbwire import messages as m

log = logging.getLogger("kerbline.south")


class NodeLog:
    """`epoch` is the log's own number; None while the node was never heard."""

    __slots__ = ("_node_id", "_utc_ms", "epoch")

    def __init__(self, node_id: str, epoch: int | None, utc_ms: Callable[[], int]) -> None:
        self.epoch = epoch
        self._node_id = node_id
        self._utc_ms = utc_ms

    def begin(self, info: m.Info, kept: int) -> Iterator[Gap]:
        """A session: the gaps between what the node has and what we hold, up to `kept` as far."""
        if not info.epoch:
            log.warning("node %s: its flash does not answer: it keeps no records", self._node_id)
            return
        lost, self.epoch = self.epoch, info.epoch
        if lost is not None and lost != info.epoch:
            log.warning("node %s: its log was lost and begins anew", self._node_id)
            # Open-ended; the store leaves out what it holds of it, and takes what comes after all.
            yield self._gap(lost, 1, None, "log_lost")
        # What the node deleted because a store that is gone had said "kept".
        first, last = kept + 1, info.first_rseq - 1
        if first <= last:
            log.warning("node %s: records %d to %d went with a store", self._node_id, first, last)
            yield self._gap(info.epoch, first, last, "store_lost")

    def _gap(self, epoch: int, first: int, last: int | None, reason: str) -> Gap:
        return Gap(self._node_id, epoch, first, last, reason, self._utc_ms())
