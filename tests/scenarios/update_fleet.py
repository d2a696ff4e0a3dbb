"""A fleet of nodes that take updates, and the gateway's campaign over it, in virtual time.

The campaign, its journal and its pacing are the gateway's own; each node is the same states as the
firmware's (manifest, parts, staged, trial, confirmed or back) without its bytes. A node remembers
over a restart what its flash would, and tells its events until a gateway takes them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from kerbline.agent.fleet.updates import Updates
from kerbline.bundle import Bundle, load
from kerbline.clock import Clock
from kerbline.model import Key, Reading, Value
from kerbline.south.arrivals import Carried, Obeyed, Runs
from kerbline.south.cargo import Pace
from kerbline.update.campaign import Course
from kerbline.update.journal import Journal
from kerbline.update.plan import Member, Plan, in_order
from kerbline.update.roots import Roots
from kerbwire import messages as m
from kerbwire.limits import BLOCK_BYTES
from tests.field import releases

Waiting = Callable[[Callable[[], object]], Awaitable[object]]
EVENING_MS = 1_790_000_000_000
OLD = bytes.fromhex("0102030405060708")
START_S = 6.0  # from an order until a node is heard with what it started
AWAKE_S = 120.0  # after which a node without an ack goes back
FLASH_S = 1.5  # to verify a manifest, or to put parts together
SILENCE_S = 65.0
HOUR_S = 3_600.0


class LoopClock(Clock):
    """Both real clocks follow the loop's time; `set_ms` is how far somebody set the one."""

    set_ms = 0

    def utc_ms(self) -> int:
        return EVENING_MS + self.monotonic_ms() + self.set_ms

    def monotonic_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)


@dataclass
class Fate:
    """What becomes of a node's update; "": it goes well."""

    refuses: int = 0  # the value of its event
    boots_fail: bool = False
    deaf: bool = False  # the new build never hears the gateway, and greets it all the time
    mute: bool = False  # nor is it ever heard


class ModelNode:
    """One node. `sleeps`: (period, awake) in seconds of one that is awake now and then."""

    def __init__(self, name: str, street: Street, chance: Random) -> None:
        self.name = name
        self.street = street
        self.build = OLD
        self.fate = Fate()
        self.sleeps: tuple[float, float] | None = None
        self.messages = 3
        self.number = 100 + chance.randrange(100)  # the next record of its log
        self.events: list[tuple[int, int]] = []  # (number, value) that no gateway has taken
        self.staged = b""
        self.manifest = b""  # taken; its parts are wanted
        self.held: dict[bytes, int] = {}  # blocks by the object's content
        self.trial = False
        self.starts = 0  # of new builds
        self.bytes = 0  # of blocks that came
        self._serial = 0  # a transfer or a start of before is void

    def wake(self) -> None:
        """It is heard: who it is, then what it has to tell."""
        self.street.awake.add(self.name)
        self._serial += 1
        life = self.street.life
        if life is None or self.street.cut(self.name):
            return
        life.joined(self)
        self.acked()

    def acked(self) -> None:
        """The gateway takes what waits, and with that a trial is confirmed."""
        if (
            self.trial
            and not self.fate.deaf
            and not self.fate.mute
            and self.fate.boots_fail is False
        ):
            self.trial = False
            self.tell(m.UPDATE_CONFIRMED)
        life = self.street.life
        if life is not None and self.heard:
            for number, value in self.events:
                life.event(self, number, value)
            self.events.clear()

    def tell(self, value: int) -> None:
        """An event for its log, which goes out when it can."""
        self.events.append((self.number, value))
        self.number += 1
        if self.heard and self.street.life is not None:
            self.acked()

    @property
    def heard(self) -> bool:
        """Does a frame of it come through now?"""
        return self.name in self.street.awake and not self.street.cut(self.name)

    def offered(self, kind: int, data: bytes, pace: Pace) -> None:
        """The gateway offers something: its blocks come one by one."""
        self._serial += 1
        asyncio.get_running_loop().call_soon(self._block, self._serial, kind, data, pace)

    def dropped(self) -> None:
        """No more blocks come."""
        self._serial += 1

    def _block(self, serial: int, kind: int, data: bytes, pace: Pace) -> None:
        life = self.street.life
        if serial != self._serial or life is None or not self.heard:
            return
        loop = asyncio.get_running_loop()
        at = self.held.get(data, 0)
        if BLOCK_BYTES * at >= len(data):
            life.carried(self, data)
            loop.call_later(FLASH_S, self._arrived, serial, kind, data)
            return
        size = min(BLOCK_BYTES, len(data) - BLOCK_BYTES * at)
        wait_s = pace.wait_ms(size, int(loop.time() * 1000)) / 1000 + self.street.block_s
        loop.call_later(wait_s, self._came, serial, kind, data, pace)

    def _came(self, serial: int, kind: int, data: bytes, pace: Pace) -> None:
        if serial == self._serial and self.heard and self.street.life is not None:
            self.held[data] = self.held.get(data, 0) + 1
            self.bytes += BLOCK_BYTES
            self._block(serial, kind, data, pace)

    def _arrived(self, serial: int, kind: int, data: bytes) -> None:
        if serial != self._serial:
            return
        if self.fate.refuses:
            self.tell(self.fate.refuses)
        elif kind == m.OBJECT_UPDATE:
            self.manifest = data
            self.tell(m.UPDATE_STAGED if self.staged == data else m.UPDATE_TAKEN)
        elif self.street.fits(self, data):
            self.staged = self.manifest
            self.tell(m.UPDATE_STAGED)
        else:
            self.tell(m.UPDATE_PARTS)

    def ordered(self) -> None:
        """Start what is staged."""
        life = self.street.life
        assert life is not None
        if not self.staged:
            life.obeyed(self, "failed")
            return
        life.obeyed(self, "")
        self.starts += 1
        self._serial += 1
        before, self.build = self.build, self.street.bundle.build
        self.staged, self.trial = b"", True
        loop = asyncio.get_running_loop()
        if self.fate.boots_fail:
            loop.call_later(3 * START_S, self._back, before, m.UPDATE_BOOTS_FAILED)
            return
        if not self.fate.deaf and not self.fate.mute:
            loop.call_later(START_S, self.wake)
        loop.call_later(START_S + AWAKE_S, self._judge, before)

    def _judge(self, before: bytes) -> None:
        if self.trial:
            self._back(before, m.UPDATE_NO_ACK)

    def _back(self, before: bytes, value: int) -> None:
        self.build, self.trial = before, False
        self.held.clear()
        self.events.append((self.number, value))
        self.number += 1
        self.wake()


async def inline(call: Callable[[], object]) -> object:
    """The disk answers at once: in virtual time a thread would have for ever."""
    return call()


class Life:
    """One life of the gateway, from its start to a kill: a `Carrier`, and the campaign's host."""

    def __init__(self, street: Street, state: Path, waiting: Waiting = inline) -> None:
        self.street = street
        self.heard_s: dict[str, float] = {}
        self.voices: dict[str, int] = {}  # when each was last heard, in ms
        self.offers: Counter[str] = Counter()
        self.clock = LoopClock()
        self.updates = Updates(Journal(state), self, self.clock, whole_parts, waiting)
        self.updates.resume(Roots(releases.key().root))
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """The gateway runs: whoever is awake greets it."""
        self.street.life = self
        self.task = asyncio.create_task(self.updates.run())
        for node in self.street.nodes.values():
            if node.name in self.street.awake:
                node.wake()

    async def kill(self) -> None:
        """As by SIGKILL: nothing is written any more."""
        self.street.life = None
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task])

    def joined(self, node: ModelNode) -> None:
        self.heard_s[node.name] = asyncio.get_running_loop().time()
        runs = Runs(node.name, node.build, node.messages, 7, node.number)
        self.updates.hear(runs)

    def event(self, node: ModelNode, number: int, value: int) -> None:
        values: dict[str, Value] = {"event": "update", "value": value}
        now_ms = LoopClock().utc_ms()
        self.updates.consider(
            Reading(Key(node.name, 7, number), f"asset-{node.name}", "event", now_ms, 0, values)
        )

    def carried(self, node: ModelNode, data: bytes) -> None:
        self.updates.hear(Carried(node.name, data[:16], whole=True))

    def obeyed(self, node: ModelNode, reason: str) -> None:
        self.updates.hear(Obeyed(node.name, reason))

    def knows(self, node: str) -> bool:
        return node not in self.street.removed

    def there(self) -> set[str]:
        street = self.street
        if not street.cuts:
            return street.awake
        return {name for name in street.awake if not street.cut(name)}

    def away(self) -> list[str]:
        cuts = self.street.cuts
        return [name for name in self.street.nodes if self.street.cut(name)] if cuts else []

    def heard_ms(self, node: str) -> int:
        model = self.street.nodes[node]
        if model.heard and not (model.trial and model.fate.mute):
            self.voices[node] = LoopClock().monotonic_ms()
        return self.voices.get(node, 0)

    def board(self, node: str) -> str:
        return releases.BOARD

    def offer(self, node: str, kind: int, data: bytes) -> None:
        self.offers[node] += 1
        line = self.street.lines[node]
        self.street.nodes[node].offered(kind, data, self.street.paces[line])

    def drop(self, node: str) -> None:
        self.street.nodes[node].dropped()

    def progress(self, node: str) -> tuple[int, int] | None:
        held = self.street.nodes[node].held
        return (sum(held.values()), 0)

    def activate(self, node: str, expires_at_ms: int) -> bool:
        model = self.street.nodes[node]
        if not model.heard:
            return False
        asyncio.get_running_loop().call_later(0.05, self._ordered, model)
        return True

    def _ordered(self, model: ModelNode) -> None:
        if self.street.life is self and model.heard:
            model.ordered()


class Street:
    """The nodes, their lines, and whoever serves them."""

    def __init__(self, folder: Path, count: int, seed: int = 1, *, bus: int = 0) -> None:
        """`bus` of them hang on a bus of 9,600 Bd, the others on UDP."""
        chance = Random(seed)
        self.folder = folder
        self.life: Life | None = None
        self.path = folder / "release.kerb"
        self.path.write_bytes(releases.signed(sequence=8))
        self.bundle: Bundle = load(self.path, releases.key().root)
        self.parts = whole_parts(self.bundle)
        names = [f"sl-{number:04}" for number in range(count)]
        self.nodes = {name: ModelNode(name, self, chance) for name in names}
        self.awake = set(names)
        self.lines = {name: "bus" if at < bus else "udp" for at, name in enumerate(names)}
        self.paces = {"udp": Pace(125_000, 0.2), "bus": Pace(960, 0.2)}
        self.removed: set[str] = set()  # from the gateway's config
        self.cuts: set[str] = set()  # lines that lead nowhere
        self.block_s = 0.02

    def cut(self, node: str) -> bool:
        """Does its line lead nowhere?"""
        return self.lines[node] in self.cuts

    def fits(self, node: ModelNode, parts: bytes) -> bool:
        """Whole parts fit any node."""
        return parts == self.parts

    def plan(self, **fields: object) -> Plan:
        """The campaign that an operator asks for: all nodes, streets of 50 lamps."""
        members = [
            Member(name, self.lines[name], "" if node.sleeps else f"street-{at // 50}")
            for at, (name, node) in enumerate(self.nodes.items())
        ]
        about = self.bundle.about
        ordered = in_order(members, self.bundle.build, lambda _: True)
        made: dict[str, object] = {
            "version": about.version,
            "build": self.bundle.build,
            "board": about.board,
            "sequence": about.sequence,
            "began_ms": LoopClock().utc_ms(),
            "members": tuple(ordered),
            "soak_min": 10,
            **fields,
        }
        return Plan(**made)  # type: ignore[arg-type]

    def begin(self, life: Life, **fields: object) -> None:
        """Begin a campaign as the agent does."""
        life.updates.journal.take(self.path)
        kept = life.updates.journal.begin(self.plan(**fields), Course())
        life.updates.begin(kept, self.bundle)

    def sleeping(self, names: Iterable[str], period_s: float, awake_s: float) -> None:
        """These are awake for so long each period, and longer while an update comes."""
        for at, name in enumerate(names):
            node = self.nodes[name]
            node.sleeps = (period_s, awake_s)
            self.awake.discard(name)
            asyncio.get_running_loop().call_later(1 + at % int(period_s), self._morning, node)

    def _morning(self, node: ModelNode) -> None:
        assert node.sleeps is not None
        period_s, awake_s = node.sleeps
        node.wake()
        loop = asyncio.get_running_loop()
        loop.call_later(awake_s, self._night, node)
        loop.call_later(period_s, self._morning, node)

    def _night(self, node: ModelNode) -> None:
        if not node.trial:
            self.awake.discard(node.name)

    def running(self) -> int:
        """How many run the release, confirmed."""
        build = self.bundle.build
        return sum(node.build == build and not node.trial for node in self.nodes.values())


def whole_parts(bundle: Bundle) -> bytes:
    """As many bytes as a small delta has: the models do not look into them."""
    return bundle.manifest_bytes[:16] * 250


async def until(
    done: Callable[[], bool], within_s: float, step_s: float = 5.0, *, bound: bool = False
) -> float:
    """Let time pass until `done`, or with `bound` so long at most; how long it took.

    TimeoutError where it is not done by then.
    """
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while not done():
        if loop.time() - began_s >= within_s:
            if bound:
                break
            raise TimeoutError
        await asyncio.sleep(step_s)
    return loop.time() - began_s
