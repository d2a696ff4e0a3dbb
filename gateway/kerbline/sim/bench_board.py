"""An ESP32 on the bench behind one port: its ROM loader, then MicroPython from what was flashed.

The loader is esp32-mock-bootloader, fed frame by frame; the running board is `sim.repl`, whose
file system is the flash's `vfs` partition and whose NVS is kept in the `nvs` partition: erase
or overwrite that and it is gone. A flash without a boot image babbles as the ROM does.

What is modelled of a reset: behind RFC 2217 (`way="rfc2217"`) DTR and RTS pull EN and the boot
strap as an adapter's two transistors do. Neither a socket nor a pty carries those lines. So there,
where the board has an adapter that resets it (`auto_reset`), a SYNC of esptool counts as that
pull into the loader; without one, `strap` (BOOT held, EN pressed) alone gets there. The loader is
left by what goes over the wire: FLASH_END or FLASH_DEFL_END that asks for a reboot, an armed
watchdog, or `press_reset`. A link that is hung up resets nothing.
"""

from __future__ import annotations

import asyncio
import queue
import struct
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esp32_mock_bootloader import protocol, registers, server

from kerbline.sim import bench_chip, bench_port
from kerbline.sim.repl import StockBoard

MAC = bytes.fromhex("240ac4000110")  # as the running board's machine.unique_id()
END = b"\xc0"
SYNC = b"\xc0\x00\x08\x24\x00"
BABBLE_S = 0.2
BABBLE = b"invalid header: 0xffffffff\r\n"
BROWN_OUT = b"\r\nBrownout detector was triggered\r\n\r\nets Jul 29 2019 12:21:46\r\n\r\n"
ACK_BYTES = 4  # of esptool, for a block of flash that it was sent
SECURE_BOOT, SECURE_DOWNLOAD = 1, 4  # flags of GET_SECURITY_INFO
# RTC watchdog of the chips that esptool resets by it: the register that arms it.
WATCHDOGS = {"esp32s3": 0x6000_8098, "esp32c3": 0x6000_8090, "esp32c6": 0x600B_1C00}


@dataclass(slots=True)
class Faults:
    """What goes wrong; each may be set at any time.

    `cut_after`: the link dies after so many bytes towards the board, once, and is back at once;
    `dies`: that cut takes the board with it: nothing answers until `press_reset`; `noise`: said
    before each answer of the loader; `flip_every`: a bit of each n-th frame for the flash is
    turned; `worn_at`: a byte of the flash that reads 0 whatever is written;
    `brown_out`: its supply gives way as soon as the loader is asked for; `deaf`: no answer at all.
    """

    cut_after: int | None = None
    dies: bool = False
    noise: bytes = b""
    flip_every: int = 0
    worn_at: int | None = None
    brown_out: bool = False
    deaf: bool = False


class _Flash(server.FlashImage):  # type: ignore[misc] # no types there
    """The mock's flash, of any size, written by slices."""

    def __init__(self, size: int, faults: Faults) -> None:
        super().__init__()
        self._faults = faults
        self.data = bytearray(b"\xff" * size)

    def write_defl_block(self, payload: bytes) -> None:
        if len(payload) < 16 or self._decompressor is None:
            return
        (size,) = struct.unpack_from("<I", payload)
        self._put(self._defl_offset, self._decompressor.decompress(payload[16 : 16 + size]))

    def _put(self, at: int, data: bytes) -> None:
        end = min(at + len(data), len(self.data))
        self.data[at:end] = data[: max(0, end - at)]
        self._defl_offset = at + len(data)
        worn = self._faults.worn_at
        if worn is not None:
            self.data[worn] = 0


class _Wire:
    """The mock's side of a link: whole frames in, answers out; hanging up ends its session."""

    def __init__(self, board: BenchBoard) -> None:
        self.frames: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._board = board

    def recv(self, size: int) -> bytes:
        return self.frames.get()  # whole: the mock decodes what it has anew with each piece

    def sendall(self, data: bytes) -> None:
        self._board.answer(data)

    def set_timeout(self, timeout: float) -> None:
        """It waits until there is a frame, or the end."""

    def close(self) -> None:
        """The board keeps the link."""

    def ignore_eof_for_disconnect(self) -> bool:
        return False

    abort_empty_session = ignore_eof_for_disconnect


class _Loader:
    """One life of the ROM loader, from a reset to the next; the mock runs in a thread."""

    stub = False

    def __init__(self, board: BenchBoard) -> None:
        self._board = board
        self._wire = _Wire(board)
        self._heard = bytearray()
        self._command = 0
        self._frames = 0
        self._thread = threading.Thread(
            target=server.handle_client,
            args=(self._wire, threading.Event(), board.chip),
            kwargs={"flash": board.image},
            daemon=True,
        )
        self._thread.start()

    def end(self) -> None:
        """Reset: what was begun is forgotten."""
        self._wire.frames.put(b"")
        self._thread.join()

    def feed(self, data: bytes) -> bool:
        """Bytes from the host; True: the loader is to be left."""
        self._heard += data
        *whole, rest = self._heard.split(END)
        self._heard = bytearray(rest)
        left = [self._take(bytes(frame)) for frame in whole if frame]
        return any(left)

    def _take(self, raw: bytes) -> bool:
        frame = raw.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
        if len(frame) == ACK_BYTES and self.stub:
            self._wire.frames.put(END + raw + END)
        if len(frame) < 8 or frame[0] != 0:
            return False
        command, data = frame[1], frame[8:]
        if command in (protocol.CMD["FLASH_END"], protocol.CMD["FLASH_DEFL_END"]):
            self._board.image.end_defl()
            self._board.answer(server.make_response(command, stub=self.stub))
            return data[:4] == bytes(4)
        if command == protocol.CMD["MEM_END"]:
            self.stub = len(data) >= 8 and data[:4] == bytes(4)
        own = self._answer(command, data)
        if own is not None:
            self._board.answer(own)
            return False
        is_flash = command in (protocol.CMD["FLASH_DATA"], protocol.CMD["FLASH_DEFL_DATA"])
        if is_flash and self._board.faults.flip_every:
            self._frames += 1
            if self._frames % self._board.faults.flip_every == 0:
                raw = raw[:40] + bytes([raw[40] ^ 1]) + raw[41:] if len(raw) > 41 else raw
        self._wire.frames.put(END + raw + END)
        armed = command == protocol.CMD["WRITE_REG"] and len(data) >= 8
        address, value = struct.unpack_from("<II", data) if armed else (0, 0)
        return bool(address == WATCHDOGS.get(self._board.chip) and value >> 31)

    def _answer(self, command: int, data: bytes) -> bytes | None:
        """What the board knows better than the mock: its fuses, its flash's size."""
        rom = registers.CHIP_DEFS[self._board.chip]
        if command == protocol.CMD["WRITE_REG"] and len(data) >= 8:
            address, value = struct.unpack_from("<II", data)
            if address == rom.SPI_REG_BASE + rom.SPI_USR2_OFFS:
                self._command = value & 0xFF
        elif command == protocol.CMD["READ_REG"] and len(data) >= 4:
            (address,) = struct.unpack_from("<I", data)
            if self._command == 0x9F and address == rom.SPI_REG_BASE + rom.SPI_W0_OFFS:
                size = len(self._board.image.data).bit_length() - 1
                value = protocol.MOCK_FLASH_ID & 0xFFFF | size << 16
                return bytes(server.make_response(command, value=value, stub=self.stub))
            known = self._board.fuses.get(address)
            if known is not None:
                return bytes(server.make_response(command, value=known, stub=self.stub))
        elif command == protocol.CMD["GET_SECURITY_INFO"] and not rom.USES_MAGIC_VALUE:
            flags = SECURE_BOOT * self._board.secure_boot
            told = struct.pack("<IB7xII", flags, self._board.encrypted, rom.IMAGE_CHIP_ID, 0)
            head = struct.pack("<BBHI", 1, command, len(told) + 2, 0)
            return bytes(server.slip_encode(head + told + b"\0\0"))
        return None


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
    ) -> None:
        """`way`: socket, rfc2217 or serial (a pty); `flash_bytes`: 4 MiB, S3 8 MiB if 0."""
        self.chip, self.mac = chip, mac
        self.auto_reset, self.secure_boot, self.encrypted = auto_reset, secure_boot, encrypted
        self.faults = Faults()
        self.events: list[str] = []
        self.received = 0  # bytes towards the board
        self.image = _Flash(
            flash_bytes or (8 if chip == "esp32s3" else 4) * bench_chip.MIB, self.faults
        )
        self.stock: StockBoard | None = None
        self.fuses = self._fuses()
        self._folder = folder
        self._way = way or ("serial" if serial else "socket")
        self._micropython = micropython
        self.port = self._made_port()
        self._loader: _Loader | None = None
        self._running = False
        self._uart: asyncio.StreamWriter | None = None
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
        return self.image.data

    @property
    def state(self) -> str:
        """loader, running, or off: nothing there to run."""
        return "loader" if self._loader else "running" if self._running else "off"

    @property
    def line_url(self) -> str:
        """UART1 of the running board: the node's line."""
        return self.stock.line_url if self.stock else ""

    def strap(self) -> None:
        """BOOT held, EN pressed: the loader. From any thread, as all of these."""
        self._do("strap")

    def press_reset(self) -> None:
        """EN pressed: boots what is in the flash."""
        self._do("boot")

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

    def _do(self, what: str) -> None:
        self._loop.call_soon_threadsafe(self._changes.put_nowait, what)

    # ------------------------------------------------------------ life

    async def __aenter__(self) -> BenchBoard:
        self._loop = asyncio.get_running_loop()
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._micropython is not None:
            self.stock = StockBoard(self._folder, self._micropython, self.chip)
            await self._stack.enter_async_context(self.stock)
            await self.stock.cut_power()
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
                elif self.state == "off" and not bench_chip.bootable(self.flash, self.chip):
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
        if self._uart is not None:
            self._uart.close()
            self._uart = None
        if self._running and self.stock is not None:
            await self.stock.cut_power()
            parts = bench_chip.partitions(self.flash)
            for label, file in (("vfs", self.stock.flash), ("nvs", self._folder / "nvs.json")):
                part, data = parts[label], file.read_bytes()
                data = data if label == "vfs" else data.rstrip(b" ")
                erased = data[: part.size].ljust(part.size, b"\xff")
                self.flash[part.offset : part.offset + part.size] = erased
        self._running = False

    def _enter_loader(self) -> None:
        self.events.append("loader")
        self._loader = _Loader(self)

    async def _boot(self) -> None:
        parts = bench_chip.partitions(self.flash)
        if not bench_chip.bootable(self.flash, self.chip) or not {"vfs", "nvs"} <= parts.keys():
            self.events.append("no image")
            return
        self.events.append("boot")
        if self.stock is None:
            return
        for label, file in (("vfs", self.stock.flash), ("nvs", self._folder / "nvs.json")):
            part = parts[label]
            data = bytes(self.flash[part.offset : part.offset + part.size])
            file.write_bytes(data if label == "vfs" else _kept(data))
        reader, self._uart = await asyncio.open_connection("127.0.0.1", self.stock.port)
        await asyncio.sleep(0)
        self.stock.power_on()
        self._running = True
        self._spawn(self._from_board(reader))

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
            if self._uart is not None:
                self._uart.write(data)
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

    def answer(self, data: bytes) -> None:
        """Of the loader, from any thread."""
        self._loop.call_soon_threadsafe(self.port.say, self.faults.noise + data)

    def _fuses(self) -> dict[int, int]:
        """Registers that tell MAC, secure boot and flash encryption."""
        rom = registers.CHIP_DEFS[self.chip]
        low, high = int.from_bytes(self.mac[2:], "big"), int.from_bytes(self.mac[:2], "big")
        boot, crypt = self.secure_boot, self.encrypted
        if self.chip == "esp32":
            base = rom.EFUSE_RD_REG_BASE
            return {
                base: crypt << 20,
                base + 4: low,
                base + 8: high,
                rom.EFUSE_RD_ABS_DONE_REG: boot * rom.EFUSE_RD_ABS_DONE_0_MASK,
            }
        return {
            rom.MAC_EFUSE_REG: low,
            rom.MAC_EFUSE_REG + 4: high,
            rom.EFUSE_SECURE_BOOT_EN_REG: boot * rom.EFUSE_SECURE_BOOT_EN_MASK,
            rom.EFUSE_SPI_BOOT_CRYPT_CNT_REG: crypt << 18,
        }


def _kept(nvs: bytes) -> bytes:
    """The running board's NVS out of its partition: nothing where that is erased or damaged."""
    text = nvs.rstrip(b"\xff")
    return text if text.startswith(b"{") and text.endswith(b"}") else b""


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
