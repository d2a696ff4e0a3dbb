"""The forms that several sections of a config share: names, addresses, lines and speeds."""

from __future__ import annotations

from typing import Annotated

from kerbline.config.rules import Between, Matching, OneOf

DEFAULT_BAUD = 115_200
HOST_NAME = r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63}){0,40}"  # labels of DNS, dots between
HOST = rf"(\[[0-9a-fA-F:.]+\]|{HOST_NAME})"
PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"

# Names become topics, file names and entity ids: no dots, slashes, spaces or $ (gateway to broker)
Name = Annotated[
    str, Matching(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", "1 to 32 letters, digits, - and _")
]
NodeId = Annotated[  # the wire's NODE_ID_BYTES
    str, Matching(r"[A-Za-z0-9][A-Za-z0-9_-]{0,15}", "1 to 16 letters, digits, - and _")
]
Baud = Annotated[
    int, OneOf(1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)
]
Line = Annotated[
    str,
    Matching(
        rf"/[^\x00-\x20]{{1,250}}|socket://{HOST}:{PORT}", '"/dev/..." or "socket://host:port"'
    ),
]
Host = Annotated[
    str,
    Matching(
        rf"{HOST_NAME}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*",
        "a host name or an address; the port is a key of its own",
    ),
]
Personal = Annotated[str, OneOf("zones", "all")]  # what a sink gets of households
Percent = Annotated[int, Between(0, 100)]
TcpPort = Annotated[int, Between(1, 65_535)]
