"""Orders of the city to a pump's drive: a broker, the gateway as a process, a bus on a pty.

What the drive was written is noted at the drive: nothing late, nothing twice.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.simulator import SimDevice

from kerbline.clock import Clock
from kerbline.config.profiles import Profiles
from kerbline.demo.stage import free_port
from kerbline.local_socket import SOCKET_FILE, NotServing, ask
from kerbline.sim import children
from kerbline.sim.broker import Broker, BrokerKind, program
from kerbline.sim.modbus import Trouble, faults, over_rtu
from kerbline.sim.modbus.devices import device
from tests.scenarios.outages import environment

PROFILE = "danfoss-vlt-fc202"
REFERENCE, CONTROL = 50_009, 49_999
RUN, STOP = 0x047C, 0x043C
PUMP, OTHER = 3, 5
RESTS_S = 1.0  # a register, after a write
LONG_S = 60.0
SOON_S = 5.0  # an order is in the book by then, and over soon
TRIES = 20  # of what a machine that stands still for a moment may spoil
CONFIG = """\
[gateway]
id = "gw-pumps"
state_dir = "state"

[mqtt]
host = "127.0.0.1"
port = {port}
backoff_max_s = 0.2

[[modbus]]
name = "pumps"
port = "{line}"
baud = 115_200
timeout_s = 2.0

[[modbus.device]]
unit = 3
asset = "pump-3"
profile = "danfoss-vlt-fc202"
only = ["frequency_hz", "control_word", "bus_reference_pct"]
poll_s = 0.2

[[modbus.device]]
unit = 5
asset = "pump-5"
profile = "danfoss-vlt-fc202"
only = ["frequency_hz"]
poll_s = 0.2
"""


class Rig:
    """The broker, the bus with what is plugged into it, the gateway, and the city's client."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder = folder
        self.writes: list[tuple[int, int]] = []  # register and word, as the drives took them
        self.wrote = asyncio.Event()
        self.results: dict[str, dict[str, Any]] = {}
        self._lives = 0  # of the gateway at the broker: it hears orders
        self._config = folder / "gw.toml"
        self._config.write_text(CONFIG.format(port=broker.port, line=folder / "bus"))
        self._bus = AsyncExitStack()
        self._gateway: children.Child | None = None
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._told
        self._client.connect("127.0.0.1", broker.port)
        self._client.subscribe([("kerbline/gw-pumps/+/result", 1), ("kerbline/gw-pumps/status", 1)])
        self._client.loop_start()

    def _told(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        told = json.loads(message.payload)
        if message.topic.endswith("/status"):
            self._lives += told["state"] == "online"
            return
        assert told["id"] not in self.results, "one answer to an order"
        self.results[told["id"]] = told

    async def plug(self, units: Sequence[int], fault: str = "") -> None:
        """The bus is there, with these units on it; what was is not."""
        await self._bus.aclose()
        trouble = Trouble(faults.parse([fault] if fault else []))
        drives = [self._drive(unit) for unit in units]
        await self._bus.enter_async_context(over_rtu(drives, self.folder / "bus", trouble=trouble))

    async def unplug(self) -> None:
        """The adapter is pulled."""
        await self._bus.aclose()

    def _drive(self, unit: int) -> SimDevice:
        """A drive that notes what is written to it, as its firmware sees it."""
        profile, registers = Profiles().get(PROFILE)
        made = device(unit, registers, Clock(), limits=profile.limits)
        access: Any = made.action

        async def noted(
            function: int, start: int, address: int, count: int, words: list[int], new: Any
        ) -> Any:
            found = await access(function, start, address, count, words, new)
            if new is not None and found is None:
                self.writes += [(address + at, int(word)) for at, word in enumerate(new)]
                self.wrote.set()
            return found

        made.action = noted
        return made

    async def start(self) -> None:
        """The gateway runs, and hears orders."""
        before = self._lives
        self._gateway = await children.start(
            [sys.executable, "-m", "kerbline", "run", self._config],
            self.folder / "gateway.log",
            environment(),
        )
        await until(lambda: self._lives > before)

    async def kill(self) -> None:
        """SIGKILL."""
        assert self._gateway is not None
        await self._gateway.kill()

    async def close(self) -> None:
        """End it all."""
        self._client.disconnect()
        self._client.loop_stop()
        if self._gateway is not None:
            assert await self._gateway.end() == 0
        await self._bus.aclose()

    def order(self, name: str, within_s: float, **values: float) -> None:
        """An order of the city to the pump."""
        order = {
            "id": name,
            "operation": "write",
            "arguments": values,
            "expires_at": int((time.time() + within_s) * 1_000),
            "source": "dispatcher",
        }
        topic = "kerbline/gw-pumps/pump-3/command"
        self._client.publish(topic, json.dumps(order), qos=1).wait_for_publish(LONG_S)

    async def result(self, name: str) -> tuple[str, str]:
        """State and reason, once they are told."""
        await until(lambda: name in self.results)
        return self.results[name]["state"], self.results[name]["reason"]

    async def done(self, name: str, **values: float) -> str:
        """Order it again and again until it is OK: the name of that order.

        The drive is served here: when we stand still, it does not answer, and what it took of
        that order is forgotten.
        """
        for number in range(TRIES):
            before = len(self.writes)
            self.order(f"{name}-{number}", LONG_S, **values)
            state, reason = await self.result(f"{name}-{number}")
            if state == "OK":
                return f"{name}-{number}"
            self.spoilt(before, len(values), state, reason)
            await asyncio.sleep(RESTS_S)
        raise AssertionError(f"{name} was never done")

    def spoilt(self, before: int, values: int, state: str, reason: str) -> None:
        """Forget what the drive took, one write a value at most, of an order it did not answer."""
        assert (state, reason.partition(":")[0]) == ("ERROR", "no_answer")
        assert len(self.writes) <= before + values
        del self.writes[before:]

    async def health(self, unit: int, wanted: str) -> None:
        """Until the gateway says so of a unit."""

        def found() -> bool:
            try:
                answer = ask(self.folder / "state" / SOCKET_FILE, {"ask": "status"})
            except NotServing:
                return False
            (bus,) = answer["lines"]
            states = {each["unit"]: each["health"] for each in bus["units"]}
            return bool(bus["up"]) and states[unit] == wanted

        while not await asyncio.to_thread(found):  # noqa: ASYNC110 - the drives are served meanwhile
            await asyncio.sleep(0.05)

    def book(self, name: str) -> list[tuple[str, str]]:
        """The states that an order went through, and its source."""
        with sqlite3.connect(f"file:{self.folder}/state/kerbline.db?mode=ro", uri=True) as store:
            rows = store.execute(
                "SELECT a.state, c.source FROM command_audit a JOIN command c ON c.id = a.command"
                " WHERE a.command = ? ORDER BY a.id",
                (name,),
            ).fetchall()
        return [(state, source) for state, source in rows]

    async def command_line(self, *words: str) -> tuple[int, str]:
        """`kerbline modbus WORDS`: its exit status and what it says."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kerbline", "modbus", *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment() | {"COLUMNS": "100"},
        )
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()


async def until(there: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    while not there():  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.01)


def play(folder: Path, story: Callable[[Rig], Awaitable[None]], limit_s: float = 300) -> None:
    """A story with everything there at its beginning."""
    if program(BrokerKind.MOSQUITTO) is None:
        pytest.skip("no mosquitto here: apt install mosquitto")

    async def scene() -> None:
        broker = Broker(BrokerKind.MOSQUITTO, folder / "broker", free_port())
        await broker.start()
        rig = Rig(folder, broker)
        try:
            async with asyncio.timeout(limit_s):
                await rig.plug([PUMP, OTHER])
                await rig.start()
                await rig.health(PUMP, "good")
                await story(rig)
        finally:
            await rig.close()
            await broker.kill()

    asyncio.run(scene())


def test_an_order_is_judged_carried_out_read_back_and_in_the_book(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        name = await rig.done("a", bus_reference_pct=50, control_word=RUN)
        assert rig.writes == [(REFERENCE, 0x2000), (CONTROL, RUN)]
        source = "operator/dispatcher"
        assert rig.book(name) == [("PENDING", source), ("DELIVERED", source), ("OK", source)]
        rig.order("b", LONG_S, bus_reference_pct=100.5)
        reason = "out_of_range: bus_reference_pct: 0 to 100"
        assert await rig.result("b") == ("REJECTED", reason)
        rig.order("c", LONG_S, frequency_hz=50)
        assert await rig.result("c") == ("REJECTED", "not_writable: frequency_hz")
        for number in range(TRIES):  # until one comes within a second of the one before
            rig.order(f"d-{number}", LONG_S, control_word=STOP)
            state, reason = await rig.result(f"d-{number}")
            if state == "REJECTED":
                break
            assert rig.writes.pop() == (CONTROL, STOP)
        assert (state, reason) == ("REJECTED", "too_often: control_word: every 1 s")
        assert len(rig.writes) == 2

        await asyncio.sleep(RESTS_S)
        status, said = await rig.command_line(
            "write", str(rig.folder / "gw.toml"), "pump-3", f"control_word={STOP}"
        )
        assert status == 0, said
        assert said.startswith("pump-3: OK (order cli-")
        name = said.rpartition("order ")[2].rstrip(")\n")
        assert rig.book(name)[-1] == ("OK", "operator/cli")
        assert rig.writes[2:] == [(CONTROL, STOP)]
        status, said = await rig.command_line(
            "read", str(rig.folder / "gw.toml"), "pump-3", "bus_reference_pct", "control_word"
        )
        assert status == 0
        assert [line.split()[:2] for line in said.splitlines()[1:]] == [
            ["bus_reference_pct", "50"],
            ["control_word", str(STOP)],
        ]

    play(tmp_path, story)


def test_what_a_drive_missed_is_not_written_when_it_is_back(tmp_path: Path) -> None:
    """The drive alone is gone, then the adapter with the gateway killed meanwhile."""

    async def story(rig: Rig) -> None:
        await rig.plug([OTHER])
        await rig.health(OTHER, "good")
        await rig.health(PUMP, "open")
        rig.order("gone", SOON_S, control_word=RUN)
        assert await rig.result("gone") == ("EXPIRED", "expired")
        assert [state for state, _ in rig.book("gone")] == ["PENDING", "EXPIRED"]
        await rig.plug([PUMP, OTHER])
        await rig.health(PUMP, "good")
        await rig.done("later", control_word=STOP)

        await asyncio.sleep(RESTS_S)
        await rig.unplug()
        rig.order("killed", SOON_S, control_word=RUN)
        ends = time.time() + SOON_S
        await until(lambda: bool(rig.book("killed")))
        rig.order("patient", 2 * LONG_S, bus_reference_pct=25)
        await until(lambda: bool(rig.book("patient")))
        await rig.kill()
        await until(lambda: time.time() > ends)
        await rig.plug([PUMP, OTHER])
        await rig.start()
        assert await rig.result("killed") == ("EXPIRED", "expired")
        state, reason = await rig.result("patient")
        if state != "OK":  # it went out, and we stood still
            rig.spoilt(1, 1, state, reason)
            await rig.done("again", bus_reference_pct=25)
        assert rig.writes == [(CONTROL, STOP), (REFERENCE, 0x1000)]

    play(tmp_path, story)


def test_an_order_that_may_have_gone_is_not_sent_again(tmp_path: Path) -> None:
    """The gateway is killed between the write and the drive's answer."""

    async def story(rig: Rig) -> None:
        await rig.plug([PUMP, OTHER], "slow=3:0.08")
        await rig.health(PUMP, "good")
        rig.wrote.clear()
        rig.order("half", 60, control_word=RUN)
        await rig.wrote.wait()
        await rig.kill()
        await rig.start()
        assert await rig.result("half") == ("ERROR", "outcome_unknown")
        await rig.health(PUMP, "good")
        await rig.done("next", control_word=STOP)
        assert rig.writes == [(CONTROL, RUN), (CONTROL, STOP)]

    play(tmp_path, story)
