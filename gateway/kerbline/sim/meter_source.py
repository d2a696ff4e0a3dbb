"""The source of the benchmarks: a Modbus TCP server so lean that a gateway is measured, not it.

    python -m kerbline.sim.meter_source --tcp 127.0.0.1:1502 --units 50 --registers 100

Register 0 of every unit, input or holding, is the stamp: UTC in ms, modulo 65,536, of the moment
of the answer; register n > 0 is `256 * unit + n`, modulo 65,536, so that a value at a wrong place
shows. It knows functions 3 and 4 of the Modbus Application Protocol V1.1b3 and answers as many
requests as come in one segment with one segment. It has no faults and writes nothing down; the
simulator with both is `kerbline.sim.modbus`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import struct
import time
from collections.abc import Mapping, Sequence

STAMP_WRAPS_MS = 65_536
REQUEST_BYTES = 12  # MBAP header, function, address, count
LONGEST_REQUEST_BYTES = 260
READS = (3, 4)
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, TARGET_SILENT = 1, 2, 11

_REQUEST = struct.Struct(">HHHBBHH")
_ANSWER = struct.Struct(">HHHBBB")
_STAMP = struct.Struct(">H")

Units = Mapping[int, bytes]


def registers(units: int, count: int) -> Units:
    """The words of units 1 to `units` as they lie on the wire, the stamp still 0."""
    return {
        unit: struct.pack(
            f">{count}H", 0, *((256 * unit + number) % 65_536 for number in range(1, count))
        )
        for unit in range(1, units + 1)
    }


def stamp(utc_ns: int) -> int:
    """What register 0 shows at a time, ns since 1970."""
    return utc_ns // 1_000_000 % STAMP_WRAPS_MS


def age_ms(shown: int, utc_ns: int) -> int:
    """How long ago, up to 65 s, a stamp was put."""
    return (stamp(utc_ns) - shown) % STAMP_WRAPS_MS


def answers(data: bytes, units: Units, now: int) -> tuple[list[bytes], int]:
    """The answers to all whole requests in `data` in pieces, and the bytes these took.

    Raises ValueError when `data` is no Modbus TCP.
    """
    pieces: list[bytes] = []
    used, end = 0, len(data)
    stamped = _STAMP.pack(now)
    while end - used >= REQUEST_BYTES:
        tid, protocol, length, unit, function, address, count = _REQUEST.unpack_from(data, used)
        if protocol or not 2 <= length <= LONGEST_REQUEST_BYTES - 6:
            raise ValueError("no Modbus TCP")
        if end - used < length + 6:
            break
        used += length + 6
        words = units.get(unit)
        last = 2 * (address + count)
        if words is None:
            fault = TARGET_SILENT
        elif function not in READS or length != REQUEST_BYTES - 6:
            fault = ILLEGAL_FUNCTION
        elif last > len(words) or not 0 < count <= 125:
            fault = ILLEGAL_ADDRESS
        else:
            pieces.append(_ANSWER.pack(tid, 0, 3 + 2 * count, unit, function, 2 * count))
            if address == 0:
                pieces.append(stamped)
                pieces.append(words[2:last])
            else:
                pieces.append(words[2 * address : last])
            continue
        pieces.append(_ANSWER.pack(tid, 0, 3, unit, function | 0x80, fault))
    return pieces, used


class Connection(asyncio.Protocol):
    """A master's connection."""

    __slots__ = ("_pending", "_transport", "_units")

    def __init__(self, units: Units) -> None:
        self._units = units
        self._pending = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A master is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what has come whole."""
        assert self._transport is not None
        if self._pending:
            data = self._pending + data
        try:
            pieces, used = answers(data, self._units, stamp(time.time_ns()))
        except ValueError:
            self._transport.abort()
            return
        self._pending = data[used:]
        if pieces:
            self._transport.write(b"".join(pieces))


async def serve(host: str, port: int, units: Units) -> None:
    """Serve until SIGTERM or Ctrl-C; prints one line when it is ready."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await loop.create_server(lambda: Connection(units), host, port, reuse_address=True)
    print(f"ready socket://{host}:{server.sockets[0].getsockname()[1]}", flush=True)
    await ended.wait()
    server.close()


def main(words: Sequence[str] | None = None) -> None:
    """The command line of `python -m kerbline.sim.meter_source`."""
    parser = argparse.ArgumentParser(prog="kerbline.sim.meter_source", description=__doc__)
    parser.add_argument("--tcp", metavar="[HOST:]PORT", default="0", help="where; 0: a free port")
    parser.add_argument("--units", type=int, default=50, help="units 1 to this (50)")
    parser.add_argument("--registers", type=int, default=100, help="of each unit (100)")
    arguments = parser.parse_args(words)
    if not 1 <= arguments.units <= 247 or not 1 <= arguments.registers <= 65_536:
        parser.error("1 to 247 units of 1 to 65536 registers each")
    host, _, port = arguments.tcp.rpartition(":")
    try:
        units = registers(arguments.units, arguments.registers)
        asyncio.run(serve(host or "127.0.0.1", int(port), units))
    except (OSError, ValueError, OverflowError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
