"""The journal's files on a real file system."""

import os

from kerbnode.flash import Flash
from kerbnode.journal import Journal
from kerbwire import messages as m
from node import scratch


def test_files_come_and_go() -> None:
    place = scratch.folder()
    flash = Flash(place + "/log")
    try:
        assert flash.names() == []
        flash.create("one", b"abc")
        flash.append("one", b"def")
        buffer = bytearray(4)
        assert flash.size("one") == 6
        assert flash.read("one", 3, buffer) == 3
        assert bytes(buffer[:3]) == b"def"
        flash.create("one", b"x")
        assert flash.size("one") == 1
        assert flash.names() == ["one"]
    finally:
        scratch.remove(place)


def test_a_journal_lives_on_it() -> None:
    place = scratch.folder()
    flash = Flash(place + "/log")
    try:
        journal = Journal(flash, os.urandom)
        journal.open()
        for n in range(40):
            journal.append(m.REPORT, 1, n, (n, -n))
        journal.close()
        later = Journal(flash, os.urandom)
        later.open()
        assert later.epoch == journal.epoch
        assert later.gaps == []
        assert later.next == 41
        assert later.read(17) == (17, m.REPORT, 1, 16, (16, -16))
    finally:
        scratch.remove(place)
