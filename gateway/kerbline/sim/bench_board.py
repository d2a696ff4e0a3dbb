"""An ESP32 on the bench behind one port: its ROM loader, then MicroPython from what was flashed.

The loader is `bench_loader`; the running board is `repl`, which boots the app, the file system and
the NVS of the flash (`bench_running`): erase or overwrite one of them and it is gone. A flash
without a boot image, or without an app that is whole, babbles as the ROM does.

What is modelled of a reset: behind RFC 2217 (`way="rfc2217"`) DTR and RTS pull EN and the boot
strap as an adapter's two transistors do. Neither a socket nor a pty carries those lines. So there,
where the board has an adapter that resets it (`auto_reset`), a SYNC of esptool counts as that
pull into the loader; without one, `strap` (BOOT held, EN pressed) alone gets there. The loader is
left by what goes over the wire: FLASH_END or FLASH_DEFL_END that asks for a reboot, an armed
watchdog, or `press_reset`. A link that is hung up resets nothing.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from kerbline.sim import bench_chip, bench_port
from kerbline.sim.bench_loader import Chip, Faults, Flash, Loader
from kerbline.sim.bench_running import Running
from kerbline.sim.repl import MAC, StockBoard

SYNC = b"\xc0\x00\x08\x24\x00"
BABBLE_S = 0.2
BABBLE = b"invalid header: 0xffffffff\r\n"
BROWN_OUT = b"\r\nBrownout detector was triggered\r\n\r\nets Jul 29 2019 12:21:46\r\n\r\n"


class BenchBoard:
    """The board; an async context. `url` is its port, `events` what happened, in order.

    Without `micropython` nothing runs once the loader is left: enough for flashing alone.
    """

    def __init__(
        self,
        folder: Path,
        micropython: Path | None = None,
        chip: str = "esp32",
        *,
        mac: bytes = MAC,
        flash_bytes: int = 0,
        serial: bool = False,
        way: str = "",
        auto_reset: bool = True,
        secure_boot: bool = False,
        encrypted: bool = False,
        secure_download: bool = False,
    ) -> None:
        """`way`: socket, rfc2217 or serial (a pty); `flash_bytes`: 4 MiB, S3 8 MiB if 0."""
        self.chip, self.mac = chip, mac
        self.auto_reset = auto_reset
        self.faults = Faults()
        self.events: list[str] = []
        self.received = 0  # bytes towards the board
        size = flash_bytes or (8 if chip == "esp32s3" else 4) * bench_chip.MIB
        self._image = Flash(size, self.faults)
        self.stock: StockBoard | None = None
        self._silicon = Chip(chip, mac, secure_boot, encrypted, secure_download)
        self._folder = folder
        self._way = way or ("serial" if serial else "socket")
        self._micropython = micropython
        self.port = self._made_port()
        self._loader: Loader | None = None
        self._running: Running | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._changes: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._tail = b""
        self._stack = AsyncExitStack()

    # ------------------------------------------------------------ for tests

    @property
    def url(self) -> str:
        """For esptool and mpremote; may be another one after a new start."""
        return self.port.url

    @property
    def flash(self) -> bytearray:
        """All of it; what the running board wrote is seen after the next reset."""
        return self._image.data

    @property
    def state(self) -> str:
        """loader, running, or off: nothing there that runs."""
        if self._loader is not None:
            return "loader"
        return "running" if self._running is not None and self._running.powered else "off"

    @property
    def line_url(self) -> str:
        """UART1 of the running board: the node's line."""
        return self.stock.line_url if self.stock else ""

    def strap(self) -> None:
        """BOOT held, EN pressed: the loader. From any thread, as all of these."""
        self._press("strap")

    def press_reset(self) -> None:
        """EN pressed: boots what is in the flash."""
        self._press("boot")

    def hang_up(self) -> None:
        """The cable is pulled and put in again; the board has power of its own."""
        self._do("hang up")

    async def happens(self, start: str, seconds: float = 60.0, *, after: int = 0) -> str:
        """The next event that starts so, of the board or of what runs on it; TimeoutError."""
        async with asyncio.timeout(seconds):
            while True:
                seen: list[str] = self.events[after:] + (self.stock.events if self.stock else [])
                for event in seen:
                    if event.startswith(start):
                        return event
                await asyncio.sleep(0.01)

    def _press(self, what: str) -> None:
        if self.faults.dies:
            self.faults.deaf = False
        self._do(what)

    def _do(self, what: str) -> None:
        self._loop.call_soon_threadsafe(self._changes.put_nowait, what)

    # ------------------------------------------------------------ life

    async def __aenter__(self) -> BenchBoard:
        self._loop = asyncio.get_running_loop()
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._micropython is not None:
            self.stock = StockBoard(self._folder, self._micropython, self.chip, mac=self.mac)
            await self._stack.enter_async_context(self.stock)
            await self.stock.cut_power()
            self._running = Running(self.stock, self.flash)
        await self.port.open()
        self._stack.callback(self.port.close)
        self._changes.put_nowait("boot")
        self._spawn(self._live())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._power_off()
        await self._stack.aclose()

    def _spawn(self, life: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(life)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self) -> None:
        """One change after the other: resets, and what came over the link between them."""
        while True:
            try:
                async with asyncio.timeout(BABBLE_S):
                    change = await self._changes.get()
            except TimeoutError:
                if self.state == "off" and self.faults.brown_out:
                    self.port.say(BROWN_OUT)
                elif self.state == "off" and (self._running or not self._bootable):
                    self.port.say(BABBLE)
                continue
            if isinstance(change, bytes):
                await self._from_host(change)
            elif change == "hang up":
                self.events.append(change)
                self.port.hang_up()
            else:
                await self._power_off()
                if change == "strap":
                    self._enter_loader()
                else:
                    await self._boot()

    async def _power_off(self) -> None:
        """What runs ends, and what it wrote to flash is in the flash."""
        loader, self._loader = self._loader, None
        if loader is not None:
            await asyncio.to_thread(loader.end)
        if self._running is not None:
            await self._running.end()

    @property
    def _bootable(self) -> bool:
        found = bench_chip.bootable(self.flash, self.chip)
        return found and {"vfs", "nvs"} <= bench_chip.partitions(self.flash).keys()

    def _enter_loader(self) -> None:
        self.events.append("loader")
        self._loader = Loader(self._silicon, self._image, self.faults, self._answer)

    async def _boot(self) -> None:
        if not self._bootable:
            self.events.append("no image")
            return
        self.events.append("boot")
        if self._running is not None:
            self._spawn(self._from_board(await self._running.begin()))

    async def _from_board(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(bench_port.CHUNK_BYTES):
                self.port.say(data)

    # ------------------------------------------------------------ the link

    def _made_port(self) -> bench_port.Port:
        if self._way == "serial":
            return bench_port.PtyPort(self._arrived, self._folder / "port")
        if self._way == "rfc2217":
            return bench_port.LinedPort(self._arrived, self._pulled)
        return bench_port.TcpPort(self._arrived)

    def _pulled(self, is_strapped: bool) -> None:  # noqa: FBT001 - of a callback
        """EN was low and rises."""
        if not self.auto_reset:
            return
        if self.faults.brown_out and is_strapped:
            self.port.say(BROWN_OUT)
        else:
            self._changes.put_nowait("strap" if is_strapped else "boot")

    def _arrived(self, data: bytes) -> None:
        limit = self.faults.cut_after
        if limit is not None and self.received + len(data) > limit:
            self.faults.cut_after = None
            data = data[: max(0, limit - self.received)]
            self._changes.put_nowait(data)
            if self.faults.dies:
                self.faults.deaf = True
            self._changes.put_nowait("hang up")
        elif not self.faults.deaf:
            self._changes.put_nowait(data)
        self.received += len(data)

    async def _from_host(self, data: bytes) -> None:
        synced = (self._tail + data).rfind(SYNC)
        if self._loader is None and synced < 0:
            self._tail = data[-len(SYNC) + 1 :]
            if self._running is not None:
                self._running.hear(data)
            return
        if synced >= 0 and self.auto_reset and self._way != "rfc2217":
            data = (self._tail + data)[synced:]
            if self.faults.brown_out:
                self.port.say(BROWN_OUT)
                return
            if self._loader is None:
                await self._power_off()
                self._enter_loader()
            elif self._loader.stub:
                await asyncio.to_thread(self._loader.end)
                self._enter_loader()
        self._tail = b""
        if self._loader is not None and self._loader.feed(data):
            self.events.append("left")
            self._changes.put_nowait("boot")

    def _answer(self, data: bytes) -> None:
        """Of the loader, from any thread."""
        self._loop.call_soon_threadsafe(self.port.say, self.faults.noise + data)


@contextmanager
def on_bench(*boards: BenchBoard) -> Iterator[None]:
    """The boards live in a thread of their own: for tests and tools that are not asynchronous."""
    ready, over = threading.Event(), threading.Event()
    faults: list[BaseException] = []

    async def live() -> None:
        try:
            async with AsyncExitStack() as stack:
                for board in boards:
                    await stack.enter_async_context(board)
                ready.set()
                await asyncio.to_thread(over.wait)
        except OSError as fault:
            faults.append(fault)
            ready.set()

    thread = threading.Thread(target=asyncio.run, args=(live(),), daemon=True)
    thread.start()
    ready.wait()
    try:
        if faults:
            raise faults[0]
        yield
    finally:
        over.set()
        thread.join()


def main(folder: Path, count: int, chip: str) -> None:
    """So many boards that only take an image, one URL a line; until the input ends."""
    boards = [
        BenchBoard(folder / str(each), chip=chip, mac=MAC[:4] + each.to_bytes(2, "big"))
        for each in range(count)
    ]
    with on_bench(*boards):
        print(*[board.url for board in boards], sep="\n", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
