"""A board with a stock ESP32 image, played by MicroPython's Unix port behind a TCP socket.

Its file system is a littlefs image in a file, the flash before that (partition table, otadata,
apps) another one; its UART0 (the REPL) and its UART1 (a node's line) are sockets; reset, watchdog
and power are this side's. What runs in it is kerbnode's sim/stock.py and, after that, whatever its
flash holds.
"""

from __future__ import annotations

import asyncio
import os
import pty
import termios
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerbline import carried
from kerbline.sim import bench_chip, children
from kerbline.sim.null_modem import NullModem

CHUNK_BYTES = 4096
MAC = bytes.fromhex("240ac4000110")
OFF = "off"
POWER_ON, HARD_RESET, WATCHDOG_RESET, SOFT_RESET = 1, 2, 3, 5
# What the chip says last, by what follows; "dark": no app came up.
ENDS = {
    "reset": (HARD_RESET, "boot"),
    "panic": (WATCHDOG_RESET, "boot"),
    "dark": (POWER_ON, OFF),
}
BOOT_NOISE = (
    b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
    b"entry 0x400805f0\r\n\xff\x00\xfe"
)


@dataclass(slots=True)
class Faults:
    """What goes wrong; each may be set at any time.

    `cut_after`: UART0's link is cut after so many bytes towards the board, once; `slow_s`: what
    each read from that link waits; `noise`: what the ROM says at each reset; `off_at`: the power
    goes at the last of these events, when those before it have come in that order.
    """

    cut_after: int | None = None
    slow_s: float = 0.0
    noise: bytes = BOOT_NOISE
    off_at: list[str] = field(default_factory=list)


class StockBoard:
    """The board; `events` is what its chip has told so far: pins, watchdog, resets."""

    def __init__(
        self, folder: Path, micropython: Path, chip: str = "esp32", *, mac: bytes = MAC
    ) -> None:
        self.faults = Faults()
        self.events: list[str] = []
        self.port = self.line_port = 0
        self.received = 0  # bytes towards the board on UART0 since power-on
        self._folder = folder
        self._micropython = micropython
        self._chip = chip
        self._mac = mac
        self._runs = ""  # the app
        self._child: children.Child | None = None
        self._life: asyncio.Task[None] | None = None
        self._master = -1
        self._links: set[asyncio.StreamWriter] = set()
        self._line = NullModem()
        self._servers: list[asyncio.Server] = []
        self._answers: set[asyncio.Task[None]] = set()
        self._watchdog = _Watchdog(self._bitten)
        self._ends: asyncio.Future[tuple[int, str]] | None = None  # how this life ends

    @property
    def flash(self) -> Path:
        """The file system's partition."""
        return self._folder / "flash.bin"

    @property
    def apps(self) -> Path:
        """The flash before it; without the file it is a stock image's, with one app, `factory`."""
        return self._folder / "apps.bin"

    @property
    def nvs(self) -> Path:
        """What is kept there, as JSON."""
        return self._folder / "nvs.json"

    @property
    def powered(self) -> bool:
        """Is it on?"""
        return self._life is not None

    @property
    def wiring(self) -> Path:
        """What is wired to it (`kerbline.sim.wiring`); read at each reset, and may be absent."""
        return self._folder / "wired.json"

    @property
    def url(self) -> str:
        """UART0."""
        return f"socket://127.0.0.1:{self.port}"

    @property
    def line_url(self) -> str:
        """UART1."""
        return f"socket://127.0.0.1:{self.line_port}"

    async def __aenter__(self) -> StockBoard:
        if not self.apps.exists():
            self.apps.write_bytes(bench_chip.apps(self._chip))
        if not self.flash.exists():
            part = bench_chip.partitions(self.apps.read_bytes())["vfs"]
            self.flash.write_bytes(b"\xff" * part.size)
        self.nvs.touch(mode=0o600)
        self.port = await self._serve(self._repl)
        self.line_port = await self._serve(self._line.first)
        self._uart_port = await self._serve(self._line.second)
        self.power_on()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut_power()
        for server in self._servers:
            server.close()
        for writer in self._links:
            writer.close()
        self._line.close()
        if self._answers:
            await asyncio.wait(self._answers)

    def power_on(self) -> None:
        """Boots."""
        if self._life is None:
            self.received = 0
            self._life = asyncio.create_task(self._live())

    async def cut_power(self) -> None:
        """At once, whatever it was doing."""
        life, self._life = self._life, None
        if life is not None:
            life.cancel()
            await asyncio.wait([life])

    def hang_up(self) -> None:
        """Cut the link of UART0; the board stays on."""
        for writer in tuple(self._links):
            writer.transport.abort()
        self._links.clear()

    def bite(self) -> None:
        """The watchdog's time is over now; nothing happens where none runs."""
        self._watchdog.bite()

    async def happens(self, start: str, seconds: float = 60.0, *, after: int | None = None) -> str:
        """The next event that starts so, from now on or behind `after` events; TimeoutError."""
        seen = len(self.events) if after is None else after
        async with asyncio.timeout(seconds):
            while True:
                for event in self.events[seen:]:
                    if event.startswith(start):
                        return event
                seen = len(self.events)
                await asyncio.sleep(0.01)

    async def _serve(
        self,
        answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
    ) -> int:
        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(answer(reader, writer))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

        server = await asyncio.start_server(begin, "127.0.0.1", 0)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _live(self) -> None:
        cause, mode = POWER_ON, "boot"
        while mode != OFF:
            cause, mode = await self._boot(cause, mode)
        self._life = None

    async def _boot(self, cause: int, mode: str) -> tuple[int, str]:
        """One life of the interpreter; how the next one begins."""
        loop = asyncio.get_running_loop()
        self._master, slave = pty.openpty()
        _quiet(slave)
        told, tell = os.pipe()
        os.set_blocking(self._master, False)
        os.set_blocking(told, False)
        ends = self._ends = loop.create_future()
        if mode == "boot":
            self._runs = ""
        try:
            child = await children.start(
                self._command(tell, cause, mode),
                self._folder / "board.log",
                {"MICROPYPATH": f".frozen:{carried.firmware()}"},
                terminal=slave,
                keep=[tell],
            )
            os.close(slave)
            os.close(tell)
            if mode == "boot":
                self._say(self.faults.noise)
            loop.add_reader(self._master, self._from_board)
            loop.add_reader(told, self._told, told)
            watch = asyncio.create_task(child.process.wait())
            try:
                both: list[asyncio.Future[Any]] = [ends, watch]
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                self._from_board()
                return ends.result() if ends.done() else (HARD_RESET, "boot")
            finally:
                await child.kill()
                await watch
        finally:
            loop.remove_reader(self._master)
            loop.remove_reader(told)
            os.close(self._master)
            os.close(told)
            self._master = -1
            if not (ends.done() and ends.result()[0] == SOFT_RESET):
                self._watchdog.set(0)
            ends.cancel()

    def _command(self, tell: int, cause: int, mode: str) -> list[str]:
        """What `kerbnode.sim.stock` is given."""
        given: list[object] = [self.flash, self.apps, self._runs]
        given += [self.nvs, f"/dev/fd/{tell}", self._uart_port]
        given += [self._chip, self._mac.hex(), cause, mode]
        given += [self.wiring] if self.wiring.exists() else []
        command = [self._micropython, "-X", "heapsize=4M", "-m", "kerbnode.sim.stock", *given]
        return [str(part) for part in command]

    def _told(self, told: int) -> None:
        data = b""
        with suppress(BlockingIOError):
            data = os.read(told, CHUNK_BYTES)
        if not data:
            asyncio.get_running_loop().remove_reader(told)
        for line in data.decode().splitlines():
            word, _, rest = line.partition(" ")
            if self.faults.off_at and line.startswith(self.faults.off_at[0]):
                self.faults.off_at.pop(0)
                if not self.faults.off_at:
                    self._end(POWER_ON, OFF)
            if word == "feed":
                self._watchdog.feed()
                continue
            if word == "watchdog":
                self._watchdog.set(int(rest))
            elif word == "image":
                self._runs = rest.split()[0]
            elif word == "soft":
                self._end(SOFT_RESET, rest)
            elif word in ENDS:
                self._end(*ENDS[word])
            self.events.append(line)

    def _end(self, cause: int, mode: str) -> None:
        """This life is over; the first who says so counts."""
        if self._ends is not None and not self._ends.done():
            self._ends.set_result((cause, mode))

    def _bitten(self) -> None:
        self.events.append("bitten")
        self._end(WATCHDOG_RESET, "boot")

    def _from_board(self) -> None:
        with suppress(BlockingIOError, OSError):
            while data := os.read(self._master, CHUNK_BYTES):
                self._say(data)

    def _say(self, data: bytes) -> None:
        for writer in self._links:
            writer.write(data)

    async def _repl(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(writer)
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                await asyncio.sleep(self.faults.slow_s)
                limit = self.faults.cut_after
                if limit is not None and self.received + len(data) > limit:
                    self.faults.cut_after = None
                    await self._to_board(data[: max(0, limit - self.received)])
                    self.hang_up()
                    break
                await self._to_board(data)
        self._links.discard(writer)
        writer.close()

    async def _to_board(self, data: bytes) -> None:
        self.received += len(data)
        while data and self._master >= 0:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.005)
            except OSError:
                return


class _Watchdog:
    """Bites where it is not fed in time. A soft reset leaves it running, as the chip does."""

    def __init__(self, bites: Callable[[], None]) -> None:
        self._bites = bites
        self._timeout_ms = 0
        self._timer: asyncio.TimerHandle | None = None

    def set(self, timeout_ms: int) -> None:
        """Anew; 0: none."""
        self._timeout_ms = timeout_ms
        self.feed()

    def feed(self) -> None:
        """Its time begins again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._timeout_ms:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._timeout_ms / 1000, self._bites)

    def bite(self) -> None:
        """Its time is over now; nothing happens where none runs."""
        if self._timer is not None:
            self._timer.cancel()
            self._bites()


def _quiet(terminal: int) -> None:
    """As a UART: no echo, no lines, nothing but Ctrl-C means anything; the board sets that."""
    attributes = termios.tcgetattr(terminal)
    attributes[0] &= ~(termios.ICRNL | termios.INLCR | termios.IXON | termios.ISTRIP)
    attributes[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
    attributes[3] |= termios.NOFLSH
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
