"""What comes in: from nodes, buses and serial devices, to the loops first, then on its way up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerbline.agent.actuators import Actuators
from kerbline.agent.light.lamps import Lights
from kerbline.agent.light.loops import Loops
from kerbline.agent.orders import Orders
from kerbline.agent.own_commands import OwnCommands
from kerbline.agent.records import Records
from kerbline.agent.standing import Standing
from kerbline.model import ANCHOR_KIND, Gap, Reading
from kerbline.south.arrivals import (
    Anchored,
    Answered,
    Carried,
    Claimed,
    Joined,
    Noted,
    Obeyed,
    Runs,
)
from kerbline.south.nodes import Nodes
from kerbline.store import GroupCommit

if TYPE_CHECKING:
    from kerbline.agent.alerts import Alerts
    from kerbline.agent.fleet.enrolment import Enrolment
    from kerbline.agent.fleet.updates import Updates
    from kerbline.agent.light.rules import LightRules
    from kerbline.south.modbus.bus import Bus
    from kerbline.south.serial.device import Device


@dataclass(frozen=True, slots=True)
class Hears:
    """Whoever decides something on a reading."""

    orders: Orders
    own: OwnCommands
    loops: Loops
    lights: Lights
    rules: LightRules | None
    updates: Updates | None = None

    async def consider(self, reading: Reading, records: Records) -> None:
        """Do what a reading calls for."""
        decided = self.loops.consider(reading)
        if decided.commands:
            self.lights.follow(decided.commands)
        if self.rules is not None:
            self.rules.consider(reading)
        if self.updates is not None:
            self.updates.consider(reading)
        for finding in decided.findings:
            await records.found(finding)

    async def answered(self, answer: Answered) -> None:
        """A node has answered; an order from outside may have given a lamp back."""
        if self.own.answered(answer):
            return
        await self.orders.answered(answer)
        if self.rules is not None:
            self.rules.joined(answer.asset)

    async def joined(self, asset: str) -> None:
        """A node is there again: send what waits for it, and what it may have forgotten."""
        await self.orders.joined(asset)
        if self.rules is not None:
            self.rules.joined(asset)


async def take_arrivals(
    nodes: Nodes,
    records: Records,
    hears: Hears,
    group: GroupCommit,
    alerts: Alerts | None,
    actuators: Actuators,
    enrolment: Enrolment,
) -> None:
    """What the nodes sent: to the loops first, they are in a hurry; then on its way up."""
    if alerts is not None:
        await alerts.begin(records)
    while True:
        match await nodes.next():
            case Reading(kind=kind) as anchor if kind == ANCHOR_KIND:
                await records.keep_private(anchor)
            case Reading() as reading:
                await hears.consider(reading, records)
                await records.take(reading)
                if alerts is not None:
                    await alerts.consider(reading, records)
            case Gap() as gap:
                await records.take(gap)
            case Anchored(node, boot_id, anchor):
                group.save_anchor(node, boot_id, anchor)
            case Noted(rule, name, body):
                group.save_memory(rule, name, body)
            case Answered() as answer:
                await hears.answered(actuators.noted(answer))
            case Joined(_, asset):
                await hears.joined(asset)
            case Claimed() as claimed:
                enrolment.consider(claimed)
            case Runs() | Carried() | Obeyed() as word if hears.updates is not None:
                hears.updates.hear(word)


async def take_polls(
    source: Bus | Device, records: Records, hears: Hears, standing: Standing
) -> None:
    """What a bus or a serial device gave, the same way, a tick at a time."""
    while True:
        burst = await source.next()
        for reading in await records.polled(burst):
            await hears.consider(reading, records)
        for measured in burst:
            standing.note(measured.findings)
            await records.found_at(measured.findings)


async def take_answers(actuators: Actuators, hears: Hears) -> None:
    """What commands to devices came to."""
    while True:
        answer = await actuators.answered()
        if not hears.own.answered(answer):
            await hears.orders.answered(answer)
