"""A board's built .mpy files on the 32-bit runtime, against a live gateway session.

The node is the one that a chip gets, from main.py on; what is faked is below `machine`, in
tests/wire/whole_probe.py, and tells its own share of the heap apart. The chips on its buses are
the simulators of kerbnode.sim, in this process.
"""

import contextlib
import json
import os
import struct
import subprocess
import tempfile
import tomllib
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from kerbline import boards
from kerbline.firmware import build as building
from kerbline.firmware import collect, kept
from kerbnode.sim import ads1115, bh1750, bl0942, bme280, pms5003, scd41, sht4x
from kerbnode.sim.i2c import Bus
from kerbwire import messages as m
from kerbwire.gateway import GatewaySession
from kerbwire.limits import STREAM
from kerbwire.ranges import RangeSet
from kerbwire.schema import by_name
from tools.trees import ROOT

PROBE = ROOT / "tests" / "wire" / "whole_probe.py"
BOARDS = ("streetlight-esp32", "water-meter-esp32", "air-quality-esp32")
KEY = bytes(range(16))
UTC_MS = 1_790_000_000_000
ANSWER_MS = 10
HEAD = struct.Struct("<BHIB")
REPLY = struct.Struct("<BHiB")
GO, END, LOOK, METER, REFUSED, WATCH = range(6)
TICK, ANSWER, REPORT = range(3)  # what an instant of the node was for
CONFIG_EACH = 50  # frames between two updates of settings
FAKES_KIB = 18  # of the heap for whole_probe.py and what it keeps; held by a test


def built(board: str) -> building.Firmware:
    """The board's node as its build makes it."""
    file = boards.find(board)
    return building.build(building.of_board(boards.load(file), file.name), keep=kept.folder())


@dataclass
class Told:
    """What a run said of the heap."""

    retained: int = 0
    free: int = 0
    fakes: int = 0
    tightest: int = 0  # the least free at any write to flash, from WATCH on
    frames: int = 0
    modules: tuple[str, ...] = ()
    # Bytes and count of the instants without a frame, in which one came, and in which one left.
    garbage: tuple[int, ...] = (0,) * 6
    configured: int = 0
    reports: int = 0
    said: list[str] = field(default_factory=list)
    checkpoints: list[int] = field(default_factory=list)  # what was retained at each look

    def garbage_each(self, kind: int) -> float:
        """Bytes of an instant of that kind: TICK, ANSWER or REPORT."""
        made, count = self.garbage[2 * kind : 2 * kind + 2]
        return made / max(1, count)


def checked(body: bytes) -> bytes:
    """As the node's NVS keeps it."""
    return body + struct.pack("<I", zlib.crc32(body))


class World:
    """All that is beyond the pins: the gateway, NVS, chips."""

    def __init__(self, firmware: building.Firmware, report_s: int):
        wiring = tomllib.loads(boards.find(firmware.target.name).read_text())
        asset = wiring["board"]["assets"][0]
        settings = {"node_id": "sl-0001", "asset": asset, "link": "uart", "report_s": report_s}
        settings["position"] = [52.37, 4.9]
        if "sleep" in wiring:
            settings["build"] = "debug"  # a release sleeps between reports; measured is the wake
        body = json.dumps(settings).encode()
        self.nvs = {
            "settings": checked(body),
            "key": bytes(4) + KEY,
        }
        schema = by_name(asset)
        assert schema is not None
        self.keys: tuple[int, bytes, bytes | None] = (0, KEY, None)
        self.epoch: int | None = None
        self.kept = RangeSet()
        self._gateway = self._begun()
        self._due: list[tuple[int, bytes]] = []
        self._came = b""  # has arrived and was not read yet
        self._report_s = report_s
        self.told = Told()
        self._plan: list[tuple[int, int]] = []  # (from that report on, flag)
        self._version = 0
        self._now = 0
        self.flash = firmware.image() or b""
        self.until_ms = 0  # no plan takes longer
        self._bus = Bus(
            {
                0x23: bh1750.Bh1750(lambda: 3.0),
                0x44: sht4x.Sht4x(lambda: (21.0, 48.0)),
                0x48: ads1115.Ads1115(lambda number: 250_000 + 20_000 * number),
                0x62: scd41.Scd41(lambda: (450, 210, 480)),
                0x76: bme280.Bme280(lambda: (21.0, 48.0, 1013.2)),
            }
        )
        power = bl0942.Bl0942(lambda: (60.0, 230.0, 0.27), 4800)
        particles = pms5003.Pms5003(lambda: (50, 80, 110))
        self._chips = {
            part["uart"]: power if part["driver"] == "bl0942" else particles
            for part in wiring["instruments"].values()
            if "uart" in part
        }

    def _begun(self) -> GatewaySession:
        found = GatewaySession(
            b"sl-0001", self.keys, self.epoch, self.kept, os.urandom, STREAM, None
        )
        found.set_utc(UTC_MS, 20)
        return found

    def plan(self, *steps: tuple[int, int]) -> None:
        """Flags for the node, each once that many reports have come."""
        self._plan = list(steps)
        self.until_ms = 1000 * self._report_s * (steps[-1][0] + 60)

    def arrive(self, when_ms: int, data: bytes) -> None:
        """Those bytes reach the node's UART then."""
        self._due.append((when_ms, data))

    def answer(self, op: str, a: int, data: bytes, now: int) -> tuple[int, bytes]:
        """(flag, bytes) for one question of the node."""
        self._now = now
        if op == "w":
            if a == 1:
                self._heard(data, now)
                return self._flag(), b""
            self._chips[a].write(data)
        elif op == "r":
            return GO, self._read(a, int.from_bytes(data, "little"), now)
        elif op == "g":
            return (GO, self.nvs[name]) if (name := data.decode()) in self.nvs else (REFUSED, b"")
        elif op == "s":
            self.nvs[data[:a].decode()] = data[a:]
        elif op in "ij":
            try:
                if op == "i":
                    self._bus.writeto(a, data)
                    return GO, b""
                room = bytearray(data[0])
                self._bus.readfrom_into(a, room)
                return GO, bytes(room)
            except OSError:
                return REFUSED, b""
        return GO, b""

    @property
    def due_ms(self) -> int:
        """When the line may have bytes for the node; -1: nothing is under way."""
        if self._came:
            return self._now
        times = [when for when, _ in self._due[:1]]
        deadline = self._gateway.deadline()
        if deadline is not None:
            times.append(max(deadline, self._now + 1))
        return min(times, default=-1)

    def _read(self, number: int, most: int, now: int) -> bytes:
        if number != 1:
            return self._chips[number].read() or b""
        if not self._came:
            is_due = self._due and self._due[0][0] <= now
            self._came = self._due.pop(0)[1] if is_due else self._gateway.outgoing(now)
        taken, self._came = self._came[:most], self._came[most:]
        return taken

    def met(self, event: tuple[Any, ...], now: int) -> None:
        """An event of the gateway's session, for who plans more than reports."""

    def _flag(self) -> int:
        if self._plan and self.told.reports >= self._plan[0][0]:
            return self._plan.pop(0)[1]
        return GO

    def _heard(self, data: bytes, now: int) -> None:
        gateway, told = self._gateway, self.told
        told.frames += 1
        gateway.receive(data, now)
        while event := gateway.next_event():
            if event[0] == "KEYS":
                gateway.key_stored(now)
            elif event[0] in ("RECORD", "GAP"):
                told.reports += event[0] == "RECORD" and event[1] == m.REPORT
                low, high = (event[3], event[3]) if event[0] == "RECORD" else event[2:4]
                gateway.keep(event[1 if event[0] == "GAP" else 2], low, high)  # type: ignore[arg-type]
            elif event[0] == "CONFIGURED":
                assert event[2] == m.OK, event
                told.configured += 1
            elif event[0] == "FAULT":
                told.said.append(str(event))
            self.met(event, now)
        if gateway.up and told.frames % CONFIG_EACH == 0:
            self._version += 1
            profile = b"".join(
                struct.pack(">HB", 720 + start, 20 + self._version % 80)
                for start in (-700, -90, 300)
            )
            values: dict[int, int | bytes] = {m.CONFIG_REPORT_S: self._report_s}
            values[m.CONFIG_PROFILE] = profile
            gateway.send_config(self._version, values)
        answer = gateway.outgoing(now + ANSWER_MS)
        if answer:
            self.arrive(now + ANSWER_MS, answer)


def _serve(world: World, asked: BinaryIO, answers: BinaryIO) -> None:
    while len(head := asked.read(HEAD.size)) == HEAD.size:
        op, length, now, a = HEAD.unpack(head)
        flag, data = world.answer(chr(op), a, asked.read(length), now)
        if now > world.until_ms:
            flag = END
        answers.write(REPLY.pack(flag, len(data), world.due_ms, 0) + data)


def run(
    command: list[str],
    world: World,
    heap_kib: int = 256,
    ballast_kib: int = 0,
    log: Path | None = None,
    more: tuple[str, ...] = (),
) -> Told:
    """Runs the node until the world's plan ends it; `log` has what it says as it says it.

    `more` is for the probe.
    """
    to_node, from_us = os.pipe()
    to_us, from_node = os.pipe()
    command = [*command, "-X", f"heapsize={heap_kib}K", str(PROBE), str(ballast_kib)]
    command += [f"/dev/fd/{to_node}", f"/dev/fd/{from_node}"]
    with (
        log.open("w+b") if log else tempfile.TemporaryFile() as said,
        tempfile.NamedTemporaryFile() as flash,
    ):
        flash.write(world.flash)
        flash.flush()
        process = subprocess.Popen(
            [*command, flash.name, *more],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=(to_node, from_node),
            env={"MICROPYPATH": ".frozen"},
        )
        os.close(to_node)
        os.close(from_node)
        with (
            os.fdopen(to_us, "rb") as asked,
            os.fdopen(from_us, "wb", buffering=0) as answers,
            contextlib.suppress(BrokenPipeError),  # what it said tells why
        ):
            _serve(world, asked, answers)
        process.wait()
        flash.seek(0)
        world.flash = flash.read()
        said.seek(0)
        return _told(world.told, said.read().decode(errors="replace"))


def _told(told: Told, text: str) -> Told:
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name in ("retained", "free", "fakes", "tightest"):
            setattr(told, name, int(rest))
            if name == "retained":
                told.checkpoints.append(int(rest))
        elif name == "modules":
            told.modules = tuple(rest.split())
        elif name == "garbage":
            told.garbage = tuple(map(int, rest.split()))
        else:
            told.said.append(line)
    return told


def resident(firmware: building.Firmware, modules: tuple[str, ...]) -> int:
    """Bytes of the .mpy files of those modules."""
    sizes = {part.path: len(part.content) for part in firmware.parts}
    tree = collect.tree()
    paths = [f"{tree[name].path}.mpy" for name in modules if name in tree]
    return sum(sizes.get(path, 0) for path in paths)
