"""What a board's REPL tells of itself: image, chip, file system, settings, key, root, slots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerbline.boards import Board
from kerbline.boardtools import Repl
from kerbline.field.doctor.finding import Finding, fault, good, note

OLDEST = (1, 24)
FEW_BLOCKS = 16

# Runs on any MicroPython; what can't be read is None.
ASK = """
import sys,os,json
from binascii import crc32
def g(k):
 b=bytearray(1024)
 try:
  import esp32
  return bytes(b[:esp32.NVS('kerbnode').get_blob(k,b)])
 except OSError as e:return b'' if e.errno==-0x1102 else None
 except ImportError:return None
def ls(p):
 try:return os.listdir(p)
 except OSError:return None
def there(p):
 try:return bool(os.stat(p))
 except OSError:return False
s=g('settings')
t=None
if s and len(s)>4:
 t=s[:-4].decode() if int.from_bytes(s[-4:],'little')==crc32(s[:-4]) else ''
k=g('key')
r=g('root')
try:v=list(os.statvfs('/'))[:5]
except OSError as e:v=[e.errno]
try:
 import machine
 c=machine.reset_cause()
except Exception:c=0
i=sys.implementation
print(json.dumps({'platform':sys.platform,'version':list(i.version)[:3],
'machine':getattr(i,'_machine',''),'settings':t if s else ('' if s is None else None),
'unread':s is None or k is None,'key':len(k or b''),'root':len(r or b''),'fs':v,
'files':ls('/'),'app':there('/app'),'cause':c}))
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """As the board told it; `settings` None: there are none, "": they are damaged.

    `fs` is os.statvfs('/')'s first five, or the one number of the fault that it gave.
    """

    platform: str
    version: tuple[int, ...]
    machine: str
    settings: str | None
    unread: bool
    key: int
    root: int
    fs: tuple[int, ...]
    files: tuple[str, ...] | None
    app: bool
    cause: int

    @property
    def chip(self) -> str:
        """As a board's file writes it."""
        return self.machine.rpartition(" ")[2].lower().replace("-", "")


def look(repl: Repl) -> Seen:
    """Ask the board; raises BoardFault."""
    return told(json.loads(repl.run(ASK).strip().splitlines()[-1]))


def told(answer: Mapping[str, Any]) -> Seen:
    """The board's answer."""
    files = answer["files"]
    return Seen(
        answer["platform"],
        tuple(answer["version"]),
        answer["machine"],
        answer["settings"],
        answer["unread"],
        answer["key"],
        answer["root"],
        tuple(answer["fs"]),
        None if files is None else tuple(files),
        answer["app"],
        answer["cause"],
    )


def judge(seen: Seen, port: str, board: Board | None = None) -> list[Finding]:
    """Every finding; the first fault is the one to mend first."""
    if seen.platform != "esp32":
        what = f"a MicroPython answers that is no ESP32's ({seen.platform})"
        return [fault("wrong_chip", port, what, "take the board's own port")]
    version = ".".join(map(str, seen.version))
    found = [good("image", port, f"MicroPython {version} on an {seen.chip}")]
    if seen.version[:2] < OLDEST:
        what = f"its MicroPython {version} is too old"
        found = [fault("image_old", port, what, "flash 1.24 or later: `kerbline flash`")]
    if board is not None and seen.chip != board.chip.name:
        found.append(
            fault(
                "wrong_chip",
                port,
                f"the chip is an {seen.chip}, and {board.name} has an {board.chip.name}",
                "take the right board, or the other --board",
            )
        )
    found += _files(seen, port)
    found += _identity(seen, port)
    return found


def _files(seen: Seen, port: str) -> list[Finding]:
    if len(seen.fs) < 5 or seen.files is None:
        return [
            fault(
                "files_broken",
                port,
                "its file system can't be read",
                "erase and install anew: `kerbline unbrick`",
            )
        ]
    free = seen.fs[3] if seen.fs[3] <= seen.fs[2] else 0  # littlefs: a full one has less than none
    if free < FEW_BLOCKS:
        what = f"its file system is full: {free} of {seen.fs[2]} blocks are free"
        return [fault("files_full", port, what, "erase and install anew: `kerbline unbrick`")]
    if "main.py" not in seen.files:
        return [fault("no_node", port, "no node is installed", "install it: `kerbline commission`")]
    slots = [name for name in ("slot_a", "slot_b") if name in seen.files]
    if "slots.mpy" in seen.files and not slots:
        what = "the node's program is gone: neither slot has one"
        return [fault("no_build", port, what, "install it again: `kerbline commission`")]
    return [good("files", port, f"{free} of {seen.fs[2]} blocks are free")]


def _identity(seen: Seen, port: str) -> list[Finding]:
    if seen.unread:
        return [
            fault(
                "nvs_unread",
                port,
                "its NVS, where settings and key are, can't be read",
                "cut its power and try again; the same again: erase the flash, `kerbline unbrick`",
            )
        ]
    found = []
    if seen.settings is None:
        found.append(fault("settings_missing", port, "the node has no settings", _COMMISSION))
    elif not seen.settings:
        found.append(
            fault("settings_damaged", port, "the node's settings are damaged", _COMMISSION)
        )
    else:
        found.append(_settings(seen.settings, port))
    if seen.key != 20:
        what = "the node has no key" if not seen.key else "the node's key is damaged"
        found.append(fault("no_key", port, what, _COMMISSION))
    if not seen.root:
        found.append(
            note(
                "no_root",
                port,
                "it has no release key, so it takes no update over the line",
                "`kerbline commission` writes the one of your release.pub",
            )
        )
    return found


_COMMISSION = "commission it: `kerbline commission` goes on where it was"


def _settings(text: str, port: str) -> Finding:
    try:
        given = json.loads(text)
        names = f"{given['node_id']}, a {given['asset']} on {given['link']}"
    except (ValueError, KeyError, TypeError):
        what = "the node's settings are none: node_id, asset or link is missing"
        return fault("setting_bad", port, what, "write them again: `kerbline commission`")
    return good("settings", port, f"it is {names}")
