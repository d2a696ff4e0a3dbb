"""Asks a meter for its data readout: IEC 62056-21, protocol modes A, B and C, up to its first byte.

The meter says in its identification how fast it goes on; from then on its data message is a
telegram as any other.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from kerbline.config.telegram import Request
from kerbline.ports import Port

CHARACTER_BITS = 10  # start, 7 data, parity, stop
REACTION_S = 1.5  # 6.4.3.3: the meter answers after 200 ms, or 20 ms, to 1,500 ms
MARGIN_S = 0.05  # for an adapter that holds bytes back; well within the 200 ms
AFTER_WAKING_S = 1.5  # annex B: between the waking and the request
MAX_IDENTIFICATION_BYTES = 256  # noise, our own echo and 24 characters
_IDENTIFICATION = re.compile(rb"/[A-Za-z]{3}([^/!\r\n])[^/!\r\n]{0,40}\r\n")  # 6.3.2
_MODE_C = dict(zip(b"0123456", (300, 600, 1_200, 2_400, 4_800, 9_600, 19_200), strict=True))
_MODE_B = dict(zip(b"ABCDEF", (600, 1_200, 2_400, 4_800, 9_600, 19_200), strict=True))

Coding = Callable[[bytes], bytes]


class NotIdentified(Exception):
    """No meter told who it is."""


async def sign_on(port: Port, request: Request, baud: int, taken: Coding, sent: Coding) -> bool:
    """Ask, and set the line as the meter wants it; True if its speed was changed.

    `taken` and `sent` take parity off what comes and put it on what goes. Raises NotIdentified or
    PortLost.
    """
    if request.wake_nul:
        await _send(port, bytes(request.wake_nul), baud)
        await asyncio.sleep(AFTER_WAKING_S)
        port.discard()
    await _send(port, sent(f"/?{request.address}!\r\n".encode("ascii")), baud)
    speed = await _identified(port, taken)
    if speed in _MODE_B:
        return port.set_baud(_MODE_B[speed])
    if speed not in _MODE_C:
        return False  # mode A: it goes on as it began
    if not port.set_baud(baud):  # a serial server: stay at the speed it is set to
        await _send(port, sent(b"\x06000\r\n"), baud)
        return False
    await _send(port, sent(b"\x060%c0\r\n" % speed), baud)
    return port.set_baud(_MODE_C[speed])


async def _send(port: Port, data: bytes, baud: int) -> None:
    """Send and wait until it has gone: a change of speed would spoil it."""
    port.write(data)
    await asyncio.sleep(len(data) * CHARACTER_BITS / baud + MARGIN_S)


async def _identified(port: Port, taken: Coding) -> int:
    """The character that tells the meter's speed; our own echo is passed over."""
    heard = b""
    try:
        while len(heard) < MAX_IDENTIFICATION_BYTES:
            async with asyncio.timeout(REACTION_S):
                heard += taken(await port.read())
            found = _IDENTIFICATION.search(heard)
            if found is not None:
                return found[1][0]
    except TimeoutError:
        pass
    raise NotIdentified
