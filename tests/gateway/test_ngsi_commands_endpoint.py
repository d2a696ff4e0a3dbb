"""The endpoint at which a broker asks us, before whoever means it ill or is broken."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kerbline.demo.stage import free_port
from kerbline.north.ngsi_ld.endpoint import (
    HEAD_S,
    MAX_BODY_BYTES,
    MAX_CONNECTIONS,
    MAX_HEAD_BYTES,
    Asked,
    Endpoint,
    Reply,
    ServerTls,
)
from tests.gateway.ngsi_orders_scene import ask
from tests.gateway.test_north_tls import Office

TOKEN = "secret"
GOOD = f"GET /a%20b/c?x=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()


async def echo(asked: Asked) -> Reply:
    """Tell what was asked."""
    said = f'"{asked.method} {asked.path} {len(asked.body)}"'
    return Reply(200, said.encode(), {"content-type": "application/json"})


def play(story: Callable[[Endpoint], Awaitable[None]], *, tls: ServerTls | None = None) -> None:
    async def whole() -> None:
        endpoint = Endpoint("127.0.0.1", 0, echo, token="" if tls else TOKEN, tls=tls)
        running = asyncio.create_task(endpoint.run())
        await endpoint.listening.wait()
        try:
            await story(endpoint)
        finally:
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(whole())


async def raw(endpoint: Endpoint, text: bytes) -> bytes:
    """Send it, and take what comes until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    writer.write(text)
    try:
        return await asyncio.wait_for(reader.read(), 60)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_requests_follow_each_other_on_one_connection() -> None:
    async def story(endpoint: Endpoint) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        writer.write(GOOD + GOOD)
        said = b"\"GET ('a b', 'c') 0\""
        for _ in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(len(said)) == said
        writer.close()

    play(story)


@pytest.mark.parametrize(("token", "status"), [(TOKEN, b"200"), ("other", b"401")])
def test_a_proxy_that_looks_whether_we_live_gets_a_head(token: str, status: bytes) -> None:
    async def story(endpoint: Endpoint) -> None:
        asked = GOOD.replace(b"GET", b"HEAD").replace(TOKEN.encode(), token.encode())
        head, _, body = (await raw(endpoint, asked)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 " + status)
        assert body == b""

    play(story)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (GOOD.replace(b"secret", b"secreT"), 401),
        (GOOD.replace(b"Bearer", b"Basic"), 401),
        (GOOD.replace(b"Authorization: Bearer", b"X-Auth-Token:"), 200),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 401),
        (b"\x16\x03\x01\x02\x00\x01" + bytes(64), 400),
        (b"nonsense\r\n\r\n", 400),
        (GOOD[:-2] + b"X: " + b"a" * 2 * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
        (GOOD[:-2] + b"Content-Length: 99999999999\r\n\r\n", 413),
        (GOOD[:-2] + b"Content-Length: -1\r\n\r\n", 400),
        (GOOD[:-2] + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", 415),
        (
            GOOD[:-2]
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + (b"2000\r\n" + b"a" * 0x2000 + b"\r\n") * (MAX_BODY_BYTES // 0x2000 + 1),
            413,
        ),
    ],
)
def test_what_is_too_much_or_not_allowed_is_answered_and_over(text: bytes, status: int) -> None:
    async def story(endpoint: Endpoint) -> None:
        last = (
            text
            if b"\r\nConnection" in text
            else text.replace(b"Host", b"Connection: close\r\nHost")
        )
        answer = await raw(endpoint, last)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]

    play(story)


def test_one_that_is_slow_is_dropped_and_holds_up_nobody() -> None:
    async def story(endpoint: Endpoint) -> None:
        began_s = time.monotonic()

        async def slowly() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
            reading = asyncio.create_task(reader.read())
            for at in range(len(GOOD)):
                if reading.done():
                    break
                writer.write(GOOD[at : at + 1])
                await asyncio.sleep(0.2)
            writer.close()
            return await reading

        slow = [asyncio.create_task(slowly()) for _ in range(MAX_CONNECTIONS - 2)]
        await asyncio.sleep(0.5)
        status, _ = await ask(
            "127.0.0.1", endpoint.port, "GET", "/x", authorization=f"Bearer {TOKEN}"
        )
        assert status == 200
        for answer in await asyncio.gather(*slow):
            assert answer.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began_s >= HEAD_S

    play(story)


def test_beyond_the_most_connections_whoever_comes_is_turned_away_until_one_goes() -> None:
    async def story(endpoint: Endpoint) -> None:
        open_ = [
            await asyncio.open_connection("127.0.0.1", endpoint.port)
            for _ in range(MAX_CONNECTIONS)
        ]
        await asyncio.sleep(0.1)
        assert await raw(endpoint, GOOD) == b""
        for _, writer in open_:
            writer.close()
        await asyncio.sleep(0.2)
        assert (await raw(endpoint, GOOD.replace(b"Host", b"Connection: close\r\nHost"))) != b""

    play(story)


def test_a_port_that_is_taken_is_served_when_it_is_free(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        port = free_port()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()
            endpoint = Endpoint("127.0.0.1", port, echo, token=TOKEN)
            running = asyncio.create_task(endpoint.run())
            await asyncio.sleep(0.2)
            assert not endpoint.listening.is_set()
        await asyncio.wait_for(endpoint.listening.wait(), 60)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(story())
    assert any("can't be served" in each for each in caplog.messages)


def test_with_a_ca_for_clients_a_certificate_says_who_may(tmp_path: Path) -> None:
    office = Office(tmp_path, "ca")
    office.issue("gateway")
    tls = ServerTls(tmp_path / "gateway.pem", tmp_path / "gateway.key", tmp_path / "ca.pem")

    async def story(endpoint: Endpoint) -> None:
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        context.check_hostname = False

        async def answered() -> bytes:
            where = ("127.0.0.1", endpoint.port)
            reader, writer = await asyncio.open_connection(*where, ssl=context)
            writer.write(GOOD)
            try:
                return await reader.readexactly(12)
            finally:
                writer.close()

        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await answered()
        context.load_cert_chain(tmp_path / "gateway.pem", tmp_path / "gateway.key")
        assert await answered() == b"HTTP/1.1 200"

    play(story, tls=tls)
