"""The durable log: bytes written, its cap, and memory, each in a process of its own.

What the kernel counts as written (write_bytes of /proc/self/io, whole pages of 4 KiB) includes
SQLite's log, checkpoints, cursors, deletes and what is folded; not the file system's journal.
"""

import asyncio
import gc
import random
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from kerbline.model import Key, Reading
from kerbline.north.mapping import Mapper
from kerbline.north.outbox import Outbox
from kerbline.north.port import Message
from kerbline.north.topics import Topics
from kerbline.store import GroupCommit, GroupPolicy, Notes, RetentionPolicy, Store
from tools.figures import Figure
from tools.trees import ROOT

START_MS = 1_800_000_000_000
NODES = 200
DAY = 1440 * NODES  # readings of a day, one a node and minute
BACKLOG = 1_000_000
WARM_BATCHES = 60  # of 500


def readings(count: int, *, noise: int = 0, seed: int = 1) -> Iterator[Reading]:
    """One report a node and minute in turn: 160 lamps, 24 meters, 16 air stations."""
    chance = random.Random(seed)
    energy, litres = [0.0] * NODES, [0] * NODES
    for number in range(count):
        node, turn = number % NODES, number // NODES
        at_ms = START_MS + 60_000 * turn + 300 * node + chance.randrange(250)
        values: dict[str, int | float | str | bool | tuple[int | float, ...]]
        if node < 160:
            kind, power = "streetlight", round(chance.gauss(18.4, 0.2), 1)
            energy[node] += power / 60
            values = {
                "level_pct": 30,
                "power_w": power,
                "energy_wh": int(energy[node]),
                "lamp_hours": turn // 60,
                "temperature_c": 10 + turn // 200 % 9,
                "status": 1,
            }
        elif node < 184:
            kind = "water_meter"
            litres[node] += chance.choice((0, 0, 0, 1, 6))
            values = {"volume_l": litres[node], "flow_l_per_h": chance.choice((0, 60, 360))}
        else:
            kind = "air_quality"
            values = {
                "pm2_5_ug_m3": round(chance.gauss(8, 1), 1),
                "pm10_ug_m3": round(chance.gauss(14, 2), 1),
                "no2_ug_m3": round(chance.gauss(20, 3), 1),
                "humidity_pct": round(chance.gauss(60, 2), 1),
                "temperature_c": round(chance.gauss(12, 0.3), 1),
            }
        if noise:
            values["noise"] = chance.randbytes(noise).hex()
        key = Key(f"n-{node:04}", 0x5EED0000 + node, turn + 1)
        yield Reading(key, f"asset-{node}", kind, at_ms, 600, values, (), at_ms + 80)


def written() -> int:
    """Bytes that this process has caused to be written so far."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


def resident() -> int:
    """Bytes of this process in memory."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024


def filled(path: Path, count: int, group: int, keep_s: int) -> int:
    """Bytes written for `count` readings, a sink following and old batches going."""
    store = Store.open(path, RetentionPolicy(keep_s=keep_s))
    store.open_cursor("mqtt")
    entries: list[Reading] = []
    before = written()
    for each in readings(count):
        entries.append(each)
        if len(entries) == group:
            notes = Notes(cursors={"mqtt": store.head})
            store.append(entries, entries[-1].received_at_ms, notes)
            entries = []
    store.close()
    return written() - before


def by_hundred(folder: str) -> int:
    """100,000 readings, 100 a commit; the log keeps four hours."""
    return filled(Path(folder) / "hundred.db", 100_000, 100, 4 * 3600)


def a_day(folder: str) -> int:
    """A day of 200 nodes, 33 a commit; the log keeps four hours."""
    return filled(Path(folder) / "day.db", DAY, 33, 4 * 3600)


def burst(folder: str) -> float:
    """How far the cap is passed at most, in commits of 500 hard to compress readings."""
    cap, worst = 4_000_000, 0.0
    path = Path(folder) / "burst.db"
    store = Store.open(path, RetentionPolicy(cap))
    store.open_cursor("mqtt")  # which never gets anything
    group: list[Reading] = []
    largest = 0
    for each in readings(60_000, noise=60):
        group.append(each)
        if len(group) == 500:
            before = store.used_bytes()
            store.append(group, each.received_at_ms)
            after = store.used_bytes()
            largest = max(largest, after - before)
            worst = max(worst, (after - cap) / largest if largest else 0.0)
            group = []
    assert store.thinned > 0
    store.close()
    assert path.stat().st_size <= cap + largest * 2
    return worst


class Counting:
    """A broker that acknowledges at once and keeps nothing."""

    messages = 0

    async def connect(self) -> None:
        """There."""

    async def publish(self, *messages: Message) -> None:
        """Count them."""
        self.messages += len(messages)
        await asyncio.sleep(0)

    async def receive(self) -> Message:
        """Nothing comes."""
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        """Gone."""


def fill_backlog(folder: str) -> int:
    """A million readings that no sink has."""
    path = Path(folder) / "backlog.db"
    store = Store.open(path)
    store.open_cursor("mqtt")
    group: list[Reading] = []
    for each in readings(BACKLOG):
        group.append(each)
        if len(group) == 500:
            store.append(group, each.received_at_ms)
            group = []
    head = store.head
    store.close()
    return head


def drain(folder: str) -> tuple[int, int, int, int]:
    """Memory at the start, with WARM_BATCHES out, and with all; and the messages.

    By then what is bounded has filled (20,000 keys, SQLite's cache), as in a gateway at work.
    """
    return asyncio.run(_drain(Path(folder) / "backlog.db"))


async def _drain(path: Path) -> tuple[int, int, int, int]:
    store = Store.open(path)
    start = resident()
    group = GroupCommit(store, GroupPolicy(), lambda: START_MS)
    committing = asyncio.create_task(group.run())
    port = Counting()
    outbox = Outbox(
        "mqtt",
        port,
        group,
        Mapper(Topics("kerbline", "gw-1")),
        cursor=store.open_cursor("mqtt"),
        utc_ms=lambda: START_MS,
        random=random.Random(1).random,
    )
    sending = asyncio.create_task(outbox.run())
    while outbox.cursor < WARM_BATCHES:  # noqa: ASYNC110 - the outbox tells nobody
        await asyncio.sleep(0.01)
    gc.collect()
    before = resident()
    while outbox.cursor < store.head:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    gc.collect()
    after = resident()
    sending.cancel()
    group.stop()
    await committing
    await group.close()
    return start, before, after, port.messages


def apart(work: Callable[[str], object], folder: str) -> object:
    """Run in a process of its own, so that nothing else counts."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, folder).result()


def figures() -> list[Figure]:
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:  # /tmp may be in memory
        hundred, day = apart(by_hundred, folder), apart(a_day, folder)
        past = apart(burst, folder)
        apart(fill_backlog, folder)
        drained = apart(drain, folder)
    assert isinstance(hundred, int) and isinstance(day, int) and isinstance(past, float)
    assert isinstance(drained, tuple)
    start, before, after, messages = drained
    if not day:
        reason = "this file system is in memory"
        return [Figure("bytes written", reason, "bytes")]
    return [
        Figure("100 readings a commit, bytes written each", hundred / 100_000, "bytes", "<= 250"),
        Figure("200 nodes, one a minute, 33 a commit, a day", day / 1e6, "MB", "<= 100"),
        Figure("the same, bytes written each", day / DAY, "bytes"),
        Figure("a burst of large commits passes the cap by", past, "commits", "<= 1"),
        Figure("1 M readings of backlog leave in messages", messages, ""),
        Figure("RSS of the store and one sink at their start", start / 1e6, "MB"),
        Figure("RSS with the first 30,000 delivered", before / 1e6, "MB"),
        Figure("RSS with all delivered, times that", after / before, "x", "<= 1.2"),
    ]
