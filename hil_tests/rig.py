"""Ways to a node under test: a simulated one on a virtual line, or one at an address."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hil_tests.gateway_end import GatewayEnd
from kerbline.clock import StreetTable
from kerbline.keys import KeyRing
from kerbline.ports import open_port
from kerbline.sim.lines import open_line
from kerbline.sim.nodes import Node, interpreter
from kerbline.sim.street import Street, Ways, write

T = TypeVar("T")

SIMULATED = "sl-0001"
REPORT_S = 2


@dataclass(frozen=True, slots=True)
class Rig:
    """A node under test and the loop in which its line lives."""

    node: GatewayEnd
    patience_s: float
    runner: asyncio.Runner

    def run(self, scenario: Coroutine[None, None, T]) -> T:
        """Runs one scenario to its end."""
        return self.runner.run(scenario)


@asynccontextmanager
async def attached(
    address: str, baud: int, node_id: str, key_file: Path, key_folder: Path
) -> AsyncIterator[GatewayEnd]:
    """The gateway's end of the node at `address`."""
    ring = KeyRing(key_folder)
    keys = ring.load(node_id, key_file)
    port = await open_port(address, baud)
    try:
        yield GatewayEnd(port, node_id, keys, lambda keys: ring.store(node_id, keys))
    finally:
        port.close()


@asynccontextmanager
async def simulated(folder: Path) -> AsyncIterator[GatewayEnd]:
    """A streetlight with the real firmware in a process of its own, on a virtual line."""
    line = open_line()
    street = Street(StreetTable(), lamps=1, meters=0, air=0, report_s=REPORT_S)
    write(folder, street, Ways({SIMULATED: (line.gateway, line.node)}, mqtt_port=1883))
    node = Node(folder / "nodes" / SIMULATED, interpreter())
    node.power_on()
    try:
        key_file = folder / "keys" / f"{SIMULATED}.key"
        async with attached(line.gateway, 115_200, SIMULATED, key_file, folder / "later") as end:
            yield end
    finally:
        await node.cut_power()
        line.close()
