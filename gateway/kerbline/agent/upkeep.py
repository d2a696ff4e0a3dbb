"""Says aloud how the store is: damaged at the start, refused by the disk, thinned by its cap.

And that the clock by which it dates has jumped.
"""

from __future__ import annotations

import asyncio
import logging

from kerbline.agent.records import Records
from kerbline.clock import Clock
from kerbline.model import Finding, Severity
from kerbline.store import GroupCommit, Store

LOOK_S = 2.0
JUMP_MS = 5_000  # between two looks; NTP steps by less only where it may slew

log = logging.getLogger("kerbline.store")


async def watch(
    gateway: str, store: Store, group: GroupCommit, records: Records, look_s: float = LOOK_S
) -> None:
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
    offset_ms = _offset_ms(records.clock)
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
        before_ms, offset_ms = offset_ms, _offset_ms(records.clock)
        if abs(offset_ms - before_ms) >= JUMP_MS:
            jump_s = round((offset_ms - before_ms) / 1000)
            log.warning("this machine's clock jumped by %d s; what comes is dated by it", jump_s)
        await asyncio.sleep(look_s)


def _offset_ms(clock: Clock) -> int:
    return clock.utc_ms() - clock.monotonic_ms()
