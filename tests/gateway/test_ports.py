"""Byte lines over real ptys and sockets: they carry, they get lost, they come back."""

from __future__ import annotations

import asyncio
import os
import socket
import tty
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from kerbline import ports
from kerbline.ports import Port, PortLost, open_port, open_when_there
from tests.descriptors import held, leaked


@dataclass
class Pty:
    """A serial device: `path` is what a gateway opens, `far` the device's own end."""

    far: int
    near: int
    path: str

    def unplug(self) -> None:
        """Both ends are closed, once: their numbers are soon somebody else's."""
        ends, self.far, self.near = (self.far, self.near), -1, -1
        for end in ends:
            if end >= 0:
                os.close(end)


@pytest.fixture
def pty() -> Iterator[Pty]:
    made = plug()
    yield made
    made.unplug()


def plug() -> Pty:
    far, near = os.openpty()
    tty.setraw(near)
    os.set_blocking(far, False)
    return Pty(far, near, os.ttyname(near))


async def exactly(port: Port, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await port.read()
    return data


def test_a_pty_carries_every_byte_both_ways(pty: Pty) -> None:
    async def main() -> None:
        port = await open_port(pty.path, 9600, "even")
        os.write(pty.far, bytes(range(256)))
        assert await exactly(port, 256) == bytes(range(256))
        port.write(bytes(range(128)))
        port.write(bytes(range(128, 256)))
        carried = b""
        while len(carried) < 256:
            carried += os.read(pty.far, 1000)
        assert carried == bytes(range(256))
        port.close()
        port.close()

    asyncio.run(main())


def test_a_reader_waits_until_something_comes(pty: Pty) -> None:
    async def main() -> None:
        port = await open_port(pty.path)
        reading = asyncio.create_task(port.read())
        done, _ = await asyncio.wait([reading], timeout=0.05)
        assert not done
        os.write(pty.far, b"late")
        assert await reading == b"late"
        os.write(pty.far, b"stale")
        assert port.discard() == 5
        assert port.discard() == 0
        port.close()

    asyncio.run(main())


def test_a_cancelled_read_loses_nothing(pty: Pty) -> None:
    async def main() -> None:
        port = await open_port(pty.path)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await port.read()
        os.write(pty.far, b"x")
        assert await port.read() == b"x"
        port.close()

    asyncio.run(main())


def test_a_file_is_no_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no line")

    async def main() -> None:
        with pytest.raises(PortLost, match=f"^{path}: that is no serial line; mend its path$"):
            await open_port(str(path))

    asyncio.run(main())
    assert path.read_text() == "no line"


def test_two_masters_can_not_share_a_line(pty: Pty) -> None:
    async def main() -> None:
        port = await open_port(pty.path)
        with pytest.raises(PortLost, match="in use by another program"):
            await open_port(pty.path)
        port.close()
        (await open_port(pty.path)).close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("/dev/no-such-thing", "No such file"),
        ("/dev/null", "."),
        ("socket://127.0.0.1:1", "Connect"),
        ("socket://no.such.host.invalid:1", "."),
    ],
)
def test_a_line_that_does_not_open_says_why_and_which(address: str, why: str) -> None:
    before = held()
    with pytest.raises(PortLost, match=f"{address}: .*{why}"):
        asyncio.run(open_port(address))
    assert not leaked(before)


def test_an_unplugged_line_is_lost_for_the_waiting_and_the_next(pty: Pty) -> None:
    async def main() -> None:
        before = held()
        port = await open_port(pty.path)
        reading = asyncio.create_task(port.read())
        await asyncio.wait([reading], timeout=0.02)
        pty.unplug()
        with pytest.raises(PortLost, match=pty.path):
            await reading
        for use in (port.discard, lambda: port.write(b"x")):
            with pytest.raises(PortLost, match="closed"):
                use()
        with pytest.raises(PortLost):
            await port.read()
        assert not leaked(before)

    asyncio.run(main())


def test_closing_wakes_the_reader(pty: Pty) -> None:
    async def main() -> None:
        port = await open_port(pty.path)
        reading = asyncio.create_task(port.read())
        await asyncio.wait([reading], timeout=0.02)
        port.close()
        with pytest.raises(PortLost, match="closed"):
            await reading

    asyncio.run(main())


def test_what_a_slow_line_does_not_take_is_kept_up_to_a_bound(pty: Pty) -> None:
    async def main() -> None:
        port = await open_port(pty.path)
        sent = bytes(range(256)) * 200
        port.write(sent)  # a pty takes a few KiB at once
        got = b""
        while len(got) < len(sent):
            await asyncio.sleep(0)
            with suppress(BlockingIOError):
                got += os.read(pty.far, 65_536)
        assert got == sent
        port.write(bytes(ports.MAX_UNSENT_BYTES))
        with pytest.raises(PortLost, match="takes nothing"):
            port.write(bytes(ports.MAX_UNSENT_BYTES))

    asyncio.run(main())


def test_a_line_comes_back_under_its_name(tmp_path: Path, pty: Pty) -> None:
    async def main() -> None:
        link = tmp_path / "usb-adapter"
        opening = asyncio.create_task(open_when_there(str(link), first_retry_s=0.01))
        await asyncio.wait([opening], timeout=0.05)
        link.symlink_to(pty.path)
        port = await opening
        os.write(pty.far, b"back")
        assert await port.read() == b"back"
        port.close()

    asyncio.run(main())


def test_a_socket_carries_and_its_end_is_a_loss() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(3))
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        number = server.sockets[0].getsockname()[1]
        port = await open_port(f"socket://127.0.0.1:{number}")
        port.write(b"abc")
        assert await exactly(port, 3) == b"abc"
        with pytest.raises(PortLost, match="hung up"):
            await port.read()
        server.close()

    asyncio.run(main())


def test_what_a_peer_does_not_get_in_time_it_never_gets() -> None:
    """TCP would repeat it for a quarter of an hour, and deliver when the cable is back."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            number = server.getsockname()[1]
            port = await open_port(f"socket://127.0.0.1:{number}", deliver_s=0.5)
            peer, _ = server.accept()
            with peer:
                while not port._unsent:  # until the other side takes no more
                    port.write(bytes(32_768))
                    await asyncio.sleep(0)
                async with asyncio.timeout(60):
                    with pytest.raises(PortLost):
                        await port.read()

    asyncio.run(main())
