"""Puts a built node on a board: its files, its settings, its key; and tells the gateway's table.

A node has two places for its code, /a and /b; the first line of main.py names the one that runs.
An install fills the other one and then, in one step on the board, writes settings and key and
renames the new main.py over the old: whatever cuts it short leaves the old node or, on a fresh
board, the REPL. Meanwhile a watchdog runs that only our next step feeds: a board whose installer
went away restarts into the node that it had.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from kerbline import boards
from kerbline.boardtools import BoardFault, Repl, chunks, connected, literal
from kerbline.errors import KerblineError
from kerbline.field import settings as node_settings
from kerbline.firmware import build, kept
from kerbline.firmware.image import BLOCK_BYTES

OLDEST = (1, 24)
MPY_VERSION = 6
WATCHDOG_MS = 60_000  # between two steps of ours
SPARE_BLOCKS = 64  # for the journal and for littlefs itself
SWITCH_BLOCKS = 4  # boot.py and main.py, and the folder that names them
LONGEST_BLOB = 1024  # what the node reads
ORIGIN_BYTES = 8
OF_ANOTHER_NODE = ("settings_was", "config", "config_was")  # nothing of it comes back
OLD_LAYOUT = ("kerbnode", "kerbwire", "main.mpy", "boot.mpy")  # of a build copied by hand

# What the board runs first; everything later uses it. Names are short: it is source in a heap.
HELPERS = f"""
import os,sys,json,machine,esp32
from hashlib import sha256
from binascii import a2b_base64,hexlify
try:w=machine.WDT(timeout={WATCHDOG_MS}).feed
except Exception:w=lambda:0
n=esp32.NVS('kerbnode')
def h(p):
 d=sha256();b=bytearray(512)
 with open(p,'rb') as f:
  while 1:
   k=f.readinto(b)
   if not k:break
   d.update(memoryview(b)[:k])
 w()
 return hexlify(d.digest()).decode()
def t(p,o):
 try:s=os.stat(p)[0]
 except OSError:return o
 if s&0x4000:
  for e in os.listdir(p):t(p+'/'+e,o)
  o[p]=''
 else:o[p]=h(p)
 return o
def g(k):
 b=bytearray({LONGEST_BLOB})
 try:return bytes(memoryview(b)[:n.get_blob(k,b)])
 except OSError:return b''
def x(k):
 try:n.erase_key(k)
 except OSError:pass
def mk(p):
 q=''
 for e in p.split('/')[1:-1]:
  q+='/'+e
  try:os.mkdir(q)
  except OSError:pass
"""
ASK = """
i=sys.implementation
print(json.dumps([sys.platform,list(i.version)[:3],getattr(i,'_machine',''),
 getattr(i,'_mpy',0)&255]))
"""
# littlefs counts a block twice that two files share: of a full one it has less than none.
LOOK = """
o={}
for p in %r:t(p,o)
v=os.statvfs('/')
k=v[3] if 0<=v[3]<=v[2] else 0
try:
 with open('/main.py') as f:l=f.readline()
except OSError:l=''
w()
print(json.dumps([o,v[0]*k,l,len(g('key')),hexlify(g('origin')).decode()]))
"""


class InstallFault(KerblineError):
    """The install can't be done, or was cut short; the text tells what the board is left with."""

    code = "install"


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be installed."""

    firmware: build.Firmware
    settings: node_settings.NodeSettings
    kept: Mapping[str, object]  # the settings that the node keeps
    key_file: Path | None
    secret: bytes = field(repr=False)

    @property
    def origin(self) -> bytes:
        """Names the first key without telling it."""
        return sha256(b"kerbline key origin" + self.secret).digest()[:ORIGIN_BYTES]

    @property
    def blob(self) -> bytes:
        """The node's settings with their CRC, as kerbnode/nvs.py reads them."""
        body = json.dumps(self.kept).encode()  # spaced as main.py looks for its "build"
        return body + struct.pack("<I", zlib.crc32(body))

    @property
    def wifi(self) -> bytes:
        """ssid, a zero byte, password; empty without Wi-Fi."""
        wifi = self.settings.wifi
        return f"{wifi.ssid}\0{wifi.password}".encode() if wifi else b""


@dataclass(frozen=True, slots=True)
class Found:
    """What the board has: SHA-256 by path ("" of a folder), free bytes, the running place."""

    files: Mapping[str, str]
    free_bytes: int
    running: str
    has_key: bool
    origin: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: paths to remove before and after the switch, files to write."""

    place: str
    before: tuple[str, ...]
    write: Mapping[str, bytes]
    main: bytes
    boot: bytes | None
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
        _check_key_file(key_file, settings.key_hex)
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
) -> bool:
    """Install over the board's REPL; `say` gets a line for each step. Raises KerblineError.

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
    with connected(port, HELPERS) as repl:
        chip = job.firmware.target.chip
        say(f"{port}: the REPL answers")
        _check_image(repl.run(ASK), chip, port)
        found = _look(repl)
        plan = _plan(job, found)
        _check_room(plan, found, port)
        if dry_run:
            for path in plan.write:
                say(f"would write {path}, {len(plan.write[path])} bytes")
            say("nothing was changed; the board restarts")
            repl.leave("machine.reset()")
            return True
        _remove(repl, plan.before)
        for path, content in plan.write.items():
            say(f"writing {path}, {len(content)} bytes")
            _write(repl, path, content)
        if not plan.write:
            say("its code is this build already")
        _switch(repl, job, plan, fresh_key=not _same_key(job, found))
        say(f"{job.settings.node_id}: settings written, the node starts from /{plan.place}")
        _remove(repl, plan.after)
        repl.leave("machine.reset()")
    return job.key_file is None or _key_written(job.key_file, job.settings.key_hex, say)


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


def _check_image(told: str, chip: str, port: str) -> None:
    platform, version, machine, mpy = json.loads(told)
    if platform != "esp32":
        raise InstallFault(f"{port}: this is no ESP32 ({platform}); take another port")
    if tuple(version[:2]) < OLDEST:
        has = ".".join(map(str, version))
        raise InstallFault(f"{port}: MicroPython {has}; flash 1.24 or later")
    there = machine.rpartition(" ")[2].lower().replace("-", "")
    if there != chip:
        raise InstallFault(f"{port}: the chip is {there}, the board's file says {chip}")
    if mpy != MPY_VERSION:
        raise InstallFault(f"{port}: its image loads .mpy version {mpy}, we build {MPY_VERSION}")


def _look(repl: Repl) -> Found:
    paths = [f"/{name}" for name in (*build.PLACES, *OLD_LAYOUT, "main.py", "boot.py")]
    paths += ["/main.py.new", "/boot.py.new"]
    files, free, first_line, key_bytes, origin = json.loads(repl.run(LOOK % (paths,)))
    running = ""
    for place in build.PLACES:
        if first_line.encode() == build.place_line(place):
            running = place
    return Found(files, free, running, key_bytes == 4 + 16, origin)


def _plan(job: Job, found: Found) -> Plan:
    files = job.firmware.files

    def wanted(place: str) -> dict[str, bytes]:
        return {f"/{place}/{path}": content for path, content in files.items()}

    def lacking(place: str) -> dict[str, bytes]:
        return {
            path: content
            for path, content in wanted(place).items()
            if found.files.get(path) != sha256(content).hexdigest()
        }

    place = found.running
    if not place or lacking(place):
        place = build.PLACES[1] if found.running == build.PLACES[0] else build.PLACES[0]
    mine = wanted(place)
    keep = {*mine, *(path.rpartition("/")[0] for path in mine)}
    foreign = sorted((p for p in found.files if p not in keep), reverse=True)  # files first
    starts = {"/main.py", "/boot.py"}
    return Plan(
        place,
        before=tuple(p for p in foreign if p.startswith(f"/{place}/")),
        write=lacking(place),
        main=job.firmware.main_at(place),
        boot=job.firmware.starts.get("boot.py"),
        after=tuple(p for p in foreign if not p.startswith(f"/{place}/") and p not in starts),
    )


def _check_room(plan: Plan, found: Found, port: str) -> None:
    blocks = sum(-(-len(c) // BLOCK_BYTES) for c in plan.write.values())
    need = (blocks + (SPARE_BLOCKS if plan.write else SWITCH_BLOCKS)) * BLOCK_BYTES
    if found.free_bytes < need:
        raise InstallFault(
            f"{port}: {found.free_bytes} bytes are free on the board, {need} are needed; "
            "remove files of others, or erase its flash and install MicroPython anew"
        )


def _same_key(job: Job, found: Found) -> bool:
    """Did the node begin with this key? Then it keeps what that has become since."""
    return found.has_key and found.origin == job.origin.hex()


def _remove(repl: Repl, paths: tuple[str, ...]) -> None:
    """Files and the folders around them; each folder comes after what is in it."""
    for path in paths:
        repl.run(f"""
try:os.remove({path!r})
except OSError:
 try:os.rmdir({path!r})
 except OSError:pass
w()""")


def _write(repl: Repl, path: str, content: bytes) -> None:
    """Under another name first; renamed when the board has read it back whole."""
    draft = path + ".new"
    repl.run(f"mk({path!r})\nf=open({draft!r},'wb')")
    for chunk in chunks(content):
        repl.run(f"f.write({literal(chunk)});w()")
    there = repl.run(f"f.close();print(h({draft!r}))").strip()
    if there != sha256(content).hexdigest():
        raise InstallFault(f"{repl.port}: {path} did not arrive whole; install again")
    repl.run(f"os.rename({draft!r},{path!r});w()")


def _switch(repl: Repl, job: Job, plan: Plan, *, fresh_key: bool) -> None:
    """Settings, key and main.py in one step: the link can't cut it in two."""
    starts = [
        (p, c) for p, c in (("/boot.py", plan.boot), ("/main.py", plan.main)) if c is not None
    ]
    lines = []
    for path, content in starts:  # what may fail comes before what changes the node
        lines.append(f"f=open('{path}.new','wb');f.write({literal(content)});f.close()")
    lines.append(f"n.set_blob('settings',{literal(job.blob)})")
    if fresh_key:
        lines.append(f"n.set_blob('key',{literal(struct.pack('>I', 0) + job.secret)})")
        lines.append(f"n.set_blob('origin',{literal(job.origin)})")
        lines += [f"x({name!r})" for name in OF_ANOTHER_NODE]
    lines.append(f"n.set_blob('wifi',{literal(job.wifi)})" if job.wifi else "x('wifi')")
    lines.append("n.commit()")
    lines += [f"os.rename('{path}.new','{path}')" for path, _ in starts]
    repl.run("\n".join([*lines, "w()", "del f"]))


def _check_key_file(path: Path, key_hex: str) -> None:
    """A key file that holds another key is another node's."""
    try:
        there = path.read_text()
    except FileNotFoundError:
        if not path.absolute().parent.is_dir():
            raise InstallFault(f"{path.parent}: is no folder; make it first") from None
        there = key_hex
    except (OSError, UnicodeDecodeError):
        raise InstallFault(f"{path}: can't be read; name another --key-file") from None
    if there.strip().lower() != key_hex.lower():
        raise InstallFault(f"{path}: holds another key; name another --key-file")
    try:  # before the board is touched
        os.close(os.open(_draft(path), os.O_WRONLY | os.O_CREAT, 0o600))
        _draft(path).unlink()
    except OSError as fault:
        raise InstallFault(
            f"{path}: can't be written: {fault.strerror}; name another --key-file"
        ) from None


def _draft(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _key_written(path: Path, key_hex: str, say: Callable[[str], None]) -> bool:
    try:
        _write_key_file(path, key_hex)
    except OSError as fault:
        say(f"{path}: can't be written: {fault.strerror}; the node has its key: write it there")
        return False
    say(f"{path}: written, mode 0600")
    return True


def _write_key_file(path: Path, key_hex: str) -> None:
    draft = _draft(path)
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key_hex.lower() + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


__all__ = ["BoardFault", "InstallFault", "Job", "install", "prepare", "table"]
