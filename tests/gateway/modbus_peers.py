"""A Modbus server of a library that we did not write: `modbus_peers.py LIBRARY tcp|PATH UNIT`.

It holds 1,000 + n in holding register n, 230.5 as a float in input registers 0 and 1, and ones in
coil 3 and discrete input 5. It prints "ready PORT", serves until a line comes in, and prints what
it holds then.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any

SIZE = 100
FLOAT = list(struct.unpack(">HH", struct.pack(">f", 230.5)))

Held = dict[str, list[int]]
Stop = Callable[[], Held]


def tables() -> Held:
    """What stands in the server at first."""
    return {
        "holding": [1_000 + n for n in range(SIZE)],
        "input": FLOAT + [0] * (SIZE - 2),
        "coil": [int(n == 3) for n in range(SIZE)],
        "discrete": [int(n == 5) for n in range(SIZE)],
    }


def serial_port(path: str) -> Any:
    """The line at a path, 19,200 baud."""
    import serial

    return serial.Serial(path, 19_200, timeout=1)


def umodbus(where: str, unit: int) -> tuple[int, Stop]:
    """Advanced Climate Systems' uModbus."""
    from socketserver import TCPServer

    from umodbus import conf
    from umodbus.server.serial import get_server as serial_server
    from umodbus.server.serial.rtu import RTUServer
    from umodbus.server.tcp import RequestHandler
    from umodbus.server.tcp import get_server as tcp_server

    conf.SIGNED_VALUES = False
    held = tables()
    if where == "tcp":
        TCPServer.allow_reuse_address = True
        server = tcp_server(TCPServer, ("127.0.0.1", 0), RequestHandler)
        port = server.server_address[1]
    else:
        server, port = serial_server(RTUServer, serial_port(where)), 0
    addresses = list(range(SIZE))

    for table, reads, writes in (
        ("coil", [1], [5, 15]),
        ("discrete", [2], []),
        ("holding", [3], [6, 16]),
        ("input", [4], []),
    ):

        def read(slave_id: int, function_code: int, address: int, table: str = table) -> int:
            del slave_id, function_code
            return held[table][address]

        def write(
            slave_id: int, function_code: int, address: int, value: int, table: str = table
        ) -> None:
            del slave_id, function_code
            held[table][address] = value

        server.route(slave_ids=[unit], function_codes=reads, addresses=addresses)(read)
        if writes:
            server.route(slave_ids=[unit], function_codes=writes, addresses=addresses)(write)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return port, lambda: held


def modbus_tk(where: str, unit: int) -> tuple[int, Stop]:
    """Luc Jean's modbus-tk."""
    from modbus_tk import defines, modbus_rtu, modbus_tcp

    if where == "tcp":
        bound = threading.Event()

        class Server(modbus_tcp.TcpServer):  # type: ignore[misc]
            def _do_init(self) -> None:  # it binds in its own thread
                super()._do_init()
                bound.set()

        server = Server(0, "127.0.0.1", error_on_missing_slave=False)
        server.start()
        bound.wait()
        port = server._sock.getsockname()[1]
    else:
        server = modbus_rtu.RtuServer(serial_port(where), error_on_missing_slave=False)
        server.start()
        port = 0
    slave = server.add_slave(unit)
    kinds = {
        "holding": defines.HOLDING_REGISTERS,
        "input": defines.ANALOG_INPUTS,
        "coil": defines.COILS,
        "discrete": defines.DISCRETE_INPUTS,
    }
    for name, words in tables().items():
        slave.add_block(name, kinds[name], 0, SIZE)
        slave.set_values(name, 0, words)

    def held() -> Held:
        return {name: [int(each) for each in slave.get_values(name, 0, SIZE)] for name in kinds}

    return port, held


def main() -> None:
    """The command line."""
    library, where, unit = sys.argv[1:]
    port, held = {"umodbus": umodbus, "modbus_tk": modbus_tk}[library](where, int(unit))
    print(f"ready {port}", flush=True)
    sys.stdin.readline()
    print(json.dumps(held()), flush=True)
    os._exit(0)  # its threads would go on for ever


if __name__ == "__main__":
    main()
