"""A port whose errors do not tell a secret that stands in topics: an agent's key."""

from __future__ import annotations

from kerbline.north.port import Message, NotConnected, Port

MASK = "API-KEY"


class Masked:
    """A `Port`."""

    def __init__(self, port: Port, secret: str) -> None:
        self._port = port
        self._secret = secret

    async def connect(self) -> None:
        """Connect and subscribe; raises NotConnected."""
        try:
            await self._port.connect()
        except NotConnected as error:
            raise self._masked(error) from None

    async def publish(self, *messages: Message) -> None:
        """Return when the broker has taken charge of all of these; raises NotConnected."""
        try:
            await self._port.publish(*messages)
        except NotConnected as error:
            raise self._masked(error) from None

    async def receive(self) -> Message:
        """The next message; raises NotConnected."""
        try:
            return await self._port.receive()
        except NotConnected as error:
            raise self._masked(error) from None

    async def close(self) -> None:
        """Disconnect."""
        await self._port.close()

    def _masked(self, error: NotConnected) -> NotConnected:
        return NotConnected(str(error).replace(f"{self._secret}/", f"{MASK}/"))
