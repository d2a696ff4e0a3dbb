"""Who joined by a claim: a file for each node, without its key, which the key ring has."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerbline.keys import checked
from kerbline.keys.faults import KeyFault
from kerbline.keys.files import erase

FOLDER = "claims"  # in the gateway's state folder

log = logging.getLogger("kerbline.keys")


@dataclass(frozen=True, slots=True)
class Joined:
    """A node that joined: `port` and `baud` of the line where it is, "udp" for any datagram.

    `origin` names the key that its claim brought; times are real UTC in seconds. One that waits
    serves nothing yet: its asset has another node. `laptop` (hex) and `technician` as its claim
    says, which nothing proves.
    """

    node_id: str
    asset: str
    kind: str
    link: str
    port: str
    baud: int
    origin: str
    made_s: int
    taken_s: int
    position: tuple[float, float] | None = None
    waits: bool = False
    laptop: str = ""
    technician: str = ""


class Roster:
    """The files; what stands in them is durable when a method returns."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER

    def path(self, node_id: str) -> Path:
        """The file of a node."""
        return self._folder / f"{node_id}.json"

    def all(self) -> dict[str, Joined]:
        """By node id, in the order in which they joined; a damaged file is told and left out."""
        found: list[Joined] = []
        for path in self._files():
            try:
                body = checked.read(path)
                if body is not None:
                    found.append(_joined(path, body))
            except KeyFault as fault:
                log.error("%s; bring the claim of node %s again", fault, path.stem)
        found.sort(key=lambda each: (each.taken_s, each.node_id))
        return {each.node_id: each for each in found}

    def _files(self) -> list[Path]:
        """Those of the folder; one that can't be looked into is told."""
        try:
            return [each for each in self._folder.iterdir() if each.suffix == ".json"]
        except FileNotFoundError:
            return []
        except OSError as error:
            log.error(
                "%s: can't be read, so that no node which joined is served: %s; it belongs to "
                "the gateway's own user, mode 0700",
                *(self._folder, error.strerror),
            )
            return []

    def put(self, joined: Joined) -> None:
        """Note who joined; raises KeyFault."""
        checked.write(self.path(joined.node_id), dataclasses.asdict(joined))

    def remove(self, node_id: str) -> None:
        """Forget who joined; raises KeyFault."""
        path = self.path(node_id)
        try:
            erase(path)
        except OSError as error:
            raise KeyFault(f"{path}: can't be removed: {error.strerror}") from None


def _joined(path: Path, body: dict[str, Any]) -> Joined:
    try:
        place = body["position"]
        position = None if place is None else (place[0], place[1])
        return Joined(**(body | {"position": position}))
    except (KeyError, IndexError, TypeError):
        raise KeyFault(f"{path}: written by another version of kerbline") from None
