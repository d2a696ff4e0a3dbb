"""A board's ROM loader through esptool: who it is, and bytes into its flash, each proved.

What is in the flash already is found out from the chip, by hash: it is not written again. So a
write that was cut off goes on where it was, and a changed image costs what changed. A previous
image that the caller knows narrows that from blocks to sectors; one that is not in the flash
costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kerbline.boardtools import esptool_words, usb
from kerbline.boardtools.esptool_words import Progress
from kerbline.boardtools.loader_link import Link, LoaderFault

BAUD = 460_800
FIRST_BAUD = 115_200
SECTOR_BYTES = 4096
BLOCK_BYTES = 16 * SECTOR_BYTES
ATTEMPTS = 4  # each of esptool's ways to pull a board into its loader, once
ATTEMPTS_UNPULLED = 2  # a socket has no line to pull
IMAGE_MAGIC = 0xE9


@dataclass(frozen=True, slots=True)
class ChipFound:
    """Who answered. `mac` with colons, `revision` as v3.0; `flash_bytes` 0 where it is not told."""

    chip: str
    name: str
    revision: str
    mac: str
    flash_bytes: int
    secure_boot: bool
    flash_encryption: bool
    secure_download: bool

    @property
    def locks(self) -> list[str]:
        """What keeps our images out, by the code of its fault; the worst first."""
        every = ("secure_download", "secure_boot", "flash_encryption")
        return [lock for lock in every if getattr(self, lock)]


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes for the flash from `offset` on, a sector's start; the rest of a sector is 0xFF."""

    offset: int
    data: bytes
    name: str = ""

    @property
    def end(self) -> int:
        """Behind the last byte."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class Written:
    """What a write did: bytes of flash in all, of them written now, and bytes over the link."""

    found: ChipFound
    flash_bytes: int
    written_bytes: int
    sent_bytes: int


class Loader:
    """A board in its loader. Make it with `entered`."""

    def __init__(self, link: Link, esp: Any, found: ChipFound, baud: int) -> None:  # noqa: ANN401
        self.found = found
        self._link = link
        self._esp = esp
        self._baud = baud

    def write(
        self,
        regions: Sequence[Region],
        progress: Progress | None = None,
        known: Sequence[Region] = (),
    ) -> Written:
        """Bring the regions into the flash and prove each byte by MD5; raises LoaderFault.

        `known` is what the flash may hold from before. `progress` is told (done, of) bytes.
        """
        with self._link.telling():
            self._refuse(regions)
            self._stub()
            before = self._link.sent
            runs = [run for each in regions for run in self._stale(each, _before(each, known))]
            written = sum(len(data) for _, data in runs)
            total = sum(len(each.data) for each in regions)
            if runs:
                self._write(runs, written, progress)
            if progress is not None:
                progress(written, written)
            return Written(self.found, total, written, self._link.sent - before)

    def erase(self) -> None:
        """The whole flash; raises LoaderFault."""
        from esptool import cmds

        with self._link.telling():
            self._refuse(())
            self._stub()
            cmds.erase_flash(self._esp)

    def holds(self, region: Region) -> bool:
        """Is the region in the flash, byte for byte? By MD5."""
        with self._link.telling():
            self._stub()
            return self._md5(region.offset, len(region.data)) == _md5(region.data)

    def read(self, offset: int, size: int) -> bytes:
        """What is in the flash there, proved by MD5; raises LoaderFault."""
        with self._link.telling():
            self._refuse(())
            self._stub()
            return bytes(self._esp.read_flash(offset, size))

    def fault(self, code: str, cause: str) -> LoaderFault:
        """A fault of this board, with the remedy that belongs to the code."""
        return self._link.fault(code, cause)

    def run(self) -> None:
        """Leave the loader: the board starts what is in its flash.

        A reboot is asked for over the wire, which a socket carries too, and given by RTS.
        """
        from esptool.util import FatalError

        with suppress(FatalError, *usb.lost()):
            if not self._esp.uses_usb_jtag_serial():
                self._esp.flash_begin(0, 0)
                self._esp.flash_finish(reboot=True)
            if self._link.has_lines:
                self._esp.hard_reset()

    def _refuse(self, regions: Sequence[Region]) -> None:
        found = self.found
        for lock in found.locks:
            raise self._link.fault(lock, locked(lock))
        for each in regions:
            if each.offset % SECTOR_BYTES:
                raise ValueError(f"{each.offset:#x} is no sector's start")
            if found.flash_bytes and each.end > found.flash_bytes:
                raise self._link.fault(
                    "flash_small",
                    f"{each.name or 'the image'} needs {each.end:,} bytes of flash, "
                    f"the chip has {found.flash_bytes:,}",
                )
            wanted = image_chip(each.data)
            if each.offset == self._esp.BOOTLOADER_FLASH_OFFSET and wanted not in (
                None,
                self._esp.IMAGE_CHIP_ID,
            ):
                raise self._link.fault(
                    "wrong_image", f"the image is not for {found.name} (its chip id is {wanted})"
                )

    def _stub(self) -> None:
        from esptool import cmds

        if self._esp.IS_STUB:
            return
        self._esp = cmds.run_stub(self._esp)
        self._esp.WRITE_FLASH_ATTEMPTS = 1  # whoever calls us decides what to do about a lost link
        if self._baud != FIRST_BAUD and self._link.has_lines:
            self._esp.change_baud(self._baud)
        cmds.attach_flash(self._esp)

    def _md5(self, offset: int, size: int) -> str:
        return str(self._esp.flash_md5sum(offset, size))

    def _stale(self, region: Region, known: bytes) -> list[tuple[int, bytes]]:
        """What of the region the flash lacks, in runs of whole sectors."""
        data = region.data + b"\xff" * (-len(region.data) % SECTOR_BYTES)
        known = known[: len(data)].ljust(len(data), b"\xff") if known else b""
        wrong = bytearray(len(data) // SECTOR_BYTES)  # a flag a sector
        for at in range(0, len(data), BLOCK_BYTES):
            block, old = data[at : at + BLOCK_BYTES], known[at : at + BLOCK_BYTES]
            there = self._md5(region.offset + at, len(block))
            if there == _md5(block):
                continue
            is_known = bool(old) and there == _md5(old)
            if at == 0 and not old:
                # Another image, or none, and nothing is known: asking on would only take time.
                return [(region.offset, data)]
            for sector in range(0, len(block), SECTOR_BYTES):
                here = slice(sector, sector + SECTOR_BYTES)
                if not is_known or block[here] != old[here]:
                    wrong[(at + sector) // SECTOR_BYTES] = 1
        return [
            (region.offset + first * SECTOR_BYTES, data[first * SECTOR_BYTES : end * SECTOR_BYTES])
            for first, end in (match.span() for match in re.finditer(b"\x01+", wrong))
        ]

    def _write(
        self, runs: list[tuple[int, bytes]], written: int, progress: Progress | None
    ) -> None:
        from esptool import cmds

        sizes = [len(data) for _, data in runs]
        complete = 0

        def tell(part: int, of: int) -> None:
            """esptool counts the bytes of a run as they are sent: compressed, if that is less."""
            nonlocal complete
            if progress is not None:
                progress(sum(sizes[:complete]) + sizes[complete] * part // of, written)
            if part == of and complete < len(sizes) - 1:
                complete += 1

        # Each run is verified by its MD5 there; what was not written was compared by us.
        with esptool_words.shown_to(tell):
            cmds.write_flash(self._esp, runs, compress=True)


@contextmanager
def entered(port: str, chip: str = "", baud: int = BAUD) -> Iterator[Loader]:
    """The loader behind a port, and the board running again after it; raises LoaderFault.

    `chip`: what it must be (esp32s3), if anything. After a fault the board is left in its loader.
    """
    from esptool import cmds

    esptool_words.hush()
    link = Link(port)
    try:
        attempts = ATTEMPTS if link.has_lines else ATTEMPTS_UNPULLED
        with link.telling(connecting=True):
            esp = cmds.detect_chip(link.serial, FIRST_BAUD, connect_attempts=attempts)
        with link.telling():
            found = _found(esp)
        if chip and found.chip != chip:
            raise link.fault("wrong_chip", f"it is an {found.name}, and wanted is an {chip}")
        loader = Loader(link, esp, found, baud)
        yield loader
        loader.run()
    finally:
        link.close()


def identify(port: str, chip: str = "") -> ChipFound:
    """Who is there; the board runs on from its start. Raises LoaderFault."""
    with entered(port, chip) as loader:
        return loader.found


def write(
    port: str,
    regions: Sequence[Region],
    progress: Progress | None = None,
    known: Sequence[Region] = (),
    chip: str = "",
    baud: int = BAUD,
) -> Written:
    """Bring the regions into the flash of the board there, prove them and start it."""
    with entered(port, chip, baud) as loader:
        return loader.write(regions, progress, known)


def locked(lock: str) -> str:
    """In words."""
    return f"{lock.replace('_', ' ')} is on in this chip"


def image_chip(data: bytes) -> int | None:
    """The chip id in an image's header (esp_image_header_t); None where it is no image."""
    if len(data) < 24 or data[0] != IMAGE_MAGIC:
        return None
    return int.from_bytes(data[12:14], "little")


def _before(region: Region, known: Sequence[Region]) -> bytes:
    for each in known:
        if each.offset == region.offset:
            return each.data
    return b""


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _found(esp: Any) -> ChipFound:  # noqa: ANN401 - esptool has no types
    from esptool import cmds
    from esptool.util import flash_size_bytes

    chip = esp.CHIP_NAME.lower().replace("-", "")
    if esp.secure_download_mode:  # nothing but its security may be read
        flags = esp.get_security_info()
        crypt = bool(bin(flags["flash_crypt_cnt"]).count("1") % 2)
        boot = bool(flags["parsed_flags"]["SECURE_BOOT_EN"])
        return ChipFound(chip, esp.CHIP_NAME, "", "", 0, boot, crypt, True)
    cmds.attach_flash(esp)
    size = cmds.detect_flash_size(esp)
    major, minor = esp.get_major_chip_version(), esp.get_minor_chip_version()
    return ChipFound(
        chip,
        esp.CHIP_NAME,
        f"v{major}.{minor}",
        ":".join(f"{byte:02x}" for byte in esp.read_mac("BASE_MAC")),
        flash_size_bytes(size) if size else 0,
        bool(esp.get_secure_boot_enabled()),
        bool(esp.get_flash_encryption_enabled()),
        False,
    )
