"""What the log costs the flash: littlefs's own erases, counted under MicroPython."""

import os

from kerbnode.flash import Flash
from kerbnode.journal import SEGMENT_BYTES, Journal
from kerbwire import messages as m
from kerbwire.ranges import RangeSet
from node.ram_flash import RamFlash

try:
    import vfs
except ImportError:
    vfs = None

REPORTS, EVENTS = 96, 500  # of a day on a busy street
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
        year = flash.erases // 2 * 365
        print("erases a flush: {:.3f}, a year: {}".format(erases, year))
        assert 1 <= erases <= 1.05
        assert journal.writes <= flash.erases <= 1.05 * journal.writes  # what DIAG says
        assert YEARS * year // BLOCKS < ENDURANCE // 10
