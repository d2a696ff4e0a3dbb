"""A release comes to a board's built node on the 32-bit runtime: what it leaves of the heap.

The node is as in tests/budgets/whole.py, and goes on with its reports. What is measured is the
least that is free at any write to flash, with all garbage gone.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from kerbline.bundle import parts
from kerbline.firmware import build as building
from kerbline.firmware import image
from kerbnode import identity
from kerbnode.flash import Flash
from kerbnode.journal import Journal
from kerbwire import manifest as manifests
from kerbwire import messages as m
from kerbwire.limits import BLOCK_BYTES
from kerbwire.schema import by_name
from tests.budgets import whole
from tests.field import releases

BOARDS = dict(zip(whole.BOARDS, whole.BOARDS[1:] + whole.BOARDS[:1], strict=True))
EDITED_BYTES = 8192  # a module as large as two takes the edits' maker many seconds
FIRST_REPORTS = 5  # until the update begins
HEAP_KIB = 96
BOOTS = 4
APPS_KIB = 3  # of the heap for apps_probe.py
IMAGE_ROOM = 1 << 20
UNDER_WAY: tuple[list[int], ...] = ([], [m.UPDATE_TAKEN], [m.UPDATE_IMAGE])
FULL_RECORDS = 8404  # of a streetlight; of others more than there is room for
FLUSH_EACH = 16
REPORT_S = 300
AFTER_MS = 5000  # goes on so long after the last that the node tells of an update


class World(whole.World):
    """Brings objects, one after another, while reports go on."""

    def __init__(self, firmware: building.Firmware, report_s: int = 1):
        super().__init__(firmware, report_s)
        root = releases.key().root.hss
        self.nvs["root"] = whole.checked(root)
        self._brings: list[tuple[int, bytes]] = []
        self._orders: tuple[int, ...] = ()
        self.outcomes: list[int] = []
        self.until_ms = 3_600_000
        self._begins = True
        self._heard_of: set[int] = set()  # numbers of records
        self.apps = [bytearray(b"\xff" * IMAGE_ROOM) for _ in range(2)]

    def bring(self, *objects: tuple[int, bytes], orders: tuple[int, ...] = ()) -> None:
        """These (kind, bytes), each when the one before was taken; then the orders."""
        self._brings = list(objects)
        self._orders = orders
        self._begins = True
        self._plan = [(FIRST_REPORTS, whole.WATCH)]

    def answer(self, op: str, a: int, data: bytes, now: int) -> tuple[int, bytes]:
        """Of the app partitions; else as always."""
        if op not in "pPe":
            return super().answer(op, a, data, now)
        at = int.from_bytes(data[:4], "little")
        if op == "p":
            return whole.GO, bytes(self.apps[a][at : at + int.from_bytes(data[4:], "little")])
        assert a == 1, "the one that runs"
        new = data[4:] if op == "P" else b"\xff" * 4096
        if op == "P":
            held = self.apps[a][at : at + len(new)]
            assert held == b"\xff" * len(new), "was not erased"
        self.apps[a][at : at + len(new)] = new
        return whole.GO, b""

    def remember(self, firmware: building.Firmware) -> None:
        """The node has a full log from before."""
        asset = str(json.loads(self.nvs["settings"][:-4])["asset"])
        self.nvs.update(dict.fromkeys(identity.MARKS, f"sl-0001\0{asset}".encode()))
        size = image.PARTITIONS[firmware.target.chip].size
        self.flash = image.made(firmware.layout() | full_log(asset), size)

    def lives_on(self) -> None:
        """The chip starts again: the gateway's session is another one, what is durable stays."""
        self.told = whole.Told()
        self._gateway = self._begun()
        self._plan = [(0, whole.WATCH)]
        self._due.clear()
        self._came = b""
        self.until_ms = 600_000

    def met(self, event: tuple[Any, ...], now: int) -> None:
        """What belongs to the objects."""
        if event[0] == "KEYS":
            self.keys = event[1:4]
        elif event[0] in ("RECORD", "GAP"):
            self.epoch = event[2] if event[0] == "RECORD" else event[1]
        if event[0] == "WANTED":
            data = self._brings[0][1]
            at = event[2] * BLOCK_BYTES
            self._gateway.objects.give(event[1], event[2], data[at : at + BLOCK_BYTES])
        elif event[0] == "RECORD" and event[1] == m.EVENT and event[-1][0] == m.EV_UPDATE:
            if event[3] in self._heard_of:
                return
            self._heard_of.add(event[3])
            self.outcomes.append(event[-1][1])
            self.until_ms = now + AFTER_MS
            if event[-1][1] in (m.UPDATE_TAKEN, m.UPDATE_IMAGE, m.UPDATE_STAGED):
                self._brings = self._brings[1:]
                self._offer(now)
        elif event[0] == "RECORD" and self._begins and self.told.reports >= FIRST_REPORTS:
            self._begins = False
            self._offer(now)

    def _offer(self, now: int) -> None:
        if self._brings:
            self.until_ms = now + 600_000
            kind, data = self._brings[0]
            digest = sha256(data).digest()
            self._gateway.objects.offer(kind, kind, digest, len(data), BLOCK_BYTES)
        elif self._orders:
            utc_s = whole.UTC_MS // 1000 + 86_400
            self._gateway.send_command(1, utc_s, self._orders[0], ())


@dataclass(frozen=True)
class Release:
    """What is brought: a signed manifest, and the parts that a node of the tree's build lacks."""

    files: dict[str, bytes]
    signed: bytes
    parts: bytes
    image: bytes | None = None


def large(firmware: building.Firmware) -> Release:
    """Another board's modules, and one that is new and does not shrink; it is not to be run."""
    other = BOARDS[firmware.target.name]
    noise = b"".join(sha256(bytes((count,))).digest() for count in range(256))
    files = {**firmware.files, "kerbnode/unused.mpy": noise}
    for name, data in whole.built(other).files.items():
        if len(data) < EDITED_BYTES or name not in files:
            files[name] = data
    return _release(firmware, files)


def small(firmware: building.Firmware) -> Release:
    """One file more, which nothing imports."""
    return _release(firmware, firmware.files | {"kerbnode/unused.mpy": b"M\x06\x00\x1f unused"})


def imaged(firmware: building.Firmware) -> Release:
    """As `small`, with a MicroPython image."""
    noise = b"".join(sha256(bytes((count,))).digest() for count in range(256))
    files = firmware.files | {"kerbnode/unused.mpy": b"M\x06\x00\x1f unused"}
    return _release(firmware, files, noise * 4)


def _release(
    firmware: building.Firmware, files: dict[str, bytes], image: bytes | None = None
) -> Release:
    wanted = manifests.decode(firmware.manifest)
    wanted.sequence = 5
    if image is not None:
        wanted.image = len(image), manifests.digest(image)
    wanted.entries = tuple(
        (name, len(data), manifests.digest(data)) for name, data in files.items()
    )
    plain = manifests.encoded(wanted)
    objects = {manifests.digest(data): data for data in files.values()}
    held = {manifests.digest(data): data for data in firmware.files.values()}
    made = parts.made(plain, objects.__getitem__, firmware.manifest, held.__getitem__)
    return Release(files, releases.key().manifest(plain), made, image)


@dataclass(frozen=True)
class Life:
    """One boot of the node that takes an update."""

    outcomes: tuple[int, ...]
    tightest: int
    said: tuple[str, ...]
    reports: int


def staged(
    runtime: Path, firmware: building.Firmware, release: Release, *, full: bool = False
) -> list[Life]:
    """The boots that it takes until the release is staged, or something else comes of it.

    `full`: from a log in which nothing has room any more, and which the gateway has not heard.
    """
    world = World(firmware)
    if full:
        world.remember(firmware)
    brings = [(m.OBJECT_UPDATE, release.signed), (m.OBJECT_PARTS, release.parts)]
    heap_kib, boots = HEAP_KIB + whole.FAKES_KIB, BOOTS
    more = ("apps",) if release.image is not None else ()
    if release.image is not None:
        brings.append((m.OBJECT_IMAGE, release.image))
        heap_kib, boots = heap_kib + APPS_KIB, BOOTS + 1
    world.bring(*brings)
    lives: list[Life] = []
    while len(lives) < boots and world.outcomes[-1:] in UNDER_WAY:
        before = len(world.outcomes)
        told = whole.run([str(runtime)], world, heap_kib, more=more)
        assert told.fakes <= 1024 * (heap_kib - HEAP_KIB)
        found = tuple(world.outcomes[before:])
        lives.append(Life(found, told.tightest, tuple(told.said), told.reports))
        world.lives_on()
    return lives


@cache
def full_log(asset: str) -> dict[str, bytes]:
    """The files of a log in which nothing has room any more, as a node has written them."""
    schema = by_name(asset)
    assert schema is not None
    with tempfile.TemporaryDirectory() as folder:
        log = Journal(Flash(folder), os.urandom)
        log.open()
        for at in range(FULL_RECORDS):
            values = [(37 * at * (column + 3)) % 50 for column in range(schema.width)]
            log.append(m.REPORT, 1, REPORT_S * at, tuple(values))
            if len(log.pending) == FLUSH_EACH:
                log.flush()
        log.close()
        return {f"journal/{path.name}": path.read_bytes() for path in Path(folder).iterdir()}
