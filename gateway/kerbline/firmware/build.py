"""Builds a board's node: few compiled files, what they cost, an image and who they are."""

from __future__ import annotations

import dataclasses
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from kerbline.boards import Board, source
from kerbline.errors import KerblineError
from kerbline.firmware import collect, cross, identity, image, kept
from kerbwire import manifest
from kerbwire.messages import MESSAGES_VERSION

IDENTITY_FILE = "build.json"
IMAGE_FILE = "littlefs.bin"
SIZES_FILE = "sizes.txt"
# A node's file system: each file of a build is an object, named by its hash; a slot is a manifest.
SLOTS = ("slot_a", "slot_b")
OBJECTS = "o"
AS_SOURCE = frozenset({collect.START, "boot"})  # the image runs these by name, and only as source
STARTS = frozenset({"main.py", "boot.py", "choice.mpy", "slots.mpy"})
HOST = "host"  # the chip of a board that is none
RESIDENT = "slots"  # its file system is mounted as long as the node runs


class BuildFault(KerblineError):
    """A file that can't be compiled, or a budget that is exceeded; one line each."""

    code = "firmware"


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of the board's [budget] and where it stands."""

    value: int
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Target:
    """What a build is for: `wiring` is the text of kerbnode/board.py, `budget` by its keys."""

    name: str
    chip: str
    wiring: str
    native: str = "xtensawin"
    budget: Mapping[str, Limit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a node; `resident`: loaded as long as the node runs."""

    path: str
    content: bytes
    resident: bool
    source_bytes: int


@dataclass(frozen=True, slots=True)
class Firmware:
    """A built node, in memory; `about` is what build.json says."""

    target: Target
    parts: tuple[Part, ...]
    about: Mapping[str, object]
    released: bytes = b""  # a release's manifest; without one the tree's own is made
    names: str = ""  # a line for what a short name of a module stands for

    @property
    def files(self) -> dict[str, bytes]:
        """What a slot holds: every file but the starts, by its path there."""
        return {part.path: part.content for part in self.parts if part.path not in STARTS}

    @property
    def starts(self) -> dict[str, bytes]:
        """What only a cable lays: what the image runs by itself, and what mounts a slot."""
        return {part.path: part.content for part in self.parts if part.path in STARTS}

    @property
    def manifest(self) -> bytes:
        """The slot; a build of the tree has sequence 0, which any release is above."""
        if self.released:
            return self.released
        commit = str(self.about.get("commit", identity.UNKNOWN))
        made = manifest.Manifest(
            0, identity.numbers(str(self.about.get("version", "0.0.0"))), self.target.name
        )
        made.commit = bytes(4) if commit == identity.UNKNOWN else bytes.fromhex(commit[:8])
        made.entries = tuple(
            (path, len(content), manifest.digest(content)) for path, content in self.files.items()
        )
        return manifest.encoded(made)

    @property
    def objects(self) -> dict[str, bytes]:
        """The files by their place in a node's file system."""
        return {
            f"{OBJECTS}/{manifest.digest(content).hex()}": content
            for content in self.files.values()
        }

    def layout(self, slot: str = SLOTS[0]) -> dict[str, bytes]:
        """All that a node's file system gets, by path."""
        return self.starts | self.objects | {slot: self.manifest}

    @property
    def identity(self) -> bytes:
        """The text of build.json."""
        return (json.dumps(self.about, indent=1) + "\n").encode()

    def image(self) -> bytes | None:
        """The stock file system with this node in its first slot; None for a simulated one."""
        partition = image.PARTITIONS.get(self.target.chip)
        return None if partition is None else image.made(self.layout(), partition.size)


def build(target: Target, *, keep: Path | None = None) -> Firmware:
    """Compile all that the board reaches; raises BuildFault, NotCompiled.

    In the folder `keep` is what earlier builds made; without one all is made anew.
    """
    modules = collect.tree()
    commit = identity.commit()
    version = identity.version()
    which = collect.identity(identity.numbers(version), target.name, MESSAGES_VERSION)
    generated = {collect.WIRING: target.wiring, collect.IDENTITY: which}
    for name, text in generated.items():
        modules[name] = collect.Module(name, text, package=False)
    wanted = collect.needed(modules, target.chip)
    small = kept.together(wanted, keep) if keep else collect.together(wanted)
    names = small.pop(collect.NAMES)
    if commit.name != identity.UNKNOWN:
        small[collect.IDENTITY] = collect.of_commit(small[collect.IDENTITY], commit.name)
    parts = tuple(_parts(small, modules, target, keep))
    about = {
        "version": version,
        "commit": commit.name,
        "dirty": commit.dirty,
        "board": target.name,
        "chip": target.chip,
        "wire": MESSAGES_VERSION,
        "mpy_cross": cross.version(),
        "files": {part.path: sha256(part.content).hexdigest() for part in parts},
    }
    return Firmware(target, parts, about, names=names)


def _parts(
    small: Mapping[str, str],
    modules: Mapping[str, collect.Module],
    target: Target,
    keep: Path | None,
) -> list[Part]:
    stays = collect.resident(small)
    texts = {modules[name].path: text for name, text in small.items() if name not in AS_SOURCE}
    given = target.native, cross.version()
    path = modules[collect.IDENTITY].path
    made = _compiled({path: texts.pop(path)}, *given)  # each commit's is another, the rest is not
    made |= kept.together(texts, keep, _compiled, *given) if keep else _compiled(texts, *given)
    found: list[Part] = []
    for name, text in sorted(small.items()):
        path = modules[name].path
        if name in AS_SOURCE:
            content = text.encode() + b"\n"
            found.append(Part(f"{path}.py", content, resident=False, source_bytes=len(content)))
            continue
        size = len(text.encode())
        is_resident = name in stays or name == RESIDENT
        found.append(Part(f"{path}.mpy", b64decode(made[path]), is_resident, source_bytes=size))
    return found


def _compiled(texts: Mapping[str, str], native: str, _version: str) -> dict[str, str]:
    """Each file of byte code in base64, by its path; raises BuildFault, NotCompiled."""

    def one(path: str) -> cross.Compiled:
        return cross.compile_text(texts[path], path.rpartition("/")[2], native)

    with ThreadPoolExecutor() as pool:
        made = dict(zip(texts, pool.map(one, texts), strict=True))
    complaints = [f"{path}.py: {each.complaint}" for path, each in made.items() if each.complaint]
    if complaints:
        raise BuildFault("\n".join(sorted(complaints)))
    return {path: b64encode(each.content).decode() for path, each in made.items()}


def sizes(firmware: Firmware) -> dict[str, int]:
    """What the build costs, by the keys of a board's [budget] that a build can tell."""
    compiled = [part for part in firmware.parts if part.path.endswith(".mpy")]
    blocks = sum(-(-len(content) // image.BLOCK_BYTES) for content in firmware.layout().values())
    return {
        "resident_mpy_bytes": sum(len(part.content) for part in compiled if part.resident),
        "mpy_bytes": sum(len(part.content) for part in compiled),
        "flash_bytes": blocks * image.BLOCK_BYTES,
    }


def told(firmware: Firmware) -> str:
    """The size report: a line a file, the largest first, then sums beside their budgets."""
    lines = [f"{firmware.target.name} ({firmware.target.chip})"]
    lines.append("  bytes  of source")
    for part in sorted(firmware.parts, key=lambda part: (-len(part.content), part.path)):
        when = "resident" if part.resident else "on demand"
        when = when if part.path.endswith(".mpy") else "as source"
        lines.append(f"{len(part.content):7,} {part.source_bytes:9,}  {part.path:28} {when}")
    for key, value in sizes(firmware).items():
        limit = firmware.target.budget.get(key)
        beside = f" of {limit.value:,}" if limit else ""
        lines.append(f"{value:7,}{beside}  {key}")
    return "\n".join(lines) + "\n"


def exceeded(firmware: Firmware) -> list[str]:
    """One line a budget that the build exceeds, with the place where it stands."""
    cost = sizes(firmware)
    return [
        f"{limit.file}:{limit.line}: budget.{key}: {cost[key]:,} are needed, {limit.value:,} "
        f"allowed; make the node smaller, or state the new figure here"
        for key, limit in firmware.target.budget.items()
        if cost.get(key, 0) > limit.value
    ]


def write(firmware: Firmware, folder: Path, *, to_flash: bool = True) -> None:
    """The files, the image and the size report into a folder that holds nothing else after it.

    A build that is not `to_flash` has no image; an older one goes too.
    """
    content = {**firmware.starts, **firmware.files, SIZES_FILE: told(firmware).encode()}
    content[collect.NAMES] = f"{firmware.names}\n".encode()
    content |= {IDENTITY_FILE: firmware.identity, SLOTS[0]: firmware.manifest}
    whole = firmware.image() if to_flash else None
    if whole is not None:
        content[IMAGE_FILE] = whole
    for path, data in content.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or file.read_bytes() != data:
            file.write_bytes(data)
    for file in sorted(folder.rglob("*"), reverse=True):
        if file.is_dir():
            if not any(file.iterdir()):
                file.rmdir()
        elif str(file.relative_to(folder)) not in content:
            file.unlink()


def of_board(board: Board, file: str) -> Target:
    """What to build for a checked board, whose file is called so in messages; raises BuildFault."""
    if board.chip.name == HOST:  # choice.py would stop at its `import esp32`
        raise BuildFault(f"{file}: {board.name} runs on a PC as it is: there is nothing to build")
    budget = {
        each.name: Limit(
            getattr(board.budget, each.name), file, board.reader.line(("budget", each.name))
        )
        for each in dataclasses.fields(board.budget)
    }
    return Target(board.name, board.chip.name, source(board), board.chip.native, budget)
