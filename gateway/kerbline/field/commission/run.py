"""Runs the steps of a board's job from wherever it stands, and tells each in words and figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from kerbline import durable
from kerbline.boardtools.loader import ChipFound
from kerbline.errors import KerblineError
from kerbline.field import install
from kerbline.field.commission import bench_side, clock, job, ledger, locks, order, steps
from kerbline.field.commission.bench_side import Found
from kerbline.field.commission.job import Job
from kerbline.field.commission.order import Wish
from kerbline.field.commission.places import Places
from kerbline.field.commission.words import SAID, STEPS, WARNINGS, CommissionFault

BEGINS, DONE, STANDS, WOULD, FAILED, WARNING, DETAIL, END = (
    "begins", "done", "stands", "would", "failed", "warning", "detail", "end",
)  # fmt: skip
DETECT = "detect"
LAST = steps.STEPS[-1].name


@dataclass(frozen=True, slots=True)
class Line:
    """What is told: of which step, its state, the words, and figures for a script."""

    step: str
    state: str
    text: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {"step": self.step, "state": self.state, "text": self.text, **self.figures}


@dataclass(frozen=True, slots=True)
class Teller:
    """Where the lines go, and the parts of a step that takes its time (done, of)."""

    tell: Callable[[Line], None]
    progress: Callable[[int, int], None] = lambda _done, _of: None
    ask: Callable[[Sequence[str]], Mapping[str, str]] = lambda _names: {}
    agree: Callable[[str], bool] = lambda _question: True

    def warn(self, name: str, **values: object) -> None:
        """One of WARNINGS."""
        text = WARNINGS[name].format(**values)
        self.tell(Line("", WARNING, text, {"code": name}))


def commission(
    wish: Wish,
    places: Places,
    teller: Teller,
    now_ms: Callable[[], int],
    proof_s: float = steps.PROOF_S,
) -> bool:
    """Bring the board at the wish's port to its end; False: somebody did not agree.

    Raises KerblineError at the step where it stopped: the same call goes on there.
    """
    at = DETECT
    began_s = time.monotonic()
    try:
        teller.tell(Line(DETECT, BEGINS, STEPS[DETECT]))
        with ExitStack() as stack:
            if not wish.dry_run or places.folder.is_dir():
                lock = places.port(wish.port)
                durable.folder(lock.parent)
                stack.enter_context(locks.held(lock, "port_taken", port=wish.port))
            found = _looked(wish.port, teller, began_s)
            _tell_others(places, wish.port, found.chip.mac, teller)
            if wish.dry_run:
                _rehearse(wish, places, found, teller, now_ms())
                return True
            begun = stack.enter_context(job.opened(places, found.chip.mac))
            if LAST in begun.steps and not wish.again:
                _check_bound(wish, begun.facts, begun.steps)
                teller.tell(Line(DETECT, END, *_ended(begun, SAID["end_before"])))
                return True
            if LAST in begun.steps:
                job.aside(places, begun.mac)
                begun = stack.enter_context(job.opened(places, begun.mac))
            work = _prepared(wish, places, begun, found, teller, now_ms, proof_s)
            if work is None:
                return False
            for step in steps.STEPS:
                at = step.name
                _take(step, work, teller)
            text, figures = _ended(begun, SAID["end"])
            teller.tell(Line(at, END, text, {**figures, "took_s": _since(began_s)}))
        return True
    except KerblineError as fault:
        teller.tell(Line(at, FAILED, str(fault), {"code": getattr(fault, "code", "failed")}))
        raise
    except OSError as error:
        path, what = error.filename or places.folder, error.strerror or error
        disk = CommissionFault("disk", path=path, what=what)
        teller.tell(Line(at, FAILED, str(disk), {"code": disk.code}))
        raise disk from None


def _looked(port: str, teller: Teller, began_s: float) -> Found:
    """Which board is there, as long as it can be flashed; it is told."""
    found = bench_side.look(port)
    _check_fuses(found.chip)
    text, figures = _detected(found)
    teller.tell(Line(DETECT, DONE, text, {**figures, "took_s": _since(began_s)}))
    return found


def _take(step: steps.Step, work: steps.Work, teller: Teller) -> None:
    done = work.job.figures(step.name)
    if done is not None:
        teller.tell(Line(step.name, STANDS, SAID["stands"], done))
        return
    teller.tell(Line(step.name, BEGINS, STEPS[step.name]))
    began_s = time.monotonic()
    work.say = lambda text: teller.tell(Line(step.name, DETAIL, text))
    figures = {**step.do(work), "took_s": _since(began_s)}
    work.job.finish(step.name, figures)
    teller.tell(Line(step.name, DONE, _said(step.name, figures), figures))


def _since(began_s: float) -> float:
    return round(time.monotonic() - began_s, 2)


def _said(name: str, figures: Mapping[str, Any]) -> str:
    if name == "flash":
        wrote = figures["written_bytes"]
        how = f"{wrote:,} bytes written and proved" if wrote else "all of it was there"
        return SAID[name].format(how=how, seconds=figures["seconds"])
    if name == "proof":
        return SAID[f"proof_{figures['where']}"].format(**figures)
    return SAID[name].format(**figures)


def _prepared(
    wish: Wish,
    places: Places,
    begun: Job,
    found: Found,
    teller: Teller,
    now_ms: Callable[[], int],
    proof_s: float,
) -> steps.Work | None:
    """What the steps work with, once all that can be checked is; None: somebody did not agree."""
    facts = begun.facts
    wish = wish.with_answers(teller.ask(wish.lacking(facts)))
    told = order.made(wish, facts, found.chip)
    _check_bound(wish, begun.facts, begun.steps)
    book = ledger.Ledger(places)
    chain = book.chain()
    _warn(teller, wish, told, chain, now_ms())
    _check_board(told, begun)
    order.check_asset(told.asset, begun.mac, places, chain, wish.replaces)
    node = _node_id(wish, begun, places, chain)
    work = steps.Work(
        *(places, begun, told, found, book, now_ms, _silent, teller.progress, proof_s),
        again=wish.again,
    )
    if begun.steps:
        teller.warn("resumed", node=node, step=begun.steps[-1])
    elif not teller.agree(f"{found.chip.name} {begun.mac} becomes node {node} at {told.asset}?"):
        return None
    _learn(wish, work, chain)
    if "identity" in begun.steps and not begun.has_key and steps.kept_claim(work) is None:
        teller.warn("key_lost")
        _begin_a_life(work)
    return work


def _learn(wish: Wish, work: steps.Work, chain: ledger.Chain) -> None:
    """What the board becomes is a fact of its job from here on."""
    places, begun, told = work.places, work.job, work.order
    with ledger.locked(places.records):  # two boards at once don't take the same
        order.check_asset(told.asset, begun.mac, places, chain, wish.replaces)
        begun.learn(
            node=_node_id(wish, begun, places, chain),
            port=wish.port,
            slot=work.found.slot,
            board=told.board.name,
            asset=told.asset,
            location=told.location,
            technician=told.technician,
        )


def _begin_a_life(work: steps.Work) -> None:
    """A key that is gone leads to a fresh one, and whatever hung on it is done again."""
    work.job.learn(
        life=work.life + 1,
        delivered=False,
        delivering=False,
        claim_sha256=None,
        gateway_since_ms=None,
    )
    work.job.undo("identity", "settings", "proof")


def _node_id(wish: Wish, begun: Job, places: Places, chain: ledger.Chain) -> str:
    """What the job has, or before it has a key what is asked for."""
    taken = begun.facts.get("node")
    if taken is not None and ("identity" in begun.steps or wish.node in (None, taken)):
        return str(taken)
    return order.free_node_id(wish, begun.mac, places, chain)


def _silent(_text: str) -> None:
    """Nothing is told between steps."""


def _warn(teller: Teller, wish: Wish, told: order.Order, chain: ledger.Chain, now_ms: int) -> None:
    doubt = clock.doubt(now_ms, chain.last_ms)
    if doubt:
        teller.warn("clock", doubt=doubt)
    if chain.torn:
        teller.warn("torn")
    if told.kind == "streetlight" and told.position is None:
        teller.warn("no_position")
    if install.readable_between(wish.port):
        teller.warn("clear", port=wish.port)


def _check_bound(wish: Wish, facts: Mapping[str, Any], done: Collection[str]) -> None:
    """What is on record can't be asked for otherwise; of a node that stands, who it is."""
    if "record" not in done:
        names = ["node"] if "identity" in done else []
    else:
        names = ["asset", "node"] if LAST in done else ["asset", "location", "technician", "node"]
    for name in names:
        value = getattr(wish, name)
        if value is not None and value != facts.get(name):
            raise CommissionFault(
                "bound", asset=facts["asset"], node=facts["node"], what=f"--{name}", shown=value
            )


def _check_board(told: order.Order, begun: Job) -> None:
    """A program for another board is laid anew, as long as nothing is on record."""
    facts = begun.facts
    if not begun.steps or facts["board"] == told.board.name:
        return
    if "record" in begun.steps:
        raise CommissionFault(
            "bound",
            asset=facts["asset"],
            node=facts["node"],
            what="--board",
            shown=told.board.name,
        )
    begun.undo("flash", "settings", "selftest")


def _check_fuses(chip: ChipFound) -> None:
    for lock in chip.locks:
        raise CommissionFault("encrypted", what=lock.replace("_", " "))


def _detected(found: Found) -> tuple[str, dict[str, Any]]:
    chip = found.chip
    figures = {
        "chip": chip.name,
        "revision": chip.revision,
        "mac": chip.mac,
        "flash_bytes": chip.flash_bytes,
        "secure_boot": chip.secure_boot,
        "flash_encryption": chip.flash_encryption,
        "slot": found.slot,
        "adapter": found.adapter,
        "usb": found.usb,
    }
    slot = f"{found.slot} ({found.adapter})" if found.adapter else found.slot
    return (
        SAID[DETECT].format(
            chip=chip.name, flash_mib=chip.flash_bytes >> 20, mac=chip.mac, slot=slot
        ),
        figures,
    )


def _ended(begun: Job, words: str) -> tuple[str, dict[str, Any]]:
    facts = begun.facts
    figures = {
        "node": facts["node"],
        "asset": facts["asset"],
        "mac": begun.mac,
        "job": begun.id,
        "claim": (begun.figures(LAST) or {}).get("path"),
        "label": (begun.figures("label") or {}).get("payload"),
    }
    return words.format(**figures), figures


def _tell_others(places: Places, port: str, mac: str, teller: Teller) -> None:
    """A board that was begun on this port and is another one waits; it is named."""
    for there, facts in job.all_facts(places):
        _, done = job.standing(places, there)
        if there != mac and facts.get("port") == port and LAST not in done:
            teller.warn("other_job", node=facts.get("node", "(no id yet)"), mac=there)


def _rehearse(wish: Wish, places: Places, found: Found, teller: Teller, now_ms: int) -> None:
    """All checks that need no change; each step that is not done would be."""
    mac = found.chip.mac
    facts, done = job.standing(places, mac)
    if LAST not in done or not wish.again:
        _check_bound(wish, facts, done)
    if LAST not in done or wish.again:
        wish = wish.with_answers(teller.ask(wish.lacking(facts)))
        told = order.made(wish, facts, found.chip)
        chain = ledger.read(places.records)
        _warn(teller, wish, told, chain, now_ms)
        order.check_asset(told.asset, mac, places, chain, wish.replaces)
        order.free_node_id(wish, mac, places, chain)
    for step in steps.STEPS:
        stands = step.name in done and not (wish.again and LAST in done)
        text, state = (SAID["stands"], STANDS) if stands else (SAID["would"], WOULD)
        teller.tell(Line(step.name, state, f"{STEPS[step.name]}: {text}"))
    teller.tell(Line(LAST, END, SAID["end_dry"]))
