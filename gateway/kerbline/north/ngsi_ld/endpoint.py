"""HTTP for whoever may ask us: one small server, bounded in everything; it knows no NGSI-LD.

h11 speaks the protocol (RFC 9112); connections, times and sizes are kept here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import h11
import orjson

MAX_CONNECTIONS = 32  # a broker keeps a few; what comes beyond is turned away
MAX_HEAD_BYTES = 16_384
MAX_BODY_BYTES = 65_536
HEAD_S = 5.0  # from a request's first byte, or the connection's begin, to the end of its head
BODY_S = 5.0
IDLE_S = 60.0  # between two requests of a connection
WRITE_S = 5.0
LINGER_S = 1.0  # so long we still read what is thrown away, so that the answer gets there
AGAIN_S = 5.0  # until a port that is taken is tried again
READ_BYTES = 8_192
ERRORS = "https://uri.etsi.org/ngsi-ld/errors/"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: the path's parts unquoted, headers by small letters."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def problem(status: int, reason: str, detail: str = "", kind: str = "", **more: object) -> Reply:
    """What went wrong, as RFC 7807 has it: `reason` is a stable word, `kind` the standard's."""
    body = {
        "type": ERRORS + kind if kind else "about:blank",
        "title": reason,
        "detail": detail or reason,
        "status": status,
        **more,
    }
    return Reply(status, orjson.dumps(body), {"content-type": "application/problem+json"})


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Our certificate, and whose clients' certificates we want, if any."""

    cert: Path
    key: Path | None = None
    client_ca: Path | None = None


class _Refused(Exception):
    """The request gets this answer, and the connection ends."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Endpoint:
    """`run` is its task. Whoever has no token is answered before his body is read."""

    def __init__(
        self,
        host: str,
        port: int,
        answer: Callable[[Asked], Awaitable[Reply]],
        *,
        token: str = "",
        tls: ServerTls | None = None,
        refused: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`token` "": the client's certificate says enough. `refused` is told each such status."""
        self._host = host
        self._port = port
        self._answer = answer
        self._token = token
        self._tls = tls
        self._refused = refused
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0  # where it listens
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled; a port that is taken is tried again and again."""
        said = ""
        while True:
            try:
                server = await asyncio.start_server(
                    self._connected,
                    self._host,
                    self._port,
                    limit=2 * MAX_HEAD_BYTES,
                    ssl=_context(self._tls) if self._tls else None,
                    ssl_handshake_timeout=HEAD_S if self._tls else None,
                )
            except OSError as error:  # and an SSLError is one
                if str(error) != said:
                    said = str(error)
                    _log.error("%s:%d can't be served: %s", self._host, self._port, said)
                await asyncio.sleep(AGAIN_S)
                continue
            break
        self.port = server.sockets[0].getsockname()[1]
        self.listening.set()
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            for writer in list(self._open):
                writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, h11.LocalProtocolError, TimeoutError):
            pass  # it went, or does not take what we say
        finally:
            self._open.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = h11.Connection(h11.SERVER, MAX_HEAD_BYTES)
        wait_s = HEAD_S
        while True:
            try:
                asked = await self._asked(wire, reader, writer, wait_s)
                if asked is None:
                    return
                reply = await self._answer(asked)
                await _send(wire, writer, reply, close=False)
            except _Refused as refused:
                self._refused(refused.reply.status)
                await _send(wire, writer, refused.reply, close=True)
                await _linger(reader)
                return
            except h11.RemoteProtocolError as error:
                if wire.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    said = problem(error.error_status_hint, "bad_request", str(error)[:200])
                    await _send(wire, writer, said, close=True)
                return
            if wire.our_state is h11.MUST_CLOSE:
                return
            wire.start_next_cycle()
            wait_s = IDLE_S

    async def _asked(
        self,
        wire: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        wait_s: float,
    ) -> Asked | None:
        """The next request; None when the peer has gone, or says nothing for `wait_s`."""
        head = await _head(wire, reader, wait_s)
        if head is None:
            return None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        self._admit(headers)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            raise _Refused(problem(413, "too_long", f"at most {MAX_BODY_BYTES} bytes"))
        if headers.get("content-encoding", "identity") != "identity":
            raise _Refused(problem(415, "unsupported_encoding", "bodies are to be plain"))
        if wire.they_are_waiting_for_100_continue:
            proceed = h11.InformationalResponse(status_code=100, headers=[])
            writer.write(wire.send(proceed) or b"")
        try:
            async with asyncio.timeout(BODY_S):
                body = await _body(wire, reader)
        except TimeoutError:
            raise _Refused(problem(408, "too_slow", "the body")) from None
        try:
            url = urlsplit(head.target.decode("ascii"))
            query = parse_qs(url.query, max_num_fields=100)
        except ValueError:
            raise _Refused(problem(400, "bad_request", "the address")) from None
        path = tuple(unquote(part) for part in url.path.split("/")[1:])
        return Asked(head.method.decode("ascii"), path, query, headers, body)

    def _admit(self, headers: Mapping[str, str]) -> None:
        """RFC 6750, 2.1; and FIWARE's header, which some brokers send."""
        if not self._token:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = headers.get("x-auth-token", "")
        if not hmac.compare_digest(given.strip().encode(), self._token.encode()):
            said = problem(401, "unauthorized", "no such token")
            more = {**said.headers, "www-authenticate": "Bearer"}
            raise _Refused(Reply(401, said.body, more))


async def _head(
    wire: h11.Connection, reader: asyncio.StreamReader, wait_s: float
) -> h11.Request | None:
    """A request's head, which has HEAD_S from its first byte on."""
    loop = asyncio.get_running_loop()
    began = False
    until_s = loop.time() + wait_s
    while (event := wire.next_event()) is h11.NEED_DATA:
        try:
            async with asyncio.timeout_at(until_s):
                data = await reader.read(READ_BYTES)
        except TimeoutError:
            if began:
                raise _Refused(problem(408, "too_slow", "the head")) from None
            return None
        if not data:
            return None
        if not began:
            began, until_s = True, min(until_s, loop.time() + HEAD_S)
        wire.receive_data(data)
    return event if isinstance(event, h11.Request) else None


async def _body(wire: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        event = wire.next_event()
        if event is h11.NEED_DATA:
            wire.receive_data(await reader.read(READ_BYTES))
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise _Refused(problem(413, "too_long", f"at most {MAX_BODY_BYTES} bytes"))
        else:
            return bytes(body)


async def _send(
    wire: h11.Connection, writer: asyncio.StreamWriter, reply: Reply, *, close: bool
) -> None:
    headers = [*reply.headers.items()]
    if reply.status != HTTPStatus.NO_CONTENT:
        headers.append(("content-length", str(len(reply.body))))
    if close:
        headers.append(("connection", "close"))
    said = wire.send(h11.Response(status_code=reply.status, headers=headers)) or b""
    with contextlib.suppress(h11.LocalProtocolError):  # of HEAD, which has no body: this ends it
        if reply.body:
            said += wire.send(h11.Data(reply.body)) or b""
        said += wire.send(h11.EndOfMessage()) or b""
    writer.write(said)
    async with asyncio.timeout(WRITE_S):
        await writer.drain()


async def _linger(reader: asyncio.StreamReader) -> None:
    """Read on for a moment: a close with unread bytes would take the answer with it."""
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(LINGER_S):
            while await reader.read(READ_BYTES):
                pass


def _context(tls: ServerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.cert, tls.key)
    if tls.client_ca is not None:
        context.load_verify_locations(tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
