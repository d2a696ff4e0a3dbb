"""A gateway that is killed again and again while its broker comes and goes, and who counts what.

Everything is real but the street: `kerbline run` (see `nursery`), the broker, the consumer of the
docs, and the wire's engine in each node. All that happens follows from one seed but the machine's
own timing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
import threading
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from kerbline.demo.stage import free_port
from kerbline.sim import children
from kerbline.sim.broker import Broker, BrokerKind
from kerbwire.limits import STREAM
from kerbwire.node import NodeSession
from tests.gateway.pocket_node import PocketNode
from tests.scenarios.nursery import PLACES, Doom, request
from tests.scenarios.tap import Tap

ROOT = Path(__file__).parents[2]
CONSUMER = ROOT / "docs" / "operate" / "consumer.py"
GATEWAY = "gw-chaos"
PREFIX = "city/lights"  # of several levels
NODES = 5
LIFE_S = (0.2, 1.0)  # from its first word to a node on; if it sins, to the city
# Without a reading that is new to the city: what is missing will not come. The gateway publishes
# again what a consumer did not acknowledge in 30 s, and NATS what a client did not.
STALLED_S = 60.0
TURNS = 3  # mosquitto writes its sessions after the ack, within one turn of its loop
LONG_S = 120.0
TROUBLES = ("cut", "cut", "slow", "held", "stopped", "killed", "frozen", "deaf")
MAKE_S = 0.03
ORDER_S = 0.25
CONFIG = """\
[gateway]
id = "{gateway}"
state_dir = "state"

[store]
commit_readings = 12
commit_interval_s = 0.1
max_bytes = 1_000_000

[mqtt]
host = "127.0.0.1"
port = {port}
backoff_max_s = 0.2
ack = "{ack}"
prefix = "{prefix}"
"""
NODE = """
[[node]]
id = "{name}"
asset = "of-{name}"
kind = "streetlight"
key_file = "{name}.key"
port = "socket://127.0.0.1:{port}"
"""


def environment() -> dict[str, str]:
    """Where our own rooms are found by a child, whatever is installed."""
    return {
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in (".", "gateway", "protocol"))
    }


class LedgerNode(PocketNode):
    """A lamp that boots whenever its line comes back, and writes down what it made and let go."""

    def __init__(self, name: str, key: bytes) -> None:
        super().__init__(name, key, framing=STREAM)
        self.called = asyncio.Event()  # by a gateway
        self.made: dict[int, int] = {}  # energy by number
        self.acked: set[int] = set()
        self.done: Counter[int] = Counter()  # commands carried out, by their serial
        self._seen_commands = 0
        self._numbers: set[int] = set()  # of commands: one comes again when its answer is late

    def record(self) -> None:
        """A report, whose energy tells its number and its node."""
        number = self.session.info.next_rseq
        self.made[number] = 100_000 * self.name[-1] + number
        self.make(30, 245, self.made[number], 10, 12, 0, number % 1000)

    def boot(self) -> None:
        """Begin a session with the key and the records that are in the flash."""
        info = self.session.info
        info.first_rseq = min(self.records, default=info.next_rseq)
        generation, key = self.key
        self.session = NodeSession(self._named[0], generation, key, *self._named[3:])
        self.session.start(time.monotonic_ns() // 1_000_000)

    def pump(self, write: Callable[[bytes], None]) -> float:
        """As ever, with an eye on what goes."""
        before = set(self.records)
        wait_s = super().pump(write)
        self.acked |= before - set(self.records)
        for number, _, _, arguments in self.commands[self._seen_commands :]:
            self.session.info.command_id = max(self.session.info.command_id, number)
            self.done[arguments[1]] += number not in self._numbers
            self._numbers.add(number)
        self._seen_commands = len(self.commands)
        return wait_s

    async def serve(self) -> asyncio.Server:
        """Its line; a gateway at a time."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.boot()
            self.called.set()
            pumping = asyncio.create_task(self.run(writer.write))
            try:
                while data := await reader.read(256):
                    self.receive(data)
            except ConnectionError:
                pass
            finally:
                pumping.cancel()
                writer.close()

        return await asyncio.start_server(connected, "127.0.0.1", 0)


class Spoken:
    """In which order each life of the gateway published each log's records, the first time."""

    def __init__(self) -> None:
        self.life = 0
        self.said = asyncio.Event()  # the present life published a reading
        self.order: dict[tuple[int, str, int], dict[int, None]] = defaultdict(dict)

    def listener(self) -> Callable[[str, bytes], None]:
        """Who hears a connection that this life begins, to its end."""
        life = self.life

        def published(topic: str, payload: bytes) -> None:
            if topic.endswith("/readings"):
                told = json.loads(payload)
                numbers = (item["n"] for item in told["readings"])
                self.order[life, told["source"], told["epoch"]].update(dict.fromkeys(numbers))
                if life == self.life:
                    self.said.set()

        return published


class Wire:
    """The way from the gateway to the broker: it can be cut, and it can be slow.

    Whatever is published over it is `spoken` in that order.
    """

    def __init__(self, broker_port: int, spoken: Spoken) -> None:
        self.delay_s = 0.0
        self.shut = False
        self.clear = asyncio.Event()  # while it is not set what comes is taken, and goes no further
        self.clear.set()
        self._broker_port = broker_port
        self._spoken = spoken
        self._open: set[asyncio.StreamWriter] = set()

    async def serve(self) -> asyncio.Server:
        """The port that the gateway knows."""
        return await asyncio.start_server(self._connected, "127.0.0.1", 0)

    def cut(self) -> None:
        """All connections break at once, whatever is under way."""
        for writer in self._open:
            writer.transport.abort()

    async def _connected(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            if self.shut:
                raise ConnectionError
            far, out = await asyncio.open_connection("127.0.0.1", self._broker_port)
        except OSError:
            back.close()
            return
        self._open |= {back, out}
        listen = Tap(self._spoken.listener()).take
        ways = (near, out, listen), (far, back, len)
        copying = [asyncio.create_task(self._copy(*way)) for way in ways]
        await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
        for task in copying:
            task.cancel()
        self._open -= {back, out}
        back.close()
        out.close()

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        listen: Callable[[bytes], object],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                listen(data)
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self.clear.wait()
                writer.write(data)


class Nursery:
    """Lives of the gateway, one after another."""

    def __init__(self, folder: Path) -> None:
        self._config = folder / "gateway.toml"
        self._log = folder / "gateway.log"
        self._process: asyncio.subprocess.Process | None = None
        self._pid = 0

    async def open(self) -> None:
        """Import once."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.scenarios.nursery",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **environment()},
        )
        assert await self._line() == "ready"

    async def begin(self, doom: Doom) -> None:
        """A gateway starts."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(request(str(self._config), str(self._log), doom))
        self._pid = int(await self._line())

    async def end(self, number: int, after_s: float, begun: asyncio.Event | None = None) -> int:
        """Its exit status, when its doom came or at last by our signal `number`.

        That is `after_s` after it has `begun`.
        """
        dying = asyncio.create_task(self._line())
        if begun is not None:
            beginning = asyncio.create_task(begun.wait())
            await asyncio.wait([dying, beginning], return_when=asyncio.FIRST_COMPLETED)
            beginning.cancel()
        if not (await asyncio.wait([dying], timeout=after_s))[0]:
            with contextlib.suppress(ProcessLookupError):  # it died at that moment
                os.kill(self._pid, number)
        return int(await dying)

    async def close(self) -> None:
        """No more lives."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()

    async def _line(self) -> str:
        assert self._process is not None and self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), LONG_S)
        assert line, "the nursery has ended; it says why above"
        return line.decode().strip()


@dataclass
class Heard:
    """What a subscriber with a persistent session saw, message by message."""

    raw: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    repeats: int = 0
    states: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def take(self, channel: str, told: dict[str, Any]) -> None:
        """One message."""
        if channel == "readings":
            for item in told["readings"]:
                key = (told["source"], told["epoch"], item["n"])
                self.repeats += key in self.raw
                self.raw[key] += 1
        elif channel == "gap":
            self.gaps.append(told)
        elif channel == "result":
            self.states[told["id"]].add(told["state"])


@dataclass
class Verdict:
    """The figures of one story; `faults` in words is empty when all is well."""

    made: int = 0
    acked: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    orders: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def blame(self, what: str, shown: Iterable[object]) -> None:
        """A fault, if anything shows it."""
        if some := sorted(shown, key=repr):
            self.faults.append(f"{len(some)} {what}: {some[:5]}")


class Scene:
    """One broker, one gateway, its lamps, and the city that listens."""

    def __init__(
        self,
        folder: Path,
        kind: BrokerKind,
        seed: int,
        sin: str = "",
        troubles: Sequence[str] = TROUBLES,
        ack: str = "",
        stalled_s: float = STALLED_S,
        places: Sequence[str] = ("", "", *PLACES),
    ) -> None:
        self.folder = folder
        self.broker = Broker(kind, folder / "broker", free_port())
        self.heard = Heard()
        self.verdict = Verdict()
        self._seed = seed
        self._chance = random.Random(f"{seed} lives")  # each actor has dice of its own
        self._sin = sin
        self._troubles = troubles
        self._stalled_s = stalled_s
        self._places = places  # where lives end, one as often as another
        self._ack = ack or ("application" if seed % 2 else "broker")
        self.nodes = [LedgerNode(f"sl-{n}", bytes([n + 1] * 16)) for n in range(NODES)]
        self.spoken = Spoken()
        self._wire = Wire(self.broker.port, self.spoken)
        self._nursery = Nursery(folder)
        self.sent: dict[str, int] = {}  # serial of each command
        self._consumer: children.Child | None = None
        self._listening = threading.Event()
        self._city = Client(CallbackAPIVersion.VERSION2, "listener", clean_session=False)
        self._operator = Client(CallbackAPIVersion.VERSION2, "operator")

    async def play(self, kills: int) -> Verdict:
        """So many deaths, then a last life that delivers what is left.

        More, up to three times as many, where none of them cost a repeat.
        """
        async with self._stage():
            ordering = asyncio.create_task(self._order())
            busy = [asyncio.create_task(act()) for act in (self._make, self._trouble)]
            for life in range(3 * kills):
                if life >= kills and self.heard.repeats:
                    break
                await self._live_and_die()
                if ended := [task for task in busy if task.done()]:
                    ended[0].result()
            await _ended(*busy)
            self._wire.delay_s = 0
            self._wire.clear.set()
            await self._killed(0)
            await self._deaf(0)
            self.spoken.life += 1
            await self._nursery.begin(Doom(sin=self._sin))
            await self._drained()
            await _ended(ordering)
            status = await self._nursery.end(signal.SIGTERM, 0)
            if status:
                self.verdict.faults.append(f"the last gateway ended with {status}")
        judge(self)
        return self.verdict

    @contextlib.asynccontextmanager
    async def _stage(self) -> AsyncIterator[None]:
        """Everything that runs beside the gateway, from its start to its end."""
        wire = await self._wire.serve()
        lines = [await node.serve() for node in self.nodes]
        self._write(wire, lines)
        try:
            await self._nursery.open()
            await self.broker.start()
            await self._deaf(0)
            self._subscribe()
            await self._consumer_is_there()
            yield
        finally:
            for client in (self._city, self._operator):
                client.disconnect()
                client.loop_stop()
            for server in (wire, *lines):
                server.close()
            await self._nursery.close()
            if self._consumer is not None:
                await self._consumer.kill()
            await self.broker.kill()

    @property
    def _database(self) -> Path:
        return self.folder / "city.db"

    def _write(self, wire: asyncio.Server, lines: list[asyncio.Server]) -> None:
        text = CONFIG.format(gateway=GATEWAY, port=_port(wire), ack=self._ack, prefix=PREFIX)
        for node, line in zip(self.nodes, lines, strict=True):
            name = node.name.decode()
            key = self.folder / f"{name}.key"
            key.write_text(node.key[1].hex())
            key.chmod(0o600)
            text += NODE.format(name=name, port=_port(line))
        (self.folder / "gateway.toml").write_text(text)

    async def _live_and_die(self) -> None:
        chance = self._chance
        place = chance.choice(self._places)
        nth = 1 if place in ("open", "key") else chance.choice([1, 2, 3, 5, 9, 14])
        after_us = 0 if chance.random() < 0.3 else int(10 ** chance.uniform(1, 4.3))
        self.spoken.life += 1
        begun = self.spoken.said if self._sin else self.nodes[0].called
        begun.clear()
        await self._nursery.begin(Doom(place, nth, after_us, self._sin))
        status = await self._nursery.end(signal.SIGKILL, chance.uniform(*LIFE_S), begun)
        if (
            self._sin or chance.random() < 0.5
        ):  # the power of the whole cabinet: what is under way goes with it
            self._wire.cut()
        by_doom = status == -signal.SIGALRM or (status == -signal.SIGKILL and not after_us)
        self.verdict.kills[place if place and by_doom else "any time"] += 1
        if status not in (-signal.SIGKILL, -signal.SIGALRM):
            self.verdict.faults.append(f"a gateway ended by itself with {status}")

    async def _make(self) -> None:
        chance = random.Random(f"{self._seed} records")
        while True:
            chance.choice(self.nodes).record()
            await asyncio.sleep(MAKE_S * chance.choice([0.1, 0.5, 1, 2]))

    async def _order(self) -> None:
        """An operator who sends each command twice."""
        chance, serial = random.Random(f"{self._seed} orders"), 0
        while True:
            await asyncio.sleep(ORDER_S)
            serial += 1
            node = chance.choice(self.nodes).name.decode()
            self.sent[f"c{serial}"] = serial
            order = {
                "id": f"c{serial}",
                "operation": "set_level",
                "arguments": {"level_pct": 50, "hold_s": serial},
                "expires_at": time.time_ns() // 1_000_000 + chance.choice((2_000, 30_000)),
            }
            topic = f"{PREFIX}/{GATEWAY}/of-{node}/command"
            for _ in range(2):
                self._operator.publish(topic, json.dumps(order), qos=1)

    async def _trouble(self) -> None:
        """What befalls the broker and the way to it."""
        chance = random.Random(f"{self._seed} troubles")
        while True:
            await asyncio.sleep(chance.uniform(0.2, 1.0))
            trouble = chance.choice(self._troubles)
            self.verdict.troubles[trouble] += 1
            match trouble:
                case "cut":
                    self._wire.cut()
                case "slow":
                    self._wire.delay_s = chance.uniform(0.03, 0.3)
                    await asyncio.sleep(chance.uniform(0.5, 1.5))
                    self._wire.delay_s = 0
                case "held":
                    self._wire.clear.clear()
                    await asyncio.sleep(chance.uniform(0.5, 2.0))
                    self._wire.clear.set()
                case "frozen":
                    await self._frozen(chance.uniform(0.2, 1.0))
                case "stopped":
                    await self.broker.stop()
                    await asyncio.sleep(chance.uniform(0, 1.5))
                    await self.broker.start()
                case "killed":
                    await self._killed(chance.uniform(0, 1.5))
                case "deaf":
                    await self._deaf(chance.uniform(0, 2.0))

    async def _killed(self, seconds: float) -> None:
        """SIGKILL; a broker that acknowledges before it saves has saved, or has no say."""
        hasty = self.broker.kind is BrokerKind.MOSQUITTO and self._ack == "broker"
        self._wire.shut = hasty
        if self._wire.shut:
            self._wire.cut()
            child, turns = self.broker._child, 0
            while turns < TURNS and child is not None and child.running:
                turns += await self.broker.answers()
                await asyncio.sleep(0.01)
        await self.broker.kill()
        self._wire.shut = False
        await asyncio.sleep(seconds)
        await self.broker.start()

    async def _deaf(self, seconds: float) -> None:
        """SIGKILL to the consumer, wherever it is with a message; then its session goes on."""
        if self._consumer is not None:
            await self._consumer.kill()
            await asyncio.sleep(seconds)
        port = str(self.broker.port)
        where = (sys.executable, CONSUMER, "127.0.0.1", port, self._database, PREFIX)
        self._consumer = await children.start([*map(str, where)], self.folder / "consumer.log")

    async def _frozen(self, seconds: float) -> None:
        child = self.broker._child
        assert child is not None
        child.process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            child.process.send_signal(signal.SIGCONT)

    def _subscribe(self) -> None:
        """The city's own ears, with a session that outlives what befalls the broker."""

        def arrived(_client: object, _user: object, message: MQTTMessage) -> None:
            channel = message.topic.rpartition("/")[2]
            self.heard.take(channel, json.loads(message.payload))

        def connected(client: Client, *_: object) -> None:
            client.subscribe(f"{PREFIX}/#", qos=1)

        self._city.on_message, self._city.on_connect = arrived, connected
        self._city.on_subscribe = lambda *_: self._listening.set()
        for client in (self._city, self._operator):
            client.reconnect_delay_set(1, 1)
            client.connect("127.0.0.1", self.broker.port)
            client.loop_start()

    async def _consumer_is_there(self) -> None:
        """Its subscription stands when a gap of nobody comes to it."""
        gap = {"source": "nobody", "epoch": 0, "first": 1, "last": 1, "reason": "restart"}
        async with asyncio.timeout(LONG_S):
            while not self._listening.is_set() or not self.rows("SELECT 1 FROM gap"):
                self._operator.publish(f"{PREFIX}/x/nobody/gap", json.dumps(gap), qos=1)
                await asyncio.sleep(0.1)

    async def _drained(self) -> None:
        """Wait until the city has everything that was made, or nothing new comes any more."""
        made = {(n.name.decode(), number) for n in self.nodes for number in n.made}
        missing, since = len(made) + 1, time.monotonic()
        while missing and time.monotonic() < since + self._stalled_s:
            await asyncio.sleep(0.1)
            here = set(self.rows("SELECT source, n FROM record"))
            held = sum(len(node.records) for node in self.nodes)
            obeyed = any("OK" in states for states in self.heard.states.copy().values())
            now_missing = len(made - here) + held + (not obeyed)
            if now_missing != missing:
                missing, since = now_missing, time.monotonic()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the consumer has."""
        with contextlib.closing(sqlite3.connect(self._database)) as sql:
            try:
                return sql.execute(query).fetchall()
            except sqlite3.OperationalError:  # it has no table yet
                return []


def judge(scene: Scene) -> None:
    """Hold what the nodes made and let go of against what the city has."""
    verdict, nodes, heard = scene.verdict, scene.nodes, scene.heard
    made = {(n.name.decode(), number): v for n in nodes for number, v in n.made.items()}
    acked = {(n.name.decode(), number) for n in nodes for number in n.acked}
    came = {
        (source, n): json.loads(body)["values"]["energy_wh"]
        for source, n, body in scene.rows("SELECT source, n, body FROM record")
    }
    verdict.made, verdict.acked = len(made), len(acked)
    verdict.repeats = heard.repeats
    verdict.blame("acknowledged and lost", acked - came.keys())
    verdict.blame("lost", made.keys() - came.keys())
    verdict.blame("never made", came.keys() - made.keys())
    verdict.blame("changed", [key for key in came if made.get(key, came[key]) != came[key]])
    names = {n.name.decode() for n in nodes}
    verdict.blame("untrue gaps", [gap for gap in heard.gaps if gap["source"] in names])
    verdict.blame("out of order", [k for k, v in scene.spoken.order.items() if lanes(v) > 2])
    judge_orders(scene)
    verdict.blame("stored twice", [k for k, n in Counter(stored(scene.folder)).items() if n > 1])
    log = (scene.folder / "gateway.log").read_text()
    verdict.blame("tracebacks", [line for line in log.splitlines() if "Traceback" in line])


def judge_orders(scene: Scene) -> None:
    """Each command was done once at most, is in the book, and ended in one state that is true."""
    verdict, done = scene.verdict, Counter[int]()
    for node in scene.nodes:
        done += node.done
    verdict.blame("commands done twice", [serial for serial, n in done.items() if n > 1])
    book = booked(scene.folder)
    verdict.blame("done and not in the book", [n for n in done if f"c{n}" not in book])
    final = {"OK", "ERROR", "EXPIRED", "REJECTED"}
    for name, states in scene.heard.states.items():
        verdict.orders.update(states)
        if len(states & final) > 1:
            verdict.faults.append(f"command {name} ended as {states}")
        if "OK" in states and not done[scene.sent[name]]:
            verdict.faults.append(f"command {name} is OK and was never done")
        if states & {"REJECTED"} and done[scene.sent[name]]:
            verdict.faults.append(f"command {name} was rejected and done")


def stored(folder: Path) -> list[tuple[str, int]]:
    """(source, number) of each reading in the gateway's own store."""
    with contextlib.closing(sqlite3.connect(folder / "state" / "kerbline.db")) as sql:
        bodies = [body for (body,) in sql.execute("SELECT body FROM batch")]
    entries = [entry for body in bodies for entry in json.loads(zlib.decompress(body))]
    return [(e["source"], e["number"]) for e in entries if e.get("kind") == "streetlight"]


def booked(folder: Path) -> set[str]:
    """The commands in the gateway's book, each of which begins its way there as PENDING."""
    query = "SELECT command, state FROM command_audit GROUP BY command HAVING id = min(id)"
    with contextlib.closing(sqlite3.connect(folder / "state" / "kerbline.db")) as sql:
        return {name for name, state in sql.execute(query) if state == "PENDING"}


def lanes(numbers: Iterable[int]) -> int:
    """Into how few rising sequences `numbers` can be parted: each keeps its order."""
    ends: list[int] = []  # of each lane, falling
    for number in numbers:
        for index, end in enumerate(ends):
            if end < number:
                ends[index] = number
                break
        else:
            ends.append(number)
    return len(ends)


async def _ended(*tasks: asyncio.Task[None]) -> None:
    """Cancel them; what ended one before is raised."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


def main() -> None:
    """Play one story and tell its figures: outages.py BROKER SEED KILLS FOLDER [SIN]."""
    kind, seed, kills, folder, sin = [*sys.argv[1:], ""][:5]
    place = Path(folder)
    place.mkdir(parents=True)
    began = time.monotonic()
    verdict = asyncio.run(Scene(place, BrokerKind(kind), int(seed), sin).play(int(kills)))
    print(f"{time.monotonic() - began:.1f} s {verdict}")
    sys.exit(bool(verdict.faults))


if __name__ == "__main__":
    main()
