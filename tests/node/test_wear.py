"""What the log costs the flash: littlefs's own erases, counted under MicroPython."""

import os

from kerbnode.flash import Flash
from kerbnode.journal import SEGMENT_BYTES, Journal
from kerbnode.store import WAIT_MS, Store
from kerbwire import messages as m
from kerbwire.ranges import RangeSet
from node.ram_flash import RamFlash
from node.street_night import Pause

try:
    import vfs
except ImportError:
    vfs = None

REPORTS, EVENTS = 96, 500  # of a day
MOST = REPORTS + 4320  # flushes of a day whose night has motion all the time: one in 10 s of 12 h
BLOCKS = 512  # of the image's 2 MiB file system
ENDURANCE = 100_000  # erases that a block bears (W25Q32JV, 1)
YEARS = 20


def a_day(journal: Journal) -> int:
    """Each record is flushed alone and kept soon; how many there were."""
    for number in range(REPORTS + EVENTS):
        if number * REPORTS // (REPORTS + EVENTS) != (number + 1) * REPORTS // (REPORTS + EVENTS):
            journal.append(m.REPORT, 1, number, tuple(range(16)))
        else:
            journal.append(m.EVENT, 1, number, (m.EV_MOTION, 1))
        assert journal.flush()
        journal.release(RangeSet(((1, max(1, journal.next - 4)),)))
    return REPORTS + EVENTS


class Log:
    """A journal that counts its flushes; it is board, wake and instruments as well."""

    dirty = False

    def __init__(self) -> None:
        self.now = 0
        self.pending: list[tuple[int, int, int, int, tuple[int, ...]]] = []
        self.flushed: list[int] = []
        self.asset = self

    def make(self, code: int) -> None:
        self.pending.append((1, m.EVENT, 1, 0, (code, 1)))

    def flush(self) -> None:
        self.pending.clear()
        self.flushed.append(self.now)

    def monotonic_ms(self) -> int:
        return self.now

    def totals(self) -> "tuple[int, ...]":
        return ()

    async def wait(self, ms: int) -> None:
        await Pause(ms)


def test_motions_share_a_flush_and_other_events_wait_for_none() -> None:
    log = Log()
    task = Store(log, log, log, log, None).run()
    for second in range(3600):
        if second % 30 < 20:
            log.make(m.EV_MOTION + second % 2)
        task.send(None)
        log.now += 1000
    assert 0 < len(log.flushed) <= 3600 * 1000 // WAIT_MS
    assert max([b - a for a, b in zip(log.flushed, log.flushed[1:])]) <= 30_000
    for behind in ((), (m.EV_MOTION,)):
        log.make(m.EV_LAMP_FAILURE)
        for code in behind:
            log.make(code)
        task.send(None)
        assert log.flushed[-1] == log.now, "with a motion behind it, too"
    task.close()


if vfs is not None:

    def test_the_flash_outlives_the_lamp() -> None:
        flash = RamFlash()
        vfs.VfsLfs2.mkfs(flash)
        vfs.mount(vfs.VfsLfs2(flash), "/worn")
        os.mkdir("/worn/log")
        journal = Journal(Flash("/worn/log"), os.urandom, SEGMENT_BYTES, 3)
        journal.open()
        flash.erases = journal.writes = 0
        flushes = a_day(journal) + a_day(journal)
        vfs.umount("/worn")
        erases = flash.erases / flushes
        year = int(erases * MOST * 365)
        print("erases a flush: {:.3f}, a year: {}".format(erases, year))
        assert 1 <= erases <= 1.05
        assert journal.writes <= flash.erases <= 1.05 * journal.writes  # what DIAG says
        assert YEARS * year // BLOCKS < ENDURANCE
