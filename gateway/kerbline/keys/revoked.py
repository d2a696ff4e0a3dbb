"""Keys that count no more, for ever, and which node stands in for whose asset."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerbline.keys import checked
from kerbline.keys.faults import KeyFault
from kerbline.keys.ring import origin_of
from kerbwire.limits import RATCHET_STEPS

if TYPE_CHECKING:
    from kerbline.keys.claim import Claim

FILE = "revoked.json"  # in the gateway's state folder
COPY = "revoked-copy.json"

log = logging.getLogger("kerbline.keys")


@dataclass(frozen=True, slots=True)
class Revocation:
    """One key: `origin` names what it began with, `tips` what had become of it when it ended.

    `by` is the node that has its asset now, "" where none has.
    """

    node_id: str
    origin: str
    tips: tuple[str, ...]
    generation: int
    at_s: int
    asset: str
    kind: str
    by: str = ""


class Revoked:
    """The list, in two files: one may be damaged, both may not."""

    def __init__(self, state: Path) -> None:
        """Reads them; raises KeyFault where neither can be taken."""
        self._paths = (state / FILE, state / COPY)
        self.all: tuple[Revocation, ...] = self._load()

    def put(self, revocation: Revocation) -> None:
        """Revoke a key, or say more of one that is; durable when this returns."""
        rest = [each for each in self.all if _name(each) != _name(revocation)]
        self._write((*rest, revocation))

    def of(self, node_id: str, origin: str) -> Revocation | None:
        """The revocation of that node's key of that origin."""
        return next((each for each in self.all if _name(each) == (node_id, origin)), None)

    def refuses(self, claim: Claim, now_s: int) -> Revocation | None:
        """The revocation that a claim runs into: by its key, or made before its node's end.

        An end that lies in the future was dated by a wrong clock: it counts by its key alone.
        """
        own = origin_of(claim.key)
        for each in self.all:
            early = each.node_id == claim.node_id and claim.made_s <= each.at_s <= now_s
            if early or each.origin == own or _leads_to(claim, each):
                return each
        return None

    def _load(self) -> tuple[Revocation, ...]:
        faults: list[KeyFault] = []
        for path in self._paths:
            try:
                body = checked.read(path)
            except KeyFault as fault:
                log.error("%s", fault)
                faults.append(fault)
                continue
            if body is not None:
                return tuple(_read(path, body))
        if faults:
            raise KeyFault(
                f"{faults[0]}, and so is its copy: nobody knows which keys are revoked; put a "
                "backup there, or remove both files and revoke lost nodes again"
            )
        return ()

    def _write(self, entries: tuple[Revocation, ...]) -> None:
        body = {"revoked": [dataclasses.asdict(each) for each in entries]}
        for path in self._paths:
            checked.write(path, body)
        self.all = entries


def _name(revocation: Revocation) -> tuple[str, str]:
    return revocation.node_id, revocation.origin


def tip_of(key: bytes) -> str:
    """Names a key without telling it."""
    return sha256(b"kerbline revoked" + key).hexdigest()[:32]


def _read(path: Path, body: dict[str, Any]) -> Iterable[Revocation]:
    """Raises KeyFault for entries that this version does not know: none may be passed over."""
    try:
        for each in body["revoked"]:
            yield Revocation(**(each | {"tips": tuple(each["tips"])}))
    except (KeyError, TypeError):
        raise KeyFault(
            f"{path}: written by another version of kerbline; install that one"
        ) from None


def _leads_to(claim: Claim, revocation: Revocation) -> bool:
    """Is the claim's key an earlier one of the same node's?"""
    steps = revocation.generation - claim.generation
    if not 0 <= steps <= RATCHET_STEPS:
        return False
    from kerbwire.keyschedule import ratchet  # with the cipher: only for a claim

    key = claim.key
    for _ in range(steps):
        key = ratchet(key)
    return tip_of(key) in revocation.tips or tip_of(ratchet(key)) in revocation.tips
