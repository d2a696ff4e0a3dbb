"""Wi-Fi of an ESP32 with the stock image, and a socket to the gateway; only a UDP node loads it.

Nothing here waits for the radio: who can't be reached is asked for again later, each time after a
longer while, and the lamp's loop runs on.
"""

import asyncio
import socket

import network

from kerbwire.limits import DATAGRAM, FRAME_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Address = Any  # what getaddrinfo gives and connect takes

FIRST_WAIT_MS = 5000  # between two tries to join, doubling ...
LONGEST_WAIT_MS = 120_000  # ... up to here, and a random half more or less
JOIN_MS = 15_000  # that a try may take


class Wifi:
    """The station; `place` is the blob "wifi": ssid, a zero byte, password."""

    def __init__(self, place: bytes):
        self._place = place
        self._station = network.WLAN(network.STA_IF)
        self._joined = False
        self._wait_ms = 0
        self._next_ms = 0
        self._found: tuple[str, Address] | None = None  # the gateway's name, and its address

    def open(self, gateway: "tuple[str, int]", now: int, chance: int) -> "UdpLine":
        """A line at once, or OSError; `chance` of 0 to 255 spreads a street's nodes in time."""
        if not self._station.isconnected():
            self._joined = False
            if now >= self._next_ms:
                self._later(now, chance, JOIN_MS)
                self._join()
            raise OSError("no Wi-Fi")
        if not self._joined:
            self._joined = True
            self._wait_ms, self._next_ms = 0, now
        if self._found is None or self._found[0] != gateway[0]:
            if now < self._next_ms:
                raise OSError("no such host")
            self._later(now, chance, 0)
            address = socket.getaddrinfo(gateway[0], gateway[1], 0, socket.SOCK_DGRAM)[0][-1]
            self._found = (gateway[0], address)
        return UdpLine(self._found[1])

    def _join(self) -> None:
        ssid, _, password = self._place.partition(b"\x00")
        station = self._station
        station.active(False)
        station.active(True)
        station.config(pm=network.WLAN.PM_NONE)  # a sleeping radio answers a command 300 ms later
        station.connect(ssid.decode(), password.decode())

    def _later(self, now: int, chance: int, busy_ms: int) -> None:
        self._wait_ms = min(max(2 * self._wait_ms, FIRST_WAIT_MS), LONGEST_WAIT_MS)
        self._next_ms = now + busy_ms + self._wait_ms * (128 + chance) // 256


class UdpLine:
    """A socket connected to the gateway."""

    framing = DATAGRAM

    def __init__(self, address: "Address"):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(address)
        self._socket.setblocking(False)
        self._stream = asyncio.StreamReader(self._socket)

    async def read(self) -> bytes:
        """One datagram."""
        while True:
            data = await self._stream.read(FRAME_BYTES + 1)
            if data:
                return data

    def write(self, data: bytes) -> None:
        """One datagram."""
        self._socket.send(data)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
