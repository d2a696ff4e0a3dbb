"""The ROM loader of an ESP32 on the bench: esp32-mock-bootloader, fed frame by frame.

What the mock does not know is here: the chip's fuses, a flash of any size, and what goes wrong.
"""

from __future__ import annotations

import queue
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

from esp32_mock_bootloader import protocol, registers, server

END = b"\xc0"
ACK_BYTES = 4  # of esptool, for a block of flash that it was sent
SECURE_BOOT, SECURE_DOWNLOAD = 1, 4  # flags of GET_SECURITY_INFO
# What a ROM still does where secure download is on.
DOWNLOAD = {"SYNC", "FLASH_BEGIN", "FLASH_DATA", "FLASH_END", "GET_SECURITY_INFO"}
DOWNLOAD |= {"FLASH_DEFL_BEGIN", "FLASH_DEFL_DATA", "FLASH_DEFL_END"}
DOWNLOAD |= {"SPI_ATTACH", "SPI_SET_PARAMS", "CHANGE_BAUDRATE"}
# RTC watchdog of the chips that esptool resets by it: the register that arms it.
WATCHDOGS = {"esp32s3": 0x6000_8098, "esp32c3": 0x6000_8090, "esp32c6": 0x600B_1C00}


@dataclass(slots=True)
class Faults:
    """What goes wrong; each may be set at any time.

    `cut_after`: the link dies after so many bytes towards the board, once, and is back at once;
    `dies`: that cut takes the board with it: nothing answers until its EN is pressed; `noise`: said
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


@dataclass(frozen=True, slots=True)
class Chip:
    """What its fuses say of a chip."""

    name: str
    mac: bytes
    secure_boot: bool = False
    encrypted: bool = False
    secure_download: bool = False  # not of an ESP32, which has none

    def fuses(self) -> dict[int, int]:
        """Registers that tell MAC, secure boot and flash encryption."""
        rom = registers.CHIP_DEFS[self.name]
        low, high = int.from_bytes(self.mac[2:], "big"), int.from_bytes(self.mac[:2], "big")
        boot, crypt = self.secure_boot, self.encrypted
        if self.name == "esp32":
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


class Flash(server.FlashImage):  # type: ignore[misc] # no types there
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

    def __init__(self, say: Callable[[bytes], None]) -> None:
        self.frames: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._say = say

    def recv(self, size: int) -> bytes:
        return self.frames.get()  # whole: the mock decodes what it has anew with each piece

    def sendall(self, data: bytes) -> None:
        self._say(data)

    def set_timeout(self, timeout: float) -> None:
        """It waits until there is a frame, or the end."""

    def close(self) -> None:
        """The board keeps the link."""

    def ignore_eof_for_disconnect(self) -> bool:
        return False

    abort_empty_session = ignore_eof_for_disconnect


class Loader:
    """One life of the loader, from a reset to the next; the mock runs in a thread."""

    stub = False

    def __init__(
        self, chip: Chip, flash: Flash, faults: Faults, say: Callable[[bytes], None]
    ) -> None:
        """`say` takes its answers, from any thread."""
        self._chip = chip
        self._rom = registers.CHIP_DEFS[chip.name]
        self._fuses = chip.fuses()
        self._flash = flash
        self._faults = faults
        self._say = say
        self._wire = _Wire(say)
        self._heard = bytearray()
        self._command = 0
        self._frames = 0
        self._thread = threading.Thread(
            target=server.handle_client,
            args=(self._wire, threading.Event(), chip.name),
            kwargs={"flash": flash},
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
            self._flash.end_defl()
            self._say(server.make_response(command, stub=self.stub))
            return data[:4] == bytes(4)
        if command == protocol.CMD["MEM_END"]:
            self.stub = len(data) >= 8 and data[:4] == bytes(4)
        own = self._answer(command, data)
        if own is not None:
            self._say(own)
            return False
        self._wire.frames.put(END + self._flipped(command, raw) + END)
        armed = command == protocol.CMD["WRITE_REG"] and len(data) >= 8
        address, value = struct.unpack_from("<II", data) if armed else (0, 0)
        return bool(address == WATCHDOGS.get(self._chip.name) and value >> 31)

    def _flipped(self, command: int, raw: bytes) -> bytes:
        """With a bit turned, where it is a frame's turn that is for the flash."""
        every = self._faults.flip_every
        if not every or command not in (
            protocol.CMD["FLASH_DATA"],
            protocol.CMD["FLASH_DEFL_DATA"],
        ):
            return raw
        self._frames += 1
        if self._frames % every or len(raw) <= 41:
            return raw
        return raw[:40] + bytes([raw[40] ^ 1]) + raw[41:]

    def _answer(self, command: int, data: bytes) -> bytes | None:
        """What the board knows better than the mock: its fuses, its flash's size."""
        if self._chip.secure_download and command not in {protocol.CMD[name] for name in DOWNLOAD}:
            refused = protocol.ROM_INVALID_MESSAGE
            return bytes(server.make_response(command, status=1, error=refused))
        if command == protocol.CMD["WRITE_REG"] and len(data) >= 8:
            address, value = struct.unpack_from("<II", data)
            if address == self._rom.SPI_REG_BASE + self._rom.SPI_USR2_OFFS:
                self._command = value & 0xFF
        elif command == protocol.CMD["READ_REG"] and len(data) >= 4:
            (address,) = struct.unpack_from("<I", data)
            if self._command == 0x9F and address == self._rom.SPI_REG_BASE + self._rom.SPI_W0_OFFS:
                size = len(self._flash.data).bit_length() - 1
                value = protocol.MOCK_FLASH_ID & 0xFFFF | size << 16
                return bytes(server.make_response(command, value=value, stub=self.stub))
            known = self._fuses.get(address)
            if known is not None:
                return bytes(server.make_response(command, value=known, stub=self.stub))
        elif command == protocol.CMD["GET_SECURITY_INFO"] and not self._rom.USES_MAGIC_VALUE:
            flags = SECURE_BOOT * self._chip.secure_boot
            flags |= SECURE_DOWNLOAD * self._chip.secure_download
            told = struct.pack("<IB7xII", flags, self._chip.encrypted, self._rom.IMAGE_CHIP_ID, 0)
            head = struct.pack("<BBHI", 1, command, len(told) + 2, 0)
            return bytes(server.slip_encode(head + told + b"\0\0"))
        return None
