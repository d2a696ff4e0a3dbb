"""A node on a line of its own (serial, pty, TCP): opens it, pumps it, finds it again."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from kerbline.ports import Port, PortLost, open_when_there

if TYPE_CHECKING:
    from kerbline.south.node_link import NodeLink

log = logging.getLogger("kerbline.south")

PAUSE_S = 0.2  # before a line that was just lost is opened again
LONGEST_PAUSE_S = 5.0  # where it is lost each time as soon as it is open
BRIEF_S = 1.0


class Pauses:
    """How long it is until a lost line is opened again: a port that hangs up on us is not worn."""

    def __init__(self) -> None:
        self._next_s = PAUSE_S

    def after(self, open_s: float) -> float:
        """Seconds, behind a line that was open for so long."""
        if open_s >= BRIEF_S:
            self._next_s = PAUSE_S
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, LONGEST_PAUSE_S)
        return pause_s


async def serve(link: NodeLink) -> None:
    """Serve one node for ever, whatever its line does."""
    node = link.node
    pauses = Pauses()
    loop = asyncio.get_running_loop()
    while True:
        port = await open_when_there(node.port, node.baud)
        opened_s = loop.time()
        try:
            await _pump(link, port)
        except PortLost as error:
            log.warning("node %s: line lost: %s", node.id, error)
            link.lost()
        finally:
            port.close()
        await asyncio.sleep(pauses.after(loop.time() - opened_s))


async def _pump(link: NodeLink, port: Port) -> None:
    """Bytes in, events up, bytes out; ends with PortLost."""
    link.begin()
    reading = asyncio.ensure_future(port.read())
    changing = asyncio.ensure_future(link.changed.wait())
    try:
        while True:
            await link.settle()
            while data := link.outgoing():
                port.write(data)
                await link.settle()
            await link.settle()  # time alone brings events too
            waiting = {reading, changing}
            await asyncio.wait(waiting, timeout=link.wait_s(), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                link.receive(reading.result())
                reading = asyncio.ensure_future(port.read())
            if changing.done():
                link.changed.clear()
                changing = asyncio.ensure_future(link.changed.wait())
    finally:
        reading.cancel()
        changing.cancel()
        await asyncio.gather(reading, changing, return_exceptions=True)
