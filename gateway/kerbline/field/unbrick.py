"""A board that does not do what it should: what is wrong, and all of its flash anew.

The gentle way comes first: where its REPL answers, nothing need be erased. Else its loader says
whether the chip is alive at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from kerbline.boardtools import BoardFault, connected, loader
from kerbline.boardtools.loader_link import REMEDIES, LoaderFault
from kerbline.field.flash import Job, Step, Tell

PATIENCE_S = 12.0  # a start, and a first one formats its file system
LEAST_FREE_BYTES = 64 << 10
LOST = (
    "This erases all of its flash. Lost for good: the node's key (the gateway needs a new claim: "
    "commission it again), its settings, its release root, and readings that it has not sent."
)
INSTALL = "`kerbline commission` or `kerbline node install` puts it there; nothing need be erased"

# Names are short: it is source in a board's heap.
LOOK = """
import os, sys, json
o = {}
o['version'] = '.'.join(str(n) for n in sys.implementation.version[:3])
try:
    s = os.statvfs('/')
    o['free'] = s[0] * s[3]
    o['files'] = os.listdir('/')
except Exception as e:
    o['files_fault'] = str(e)
try:
    with open('/main.py') as f:
        compile(f.read(), 'main.py', 'exec')
except OSError:
    o['main'] = 'missing'
except Exception as e:
    o['main'] = type(e).__name__ + ': ' + str(e)
try:
    import esp32
    n = esp32.NVS('kerbnode')
    b = bytearray(1024)
    o['nvs'] = []
    for k in ('settings', 'key', 'slots', 'root'):
        try:
            n.get_blob(k, b)
            o['nvs'].append(k)
        except OSError:
            pass
except Exception as e:
    o['nvs_fault'] = str(e)
print(json.dumps(o))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` for programs (sound: nothing wrong), cause and remedy for people."""

    code: str
    cause: str
    remedy: str = ""


def look(port: str, patience_s: float = PATIENCE_S) -> list[Finding]:
    """What is wrong with the board, without changing anything; it starts anew after it.

    Raises LoaderFault where the port itself can't be used.
    """
    try:
        with connected(port, patience_s=patience_s) as repl:
            told = json.loads(repl.run(LOOK))
            repl.leave("import machine; machine.reset()")
    except (BoardFault, ValueError):
        return [_by_loader(port)]
    return _judged(told)


def rewrite(job: Job, port: str, tell: Tell, baud: int = loader.BAUD) -> Finding:
    """Erase the whole flash, write all of it, and ask the board whether it lives.

    Raises LoaderFault; a second attempt starts over.
    """
    tell(Step(port, "finding"))
    with loader.entered(port, job.chip, baud) as entered:
        tell(Step(port, "erasing"))
        entered.erase()
        regions = job.regions(wipe=True)
        entered.write(regions, lambda done, of: tell(Step(port, "writing", done, of)))
    tell(Step(port, "starting"))
    try:
        with connected(port) as repl:
            told = json.loads(repl.run(LOOK))
            repl.leave("import machine; machine.reset()")
    except (BoardFault, ValueError):
        return Finding(
            "no_repl",
            f"{port}: all is written and proved, and the board does not start MicroPython",
            "is the image for this module (flash size, PSRAM)? Else the board is broken",
        )
    tell(Step(port, "done"))
    return Finding(
        "sound",
        f"{port}: MicroPython {told['version']} and the node's program are on it",
        "it has no key and no settings: commission it",
    )


def _by_loader(port: str) -> Finding:
    """No REPL: is the chip there?"""
    try:
        found = loader.identify(port)
    except LoaderFault as fault:
        if fault.code in ("no_port", "permission", "port_busy"):
            raise
        return Finding(fault.code, f"{port}: {fault.cause}", fault.remedy)
    for lock in found.locks:  # writing would not help: nothing is to be erased
        return Finding(lock, f"{port}: {loader.locked(lock)}", REMEDIES[lock])
    return Finding(
        "no_repl",
        f"{port}: no REPL answers, but its {found.name} {found.mac} does: MicroPython is missing "
        "or does not start, or a release keeps its console closed",
        "tie its service pin to ground and restart it, if it may be a release; else erase it",
    )


def _judged(told: dict[str, object]) -> list[Finding]:
    """Findings from what the board told; one that is `sound` where nothing is wrong."""
    found = []
    if "files_fault" in told:
        found.append(
            Finding("file_system", f"its file system can't be read: {told['files_fault']}", "erase")
        )
    free = told.get("free")
    if isinstance(free, int) and free < LEAST_FREE_BYTES:
        found.append(
            Finding(
                "file_system_full",
                f"its file system is full: {free:,} bytes are free",
                "what lies there that is not the node's? `mpremote fs ls`, then remove it",
            )
        )
    main = told.get("main")
    if main == "missing":
        found.append(Finding("main_missing", "main.py is missing: no node is installed", INSTALL))
    elif main:
        found.append(Finding("main_broken", f"main.py does not compile: {main}", INSTALL))
    files = told.get("files")
    if not main and isinstance(files, list) and not {"slot_a", "slot_b"} & set(files):
        found.append(Finding("no_slot", "main.py is there, but no program for it", INSTALL))
    nvs = told.get("nvs")
    if isinstance(nvs, list):
        if "settings" not in nvs:
            found.append(Finding("no_settings", "it has no settings", INSTALL))
        if "key" not in nvs:
            found.append(Finding("no_key", "it has no key", INSTALL))
    version = f"MicroPython {told.get('version', '?')} answers"
    if not found:
        return [Finding("sound", f"{version}; program, settings and key are there")]
    return [Finding("answers", version, "nothing need be erased"), *found]
