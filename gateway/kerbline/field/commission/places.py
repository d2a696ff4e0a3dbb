"""Where a laptop keeps what commissioning makes: below the XDG state folder, private."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """The folders and files; nothing of it need be there."""

    folder: Path

    @property
    def records(self) -> Path:
        """The queue of signed records."""
        return self.folder / "records.jsonl"

    @property
    def laptop_key(self) -> Path:
        """The laptop's Ed25519 key."""
        return self.folder / "laptop.key"

    @property
    def labels(self) -> Path:
        """NODE.png and NODE.svg."""
        return self.folder / "labels"

    @property
    def claims(self) -> Path:
        """NODE.claim, for `kerbline claims add`."""
        return self.folder / "claims"

    @property
    def boards(self) -> Path:
        """One job's folder for each board, by its MAC."""
        return self.folder / "boards"

    def port(self, port: str) -> Path:
        """Held by who works there: a board has no MAC before it was looked at."""
        real = port if "://" in port else os.path.realpath(port)
        return self.folder / "ports" / f"{sha256(real.encode()).hexdigest()[:16]}.lock"

    def job(self, mac: str) -> Path:
        """The job of the board with that MAC."""
        return self.boards / mac.replace(":", "")


def usual(environment: Mapping[str, str] = os.environ) -> Places:
    """$XDG_STATE_HOME/kerbline/commission, by default below ~/.local/state."""
    state = environment.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return Places(base / "kerbline" / "commission")
