"""A node with a claim joins a running gateway in a window, and only then; it stays joined."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from kerbline.agent import STORE_FILE, run
from kerbline.config import Config, Gateway, Node, Store, Udp
from kerbline.config.enrolment import EnrolmentLine
from kerbline.keys import claim, gateway_key
from kerbline.keys.claim import Claim
from kerbline.local_socket import SOCKET_FILE, Declined, ask
from kerbline.model import Gap, Reading
from kerbline.store import Store as Log
from kerbline.store.entries import decoded
from kerbwire import claiming
from tests.gateway.pocket_node import DATAGRAM, STREAM, PocketNode, connect_udp, serve_tcp
from tests.gateway.test_south_nodes import free_udp_port

LONG_S = 60.0
KEY = bytes(range(16))
VALUES = (30, 245, 1000, 10, 12, 0)


def config_of(folder: Path, *nodes: Node, **more: Any) -> Config:
    return Config(
        Gateway("gw", folder / "state"),
        store=Store(commit_readings=1, commit_interval_s=0.05),
        nodes=nodes,
        **more,
    )


def sealed_for(folder: Path, node: str, asset: str, key: bytes = KEY, **more: Any) -> bytes:
    public = gateway_key.load_or_make(folder / "state").public
    fields: dict[str, Any] = {"generation": 0, "link": "udp", "made_s": 1_780_000_000} | more
    return claim.seal(Claim(node, asset, "streetlight", key, **fields), public)


class Asker:
    """The command line's end of the gateway's socket."""

    def __init__(self, state: Path) -> None:
        self._path = state / SOCKET_FILE

    async def __call__(self, what: str, **more: Any) -> dict[str, Any]:
        question = {"ask": what} | more
        return dict(await asyncio.to_thread(ask, self._path, question))

    async def until(self, fits: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        async with asyncio.timeout(LONG_S):
            while not fits(found := await self(what)):  # noqa: ASYNC110 - as the command line does
                await asyncio.sleep(0.02)
        return found


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Asker]:
    task = asyncio.create_task(run(config))
    path = config.gateway.state_dir / SOCKET_FILE
    try:
        async with asyncio.timeout(LONG_S):
            while not path.exists() and not task.done():  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.01)
        if task.done():
            task.result()
        yield Asker(config.gateway.state_dir)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def talking(node: PocketNode, port: int) -> AsyncIterator[None]:
    transport, pumping = await connect_udp(node, port)
    try:
        yield
    finally:
        pumping.cancel()
        transport.close()


async def drained(node: PocketNode) -> None:
    async with asyncio.timeout(LONG_S):
        await node.drained.wait()


def entries(folder: Path) -> list[Any]:
    store = Log.open(folder / "state" / STORE_FILE)
    try:
        return [entry for batch in store.read(0, 10_000) for entry in decoded(batch.body)]
    finally:
        store.close()


def joined_online(found: dict[str, Any]) -> bool:
    return bool(found["joined"]) and all(each["online"] for each in found["joined"])


def play(story: Callable[..., Awaitable[None]], *args: Any) -> None:
    async def told() -> None:
        await story(*args)

    asyncio.run(told())


async def from_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No word of the node anywhere: its claim, a window, and its readings are in the store."""
    port = free_udp_port()
    config = config_of(folder, udp=Udp(f"127.0.0.1:{port}"))
    node = PocketNode("sl-9", KEY, framing=DATAGRAM)
    by: dict[str, Any] = {"laptop": bytes(8), "technician": "Ann"}
    node.sealed = sealed_for(folder, "sl-9", "lamp-9", **by)
    node.make(*VALUES)
    async with running(config) as asked, talking(node, port):
        before = await asked.until(
            lambda found: found["counters"].get("nodes.unknown_node", 0) >= 2, "status"
        )
        assert not before["nodes"] and not node.permits
        await asked("permit", seconds=60, by="a technician")
        found = await asked.until(joined_online, "permit-status")
        (one,) = found["joined"]
        assert (one["node_id"], one["asset"], one["waits"]) == ("sl-9", "lamp-9", False)
        assert found["by"] == "a technician" and 0 < found["left_ms"] <= 60_000
        await drained(node)
        closed = await asked("permit-close")
        assert not closed["left_ms"]
        assert [each["node"] for each in (await asked("status"))["nodes"]] == ["sl-9"]
    (reading,) = [each for each in entries(folder) if isinstance(each, Reading)]
    assert (reading.asset, reading.key.source, reading.kind) == ("lamp-9", "sl-9", "streetlight")
    assert "enrolment is open for 60 s, by a technician" in caplog.text
    assert "enrolment is closed: 1 joined" in caplog.text
    assert "UTC, as it says by Ann on laptop 0000000000000000" in caplog.text
    assert KEY.hex() not in caplog.text

    # A restart, with no window: it is still ours.
    node.make(*VALUES)
    async with running(config) as asked, talking(node, port):
        await drained(node)
    assert len([each for each in entries(folder) if isinstance(each, Reading)]) == 2


def test_a_node_with_nothing_but_a_claim_joins_and_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    play(from_nothing, tmp_path, caplog)


async def no_window(folder: Path) -> None:
    """Without a window a claim is not even asked for; one that comes all the same is nothing."""
    port = free_udp_port()
    config = config_of(folder, udp=Udp(f"127.0.0.1:{port}"))
    node = PocketNode("sl-9", KEY, framing=DATAGRAM)
    node.sealed = sealed_for(folder, "sl-9", "lamp-9")
    node.session.claim = claiming.encode(node.name, node.sealed, 0)
    async with running(config) as asked, talking(node, port):
        found = await asked.until(
            lambda found: found["counters"].get("nodes.unknown_node", 0) >= 3, "status"
        )
        assert found["counters"]["claims.closed"] == 1
        assert not node.permits and not found["nodes"]
        await asked("permit", seconds=1, by="x")
        await asked.until(lambda found: not found["left_ms"], "permit-status")
        await asyncio.sleep(0.3)
        with pytest.raises(Declined, match="1 to 900"):
            await asked("permit", seconds=901)
        with pytest.raises(Declined, match="1 to 900"):
            await asked("permit", seconds="60")
        await asked("permit", seconds=60, by="one", only=["sl-1"])
        with pytest.raises(Declined, match="a window of one is open"):
            await asked("permit", seconds=60, by="two")


def test_without_a_window_nobody_joins(tmp_path: Path) -> None:
    play(no_window, tmp_path)


class Stranger(asyncio.DatagramProtocol):
    """Says what it is told to, and counts what it hears."""

    def __init__(self) -> None:
        self.said = self.heard = 0
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, _addr: object) -> None:
        self.heard += len(data)

    def say(self, data: bytes) -> None:
        assert self.transport is not None
        self.said += len(data)
        self.transport.sendto(data)


def changed(sealed: bytes) -> bytes:
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


async def attacked(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    port = free_udp_port()
    config = config_of(folder, udp=Udp(f"127.0.0.1:{port}"))
    good = sealed_for(folder, "sl-9", "lamp-9")
    foreign = claim.seal(
        Claim("sl-9", "lamp-9", "streetlight", KEY, 0, "udp", 1), bytes(range(9, 41))
    )
    async with running(config) as asked:
        loop = asyncio.get_running_loop()
        transport, stranger = await loop.create_datagram_endpoint(
            Stranger, remote_addr=("127.0.0.1", port)
        )
        await asked("permit", seconds=600, by="x")

        async def counts(**wanted: int) -> dict[str, Any]:
            def there(found: dict[str, Any]) -> bool:
                return all(found["refused"].get(name, 0) >= n for name, n in wanted.items())

            return await asked.until(there, "permit-status")

        for sealed in (foreign, foreign, changed(good), changed(good)):
            stranger.say(claiming.encode(b"sl-9", sealed, 0))
        await counts(foreign=2, forged=1, repeated=1)
        # In another's name; then as it is, twice.
        stranger.say(claiming.encode(b"sl-8", good, 0))
        await counts(forged=2)
        assert not (await asked("status"))["nodes"]
        # A flood: each claim has another ephemeral key and wants to be opened.
        flood = [sealed_for(folder, f"n-{n}", f"lamp-{n}", bytes([n] * 16)) for n in range(200)]
        for number, sealed in enumerate(flood):
            stranger.say(claiming.encode(f"n-{number}".encode(), changed(sealed), 0))
            if number % 20 == 0:
                await asyncio.sleep(0)
        await counts(busy=100)
        stranger.say(b"\x53\x00\x13\x01")
        assert stranger.heard == 0, "not a byte for any of it"
        found = await asked("status")
        assert not found["nodes"] and not (await asked("claims"))["joined"]
        transport.close()
    assert "was changed since it was sealed" in caplog.text
    assert caplog.text.count("a claim on udp did not help") < 30


async def spoofed(folder: Path) -> None:
    """Forged claims in a node's name do not keep the node itself out."""
    port = free_udp_port()
    config = config_of(folder, udp=Udp(f"127.0.0.1:{port}"))
    node = PocketNode("sl-9", KEY, framing=DATAGRAM)
    node.sealed = sealed_for(folder, "sl-9", "lamp-9")
    async with running(config) as asked:
        loop = asyncio.get_running_loop()
        transport, stranger = await loop.create_datagram_endpoint(
            Stranger, remote_addr=("127.0.0.1", port)
        )
        await asked("permit", seconds=600, by="x")
        for number in range(3):
            forged = sealed_for(folder, "sl-9", "lamp-9", bytes([number] * 16))
            stranger.say(claiming.encode(b"sl-9", changed(forged), 0))
        await asked.until(lambda found: found["refused"].get("forged", 0) == 3, "permit-status")
        async with talking(node, port):
            found = await asked.until(joined_online, "permit-status")
        assert [each["asset"] for each in found["joined"]] == ["lamp-9"]
        transport.close()


def test_forged_claims_in_its_name_keep_no_node_out(tmp_path: Path) -> None:
    play(spoofed, tmp_path)


def test_what_is_forged_foreign_or_floods_is_counted_and_not_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    play(attacked, tmp_path, caplog)


async def brought_by_hand(folder: Path) -> None:
    port = free_udp_port()
    config = config_of(folder, udp=Udp(f"127.0.0.1:{port}"))
    node = PocketNode("sl-9", KEY, framing=DATAGRAM)
    node.make(*VALUES)
    sealed = sealed_for(folder, "sl-9", "lamp-9")
    async with running(config) as asked, talking(node, port):
        with pytest.raises(Declined, match="was changed"):
            await asked("claims-add", sealed=changed(sealed).hex())
        added = await asked("claims-add", sealed=sealed.hex())
        assert (added["asset"], added["port"], added["waits"]) == ("lamp-9", "udp", False)
        assert await asked("claims-add", sealed=sealed.hex()) == added
        await drained(node)
        assert not node.permits
        await asked("claims-remove", node="sl-9")
        assert not (await asked("status"))["nodes"]
        with pytest.raises(Declined, match="revoked"):
            await asked("claims-add", sealed=sealed.hex())
        node.make(*VALUES)
        found = await asked.until(
            lambda found: found["counters"].get("nodes.unknown_session", 0) > 0, "status"
        )
        assert not found["nodes"]


def test_a_claim_brought_by_hand_needs_no_window(tmp_path: Path) -> None:
    play(brought_by_hand, tmp_path)


async def over_a_line(folder: Path) -> None:
    """A line of its own, which the config names for enrolment alone."""
    node = PocketNode("sl-9", KEY, framing=STREAM)
    node.sealed = sealed_for(folder, "sl-9", "lamp-9", link="uart")
    server = await serve_tcp(node)
    line = f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    config = config_of(folder, enrolments=(EnrolmentLine(line),))
    node.make(*VALUES)
    async with server:
        async with running(config) as asked:
            await asyncio.sleep(0.2)
            assert node.line is None, "nobody opens it out of a window"
            await asked("permit", seconds=60, by="x")
            found = await asked.until(joined_online, "permit-status")
            assert [each["port"] for each in found["joined"]] == [line]
            await drained(node)
        node.make(*VALUES)
        async with running(config):
            await drained(node)
        server.close()


def test_a_node_joins_on_a_line_that_the_config_names(tmp_path: Path) -> None:
    play(over_a_line, tmp_path)


async def replaced_live(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The lamp keeps its name; the old node is not heard any more, the new one is."""
    port = free_udp_port()
    key_file = folder / "sl-1.key"
    key_file.touch(mode=0o600)
    key_file.write_text(KEY.hex())
    own = Node("sl-1", "lamp-1", "streetlight", key_file, "udp")
    config = config_of(folder, own, udp=Udp(f"127.0.0.1:{port}"))
    old = PocketNode("sl-1", KEY, framing=DATAGRAM)
    fresh = bytes(range(60, 76))
    new = PocketNode("sl-9", fresh, framing=DATAGRAM, epoch=8)
    new.sealed = sealed_for(folder, "sl-9", "lamp-1", fresh)
    old.make(*VALUES)
    async with running(config) as asked, talking(old, port), talking(new, port):
        await drained(old)
        await asked("permit", seconds=60, by="x")
        found = await asked.until(lambda found: bool(found["joined"]), "permit-status")
        assert found["joined"][0]["waits"]
        told = await asked("replace", old="sl-1", new="sl-9")
        assert told["serves"] and told["asset"] == "lamp-1"
        old.make(*VALUES)
        old.begin_again()
        new.make(*VALUES)
        await drained(new)
        found = await asked.until(
            lambda found: found["counters"].get("nodes.revoked", 0) > 0, "status"
        )
        assert [(each["node"], each["asset"]) for each in found["nodes"]] == [("sl-9", "lamp-1")]
        with pytest.raises(Declined, match="commission sl-1 again"):
            await asked("replace", old="sl-9", new="sl-1")
        assert len(old.records) == 1
    for _ in range(2):  # a restart tells no second gap
        kept = entries(folder)
        assert [each.key.source for each in kept if isinstance(each, Reading)] == ["sl-1", "sl-9"]
        assert {each.asset for each in kept if isinstance(each, Reading)} == {"lamp-1"}
        gaps = [each for each in kept if isinstance(each, Gap)]
        (gap,) = [each for each in gaps if each.source != "gw"]
        assert (gap.source, gap.epoch, gap.last, gap.reason) == ("sl-1", 7, None, "replaced")
        async with running(config) as asked:
            nodes = (await asked("status"))["nodes"]
            assert [each["node"] for each in nodes] == ["sl-9"]
    assert "node sl-1: still there, but its key is revoked" in caplog.text


def test_a_replaced_node_leaves_its_lamp_and_its_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    play(replaced_live, tmp_path, caplog)
