"""Which build each signature of a root was seen on: one that is on two tells of copied keys.

Whoever has both can forge a third (RFC 8554, 9). A signer that has seen neither goes on; the
gateway is where the releases of two signers meet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from kerbline import durable
from kerbline.bundle import Bundle
from kerbline.update.journal import FOLDER, JournalFault

SEEN = "signatures.jsonl"


@dataclass(frozen=True, slots=True)
class Use:
    """A build, as hex, on which a signature of a root was seen; its version, "" if unknown."""

    root: str
    index: int
    build: str
    version: str = ""

    def __str__(self) -> str:
        release = f"release {self.version}, " if self.version else ""
        return f"{release}build {self.build}"


class Signatures:
    """Those of all releases that a gateway was offered; every call may wait for the disk.

    A line for each signature that a root can make, and one for each that is on two builds.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FOLDER / SEEN

    def take(self, bundle: Bundle) -> str:
        """Note a verified bundle and the releases it has parts from; what is wrong, or ""."""
        known = self._read()
        wrong, new = "", []
        for use in _of(bundle):
            same = [each for each in known if (each.root, each.index) == (use.root, use.index)]
            others = [each for each in same if each.build != use.build]
            if others:
                wrong = (
                    f"{others[0]}, and {use}, have one signature, index {use.index} of root "
                    f"{use.root}: copies of its key are in use, and who has both releases can "
                    "forge a third"
                )
            if len(others) == len(same):
                new.append(use)
                known.append(use)
        try:
            if new:
                durable.append(self._path, b"".join(_line(use) for use in new))
        except OSError as error:
            raise JournalFault(f"{self._path}: {error.strerror}") from None
        return wrong

    def _read(self) -> list[Use]:
        """Those that can be read: it is a second pair of eyes, not what a release hangs on."""
        found = []
        with suppress(OSError):
            for line in self._path.read_bytes().split(b"\n"):
                with suppress(ValueError, TypeError, RecursionError):
                    found.append(Use(**json.loads(line)))
        return found


def _of(bundle: Bundle) -> Iterable[Use]:
    about = bundle.about
    for patch in about.patches:
        if patch.root:
            yield Use(patch.root, patch.index, patch.from_build)
    yield Use(bundle.root.hex(), bundle.index, bundle.build.hex(), about.version)


def _line(use: Use) -> bytes:
    """Behind a line that a power cut tore it stands on one of its own."""
    return b"\n" + json.dumps(asdict(use), separators=(",", ":")).encode()
