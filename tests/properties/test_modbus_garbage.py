"""Whatever a line says, a Modbus read ends in a fault of its kind or in the words asked for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from kerbline.ports import Port, PortLost
from kerbline.south.modbus.bus import Bus, BusFault, Framing

COUNT = 2
HEADS = [b"", b"\1\3\4", b"\1\x83", b"\1\4", b"\1\x2b\x0e", b"\1\x18\0\2", b"\0\1\0\0\0\7\1\3\4"]
lines = st.lists(st.tuples(st.sampled_from(HEADS), st.binary(max_size=40)), max_size=4)


async def ask(framing: Framing, said: Sequence[bytes]) -> int:
    """How many words a read gives; -1 for a fault."""
    near, far = socket.socketpair()
    near.settimeout(0)
    port = Port("fuzz", near.fileno(), near.close)
    reading = asyncio.create_task(Bus(port, framing, 115_200).read(1, "holding", 0, COUNT, 0.5))
    with far:
        await asyncio.sleep(0)
        for part in said:
            await asyncio.sleep(0)
            far.send(part)
    try:
        return len(await reading)
    except (BusFault, PortLost):
        return -1
    finally:
        port.close()


@given(st.sampled_from(["rtu", "tcp"]), lines)
def test_no_bytes_break_a_read(framing: Framing, said: list[tuple[bytes, bytes]]) -> None:
    parts = [head + tail for head, tail in said]
    assert asyncio.run(ask(framing, parts)) in (COUNT, -1)
