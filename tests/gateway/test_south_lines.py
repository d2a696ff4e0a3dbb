"""Which line serves whom: places that are given, lines that are not there, nodes that go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from kerbline.clock import Clock
from kerbline.config import Config, Gateway, Node, Udp
from kerbline.config.enrolment import EnrolmentLine
from kerbline.counters import Counters
from kerbline.keys import NodeKeys
from kerbline.south.arrivals import Arrival
from kerbline.south.door import Door
from kerbline.south.lines import Lines, NoRoom
from kerbline.south.node_link import NodeLink
from kerbline.south.past import Past
from kerbwire.limits import BUS_NODES

NOWHERE = "socket://127.0.0.1:1"


def node(index: int, port: str = NOWHERE, *, bus: bool = False) -> Node:
    return Node(f"sl-{index}", f"lamp-{index}", "streetlight", Path("k"), port, bus=bus)


async def nothing(_: NodeKeys | Arrival) -> None:
    """Whoever waits for it is not there."""


class Scene:
    """The lines of a config, and the links that were placed on them."""

    def __init__(self, **more: object) -> None:
        config = Config(Gateway("gw", Path("state")), **more)  # type: ignore[arg-type]
        door = Door(Clock(), Counters(), lambda _: True)
        self.lines = Lines(config, Clock(), Counters(), door)
        self.links: list[NodeLink] = []

    def place(self, one: Node) -> NodeLink:
        link = NodeLink(
            one,
            NodeKeys(0, bytes(16), None),
            Past(),
            Clock(),
            Counters(),
            keep_keys=nothing,
            arrive=nothing,
            address=self.lines.place(one, self.links),
        )
        self.links.append(link)
        return link

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.lines.run(tuple(self.links)))
        await asyncio.sleep(0)  # it has begun
        assert self.lines.running
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert not self.lines.running


def test_a_bus_gives_each_node_an_address_and_that_of_one_who_went_again() -> None:
    scene = Scene()
    for index in range(BUS_NODES):
        assert scene.place(node(index, bus=True)).address == 1 + index
    with pytest.raises(NoRoom, match=f"{NOWHERE} has {BUS_NODES} nodes: hang sl-98 on another"):
        scene.place(node(98, bus=True))
    del scene.links[6]
    assert scene.place(node(99, bus=True)).address == 7
    assert scene.place(node(100, "/dev/ttyUSB9", bus=True)).address == 1


def test_on_udp_each_has_a_number_and_on_a_line_of_its_own_none() -> None:
    scene = Scene()
    numbers = [scene.place(node(index, "udp")).address for index in range(3)]
    assert len(set(numbers)) == 3 and None not in numbers
    assert scene.place(node(9)).address is None


async def line_is_gone() -> None:
    scene = Scene(enrolments=(EnrolmentLine("/dev/null", bus=True),))
    async with scene.running():
        with pytest.raises(NoRoom, match=r"no \[udp\] any more"):
            scene.place(node(1, "udp"))
        with pytest.raises(NoRoom, match=f"no bus {NOWHERE} any more"):
            scene.place(node(1, bus=True))
        assert scene.place(node(1, "/dev/null", bus=True)).address == 1


def test_while_they_run_no_node_is_placed_on_a_line_that_is_not_there() -> None:
    asyncio.run(line_is_gone())


async def followed() -> list[bool]:
    """Are the events of a bus waited for: before, with a lamp that nobody follows, and then?"""
    corridor = SimpleNamespace(lamps=("lamp-2",))
    scene = Scene(enrolments=(EnrolmentLine("/dev/null", bus=True),), corridors=(corridor,))
    told: list[bool] = []
    async with scene.running():
        bus = scene.lines._buses["/dev/null"]
        told.append(bus._bus._calls.wanted)
        for index in (1, 2):
            scene.lines.add(scene.place(node(index, "/dev/null", bus=True)))
            told.append(bus._bus._calls.wanted)
    return told


def test_a_lamp_that_follows_people_is_called_also_if_it_joins_later() -> None:
    assert asyncio.run(followed()) == [False, False, True]


async def comes_and_goes() -> None:
    scene = Scene(udp=Udp("127.0.0.1:0"), enrolments=(EnrolmentLine(NOWHERE),))
    first = scene.place(node(1, "udp"))
    async with scene.running():
        links = [scene.place(node(2, "udp")), scene.place(node(3))]
        for link in links:
            scene.lines.add(link)
        serving = scene.lines._alone[NOWHERE]
        for link in (first, *links):
            scene.lines.remove(link)
        await asyncio.wait([serving])
        assert not scene.lines._alone[NOWHERE].done(), "it waits for another node's claim"


def test_a_node_that_goes_leaves_its_line_to_others() -> None:
    asyncio.run(comes_and_goes())
