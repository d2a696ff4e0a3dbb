"""A line of its own on which no node is yet: opened in enrolment windows alone, for a claim."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from kerbline.keys.way import Way
from kerbline.ports import PortLost, open_when_there
from kerbwire import claiming, cobs, frame, handshake
from kerbwire.errors import RemoteError
from kerbwire.messages import CLASS_PLAIN

if TYPE_CHECKING:
    from kerbline.south.door import Door

log = logging.getLogger("kerbline.south")

CLOSING_S = 0.2  # until the door is closed
ASK_S = 2.0  # between two questions; a node answers 3 in 10 s


async def serve(way: Way, door: Door) -> None:
    """Ask whoever is there for a claim while the door is open; until cancelled."""
    while True:
        await door.opened.wait()
        try:
            async with asyncio.timeout(door.left_ms / 1000):
                await _ask(way, door)
        except TimeoutError:
            await asyncio.sleep(CLOSING_S)
        except PortLost as error:
            log.warning("line %s: lost: %s", way.port, error)
            await asyncio.sleep(ASK_S)


async def _ask(way: Way, door: Door) -> None:
    port = await open_when_there(way.port, way.baud)
    deframer = cobs.Deframer()
    heard = b""  # who is there
    try:
        while True:
            if not heard or door.asks(heard):
                port.write(bytes(cobs.encode(claiming.ask(None))))
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK_S):
                    while True:
                        for data in _frames(await port.read(), deframer):
                            heard = _taken(data, way, door) or heard
    finally:
        port.close()


def _frames(data: bytes, deframer: cobs.Deframer) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        at = deframer.take(data, at)
        if deframer.length > 0:
            yield bytes(deframer.frame())


def _taken(data: bytes, way: Way, door: Door) -> bytes:
    """Who said a claim or greeted; b"" for noise."""
    try:
        header = frame.Header(data)
        if header.class_ != CLASS_PLAIN:
            return b""
        if not claiming.is_claim(data, header):
            return handshake.node_id_of(data, header)
        node_id, sealed = claiming.claim_of(data, header)
        door.take(node_id, sealed, way)
        return node_id
    except RemoteError as fault:
        door.count(fault.code)
        return b""
