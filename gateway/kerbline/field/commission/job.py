"""The resumable job of one board: what is known of it, which steps are done, its key until then."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kerbline import durable
from kerbline.config.rules import KEY_BYTES
from kerbline.field.commission import locks
from kerbline.field.commission.places import Places
from kerbline.field.commission.words import CommissionFault
from kerbline.keys import KeyRing, NodeKeys

VERSION = 1
JOB_ID_BYTES = 8
STATE_FILE = "job.json"
KEY_FILE = "key"
RING_FOLDER = "ring"
MAX_BYTES = 1 << 20
TOLD = ("node", "board", "asset")  # before the first step

Figures = Mapping[str, Any]


class Job:
    """A folder of mode 0700. `facts` is what was told or found; a step done has its figures.

    Make it with `opened`.
    """

    def __init__(self, folder: Path, mac: str, state: dict[str, Any]) -> None:
        self.folder = folder
        self.mac = mac
        self._state = state

    @property
    def id(self) -> str:
        """Names this one life of the board in the records."""
        return str(self._state["job"])

    @property
    def facts(self) -> dict[str, Any]:
        """What was told or found, by name; `learn` changes it."""
        return dict(self._state["facts"])

    @property
    def steps(self) -> tuple[str, ...]:
        """Those that are done, in the order in which they were."""
        return tuple(self._state["steps"])

    def figures(self, step: str) -> Figures | None:
        """Of a step that is done; None where it is not."""
        found: Figures | None = self._state["steps"].get(step)
        return found

    @property
    def done(self) -> Mapping[str, Figures]:
        """The figures of every step that is done."""
        return dict(self._state["steps"])

    def learn(self, **facts: object) -> None:
        """Keep facts, durably."""
        self._save({**self._state, "facts": {**self._state["facts"], **facts}})

    def finish(self, step: str, figures: Figures) -> None:
        """A step is done, durably."""
        self._save({**self._state, "steps": {**self._state["steps"], step: dict(figures)}})

    def undo(self, *steps: str) -> None:
        """These are to be done again."""
        left = {name: told for name, told in self._state["steps"].items() if name not in steps}
        self._save({**self._state, "steps": left})

    # -------------------------------------------------------------- the key

    @property
    def has_key(self) -> bool:
        """Is a whole first key there?"""
        try:
            text = self._key_file.read_text("ascii").strip()
            return len(bytes.fromhex(text)) == KEY_BYTES
        except (OSError, ValueError):
            return False

    def first_key(self) -> bytes:
        """What the node begins with, made where there is none yet."""
        if not self.has_key:
            self.erase_keys()  # a ring of another first key
            durable.replace(self._key_file, (secrets.token_hex(KEY_BYTES) + "\n").encode())
        return bytes.fromhex(self._key_file.read_text("ascii"))

    def keys(self, node_id: str) -> NodeKeys:
        """The ratchet as a session on this laptop left it; raises KeyFault."""
        return self._ring.load(node_id, self._key_file)

    def keep(self, node_id: str, keys: NodeKeys) -> None:
        """Durable on return."""
        ring = self._ring
        ring.load(node_id, self._key_file)
        ring.store(node_id, keys)

    def erase_keys(self) -> None:
        """Every key of this job: overwritten, then removed."""
        folder = self.folder / RING_FOLDER
        if folder.is_dir():
            durable.erase(*sorted(folder.iterdir()))
            folder.rmdir()
        durable.erase(durable.draft_of(self._key_file), self._key_file)

    @property
    def _key_file(self) -> Path:
        return self.folder / KEY_FILE

    @property
    def _ring(self) -> KeyRing:
        return KeyRing(self.folder / RING_FOLDER)

    def _save(self, state: dict[str, Any]) -> None:
        durable.replace(self.folder / STATE_FILE, (json.dumps(state, indent=1) + "\n").encode())
        self._state = state


@contextmanager
def opened(places: Places, mac: str) -> Iterator[Job]:
    """The job of that board, begun where there is none; CommissionFault where another has it."""
    folder = durable.folder(places.job(mac))
    with locks.held(folder / "lock", "board_busy", mac=mac):
        state = _read(folder / STATE_FILE, mac)
        job = Job(folder, mac, state or _fresh(mac))
        if state is None:
            job.erase_keys()
            job.learn()
        yield job


def standing(places: Places, mac: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Facts and steps of a job that may not be there; changes nothing."""
    state = _read(places.job(mac) / STATE_FILE, mac) or _fresh(mac)
    return dict(state["facts"]), tuple(state["steps"])


def all_facts(places: Places) -> Iterator[tuple[str, dict[str, Any]]]:
    """MAC and facts of each job that can be read, whatever its state."""
    for path in sorted(places.boards.glob(f"*/{STATE_FILE}")):
        digits = path.parent.name
        mac = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
        if "." not in digits:  # one that was put aside
            with suppress(CommissionFault):
                yield mac, dict((_read(path, mac) or _fresh(mac))["facts"])


def aside(places: Places, mac: str) -> Path:
    """Put a job that is done out of the way, for a new life of that board; where it lies now."""
    folder = places.job(mac)
    number = 1
    while (kept := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    folder.rename(kept)
    return kept


def _fresh(mac: str) -> dict[str, Any]:
    name = secrets.token_hex(JOB_ID_BYTES)
    return {"version": VERSION, "job": name, "mac": mac, "facts": {}, "steps": {}}


def _is_whole(state: dict[str, Any]) -> bool:
    """Whatever is done, it was done for a node with a name."""
    facts, steps = state["facts"], state["steps"]
    return all(isinstance(each, dict) for each in steps.values()) and (
        not steps or all(isinstance(facts.get(name), str) for name in TOLD)
    )


def _read(path: Path, mac: str) -> dict[str, Any] | None:
    try:
        text = path.read_bytes()[:MAX_BYTES]
    except FileNotFoundError:
        return None
    try:
        state = json.loads(text)
    except (ValueError, RecursionError):
        state = None
    match state:
        case {
            "version": int(version),
            "job": str(),
            "mac": str(there),
            "facts": dict(),
            "steps": dict(),
        } if version == VERSION and there == mac:
            assert isinstance(state, dict)
            if _is_whole(state):
                return state
    raise CommissionFault("job_damaged", path=path)
