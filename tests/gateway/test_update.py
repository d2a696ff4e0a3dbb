"""A release from the command line through a running gateway into nodes, by line and by UDP."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kerbline.agent.fleet.update_answers import Answers
from kerbline.agent.fleet.update_links import Links, whole_parts
from kerbline.agent.fleet.updates import Updates
from kerbline.bundle import Bundle, load, loads, parts
from kerbline.clock import Clock
from kerbline.config import Config, Gateway
from kerbline.config.firmware import Firmware
from kerbline.counters import Counters
from kerbline.keys import KeyRing
from kerbline.local_socket import SOCKET_FILE, Declined, NotServing, ask
from kerbline.south.nodes import Nodes
from kerbline.update.journal import Journal
from kerbwire.limits import BLOCK_BYTES, DATAGRAM
from kerbwire.messages import DIAG_BOARD
from tests import in_process
from tests.field import releases
from tests.gateway.test_south_nodes import free_udp_port
from tests.gateway.updating_node import UpdatingNode, connect_udp, serve_tcp

KEY = bytes(range(16))
LONG_S = 60.0
LOOK_S = 0.05
# Enough that it takes some blocks, and changed in two places.
CODE = bytes(number * number % 251 for number in range(3_000))
OLD_FILES = releases.with_files({"kerbnode/sense.mpy": b"M\x06\x00\x1f" + CODE})
NEW_FILES = releases.with_files(
    {"kerbnode/sense.mpy": b"M\x06\x00\x1f" + CODE[:1_000] + b"changed" + CODE[1_010:]}
)


class Scene:
    """A folder with a config, releases, and nodes that run the old one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "gateway.toml"
        self.root = releases.key().root
        (folder / "release.pub").write_text(self.root.text)
        self.old = self.release("old.kerb", sequence=7, files=OLD_FILES)
        self.nodes: dict[str, UpdatingNode] = {}
        self.ports: dict[str, str] = {}
        self.udp = free_udp_port()
        self.key = KEY.hex()

    def release(self, name: str, **changes: Any) -> Bundle:
        """A signed release in the folder."""
        path = self.folder / name
        path.write_bytes(releases.signed(**changes))
        return load(path, self.root)

    def newer(self, name: str = "new.kerb", **changes: Any) -> Bundle:
        """The next release, with what leads there from the old one."""
        made = {"sequence": 8, "files": NEW_FILES, **changes}
        new = loads(releases.unsigned(**made), "new", None)
        delta = parts.made(new.manifest_bytes, new.object, self.old.manifest_bytes, self.old.object)
        return self.release(name, **made, patches=((self.old, delta),))

    def node(self, name: str, port: str, **fields: Any) -> UpdatingNode:
        """A node of the config that runs the old release."""
        made: dict[str, Any] = {"manifest": self.old.manifest_bytes, "objects": self.old.objects}
        node = UpdatingNode(name, KEY, self.root.hss, **{**made, **fields})
        self.nodes[name], self.ports[name] = node, port
        return node

    def write(self, more: str = "") -> None:
        """The config."""
        key = self.folder / "node.key"
        key.write_text(self.key)
        key.chmod(0o600)
        text = '[gateway]\nid = "gw"\nstate_dir = "state"\n[store]\ncommit_interval_s = 0.1\n'
        text += f'[udp]\nlisten = "127.0.0.1:{self.udp}"\n'
        text += more or '[firmware]\nroot = "release.pub"\n'
        for name, port in self.ports.items():
            text += f'[[node]]\nid = "{name}"\nasset = "lamp-{name}"\nkind = "streetlight"\n'
            text += f'key_file = "node.key"\nport = "{port}"\n'
        self.config.write_text(text)

    def log(self) -> str:
        """What the gateway has logged."""
        return (self.folder / "gateway.log").read_text()

    async def said(self, verb: str, *rest: str) -> tuple[int, str]:
        """What `kerbline update` says; in this process, as hardly a test is about its start."""
        words = [self.folder / word if word.endswith(".kerb") else word for word in rest]
        status, out, error = await asyncio.to_thread(
            in_process.kerbline, "update", verb, self.config, *words, environment={}
        )
        return status, out + error

    async def said_by_itself(self, verb: str, *words: str) -> tuple[int, str]:
        """The same of a process of its own, which stands in the folder of the releases."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kerbline", "update", verb, str(self.config), *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self.folder,
        )
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode()

    async def abort(self) -> None:
        """At once: a command takes as long to start as some transfers last."""
        socket = self.folder / "state" / SOCKET_FILE
        await asyncio.to_thread(ask, socket, {"ask": "update-turn", "to": "abort"})

    async def status(self) -> dict[str, Any]:
        """The campaign as JSON."""
        socket = self.folder / "state" / SOCKET_FILE
        return dict(await asyncio.to_thread(ask, socket, {"ask": "update-status"}))

    async def until(
        self, fits: Callable[[dict[str, Any]], bool], within_s: float = LONG_S
    ) -> dict[str, Any]:
        """The status as soon as it fits."""
        for _ in range(int(within_s / LOOK_S)):
            try:
                if fits(found := await self.status()):
                    return found
            except (NotServing, Declined):  # it is starting
                pass
            await asyncio.sleep(LOOK_S)
        raise TimeoutError(self.log())

    async def up(self) -> None:
        """All nodes have their sessions."""
        for _ in range(int(LONG_S / LOOK_S)):
            if all(node.session.up for node in self.nodes.values()):
                return
            await asyncio.sleep(LOOK_S)
        raise TimeoutError(self.log())


@asynccontextmanager
async def gateway(scene: Scene) -> AsyncIterator[asyncio.subprocess.Process]:
    """A gateway of its own process, served until it answers; killed at the end."""
    log = (scene.folder / "gateway.log").open("ab")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kerbline", "run", str(scene.config)), stderr=log, stdout=log
    )
    log.close()
    try:
        await scene.until(lambda _: True)
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()


def run_is(run: str) -> Callable[[dict[str, Any]], bool]:
    return lambda found: found["campaign"] is not None and found["campaign"]["run"] == run


async def brought(folder: Path) -> None:
    scene = Scene(folder)
    image = bytes(range(250)) * 8
    new = scene.newer(image=image)
    line = scene.node("sl-1", "")
    server = await serve_tcp(line)
    scene.ports["sl-1"] = f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    air = scene.node("sl-2", "udp", framing=DATAGRAM)
    bare = scene.node("sl-3", "", manifest=b"", objects={})
    other = await serve_tcp(bare)
    scene.ports["sl-3"] = f"socket://127.0.0.1:{other.sockets[0].getsockname()[1]}"
    scene.write()
    async with server, other, gateway(scene):
        pump = await connect_udp(air, scene.udp)
        await scene.up()
        start = ("start", "new.kerb", "--stages", "100", "--soak", "0")
        code, out = await scene.said_by_itself(*start)
        assert code == 0 and "3 nodes, in stages of 3" in out, out
        await scene.until(run_is("ended"))
        _, said = await scene.said("status", "--all")
        for node in (line, air, bare):
            assert node.good == new.manifest_bytes and node.starts == [new.build]
            assert node.image == image
            assert all(node.flash.objects[d] == c for d, c in new.objects.items())
        for node in (line, air):
            assert node.blocks < bare.blocks  # the delta of the bundle, not all that there is
        assert "ENDED: 3 nodes run it, 0 failed; stage 1 of 1, 3 of 3 nodes" in said
        log = scene.log()
        assert "node sl-2: runs release 0.1.0" in log
        assert KEY.hex() not in log
        pump.cancel()


def test_a_release_reaches_nodes_over_a_line_and_over_udp(tmp_path: Path) -> None:
    asyncio.run(brought(tmp_path))


async def with_an_image(folder: Path) -> None:
    """Nothing but the parts' outcome asks for it; the gateway is killed on the way."""
    scene = Scene(folder)
    image = bytes(range(250)) * 50
    new = scene.newer(image=image)
    node = scene.node("sl-1", "")
    server = await serve_tcp(node)
    scene.ports["sl-1"] = f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    scene.write('[firmware]\nroot = "release.pub"\nline_share_pct = 80\n')
    async with server:
        async with gateway(scene):
            await scene.up()
            await scene.said("start", "new.kerb", "--stages", "100", "--soak", "0")
            found = await scene.until(lambda f: f["nodes"][0].get("block", 0) > 10)
            (told,) = found["nodes"]
            assert told["state"] == "image" and told["blocks"] == -(-len(image) // BLOCK_BYTES)
            assert 0 < told["left_s"] < LONG_S
            blocks = node.blocks
        async with gateway(scene):
            await scene.until(run_is("ended"))
    assert node.good == new.manifest_bytes and node.image == image
    assert node.blocks < blocks + told["blocks"], "it went on where it was"


@pytest.mark.nightly
def test_an_image_goes_after_the_parts_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    asyncio.run(with_an_image(tmp_path))


async def declined(scene: Scene, **question: Any) -> str:
    """What the gateway says to a start that it refuses."""
    socket = scene.folder / "state" / SOCKET_FILE
    asked = {"ask": "update-start", **question}
    with pytest.raises(Declined) as told:
        await asyncio.to_thread(ask, socket, asked, LONG_S)
    assert not (scene.folder / "state" / "updates" / "draft").exists()
    return str(told.value)


async def refused(folder: Path) -> None:
    scene = Scene(folder)
    following = releases.key("n").root
    new = scene.newer(next_root=following)
    node = scene.node("sl-1", "udp", framing=DATAGRAM)
    scene.write()
    good = str(folder / "new.kerb")
    (folder / "unsigned.kerb").write_bytes(releases.unsigned(sequence=9))
    (folder / "stranger.kerb").write_bytes(releases.signed(sequence=9, by="s"))
    scene.release("meter.kerb", sequence=9, board="water-meter-esp32")
    scene.release("expired.kerb", sequence=9, expires_s=1_000)
    cut = (folder / "new.kerb").read_bytes()[:-700]
    (folder / "cut.kerb").write_bytes(cut)
    copied = releases.copied("r", new.index).signed(releases.unsigned(sequence=9, version="0.2.0"))
    (folder / "copied.kerb").write_bytes(copied)
    async with gateway(scene):
        pump = await connect_udp(node, scene.udp)
        await scene.up()
        await scene.until(lambda _: "board streetlight" in scene.log())
        for name, reason in (
            ("unsigned.kerb", "[unsigned]; sign it"),
            ("stranger.kerb", "[wrong-root]; take the release.pub"),
            ("expired.kerb", "may no longer be installed [expired]"),
            ("cut.kerb", "[truncated]; fetch the bundle again"),
            ("meter.kerb", "is for board water-meter-esp32; sl-1 is streetlight-esp32"),
            ("none.kerb", "is no file that the gateway can see"),
            ("release.pub", "[not-a-bundle]"),
        ):
            said = await declined(scene, bundle=str(folder / name))
            assert said.startswith(str(folder / name)) and reason in said, said
        for more, reason in (
            ({"nodes": ["sl-1", "sl-9", "x"]}, "nodes: none of this gateway's: sl-9, x"),
            ({"assets": ["lamp-9"]}, "assets: none of this gateway's: lamp-9"),
            ({"zones": ["z1"]}, "zone: this gateway's config has no [city]"),
            ({"stages": "10,5"}, "stages: '10,5' is not like 1,10,100%"),
            ({"stages": "many"}, "is not like 1,10,100%"),
            ({"window": "25:00-26:00"}, "window: '25:00-26:00' is not like 01:00-04:30"),
            ({"soak_min": -1}, "soak: 0 to 43200 minutes"),
        ):
            assert reason in await declined(scene, bundle=good, **more)
        code, said = await scene.said("abort")
        assert (code, "there is no campaign" in said) == (1, True), said
        code, said = await scene.said("start", "new.kerb", "--nodes", " ,")
        assert (code, "--nodes names nothing" in said) == (2, True), said
        code, said = await scene.said("start", "new.kerb", "--window", "00:00-00:01")
        assert code == 0 and f"it hands them over to root {following}" in said, said
        assert "name its release.pub as next_root in the [firmware]" in said
        assert "one campaign at a time: the one for release 0.1.0 is running" in await declined(
            scene, bundle=good
        )
        for verb in ("pause", "resume", "abort"):
            code, said = await scene.said(verb)
            assert code == 0 and "release 0.1.0" in said, said
        code, said = await scene.said_by_itself("resume")
        assert code == 1 and "is aborted already" in said, said
        said = await declined(scene, bundle=str(folder / "copied.kerb"))
        assert f"one signature, index {new.index} of root {releases.key().root}" in said
        assert "release 0.1.0, build" in said and "release 0.2.0, build" in said
        assert KEY.hex() not in scene.log()
        pump.cancel()


def test_what_can_not_be_brought_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    asyncio.run(refused(tmp_path))


async def survived(folder: Path) -> None:
    """Killed in the middle of a transfer: it goes on where it was, and an older release is none."""
    scene = Scene(folder)
    new = scene.newer()
    node = scene.node("sl-1", "udp", framing=DATAGRAM)
    scene.write('[firmware]\nroot = "release.pub"\nline_share_pct = 2\n')
    async with gateway(scene):
        pump = await connect_udp(node, scene.udp)
        await scene.up()
        code, said = await scene.said("start", "new.kerb", "--soak", "0", "--json")
        assert code == 0, said
        await scene.until(lambda _: node.blocks >= 2)
    blocks = node.blocks
    assert node.good == scene.old.manifest_bytes
    async with gateway(scene):
        node.session.send_diag({DIAG_BOARD: node.board.encode()})  # so it is asked for a session
        node.changed.set()
        await scene.until(run_is("ended"))
        assert node.good == new.manifest_bytes
        delta = new.parts_from(scene.old.build)
        assert delta is not None
        whole = sum(-(-len(each) // BLOCK_BYTES) for each in (new.signed_manifest, delta))
        assert blocks < whole and node.blocks <= whole + 1
        scene.release("older.kerb", sequence=6)
        said = await declined(scene, bundle=str(folder / "older.kerb"))
        assert "its sequence 6 is not above 8, which sl-1 confirmed" in said
        pump.cancel()


def test_a_gateway_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    asyncio.run(survived(tmp_path))


async def ended(folder: Path) -> None:
    """An abort in a transfer: nothing is offered any more, and what came is not sent again."""
    scene = Scene(folder)
    new = scene.newer()
    node = scene.node("sl-1", "udp", framing=DATAGRAM)
    other = scene.node("sl-2", "udp", framing=DATAGRAM)
    scene.write('[firmware]\nroot = "release.pub"\nline_share_pct = 2\n')
    more = ("--soak", "0", "--stages", "50,100", "--nodes", "sl-1,sl-2")
    async with gateway(scene):
        pumps = [await connect_udp(each, scene.udp) for each in (node, other)]
        await scene.up()
        assert (await scene.said("start", "new.kerb", *more))[0] == 0
        await scene.until(lambda _: node.blocks + other.blocks >= 2)
        await scene.abort()
        found = await scene.status()
        assert [each["state"] for each in found["nodes"]] == ["given_up", "skipped"]
        await scene.until(lambda _: node.let_go + other.let_go == 1)
        before = node.blocks + other.blocks
        _, said = await scene.said("status", "--all")
        assert "1 given up, 1 left out" in said and "receiving" not in said
    async with gateway(scene):
        for each in (node, other):
            each.session.send_diag({DIAG_BOARD: each.board.encode()})
            each.changed.set()
        found = await scene.status()
        assert [each["state"] for each in found["nodes"]] == ["given_up", "skipped"]
        await scene.up()
        assert node.blocks + other.blocks == before
        begun = "sl-1" if node.blocks else "sl-2"
        code, said = await scene.said("start", "new.kerb", "--soak", "0", "--nodes", begun)
        assert code == 0, said
        await scene.until(run_is("ended"))
        delta = new.parts_from(scene.old.build)
        assert delta is not None
        whole = sum(-(-len(each) // BLOCK_BYTES) for each in (new.signed_manifest, delta))
        assert node.blocks + other.blocks <= whole + 1
        for pump in pumps:
            pump.cancel()


async def not_kept(folder: Path) -> None:
    scene = Scene(folder)
    scene.newer()
    scene.node("sl-1", "udp", framing=DATAGRAM)
    scene.write()
    async with gateway(scene):
        assert (await scene.said("start", "new.kerb"))[0] == 0
        journal = folder / "state" / "updates" / "campaign" / "progress.jsonl"
        journal.rename(folder / "kept")
        code, said = await scene.said("pause")
        assert code == 1 and "the disk does not take that: make room" in said
        (folder / "kept").rename(journal)
        code, said = await scene.said("abort")
        assert (code, said.count("disk")) == (0, 0)


def test_what_the_disk_does_not_take_of_a_persons_word_is_told(tmp_path: Path) -> None:
    asyncio.run(not_kept(tmp_path))


def test_an_aborted_campaign_leaves_nothing_on_its_way(tmp_path: Path) -> None:
    asyncio.run(ended(tmp_path))


async def handed_over(folder: Path) -> None:
    """Old root, a release that it signs and that names the next, then one that the next signs."""
    scene = Scene(folder)
    following = releases.key("n").root
    (folder / "next.pub").write_text(following.text)
    scene.newer(name="over.kerb", next_root=following)
    after = releases.signed(sequence=9, by="n", files=NEW_FILES)
    (folder / "after.kerb").write_bytes(after)
    nodes = [scene.node(f"sl-{n}", "udp", framing=DATAGRAM) for n in (1, 2)]
    scene.write('[firmware]\nroot = "release.pub"\nnext_root = "next.pub"\n')
    asking = folder / "state" / SOCKET_FILE

    async def brought(name: str, node: str, run: str = "ended") -> dict[str, Any]:
        question = {"bundle": str(folder / name), "nodes": [node], "stages": "100", "soak_min": 0}
        asked = {"ask": "update-start", **question}
        told = dict(await asyncio.to_thread(ask, asking, asked, LONG_S))
        return told | await scene.until(run_is(run))

    async with gateway(scene):
        pumps = [await connect_udp(each, scene.udp) for each in nodes]
        await scene.up()
        told = await brought("over.kerb", "sl-1")
        assert (told["next_root"], told["next_root_known"]) == (str(following), True)
        assert [each.root for each in nodes] == [following.hss, scene.root.hss]
        await brought("after.kerb", "sl-1")
        assert [each.confirmed for each in nodes] == [9, 7]
        # The one that missed it: refuses what comes after, takes the old root's, then that.
        told = await brought("after.kerb", "sl-2", "stopped")
        why = "refused: not signed by the release key that the node knows"
        assert told["nodes"][0]["why"].startswith(why)
        await asyncio.to_thread(ask, asking, {"ask": "update-turn", "to": "abort"})
        await brought("over.kerb", "sl-2")
        await brought("after.kerb", "sl-2")
        assert [each.confirmed for each in nodes] == [9, 9]
        for pump in pumps:
            pump.cancel()


def test_a_fleet_goes_over_to_the_next_root(tmp_path: Path) -> None:
    asyncio.run(handed_over(tmp_path))


async def missed(folder: Path) -> None:
    """The gateway knows who missed a hand-over, and says so before anybody refuses."""
    scene = Scene(folder)
    following = releases.key("n").root
    (folder / "next.pub").write_text(following.text)
    scene.newer(name="over.kerb", next_root=following)
    after = releases.signed(sequence=9, by="n", files=NEW_FILES)
    (folder / "after.kerb").write_bytes(after)
    scene.node("sl-1", "udp", framing=DATAGRAM)
    scene.write('[firmware]\nroot = "release.pub"\nnext_root = "next.pub"\n')
    async with gateway(scene):
        assert (await scene.said("start", "over.kerb"))[0] == 0
        assert (await scene.said("abort"))[0] == 0
        said = await declined(scene, bundle=str(folder / "after.kerb"))
        assert "is signed by the next root, which release 0.1.0 (sequence 8) brings" in said
        assert "that sl-1 did not confirm; bring it to them first" in said


def test_who_missed_a_hand_over_is_told_before_it_refuses(tmp_path: Path) -> None:
    asyncio.run(missed(tmp_path))


async def two_at_once(folder: Path) -> list[str]:
    """A start that comes while the draft of one that failed is being removed: its own would go."""
    firmware = Firmware(folder / "release.pub")
    config = Config(Gateway("gw", folder), firmware=firmware)
    clock = Clock()
    nodes = Nodes(config, KeyRing(folder / "keys"), clock, Counters())
    said: list[str] = []

    async def begun() -> None:
        with pytest.raises(Declined) as told:
            await answers.start({"bundle": str(folder / "none.kerb")})
        said.append(str(told.value))

    async def waiting(work: Callable[[], object]) -> object:
        if work == journal.forget_draft and not said:
            said.append("")
            await begun()
        return work()

    journal = Journal(folder)
    updates = Updates(journal, Links(nodes, firmware), clock, whole_parts, waiting)
    answers = Answers(config, updates, nodes, None, clock, waiting)
    await begun()
    return said


def test_of_two_starts_at_once_one_is(tmp_path: Path) -> None:
    _, other, first = asyncio.run(two_at_once(tmp_path))
    assert "another one is being begun" in other and "this gateway has no nodes" in first


def test_a_gateway_without_a_root_brings_nothing(tmp_path: Path) -> None:
    async def without() -> None:
        scene = Scene(tmp_path)
        scene.write("\n")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kerbline", "run", str(scene.config)),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            for _ in range(int(LONG_S / LOOK_S)):
                code, said = await scene.said("status")
                if "no gateway runs here" not in said:
                    break
                await asyncio.sleep(LOOK_S)
            assert code == 1 and "its config had no [firmware] when it started" in said
        finally:
            process.kill()
            await process.wait()

    asyncio.run(without())


async def lacking(folder: Path) -> None:
    """A delta is for what a node runs; one whose flash lost an object says so, and gets all."""
    scene = Scene(folder)
    new = scene.newer()
    node = scene.node("sl-1", "udp", framing=DATAGRAM)
    node.flash.objects.clear()
    scene.write()
    async with gateway(scene):
        pump = await connect_udp(node, scene.udp)
        await scene.up()
        assert (await scene.said("start", "new.kerb", "--assets", "lamp-sl-1"))[0] == 0
        await scene.until(run_is("ended"))
        assert node.good == new.manifest_bytes
        counted = await asyncio.to_thread(
            ask, folder / "state" / SOCKET_FILE, {"ask": "status"}, LONG_S
        )
        # No late word of one object is taken for the next one's; what is repeated may be counted.
        assert not {"nodes.object", "nodes.value"} & counted["counters"].keys()
        pump.cancel()


def test_a_node_that_lacks_what_a_delta_builds_on_gets_all(tmp_path: Path) -> None:
    asyncio.run(lacking(tmp_path))
