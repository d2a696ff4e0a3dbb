"""Signing on to a meter by IEC 62056-21: its modes, an echoing head, and one that says nonsense."""

from __future__ import annotations

import asyncio
import os
import socket
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from kerbline.config.telegram import Request
from kerbline.ports import Port
from kerbline.south.serial import iec62056
from kerbline.south.serial.listener import from_line, to_line
from tests import steady

FAST = 57_600  # instead of 300: a test has no time for real ones
ASK = Request(handshake="iec62056-21", address="1234")


class Head:
    """The far end of a line, as the meter has it."""

    def __init__(self, port: Port, read: Callable[[], bytes], write: Callable[[bytes], object]):
        self.port = port
        self._read = read
        self._write = write

    def told(self) -> bytes:
        """What the port sent until now, without parity."""
        return from_line(self._read(), "even7")

    def tell(self, data: bytes) -> None:
        self._write(to_line(data, "even7"))


@asynccontextmanager
async def server() -> AsyncIterator[Head]:
    """A serial server over TCP: its speed can't be changed from here."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    with near, far:
        port = Port("socket", near.fileno(), lambda: None)
        try:
            yield Head(port, lambda: far.recv(999), far.send)
        finally:
            port.close()


@asynccontextmanager
async def terminal() -> AsyncIterator[Head]:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(slave, False)
    os.set_blocking(master, False)
    port = Port("pty", slave, lambda: os.close(slave))
    port.set_baud(FAST)
    try:
        yield Head(port, lambda: os.read(master, 999), lambda data: os.write(master, data))
    finally:
        port.close()
        os.close(master)


async def sign_on(head: Head, *said: bytes) -> tuple[bool, bytes, bytes]:
    """Is the speed another one now, what was asked, and what was acknowledged."""
    asking = asyncio.create_task(
        iec62056.sign_on(
            head.port,
            ASK,
            FAST,
            lambda data: from_line(data, "even7"),
            lambda data: to_line(data, "even7"),
        )
    )
    await asyncio.sleep(0.03)
    asked = head.told()
    for each in said:
        head.tell(each)
        await asyncio.sleep(0.02)
    changed = await asking
    try:
        return changed, asked, head.told()
    except BlockingIOError:
        return changed, asked, b""


@pytest.mark.parametrize(
    ("identification", "answer"),
    [
        (b"/LGZ5\\2ZMD120\r\n", (True, b"\x06050\r\n")),  # mode C, 9,600 baud
        (b"/EMH4\\@01LZQJ\r\n", (True, b"\x06040\r\n")),  # 4,800 baud
        (b"/LUGCUH50\r\n", (True, b"")),  # mode B: 2,400 baud without a word
        (b"/ABC!METER\r\n", None),  # no identification has that
        (b"/ABCxMETER\r\n", (False, b"")),  # mode A: goes on at 300 baud
    ],
)
def test_the_meter_says_its_mode(identification: bytes, answer: tuple[bool, bytes] | None) -> None:
    async def main() -> None:
        async with terminal() as head:
            if answer is None:
                with pytest.raises(iec62056.NotIdentified):
                    await sign_on(head, identification)
                return
            changed, asked, acknowledged = await sign_on(head, identification)
            assert (changed, acknowledged) == answer
            assert asked == b"/?1234!\r\n"

    steady.run(main())


def test_a_head_that_sees_its_own_light_and_comes_in_pieces() -> None:
    async def main() -> None:
        async with terminal() as head:
            said = [b"/?1234!\r\n/LG", b"Z5\\2ZMD", b"120\r", b"\n"]
            assert await sign_on(head, *said) == (True, b"/?1234!\r\n", b"\x06050\r\n")

    steady.run(main())


def test_over_a_serial_server_the_meter_is_asked_to_stay_at_its_speed() -> None:
    async def main() -> None:
        async with server() as head:
            answer = await sign_on(head, b"/LGZ5\\2ZMD120\r\n")
            assert answer == (False, b"/?1234!\r\n", b"\x06000\r\n")

    steady.run(main())


def test_a_babbling_line_is_no_meter() -> None:
    async def main() -> None:
        async with terminal() as head:
            with pytest.raises(iec62056.NotIdentified):
                await sign_on(head, *[b"/LGZ5" * 30] * 3)

    steady.run(main())
