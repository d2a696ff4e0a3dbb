"""What commissioning does to a board, each through the room that knows how: one function a step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from kerbline import boardtools
from kerbline.boards import Board
from kerbline.boardtools import Repl, literal, loader, usb
from kerbline.field import flash_images, install, selftest
from kerbline.field import settings as node_settings
from kerbline.field.commission.words import CommissionFault
from kerbline.field.flash_images import Cache, Stock
from kerbline.field.settings import NodeSettings
from kerbline.firmware import build, image, kept

Progress = Callable[[int, int], None]

OPEN = "debug"
# What is reported of so early tells of a lamp; air and water are not looked at more often than 5 s.
REPORT_S: Mapping[str, int] = MappingProxyType({"streetlight": 2})
BLOB = 1024  # bytes that the node reads
CLAIM_BLOB = "claim"


@dataclass(frozen=True, slots=True)
class Found:
    """Who is in which USB socket."""

    port: str
    slot: str
    adapter: str
    usb: str  # vendor and product, 10c4:ea60; "" where it is no USB port
    chip: loader.ChipFound


@dataclass(frozen=True, slots=True)
class Node:
    """A node's settings with its first key, on the board that they narrow."""

    settings: NodeSettings
    board: Board

    @property
    def blob(self) -> bytes:
        """What the node keeps of its settings."""
        return install.checked(
            json.dumps(node_settings.for_node(self.settings, self.board)).encode()
        )

    def job(self, firmware: build.Firmware, root: bytes) -> install.Job:
        """For the installer."""
        kept_by_node = node_settings.for_node(self.settings, self.board)
        return install.Job(firmware, self.settings, kept_by_node, None, self.settings.key, root)


def until_done(kind: str) -> dict[str, object]:
    """Of a node that is not finished: its console stays open, its proof need not wait long."""
    return {"build": OPEN, "report_s": REPORT_S.get(kind, 5)}


def look(port: str) -> Found:
    """Who is at the port; the board starts anew. Raises LoaderFault."""
    socket = usb.socket_of(port)
    ids = f"{socket.vendor:04x}:{socket.product:04x}" if socket.vendor else ""
    return Found(port, socket.slot, socket.adapter, ids, loader.identify(port))


def program(board: Board, file: Path) -> build.Firmware:
    """The node's program for a board that is narrowed to its asset and link."""
    firmware = build.build(build.of_board(board, str(file)), keep=kept.folder())
    over = build.exceeded(firmware)
    if over:
        raise build.BuildFault("\n".join(over))
    return firmware


def flash(
    found: Found,
    stock: Stock,
    firmware: build.Firmware,
    cache: Cache,
    progress: Progress,
    may_write: Callable[[loader.Loader], None],
) -> dict[str, object]:
    """MicroPython and the node's file system into the flash, each byte proved; the NVS is wiped.

    `may_write` looks at it before, and raises where it is not to be. What is there already is not
    written; what this board had before narrows that to sectors. Raises LoaderFault.
    """
    system = image.made(firmware.layout(), stock.partitions["vfs"][1])
    regions = flash_images.regions(stock, system, wipe=True)
    memory = flash_images.Memory.usual(cache)
    began = time.monotonic()
    mac, chip = found.chip.mac, found.chip.chip
    with loader.entered(found.port, chip) as entered:
        if entered.found.mac != mac:
            raise CommissionFault("other_board", there=entered.found.mac, mac=mac)
        may_write(entered)
        written = entered.write(regions, progress, memory.of(mac))
    with suppress(OSError):  # it only saves time
        flash_images.keep(stock, cache)
        memory.keep(mac, firmware.target.name, str(firmware.about.get("commit")), regions)
    return {
        "flash_bytes": written.flash_bytes,
        "written_bytes": written.written_bytes,
        "sent_bytes": written.sent_bytes,
        "seconds": round(time.monotonic() - began, 1),
        "micropython_sha256": stock.sha256,
        "node_sha256": sha256(system).hexdigest(),
    }


def put(found: Found, job: install.Job, say: Callable[[str], None]) -> None:
    """Settings, key and root in one step of the board's; what it has already stays."""
    install.install(job, found.port, dry_run=False, say=say, reach=partial(reached, found))


def test(found: Found, node: Node, say: Callable[[selftest.Check], None]) -> selftest.Report:
    """The board's own test of itself on its own runtime; it restarts behind it."""
    with reached(found) as repl:
        try:
            return selftest.run(repl, node.board, node.settings, say=say)
        finally:
            repl.leave("machine.reset()")


def finish(found: Found, node: Node, sealed: bytes) -> None:
    """The claim and then the settings as they are to stay: a release's console is closed by them.

    So where that console is closed, the claim is there.
    """
    with reached(found) as repl:
        told = repl.run(
            f"n.set_blob('{CLAIM_BLOB}',{literal(sealed)})\nn.commit()\n"
            f"print(hexlify(sha256(g('{CLAIM_BLOB}')).digest()).decode());w()"
        )
        if told.strip() != sha256(sealed).hexdigest():
            raise boardtools.BoardFault(f"{found.port}: the claim did not arrive whole; try again")
        repl.run(f"n.set_blob('settings',{literal(node.blob)})\nn.commit();w()")
        repl.leave("machine.reset()")


@contextmanager
def reached(found: Found) -> Iterator[Repl]:
    """The REPL of the board that was found, and of no other one."""
    with boardtools.connected(found.port, install.HELPERS) as repl:
        there = repl.run("print(hexlify(machine.unique_id(),':').decode())").strip()
        if there != found.chip.mac:
            repl.leave("machine.reset()")
            raise CommissionFault("other_board", there=there, mac=found.chip.mac)
        yield repl
