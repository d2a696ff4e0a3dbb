"""Commits groups of readings until it is killed; prints each number that it may let go of.

Usage: store_writer.py STORE LIMIT_BYTES. A limit other than 0 makes the kernel refuse to let a
file grow past it, as a full disk does; the limit is lifted after the third refusal.
"""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path

from kerbline.store import Notes, Store, StoreBlocked
from tests.gateway.samples import EPOCH, T0_MS, reading

GROUP = 7
ENOUGH = 3_000


def main(path: Path, limit_bytes: int) -> None:
    """Go on where the store ends."""
    store = Store.open(path)
    if limit_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))
    epoch, held = store.held("sl-1")
    assert epoch in (None, EPOCH)
    first, refusals, decided = held.highest + 1, 0, 0
    while first < ENOUGH:
        # Two of the last group again, as a node does whose acknowledgement got lost.
        group = [reading(number) for number in range(max(1, first - 2), first + GROUP)]
        try:
            decision = (decided + 1, T0_MS + first, f"at {first}")
            kept = store.append(group, T0_MS, Notes(decisions=[decision])).kept
        except StoreBlocked:
            refusals += 1
            print("blocked", flush=True)
            if refusals == 3:
                resource.setrlimit(
                    resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                )
            continue
        print(kept[-1].last, flush=True)
        first += GROUP
        decided += 1
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
