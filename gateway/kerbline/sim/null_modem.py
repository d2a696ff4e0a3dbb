"""Two TCP ports that are joined: what goes into one comes out of the other."""

from __future__ import annotations

import asyncio
from contextlib import suppress

CHUNK_BYTES = 4096


class NullModem:
    """Bytes that arrive where nobody is on the other side are lost, as on a cable."""

    def __init__(self) -> None:
        self._ends: tuple[set[asyncio.StreamWriter], ...] = (set(), set())

    async def first(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves a connection at one end."""
        await self._pump(reader, writer, *self._ends)

    async def second(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves a connection at the other."""
        await self._pump(reader, writer, *self._ends[::-1])

    def close(self) -> None:
        """Hang up at both."""
        for end in self._ends:
            for writer in end:
                writer.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        own: set[asyncio.StreamWriter],
        others: set[asyncio.StreamWriter],
    ) -> None:
        own.add(writer)
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                for other in others:
                    other.write(data)
        own.discard(writer)
        writer.close()
