"""Many claims in a window, on a disk that is slow: bounds, and nothing else waits for them."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

from kerbline.agent.fleet.enrolment import MOST_JOINED, MOST_WAITING, Enrolment
from kerbline.agent.fleet.serving import Serving
from kerbline.clock import Clock
from kerbline.config import Udp
from kerbline.counters import Counters
from kerbline.keys import KeyRing
from kerbline.keys.admission import Admission
from kerbline.keys.claim import Claim
from kerbline.keys.roster import Joined
from kerbline.keys.way import Way
from kerbline.south.arrivals import Claimed
from kerbline.south.nodes import Nodes
from kerbline.store import GroupCommit, GroupPolicy, Store
from tests.gateway.pocket_node import DATAGRAM, PocketNode
from tests.gateway.test_permit import (
    KEY,
    LONG_S,
    VALUES,
    config_of,
    drained,
    joined_online,
    play,
    running,
    sealed_for,
    talking,
)
from tests.gateway.test_south_nodes import free_udp_port

FRESH = bytes(range(60, 76))


class SlowDisk:
    """A disk that does not open one file until it is told to."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self.waits = threading.Event()  # somebody does
        self.goes = threading.Event()
        sys.addaudithook(self._opens)

    def _opens(self, event: str, args: tuple[object, ...]) -> None:
        if event == "open" and not self.goes.is_set() and str(args[0]) == self._path:
            self.waits.set()
            self.goes.wait()


async def slow_disk(folder: Path) -> None:
    """A claim that waits for the disk holds up no reading; those beyond the bound come again."""
    port = free_udp_port()
    config = config_of(folder, udp=Udp(f"127.0.0.1:{port}"))
    keys = folder / "state" / "keys"
    admission = Admission(config, KeyRing(keys))
    admission.admit(Claim("sl-1", "lamp-1", "streetlight", FRESH, 0, "udp", 1), None, 1)
    disk = SlowDisk(keys / "sl-9.new")
    node, other = (PocketNode(*each, framing=DATAGRAM) for each in (("sl-9", KEY), ("sl-1", FRESH)))
    node.sealed = sealed_for(folder, "sl-9", "lamp-9")
    async with running(config) as asked, talking(other, port):
        await asked("permit", seconds=60, by="x")
        async with talking(node, port), asyncio.timeout(LONG_S):
            try:
                while not disk.waits.is_set():  # noqa: ASYNC110 - a thread tells nobody
                    await asyncio.sleep(0.01)
                for _ in range(3):
                    other.make(*VALUES)
                    await drained(other)
                assert not (await asked("permit-status"))["joined"]
            finally:
                disk.goes.set()
            await asked.until(joined_online, "permit-status")


def test_a_join_that_waits_for_the_disk_holds_up_no_reading(tmp_path: Path) -> None:
    play(slow_disk, tmp_path)


async def too_many(folder: Path) -> None:
    config = config_of(folder, udp=Udp(f"127.0.0.1:{free_udp_port()}"))
    ring = KeyRing(folder / "state" / "keys")
    nodes = Nodes(config, ring, Clock(), Counters())
    store = Store.open(folder / "store.db")
    group = GroupCommit(store, GroupPolicy(1, 0.05), lambda: 0, "gw")
    admission = Admission(config, ring)
    serving = Serving(admission, nodes, store, group, Clock(), {})
    enrolment = Enrolment(config, admission, nodes, serving, Clock())
    answers = enrolment.answers()
    await answers["permit"]({"seconds": 60})

    def say(number: int) -> None:
        sealed = sealed_for(folder, f"n-{number}", f"lamp-{number}", bytes([number] * 16))
        enrolment.consider(Claimed(f"n-{number}", sealed, Way("udp")))

    committing = asyncio.create_task(group.run())
    for number in range(20):
        say(number)
    assert nodes.door.refused == {"busy": 20 - MOST_WAITING}
    judging = asyncio.create_task(enrolment.judge())
    enrolment._joined = [Joined("x", "y", "streetlight", "udp", "udp", 0, "", 0, 0)] * MOST_JOINED
    async with asyncio.timeout(LONG_S):
        while nodes.door.refused["many"] < MOST_WAITING:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    assert not (await answers["claims"]({}))["joined"]
    judging.cancel()
    group.stop()
    await committing
    await group.close()


def test_what_comes_beyond_the_bounds_of_a_window_is_counted(tmp_path: Path) -> None:
    play(too_many, tmp_path)
