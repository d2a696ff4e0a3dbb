"""What a client publishes over one MQTT connection, read from its bytes on their way.

Here is the order in which a gateway speaks. What a subscriber sees is also the broker's doing:
NATS sends again, after 30 s and behind what is newer, what a subscriber did not acknowledge.
"""

from __future__ import annotations

from collections.abc import Callable

CONNECT, PUBLISH = 1, 3  # packet types, MQTT 5, 2.1.2
VERSION_5 = 5


class Tap:
    """Calls `published` with topic and payload of each PUBLISH in the bytes that `take` gets."""

    def __init__(self, published: Callable[[str, bytes], None]) -> None:
        self._published = published
        self._bytes = bytearray()
        self._version = 0

    def take(self, data: bytes) -> None:
        """Bytes from the client; they may end anywhere."""
        self._bytes += data
        while (packet := self._packet()) is not None:
            head, body = packet
            if head >> 4 == CONNECT:
                self._version = body[2 + int.from_bytes(body[:2])]
            elif head >> 4 == PUBLISH:
                self._publish(head, body)

    def _packet(self) -> tuple[int, bytes] | None:
        """The next whole packet: its first byte, and what follows its length."""
        sized = _varint(self._bytes, 1)
        if sized is None or len(self._bytes) < sum(sized):
            return None
        size, start = sized
        packet = self._bytes[0], bytes(self._bytes[start : start + size])
        del self._bytes[: start + size]
        return packet

    def _publish(self, head: int, body: bytes) -> None:
        end = 2 + int.from_bytes(body[:2])
        start = end + 2 * bool(head & 0b110)  # a packet identifier, where there is a QoS
        if self._version == VERSION_5:
            size, start = _varint(body, start) or (0, start)
            start += size  # properties
        self._published(body[2:end].decode(), body[start:])


def _varint(data: bytes | bytearray, start: int) -> tuple[int, int] | None:
    """A Variable Byte Integer (MQTT 5, 1.5.5) and where it ends; None where more is to come."""
    value = 0
    for place, byte in enumerate(data[start : start + 4]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, start + place + 1
    return None
