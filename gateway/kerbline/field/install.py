"""Puts a built node on a board: its files, its settings, its key; and tells the gateway's table.

A node has two places for its code, /a and /b; the first line of main.py names the one that runs.
An install fills the other one and then, in one step on the board, writes settings and key and
renames the new main.py over the old: whatever cuts it short leaves the old node or, on a fresh
board, the REPL. Meanwhile a watchdog runs that only our next step feeds: a board whose installer
went away restarts into the node that it had.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from kerbline import boards
from kerbline.boardtools import BoardFault, Repl, connected, literal
from kerbline.field import install_key
from kerbline.field import settings as node_settings
from kerbline.field.install_board import (
    ASK,
    HELPERS,
    LONGEST_BLOB,
    UNDER_WAY,
    Found,
    InstallFault,
    check_image,
    checked,
    draft_on,
    look,
    remove,
    slots_blob,
    write,
)
from kerbline.firmware import build, kept
from kerbline.firmware.image import BLOCK_BYTES

SPARE_BLOCKS = 64  # for the journal and for littlefs itself
SWITCH_BLOCKS = 4  # boot.py and main.py, and the folder that names them
ORIGIN_BYTES = 8
OF_ANOTHER_NODE = ("settings_was", "config", "config_was")  # nothing of it comes back


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be installed."""

    firmware: build.Firmware
    settings: node_settings.NodeSettings
    kept: Mapping[str, object]  # the settings that the node keeps
    key_file: Path | None
    secret: bytes = field(repr=False)
    root: bytes = b""  # the release key that the node takes; b"": what it has stays

    @property
    def origin(self) -> bytes:
        """Names the first key without telling it."""
        return sha256(b"kerbline key origin" + self.secret).digest()[:ORIGIN_BYTES]

    @property
    def blob(self) -> bytes:
        """The node's settings with their CRC, as kerbnode/nvs.py reads them."""
        return checked(json.dumps(self.kept).encode())  # spaced as main.py looks for its "build"

    @property
    def wifi(self) -> bytes:
        """ssid, a zero byte, password; empty without Wi-Fi."""
        wifi = self.settings.wifi
        return f"{wifi.ssid}\0{wifi.password}".encode() if wifi else b""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: paths to remove before and after the switch, objects to write.

    `drafts` are the slot and the starts: written under another name, renamed in the switch.
    """

    slot: str
    before: tuple[str, ...]
    write: Mapping[str, bytes]
    drafts: Mapping[str, bytes]
    after: tuple[str, ...]

    @property
    def changes_code(self) -> bool:
        """Is there anything but settings to write?"""
        return bool(self.write)


def prepare(board_name: str, settings_file: Path, key_file: Path | None) -> Job:
    """Check all that can be checked without the board, and build; raises KerblineError."""
    file = boards.find(board_name)
    settings, board = node_settings.load(settings_file, boards.load(file))
    if key_file is not None:
        install_key.check(key_file, settings.key_hex)
    firmware = build.build(build.of_board(board, str(file)), keep=kept.folder())
    job = Job(firmware, settings, node_settings.for_node(settings, board), key_file, settings.key)
    if len(job.blob) > LONGEST_BLOB:
        raise InstallFault(
            f"{settings_file}: {len(job.blob)} bytes of settings, the node keeps {LONGEST_BLOB}; "
            "shorten the profile"
        )
    return job


def install(
    job: Job,
    port: str,
    *,
    dry_run: bool,
    say: Callable[[str], None],
    over_budget: bool = False,
    reach: Callable[[], AbstractContextManager[Repl]] | None = None,
) -> bool:
    """Install over the board's REPL; `say` gets a line for each step. Raises KerblineError.

    `reach`: how that is reached with HELPERS there, where not by the port alone.
    False: the node is installed, and its key file could not be written.
    """
    faults = build.exceeded(job.firmware)
    if faults and not over_budget:
        told = "; try --over-budget, and watch the node"
        raise InstallFault("\n".join([*faults, f"nothing was installed: over budget{told}"]))
    for fault in faults:
        say(f"warning: {fault}")
    if job.settings.asset == "streetlight" and job.settings.position is None:
        say(
            f"warning: {job.settings.node_id}: no position, so no sun contradicts a broken light "
            "sensor; write position = [latitude, longitude] into its settings"
        )
    if readable_between(port):
        say(f"warning: {port}: key and Wi-Fi password go there in clear; use a cable, or a tunnel")
    with reach() if reach is not None else connected(port, HELPERS) as repl:
        chip = job.firmware.target.chip
        say(f"{port}: the REPL answers")
        check_image(repl.run(ASK), chip, port)
        found = look(repl)
        plan = _plan(job, found)
        _check_room(plan, found, port)
        if dry_run:
            for path in plan.write:
                say(f"would write {path}, {len(plan.write[path])} bytes")
            say("nothing was changed; the board restarts")
            repl.leave("machine.reset()")
            return True
        remove(repl, plan.before)
        for path, content in plan.write.items():
            say(f"writing {path}, {len(content)} bytes")
            write(repl, path, content)
        for path, content in plan.drafts.items():
            draft_on(repl, path, content)
        if not plan.write:
            say("its code is this build already")
        _switch(repl, job, plan, fresh_key=not _same_key(job, found))
        say(f"{job.settings.node_id}: settings written, the node starts from /{plan.slot}")
        remove(repl, plan.after)
        repl.leave("machine.reset()")
    return job.key_file is None or install_key.written(job.key_file, job.settings.key_hex, say)


def readable_between(port: str) -> bool:
    """Does the way to the board lead through a network, where others may read along?"""
    if "://" not in port:
        return False
    host = urlsplit(port).hostname or ""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def table(job: Job) -> str:
    """The node's whole [[node]] for the gateway's config; `port` is to be filled in."""
    settings = job.settings
    key_file = job.key_file.absolute() if job.key_file else f"keys/{settings.node_id}.key"
    lines = {
        "id": settings.node_id,
        "asset": settings.node_id,
        "kind": settings.asset,
        "key_file": str(key_file),
        "port": "udp" if settings.link == "udp" else "",
    }
    text = "[[node]]\n" + "".join(f"{key} = {json.dumps(lines[key])}\n" for key in lines)
    if settings.link != "udp":
        text += f"baud = {settings.baud}\n"
    return text + ("bus = true\n" if settings.link == "rs485" else "")


def _plan(job: Job, found: Found) -> Plan:
    firmware = job.firmware
    mine = {f"/{path}": content for path, content in firmware.objects.items()}
    starts = {f"/{path}": content for path, content in firmware.starts.items()}

    def lacks(path: str, content: bytes) -> bool:
        return found.files.get(path) != sha256(content).hexdigest()

    slot = found.running
    if not slot or lacks(f"/{slot}", firmware.manifest):
        slot = build.SLOTS[1] if found.running == build.SLOTS[0] else build.SLOTS[0]
    drafts = {path: content for path, content in starts.items() if lacks(path, content)}
    if lacks(f"/{slot}", firmware.manifest):
        drafts[f"/{slot}"] = firmware.manifest
    keep = {*mine, *starts, f"/{slot}", f"/{build.OBJECTS}", "/boot.py"}
    foreign = sorted((path for path in found.files if path not in keep), reverse=True)
    useless = [path for path in foreign if path.endswith(".new") or _is_under_way(path)]
    return Plan(
        slot,
        before=tuple(useless),
        write={path: content for path, content in mine.items() if lacks(path, content)},
        drafts=drafts,
        # the other slot is named above the objects: it goes before what it names
        after=tuple(path for path in foreign if path not in useless),
    )


def _is_under_way(path: str) -> bool:
    return path == f"/{UNDER_WAY}" or path.startswith(f"/{UNDER_WAY}/")


def _check_room(plan: Plan, found: Found, port: str) -> None:
    blocks = sum(-(-len(c) // BLOCK_BYTES) for c in (*plan.write.values(), *plan.drafts.values()))
    need = (blocks + (SPARE_BLOCKS if plan.write else SWITCH_BLOCKS)) * BLOCK_BYTES
    if found.free_bytes < need:
        raise InstallFault(
            f"{port}: {found.free_bytes} bytes are free on the board, {need} are needed; "
            "remove files of others, or erase its flash and install MicroPython anew"
        )


def _same_key(job: Job, found: Found) -> bool:
    """Did the node begin with this key? Then it keeps what that has become since."""
    return found.has_key and found.origin == job.origin.hex()


def _switch(repl: Repl, job: Job, plan: Plan, *, fresh_key: bool) -> None:
    """Slot, settings, key and starts in one step: the link can't cut it in two."""
    slot = f"/{plan.slot}"
    # Whatever image runs now is the node's: one on trial would go with the next reset.
    lines = ["try:esp32.Partition.mark_app_valid_cancel_rollback()", "except Exception:0"]
    lines.append("x('image')")
    if slot in plan.drafts:  # not the one that runs
        lines.append(f"os.rename('{slot}.new','{slot}')")
    lines.append(f"n.set_blob('settings',{literal(job.blob)})")
    if fresh_key:
        lines.append(f"n.set_blob('key',{literal(struct.pack('>I', 0) + job.secret)})")
        lines.append(f"n.set_blob('origin',{literal(job.origin)})")
        lines += [f"x({name!r})" for name in OF_ANOTHER_NODE]
    lines.append(f"n.set_blob('wifi',{literal(job.wifi)})" if job.wifi else "x('wifi')")
    if job.root:
        lines.append(f"n.set_blob('root',{literal(checked(job.root))})")
    lines.append(f"n.set_blob('slots',{literal(slots_blob(plan.slot, job.firmware.manifest))})")
    lines.append("n.commit()")
    lines += [f"os.rename('{path}.new','{path}')" for path in plan.drafts if path != slot]
    repl.run("\n".join([*lines, "w()", "f=0"]))


__all__ = [
    "HELPERS",
    "BoardFault",
    "InstallFault",
    "Job",
    "checked",
    "install",
    "prepare",
    "slots_blob",
    "table",
]
