"""Says aloud how the store is: damaged at the start, refused by the disk, thinned by its cap."""

from __future__ import annotations

import asyncio
import logging

from kerbline.agent.records import Records
from kerbline.model import Finding, Severity
from kerbline.store import GroupCommit, Store

LOOK_S = 2.0

log = logging.getLogger("kerbline.store")


async def watch(gateway: str, store: Store, group: GroupCommit, records: Records) -> None:
    """Log every change; a store that was damaged is an alarm of the gateway itself; for ever."""
    if store.quarantined is not None:
        log.error(
            "the store was damaged and is set aside as %s; a new one begins", store.quarantined
        )
    if store.broken_log:
        log.error(
            "the log beside the store is damaged: %d bytes of it are lost; a copy: %s",
            store.cut_bytes,
            store.broken_log_copy or "none, the disk refuses",
        )
    if store.quarantined or store.broken_log:
        copy = store.quarantined or store.broken_log_copy
        evidence = {"set_aside": copy.name if copy else ""}
        await records.found(
            Finding(gateway, "store_lost", True, Severity.CRITICAL, records.now_ms(), evidence)
        )
    elif store.cut_bytes:
        log.warning(
            "the store's log ended in a commit that was cut short: %d bytes left out",
            store.cut_bytes,
        )
    for table, rows in store.unsound.items():
        log.error("the store: %d rows of %s fail their checksum and are left out", rows, table)
    blocked = ""
    thinned = store.thinned
    while True:
        if group.blocked != blocked:
            blocked = group.blocked
            if blocked:
                log.error("nothing can be stored, so nothing is acknowledged: %s", blocked)
            else:
                log.warning("the store takes readings again")
        if store.thinned != thinned:
            log.error("the store is full: %d readings given up", store.thinned - thinned)
            thinned = store.thinned
        await asyncio.sleep(LOOK_S)
