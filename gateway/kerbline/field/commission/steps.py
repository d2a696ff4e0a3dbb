"""The steps of commissioning as a table; each may be begun again wherever it was cut off.

A step gets `Work`, does its part and returns what a record and a script want to know of it. Which
are done is the job's to know; in which order and what goes between them, `run`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from kerbline import durable
from kerbline.boardtools import NoRepl
from kerbline.boardtools.loader import Loader
from kerbline.errors import KerblineError
from kerbline.field import log_in_flash
from kerbline.field.commission import bench_side, clock, gateway_side, label, order, proof
from kerbline.field.commission.bench_side import Found
from kerbline.field.commission.job import Job
from kerbline.field.commission.ledger import Ledger
from kerbline.field.commission.order import Order
from kerbline.field.commission.places import Places
from kerbline.field.commission.words import CommissionFault
from kerbline.field.flash_images import Cache
from kerbline.firmware import build
from kerbline.keys import claim
from kerbline.ports import PortLost

PROOF_S = 120.0  # until it is done a node reports every few seconds
Figures = dict[str, Any]


@dataclass
class Work:
    """All that a step may use. `say` gets a detail in words, `progress` parts of a whole."""

    places: Places
    job: Job
    order: Order
    found: Found
    ledger: Ledger
    now_ms: Callable[[], int]
    say: Callable[[str], None]
    progress: Callable[[int, int], None]
    proof_s: float = PROOF_S
    again: bool = False  # whatever the board was
    checks: list[Mapping[str, object]] = field(default_factory=list)

    @property
    def node_id(self) -> str:
        """Taken for it before the first step."""
        return str(self.job.facts["node"])

    @property
    def life(self) -> int:
        """How many keys this job has had."""
        return int(self.job.facts.get("life", 1))

    @cached_property
    def firmware(self) -> build.Firmware:
        """The node's program."""
        _, board = self.order.settings("n", order.NO_KEY)
        if self.order.release is not None:
            return self.order.release
        return bench_side.program(board, self.order.board_file)

    def node(self, key_hex: str, *, open_: bool) -> bench_side.Node:
        """The node as it is until it is done, its console open; or as its profile wants it."""
        until_done = bench_side.until_done(self.order.kind) if open_ else order.NOTHING_ELSE
        return bench_side.Node(*self.order.settings(self.node_id, key_hex, until_done))

    def record(self, kind: str, body: Mapping[str, object]) -> int:
        """The number of that record, which is written once."""
        facts = self.job.facts
        names = {"node": self.node_id, "mac": self.job.mac, "asset": facts["asset"]}
        number, _ = self.ledger.add(
            kind, self.job.id, {**names, "life": self.life, **body}, self.now_ms()
        )
        return number


def flash(work: Work) -> Figures:
    """MicroPython and the node's program."""
    told = work.order
    cache = Cache(told.cache_folder)
    may_write = partial(_may_write, work)
    return bench_side.flash(
        work.found, told.micropython, work.firmware, cache, work.progress, may_write
    )


def _may_write(work: Work, board: Loader) -> None:
    """A cable in the wrong board ends no node that works; what this job began goes on."""
    if not work.again and "flashing" not in work.job.facts:
        records = log_in_flash.records(board)
        if records:
            board.run()
            raise CommissionFault("works", records=f"{records:,}")
    work.job.learn(flashing=True)


def identity(work: Work) -> Figures:
    """The node's id, taken for it as its job began, and a key of its own in the job."""
    work.job.first_key()
    return {"node": work.node_id}


def settings(work: Work) -> Figures:
    """Settings, key and root to the node; a key that the node has ratcheted on stays."""
    node = work.node(work.job.first_key().hex(), open_=True)
    bench_side.put(work.found, node.job(work.firmware, work.order.root), work.say)
    about = work.firmware.about
    return {"version": about.get("version"), "commit": about.get("commit")}


def selftest(work: Work) -> Figures:
    """The board's test of itself; a failure is on record, and nothing follows it."""
    node = work.node(work.job.first_key().hex(), open_=True)
    with _no_line_lost(way := _way(work)), proof.listening(way):
        report = bench_side.test(work.found, node, lambda check: work.say(check.line))
    if not report.ok:
        tests = report.as_json()
        work.record("failed", {"asset": work.order.asset, "tests": tests})
        first = report.failed[0]
        raise CommissionFault("selftest", what=f"{first.name}: {first.cause}", remedy=first.remedy)
    good = sum(check.ok is True for check in report.checks)
    unmeasured = len(report.checks) - good
    return {"good": good, "unmeasured": unmeasured, "tests": report.as_json()}


def bind(work: Work) -> Figures:
    """Asset, place and technician; refused where another node has the asset."""
    told = work.order
    replaces = told.wish.replaces
    order.check_asset(told.asset, work.job.mac, work.places, work.ledger.chain(), replaces)
    place = {"asset": told.asset, "location": told.location, "technician": told.technician}
    work.job.learn(**place, replaces=replaces)
    return place


def draw(work: Work) -> Figures:
    """PNG and SVG."""
    mark = label.Label(work.node_id, work.job.mac)
    durable.folder(work.places.labels)
    files = label.save(mark, work.places.labels, f"{work.node_id} at {work.order.asset}")
    return {"payload": mark.payload, "files": [str(path) for path in files]}


def record(work: Work) -> Figures:
    """Who was bound to what, by whom, and what the board was found to be."""
    chip, steps, told = work.found.chip, work.job.figures, work.order
    flashed, tested = steps("flash") or {}, steps("selftest") or {}
    number = work.record(
        "bound",
        {
            "kind_of_node": told.kind,
            "link": work.node(order.NO_KEY, open_=True).settings.link,
            "location": told.location,
            "position": list(told.position) if told.position else None,
            "technician": told.technician,
            "replaces": work.job.facts.get("replaces"),
            "board": told.board.name,
            "slot": work.found.slot,
            "usb": work.found.usb,
            "chip": chip.name,
            "revision": chip.revision,
            "flash_bytes": chip.flash_bytes,
            "secure_boot": chip.secure_boot,
            "flash_encryption": chip.flash_encryption,
            "micropython_sha256": flashed.get("micropython_sha256"),
            "node_sha256": flashed.get("node_sha256"),
            "firmware": steps("settings"),
            "label": (steps("label") or {}).get("payload"),
            "tests": tested.get("tests"),
        },
    )
    return {"line": number}


def prove(work: Work) -> Figures:
    """First telemetry: at the gateway where one is named, else in a session on this laptop."""
    gateway = work.order.wish.given("gateway")
    found = _at_gateway(work, gateway) if gateway is not None else _on_laptop(work)
    work.record("proved", found)
    return found


def _at_gateway(work: Work, socket: Path) -> Figures:
    """The claim goes to the gateway first: without the key it hears nothing of the node."""
    made = sealed(work)
    port = work.order.wish.given("gateway_line")
    since_ms = work.job.facts.get("gateway_since_ms")
    if since_ms is None:
        since_ms = gateway_side.now_ms(socket)
        work.job.learn(gateway_since_ms=since_ms)
    return gateway_side.prove(socket, made, port, work.node_id, since_ms, work.proof_s, work.say)


def _on_laptop(work: Work) -> Figures:
    way = _way(work)
    if way is None:
        raise CommissionFault("no_way")
    keys = work.job.keys(work.node_id)
    began = time.monotonic()
    try:
        with _no_line_lost(way):
            heard = proof.hear(
                way,
                work.node_id,
                work.order.kind,
                keys,
                lambda fresh: work.job.keep(work.node_id, fresh),
                work.proof_s,
                tells_time=not clock.doubt(work.now_ms(), work.ledger.chain().last_ms),
            )
    except proof.Silent as fault:
        raise CommissionFault(
            "silent", seconds=round(work.proof_s), line=way.line, heard=fault
        ) from None
    return {
        "where": "laptop",
        "kind_of_record": work.order.kind,
        "epoch": heard.epoch,
        "rseq": heard.rseq,
        "boot": heard.boot_id,
        "seconds": round(time.monotonic() - began, 1),
    }


def _way(work: Work) -> proof.Way | None:
    """How this laptop reaches the node's line; None where the gateway proves it, or nobody."""
    line = work.order.wish.given("line")
    if line is None or work.order.wish.given("gateway") is not None:
        return None
    settings = work.node(order.NO_KEY, open_=True).settings
    return proof.Way(settings.link, line, settings.baud)


@contextmanager
def _no_line_lost(way: proof.Way | None) -> Iterator[None]:
    try:
        yield
    except PortLost as fault:
        what = str(fault).partition(": ")[2] or str(fault)
        raise CommissionFault("line", line=way.line if way else "", what=what) from None


def sealed(work: Work) -> bytes:
    """The claim of this job's key, made once and kept; the node's key is in it and nowhere else."""
    kept = kept_claim(work)
    if kept is not None:
        return kept
    keys = work.job.keys(work.node_id)
    link = work.node(order.NO_KEY, open_=True).settings.link
    made = claim.seal(
        claim.Claim(
            work.node_id,
            work.order.asset,
            work.order.kind,
            keys.key,
            keys.generation,
            link,
            work.now_ms() // 1000,
            work.order.position,
            bytes.fromhex(work.ledger.laptop)[: claim.LAPTOP_BYTES],
            work.order.technician,
        ),
        work.order.gateway_public,
    )
    durable.folder(work.places.claims)
    durable.replace(claim_file(work), claim.to_text(made).encode())
    work.job.learn(claim_sha256=sha256(made).hexdigest(), generation=keys.generation)
    return made


def kept_claim(work: Work) -> bytes | None:
    """The claim that this job sealed, as long as its file is there and whole."""
    try:
        made = claim.from_text(claim_file(work).read_bytes())
    except (OSError, KerblineError):
        return None
    return made if sha256(made).hexdigest() == work.job.facts.get("claim_sha256") else None


def claim_file(work: Work) -> Path:
    """For `kerbline claims add`."""
    return work.places.claims / f"{work.node_id}.claim"


def finish(work: Work) -> Figures:
    """Sealed, on the node, on record; then the key is erased here."""
    made = sealed(work)
    if not work.job.facts.get("delivered"):
        _deliver(work, made)
        work.job.learn(delivered=True)
    told = sha256(made).hexdigest()
    facts = work.job.facts
    gateway = claim.hint(work.order.gateway_public).hex()
    figures: Figures = {"claim_sha256": told, "generation": facts["generation"], "gateway": gateway}
    took = {name: done["took_s"] for name, done in work.job.done.items() if "took_s" in done}
    number = work.record("claimed", {**figures, "took_s": took})
    work.job.erase_keys()
    return {**figures, "line": number, "path": str(claim_file(work))}


def _deliver(work: Work, made: bytes) -> None:
    begun = work.job.facts.get("delivering")
    work.job.learn(delivering=True)
    try:
        bench_side.finish(work.found, work.node(order.NO_KEY, open_=False), made)
    except NoRepl:
        # Its loader has just answered, and its console was open before: the last thing that goes
        # to a node closes it, so all of it is there.
        if not begun or work.node(order.NO_KEY, open_=False).settings.build == bench_side.OPEN:
            raise


@dataclass(frozen=True, slots=True)
class Step:
    """A row of the table: its figures are kept in the job, and a step that has them is done."""

    name: str
    do: Callable[[Work], Figures]


STEPS = (
    Step("flash", flash),
    Step("identity", identity),
    Step("settings", settings),
    Step("selftest", selftest),
    Step("bind", bind),
    Step("label", draw),
    Step("record", record),
    Step("proof", prove),
    Step("claim", finish),
)
