"""The journal's files on a real file system."""

import os

from kerbnode.flash import Flash
from kerbnode.journal import Journal
from kerbwire import messages as m


def scratch() -> "tuple[Flash, str]":
    place = "/tmp/kerbnode-test-" + "".join(["{:02x}".format(byte) for byte in os.urandom(6)])
    return Flash(place), place


def clear(flash: Flash, place: str) -> None:
    for name in flash.names():
        flash.remove(name)
    os.rmdir(place)


def test_files_come_and_go() -> None:
    flash, place = scratch()
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
        clear(flash, place)


def test_a_journal_lives_on_it() -> None:
    flash, place = scratch()
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
        clear(flash, place)
