"""What is said to a board while a node is put on it: code for its REPL, and what it answers."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from kerbline.boardtools import Repl, chunks, literal
from kerbline.errors import KerblineError
from kerbline.firmware import build

OLDEST = (1, 24)
MPY_VERSION = 6
WATCHDOG_MS = 60_000  # between two steps of ours
# In slots.py's blob: the slot, none on trial, the highest sequence, nothing to tell.
SLOTS_FORM = ">BBBBIB"
NO_SLOT = 255
# Of a build copied by hand, and of the time when main.py named a folder.
OLD_LAYOUT = ("kerbnode", "kerbwire", "main.mpy", "boot.mpy", "a", "b")
LONGEST_BLOB = 1024  # what the node reads
UNDER_WAY = "u"  # an update's

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
w()
print(json.dumps([o,v[0]*k,hexlify(g('slots')).decode(),len(g('key')),
 hexlify(g('origin')).decode()]))
"""


class InstallFault(KerblineError):
    """The install can't be done, or was cut short; the text tells what the board is left with."""

    code = "install"


@dataclass(frozen=True, slots=True)
class Found:
    """What the board has: SHA-256 by path ("" of a folder), free bytes, the running slot or ""."""

    files: Mapping[str, str]
    free_bytes: int
    running: str
    has_key: bool
    origin: str


def check_image(told: str, chip: str, port: str) -> None:
    """Raise InstallFault unless ASK tells of a MicroPython that can run the node on this chip."""
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


def look(repl: Repl) -> Found:
    """Ask what is there; nothing is changed."""
    names = (*build.SLOTS, *build.STARTS, build.OBJECTS, UNDER_WAY, *OLD_LAYOUT)
    paths = [f"/{name}" for name in names]
    paths += [f"/{name}.new" for name in (*build.SLOTS, *build.STARTS)]
    files, free, slots, key_bytes, origin = json.loads(repl.run(LOOK % (paths,)))
    return Found(files, free, _running(bytes.fromhex(slots), files), key_bytes == 4 + 16, origin)


def _running(blob: bytes, files: Mapping[str, str]) -> str:
    """The slot that slots.py takes after a trial that fails; "" where there is none."""
    there = [slot for slot in build.SLOTS if f"/{slot}" in files]
    length = struct.calcsize(SLOTS_FORM)
    if len(blob) == length + 4 and struct.unpack("<I", blob[length:])[0] == zlib.crc32(
        blob[:length]
    ):
        good = build.SLOTS[blob[0] & 1]
        if good in there:
            return good
    return there[0] if there else ""


def remove(repl: Repl, paths: tuple[str, ...]) -> None:
    """Files and the folders around them; each folder comes after what is in it."""
    for path in paths:
        repl.run(f"""
try:os.remove({path!r})
except OSError:
 try:os.rmdir({path!r})
 except OSError:pass
w()""")


def write(repl: Repl, path: str, content: bytes) -> None:
    """Under another name first; renamed when the board has read it back whole."""
    draft_on(repl, path, content)
    repl.run(f"os.rename({path + '.new'!r},{path!r});w()")


def draft_on(repl: Repl, path: str, content: bytes) -> None:
    """Under another name, read back; InstallFault where it did not arrive whole."""
    draft = path + ".new"
    repl.run(f"mk({path!r})\nf=open({draft!r},'wb')")
    for chunk in chunks(content):
        repl.run(f"f.write({literal(chunk)});w()")
    there = repl.run(f"f.close();print(h({draft!r}))").strip()
    if there != sha256(content).hexdigest():
        raise InstallFault(f"{repl.port}: {path} did not arrive whole; install again")


def slots_blob(slot: str, manifest: bytes) -> bytes:
    """What slots.py reads: that slot is the good one, and no older release is taken after it."""
    sequence = int.from_bytes(manifest[4:8], "big")
    place = build.SLOTS.index(slot)
    return checked(struct.pack(SLOTS_FORM, place, NO_SLOT, 0, 0, sequence, NO_SLOT))


def checked(body: bytes) -> bytes:
    """A blob with its CRC, as kerbnode/nvs.py reads it."""
    return body + struct.pack("<I", zlib.crc32(body))
