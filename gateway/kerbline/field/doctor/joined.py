"""The nodes that joined by a claim, as the gateway's state folder has them; nothing is written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kerbline.assets.metered import kinds
from kerbline.config import Config, Node
from kerbline.config.awaited import Awaited, Misfit, awaited, misfits, named
from kerbline.field.doctor.finding import Finding, fault, good, note, unknown
from kerbline.keys import KeyFault, KeyRing
from kerbline.keys.admission import Admission
from kerbline.keys.ring import KEY_FOLDER
from kerbline.keys.roster import FOLDER

AGAIN = "bring its claim again: `kerbline claims add CONFIG FILE`, or `kerbline permit CONFIG`"


@dataclass(frozen=True, slots=True)
class Seen:
    """`nodes`: all that serve, those of the config too; `names` are the joined ones' ids.

    `troubles`: whole sentences with their remedy. `damaged`: files that nobody can read any more;
    `lost`: ids whose key is gone. `hidden`: why nothing of it can be read.
    """

    nodes: Sequence[Node]
    folder: Path
    names: Collection[str] = ()
    troubles: Sequence[str] = field(default_factory=tuple)
    damaged: Sequence[Path] = field(default_factory=tuple)
    lost: Sequence[str] = field(default_factory=tuple)
    hidden: str = ""
    broken: str = ""
    awaited: Sequence[Awaited] = ()  # by sections of control
    misfits: Sequence[Misfit] = ()


def look(config: Config) -> Seen:
    """What the folder says."""
    state = config.gateway.state_dir
    folder = state / FOLDER
    try:
        files = [each for each in folder.iterdir() if each.suffix == ".json"]
    except (FileNotFoundError, NotADirectoryError):
        files = []
    except OSError as error:
        return Seen(config.nodes, folder, hidden=error.strerror or str(error))
    ring = KeyRing(state / KEY_FOLDER)
    try:
        admission = Admission(config, ring, looks_only=True)
    except KeyFault as error:
        return Seen(config.nodes, folder, broken=str(error))
    joined = admission.joined
    lost = [name for name, each in joined.items() if (ring.tip(name) or "")[:1] != (each.origin,)]
    sections, there = tuple(named(config)), kinds(replace(config, nodes=admission.nodes()))
    return Seen(
        admission.nodes(),
        folder,
        tuple(joined),
        tuple(admission.troubles()),
        sorted(each for each in files if each.stem not in joined),
        lost,
        awaited=awaited(sections, there),
        misfits=misfits(sections, there),
    )


def judge(seen: Seen) -> list[Finding]:
    """What that means."""
    if seen.hidden:
        remedy = "ask as the gateway's own user: sudo -u USER kerbline doctor --config ..."
        return [unknown("joined_hidden", str(seen.folder), f"can't be read: {seen.hidden}", remedy)]
    if seen.broken:
        return [fault("revoked_damaged", str(seen.folder.parent), seen.broken, "see enrolment.md")]
    found = [
        fault("claim_damaged", f"node {each.stem}", f"{each}: can't be read any more", AGAIN)
        for each in seen.damaged
    ]
    found += [
        fault("key_lost", f"node {name}", "it joined, and its key is lost here", AGAIN)
        for name in seen.lost
    ]
    found += [note("joined_left_out", "enrolment", each) for each in seen.troubles]
    found += [_awaited(each) for each in seen.awaited]
    remedy = "commission a node of the right kind for it, or mend its name in these sections"
    found += [fault("wrong_kind", "control", str(each), remedy) for each in seen.misfits]
    if seen.names:
        found.append(good("joined", "enrolment", f"{len(seen.names)} nodes joined by a claim"))
    return found


def _awaited(awaited: Awaited) -> Finding:
    remedy = "`kerbline permit CONFIG --seconds 60` lets its node in; is its name right?"
    return note("awaited", "control", str(awaited), remedy)
