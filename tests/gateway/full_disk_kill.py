"""A store that was killed on a disk which another program has filled, and is opened there.

Usage: full_disk_kill.py FOLDER, a file system of a few megabytes; prints what happened.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from kerbline.store import Store, StoreBlocked
from tests.gateway.full_disk import fill
from tests.gateway.samples import T0_MS, numbers, reading, stored

COMMITS = 60


def live_and_die(path: Path) -> None:
    """Commit until the disk refuses, in a process that ends in no order."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    store = Store.open(path)
    store.open_cursor("mqtt")
    store.begin_epoch(1000)
    for number in range(1, COMMITS + 1):
        store.append([reading(number)], T0_MS)
    fill(path.parent / "ballast")
    number = COMMITS
    try:
        while True:
            number += 1
            store.append([reading(number)], T0_MS)
    except StoreBlocked:
        (path.parent / "refused").touch()  # takes no block
    os._exit(0)


def story(folder: Path) -> dict[str, object]:
    """Kill it, open it twice on the full disk, give it room."""
    path = folder / "s.db"
    live_and_die(path)
    told: dict[str, object] = {"refused": (folder / "refused").exists()}
    epochs = []
    for _ in range(2):
        store = Store.open(path)
        before = numbers(stored(store))
        epochs.append(store.begin_epoch(1000))
        held = store.held("sl-1")[1].spans()
        store.close()
    store = Store.open(path)
    (folder / "ballast").unlink()
    store.append([reading(len(before) + 1)], T0_MS)
    store.close()
    store = Store.open(path)
    after = numbers(stored(store))
    epochs.append(store.begin_epoch(1000))
    told["declared"] = store.undeclared == (1000, 1001, 1002)
    store.close()
    told["rising"] = epochs == [1001, 1002, 1003]
    told["whole"] = before == list(range(1, len(before) + 1)) and held == ((1, len(before)),)
    told["enough"] = len(before) >= COMMITS
    told["after"] = after == [*before, len(before) + 1]
    told["quarantined"] = str(store.quarantined)
    return told


if __name__ == "__main__":
    print(json.dumps(story(Path(sys.argv[1]))))
