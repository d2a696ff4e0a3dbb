"""Bytes on the line of an update: two builds of one node, the second with changed lines.

The change is made on a copy of the tree, which the same build then builds.
"""

import ast
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kerbline.bundle import parts
from kerbline.firmware import kept
from kerbwire import manifest as manifests
from kerbwire import messages as m
from kerbwire.limits import BLOCK_BYTES
from tests.budgets import whole
from tests.wire.test_objects import ObjectPair
from tools.second_release import signed
from tools.trees import ROOT
from tools.vectors_updates import TREE

BOARD = "streetlight-esp32"
CHANGED = ("app", "link", "journal", "assets/streetlight", "update")
LINES = 12  # of each module
COPIED = ("boards", "firmware", "gateway", "protocol")
BUILD = """
import pickle, sys
from pathlib import Path
from kerbline import boards
from kerbline.firmware import build
file = boards.find(sys.argv[1])
made = build.build(build.of_board(boards.load(file), str(file)), keep=Path(sys.argv[2]))
sys.stdout.buffer.write(pickle.dumps(dict(made.files)))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes on the line, both ways, and of what was sent."""

    line: int
    manifest: int
    parts: int
    whole: int


def changed(text: str, word: str, lines: int = LINES) -> str:
    """The module with so many lines changed or added.

    A new function of four lines, two places that use it in two lines, and other numbers.
    """
    tree = ast.parse(text)
    methods = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and len(node.body) > 1
        and node.args.args
        and node.args.args[0].arg == "self"
    ]
    done = 0
    for method in methods[1::2][:2]:
        method.body[1:1] = ast.parse(
            f"if clamped_{word}(self.missed_{word}, {len(word)}) > 3:\n    self.missed_{word} = 0"
        ).body
        done += 2
    tree.body += ast.parse(
        f"def clamped_{word}(value, most):\n    if value > most * 2:\n"
        f"        return most - {len(word)}\n    return value + 1"
    ).body
    done += 4
    for statement in (each for method in methods for each in method.body[1:]):
        found = [
            node
            for node in ast.walk(statement)
            if isinstance(node, ast.Constant) and type(node.value) is int
        ]
        if found and done < lines:
            found[0].value = int(str(found[0].value)) + 1
            done += 1
    assert done == lines, (word, done)
    return ast.unparse(ast.fix_missing_locations(tree))


def builds(folder: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Files of the tree's node, and of the same with LINES lines of each module CHANGED."""
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__", "vectors", "interop")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in CHANGED:
        file = folder / "firmware" / "kerbnode" / f"{name}.py"
        file.write_text(changed(file.read_text(), name.rpartition("/")[2]))
    # A copy has no commit, a release has: its module says so.
    after = {
        name: data.replace(bytes(4), b"\x1a\x2b\x3c\x4d") if name == "kerbnode/build.mpy" else data
        for name, data in _built(folder).items()
    }
    return whole.built(BOARD).files, after


def _built(root: Path) -> dict[str, bytes]:
    keep = kept.folder()
    path = f"{root / 'gateway'}:{root / 'protocol'}"
    command = [sys.executable, "-c", BUILD, BOARD, str(keep)]
    done = subprocess.run(
        command, capture_output=True, check=False, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr.decode()
    found = pickle.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def manifest(files: Mapping[str, bytes], sequence: int) -> bytes:
    made = manifests.Manifest(sequence, (0, 2, sequence), BOARD)
    made.entries = tuple((name, len(data), manifests.digest(data)) for name, data in files.items())
    return manifests.encoded(made)


def cost(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Cost:
    """What goes over a UART until the node has all, with its events and the order to activate."""
    old, new = manifest(before, 1), manifest(after, 2)
    held = {manifests.digest(data): data for data in before.values()}
    objects = {manifests.digest(data): data for data in after.values()}
    made = parts.made(new, objects.__getitem__, old, held.__getitem__)
    pair = ObjectPair()
    pair.settled()
    pair.up_line.written.clear()
    pair.down_line.written.clear()
    release = signed(TREE, 9, new)
    for handle, kind, data in ((1, m.UPDATE_TAKEN, release), (2, m.UPDATE_STAGED, made)):
        pair.above.offer(pair.gateway, handle, data, BLOCK_BYTES)
        assert pair.run(60_000, lambda: bool(pair.above.ended)) and pair.below.has(data)
        pair.above.ended.clear()
        pair.make(m.EVENT, (m.EV_UPDATE, kind))
        assert pair.run(5_000, pair.drained)
    pair.gateway.send_command(1, pair.UTC_MS // 1000 + 3600, m.OP_ACTIVATE, ())
    pair.run(100)
    assert not pair.faults
    line = sum(len(data) for data in pair.up_line.written + pair.down_line.written)
    return Cost(line, len(release), len(made), len(parts.made(new, objects.__getitem__)))
