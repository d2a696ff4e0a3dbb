"""What runs on a board of the bench: the Unix port, booted from all that is in the flash.

The bootloader chooses among the apps that were flashed, the file system is that of the partition
`vfs`, NVS is kept in `nvs`. What the board writes to any of them is in the flash when it ends.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from kerbline.sim import bench_chip
from kerbline.sim.repl import StockBoard


class Running:
    """Boots from the flash and gives it back; the flash is nobody else's between."""

    def __init__(self, stock: StockBoard, flash: bytearray) -> None:
        self.stock = stock
        self._flash = flash
        self._uart: asyncio.StreamWriter | None = None

    @property
    def powered(self) -> bool:
        """Is there something that runs? Not where no app came up."""
        return self._uart is not None and self.stock.powered

    async def begin(self) -> asyncio.StreamReader:
        """Boot; what it says on UART0."""
        for file, part in self._kept():
            content = bytes(self._flash[part.offset : part.offset + part.size])
            file.write_bytes(_kept(content) if part.label == "nvs" else content)
        reader, self._uart = await asyncio.open_connection("127.0.0.1", self.stock.port)
        await asyncio.sleep(0)
        self.stock.power_on()
        return reader

    def hear(self, data: bytes) -> None:
        """From the host, on UART0."""
        if self._uart is not None:
            self._uart.write(data)

    async def end(self) -> None:
        """The power goes."""
        if self._uart is None:
            return
        self._uart.close()
        self._uart = None
        await self.stock.cut_power()
        for file, part in self._kept():
            content = file.read_bytes()
            if part.label == "nvs":
                content = content.rstrip(b" ")[: part.size].ljust(part.size, b"\xff")
            self._flash[part.offset : part.offset + part.size] = content

    def _kept(self) -> list[tuple[Path, bench_chip.Part]]:
        """What is in which file; NVS, which lies before the apps, is the last that counts."""
        parts = bench_chip.partitions(self._flash)
        before = bench_chip.Part("apps", 0, parts["vfs"].offset)
        return [
            (self.stock.apps, before),
            (self.stock.flash, parts["vfs"]),
            (self.stock.nvs, parts["nvs"]),
        ]


def _kept(nvs: bytes) -> bytes:
    """The board's NVS out of its partition: nothing where that is erased or damaged."""
    text = nvs.rstrip(b"\xff")
    return text if text.startswith(b"{") and text.endswith(b"}") else b""
