"""Where a node stands in a campaign, which steps lead from there, and what it says of an update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from kerbline.update.declared import as_declared
from kerbwire import messages as m


class State(StrEnum):
    """Of one node; the last four end it."""

    WAITING = "waiting"  # its stage has not begun
    DUE = "due"
    MANIFEST = "manifest"  # the signed manifest is offered, or on its way
    PARTS = "parts"  # so is what the node lacks of it
    IMAGE = "image"  # so is its MicroPython image, after all else
    STAGED = "staged"  # all is there
    ORDERED = "ordered"  # told to start it
    TRIAL = "trial"  # runs it, and has not confirmed it
    DONE = "done"
    FAILED = "failed"  # refused it, or rolled back: counted
    GIVEN_UP = "given_up"  # not counted
    SKIPPED = "skipped"  # nothing is sent to it


UNDER_WAY = frozenset([State.MANIFEST, State.PARTS, State.IMAGE])
STARTING = frozenset([State.ORDERED, State.TRIAL])
ENDED = frozenset([State.DONE, State.FAILED, State.GIVEN_UP, State.SKIPPED])
OPEN = frozenset(State) - ENDED

# What may follow what; anything else that a node says is of another time and changes nothing.
STEPS: Mapping[State, frozenset[State]] = {
    State.WAITING: frozenset([State.DUE, State.DONE, State.SKIPPED]),
    State.DUE: frozenset(  # failed: its word of the last try comes behind its answer
        [State.MANIFEST, State.DONE, State.SKIPPED, State.GIVEN_UP, State.FAILED]
    ),
    State.MANIFEST: (UNDER_WAY | ENDED | {State.STAGED, State.DUE}) - {State.MANIFEST},
    State.PARTS: (UNDER_WAY | ENDED | {State.STAGED, State.DUE}) - {State.PARTS},
    State.IMAGE: (UNDER_WAY | ENDED | {State.STAGED, State.DUE}) - {State.IMAGE},
    State.STAGED: ENDED | {State.ORDERED, State.DUE},
    State.ORDERED: frozenset(
        [State.TRIAL, State.STAGED, State.DUE, State.DONE, State.FAILED, State.GIVEN_UP]
    ),
    State.TRIAL: frozenset([State.DONE, State.DUE, State.FAILED, State.GIVEN_UP]),
    State.DONE: frozenset([State.FAILED, State.GIVEN_UP, State.DUE]),
    State.FAILED: frozenset([State.DONE]),  # somebody went there, or it came right after all
    State.GIVEN_UP: frozenset([State.DONE]),
    State.SKIPPED: frozenset([State.WAITING, State.DUE, State.DONE]),
}

ROLLED_BACK = frozenset([m.UPDATE_BOOTS_FAILED, m.UPDATE_NO_ACK])
UNCONFIRMED: Mapping[int, str] = {  # of a build that runs, and has heard its gateway
    m.UPDATE_MEMORY: "rolled back: the new build had no memory left to confirm itself",
    m.UPDATE_FLASH: "rolled back: the node's flash did not take that the new build stays",
}
AGAIN = frozenset(  # may go better another time
    [m.UPDATE_FLASH, m.UPDATE_DAMAGED, m.UPDATE_MEMORY, m.UPDATE_CUT]
)

# In plain words, by what an EVENT of an update says.
WORDS: Mapping[int, str] = {
    m.UPDATE_BOOTS_FAILED: "rolled back: the new build did not come up in 3 starts",
    m.UPDATE_NO_ACK: "rolled back: the new build had no word of the gateway for 120 s",
    m.UPDATE_ORDERED_BACK: "rolled back because it was ordered to",
    m.UPDATE_SIGNATURE: "refused: not signed by the release key that the node knows",
    m.UPDATE_BOARD: "refused: the node is another board",
    m.UPDATE_SEQUENCE: "refused: the node has confirmed a newer release",
    m.UPDATE_EXPIRED: "refused: the release has expired",
    m.UPDATE_MALFORMED: "refused: the node can't read the manifest",
    m.UPDATE_PARTS: "refused: the parts don't fit what the node holds, whole ones neither",
    m.UPDATE_NO_ROOM: "refused: no room on the node's flash",
    m.UPDATE_NO_ROOT: "refused: the node has no release key; give it one by cable",
    m.UPDATE_FLASH: "refused: the node's flash does not take it",
    m.UPDATE_DAMAGED: "refused: what arrived is damaged",
    m.UPDATE_NO_OTA: (
        "refused: it brings another MicroPython image, and the board has no second place for one; "
        "flash it by cable"
    ),
    m.UPDATE_MEMORY: "refused: the node has too little memory for it",
    m.UPDATE_CUT: "the node restarted before it had judged or applied it",
}
TOO_OLD = "too old: its firmware takes no update over the wire; flash it by cable"
NOT_HERE = "none of this gateway's any more"
LINE_AWAY = "while its line or this gateway was away"
UNHEARD = "and nothing was heard of it meanwhile, which may be its line; the next time counts"
ABORTED = {  # of what was under way when a person ended the campaign
    State.WAITING: "aborted before its turn",
    State.DUE: "aborted before its turn",
    State.MANIFEST: "aborted while it received the release",
    State.PARTS: "aborted while it received the release",
    State.IMAGE: "aborted while it received the release",
    State.STAGED: "aborted before it was told to start: what is staged there stays unused",
    State.ORDERED: "aborted: it did not start what is staged there",
}
NOT_SEEN = "aborted, and not heard since it was told to start"
HAS_IT = "it runs this build already"
WORD_LOST = "runs it; its word of it was lost"  # with a gateway that was killed


@dataclass(frozen=True, slots=True)
class Progress:
    """What is durable of one node. `why` is for people, `at_ms` of the last change, UTC.

    `tries` that came to nothing; `excused`: its line or the gateway was away during the trial;
    `unheard`: a trial of which nothing was heard was not counted, which is done once; `whole`:
    parts that build on what it holds did not fit; `after`: log epoch and number before which
    nothing it says of an update is of this try.
    """

    state: State = State.WAITING
    why: str = ""
    at_ms: int = 0
    tries: int = 0
    excused: bool = False
    unheard: bool = False
    whole: bool = False
    not_before_ms: int = 0
    after: tuple[int, int] = (0, 0)

    def encoded(self) -> dict[str, Any]:
        """As JSON takes it; what stands at its default is left out."""
        plain = Progress()
        return {k: v for k, v in asdict(self).items() if v != getattr(plain, k)}

    @classmethod
    def decoded(cls, found: Mapping[str, Any]) -> Progress:
        """From what `encoded` gave; ValueError, KeyError or TypeError for anything else."""
        known = dict(found)
        known["state"] = State(known.get("state", State.WAITING))
        epoch, number = known.get("after", (0, 0))
        known["after"] = (int(epoch), int(number))
        return as_declared(cls(**known))
