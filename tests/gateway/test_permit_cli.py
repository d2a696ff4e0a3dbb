"""Joining and replacing as a person does it: the commands, a gateway in a process, kills."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from click import ClickException
from click.testing import CliRunner

from kerbline.agent import STORE_FILE
from kerbline.cli import app
from kerbline.cli.permit import told_last, told_now
from kerbline.errors import KerblineError
from kerbline.keys import claim, gateway_key
from kerbline.keys.claim import Claim
from kerbline.local_socket import SOCKET_FILE
from kerbline.store import Store
from tests.gateway.pocket_node import DATAGRAM, PocketNode, connect_udp
from tests.gateway.test_south_nodes import free_udp_port

KEY = bytes(range(16))
FRESH = bytes(range(40, 56))
VALUES = (30, 245, 1000, 10, 12, 0)
LONG_S = 60.0
COMMAND = (sys.executable, "-m", "kerbline")


def written(folder: Path, port: int) -> Path:
    """A gateway with one node in its config."""
    key_file = folder / "sl-1.key"
    key_file.touch(mode=0o600)
    key_file.write_text(KEY.hex())
    config = folder / "gateway.toml"
    config.write_text(
        f"""[gateway]
id = "gw"
state_dir = "state"
[store]
commit_interval_s = 0.1
[udp]
listen = "127.0.0.1:{port}"
[[node]]
id = "sl-1"
asset = "lamp-1"
kind = "streetlight"
key_file = "sl-1.key"
port = "udp"
"""
    )
    return config


def claim_for(folder: Path, node: str, asset: str, key: bytes = FRESH) -> bytes:
    public = gateway_key.load_or_make(folder / "state").public
    return claim.seal(Claim(node, asset, "streetlight", key, 0, "udp", 1_790_000_000), public)


async def kerbline(*words: str | Path) -> tuple[int, str, str]:
    """Status and both outputs of a command."""
    process = await asyncio.create_subprocess_exec(*COMMAND, *words, stdout=-1, stderr=-1)
    async with asyncio.timeout(LONG_S):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def at_once(*words: str | Path) -> tuple[int, str, str]:
    """The same without a process, where nothing waits."""
    done = CliRunner().invoke(app, [str(word) for word in words], standalone_mode=False)
    match done.exception:
        case KerblineError() as error:
            return error.exit_status, done.stdout, str(error)
        case ClickException() as error:
            return error.exit_code, done.stdout, error.format_message()
    return int(done.return_value or 0), done.stdout, done.stderr


@asynccontextmanager
async def gateway(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """One that runs; killed at the end, if it still does."""
    log = (config.parent / "log.txt").open("ab")
    process = await asyncio.create_subprocess_exec(*COMMAND, "run", config, stderr=log)
    socket = config.parent / "state" / SOCKET_FILE
    try:
        async with asyncio.timeout(LONG_S):
            while not socket.exists():  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.02)
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        socket.unlink(missing_ok=True)
        log.close()


async def drained(node: PocketNode) -> None:
    async with asyncio.timeout(LONG_S):
        await node.drained.wait()


async def by_a_person(folder: Path) -> None:
    port = free_udp_port()
    config = written(folder, port)
    status, out, _ = at_once("gateway", "key", "--config", config)
    assert status == 0 and gateway_key.read_public(out)
    made = gateway_key.load(folder / "state")
    assert made is not None and gateway_key.fingerprint(made.public) in out
    node = PocketNode("sl-9", FRESH, framing=DATAGRAM)
    node.sealed = claim_for(folder, "sl-9", "lamp-9")
    node.make(*VALUES)
    transport, pumping = await connect_udp(node, port)
    async with gateway(config) as process:
        status, out, err = await kerbline("permit", config, "--seconds", "3", "--json")
        found = json.loads(out)
        assert (status, found["left_ms"], err) == (0, 0, "")
        assert [each["node_id"] for each in found["joined"]] == ["sl-9"]
        await drained(node)
        process.send_signal(signal.SIGKILL)
    node.make(*VALUES)
    async with gateway(config):
        await drained(node)  # after a kill it is ours without a window
    pumping.cancel()
    transport.close()
    status, _, err = at_once("permit", config)
    assert status == 1 and "no gateway runs here" in err


def test_a_node_joins_by_the_commands_and_outlives_a_kill(tmp_path: Path) -> None:
    asyncio.run(by_a_person(tmp_path))


async def interrupted(folder: Path) -> None:
    config = written(folder, free_udp_port())
    async with gateway(config):
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "permit", config, "--seconds", "600", stdout=-1, stderr=-1
        )
        log = folder / "log.txt"
        async with asyncio.timeout(LONG_S):
            while "open for 600 s" not in log.read_text():  # noqa: ASYNC110 - a file, too
                await asyncio.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        assert (process.returncode, err) == (1, b"")
        assert out.startswith(b"closed: 0 joined\n")
        assert "enrolment is closed: 0 joined" in log.read_text()
    status, _, refused = at_once("permit", config, "--seconds", "901")
    assert status == 2 and "901" in refused


def test_ctrl_c_closes_the_window(tmp_path: Path) -> None:
    asyncio.run(interrupted(tmp_path))


def test_claims_and_replacements_need_no_gateway(tmp_path: Path) -> None:
    """All but a window is done in the state folder; the next gateway finds it."""
    config = written(tmp_path, free_udp_port())
    file = tmp_path / "sl-9.claim"
    file.write_text(claim.to_text(claim_for(tmp_path, "sl-9", "lamp-1")))
    (tmp_path / "no.claim").write_text("hello")
    absent = tmp_path / "absent.claim"  # what is wrong with one file holds up no other
    status, out, err = at_once(
        "claims", "add", config, absent, tmp_path, file, tmp_path / "no.claim"
    )
    assert status == 1 and "sl-9 is known: lamp-1" in out and "it waits" in out
    assert "no.claim: this is no claim" in err and "absent.claim: can't be read: No such" in err
    assert "WAITS: kerbline replace CONFIG sl-1 sl-9" in at_once("claims", "list", config)[1]
    status, _, err = at_once("replace", config, "sl-0", "sl-9")
    assert status == 1 and "sl-0 is no node of ours; these are: sl-1" in err
    status, out, _ = at_once("replace", config, "sl-1", "sl-9", "--json")
    told = json.loads(out)
    assert status == 0 and told["serves"] and told["by"] == "sl-9" and told["asset"] == "lamp-1"
    status, out, _ = at_once("replace", config, "sl-1", "sl-9")
    assert status == 0 and "sl-9 serves lamp-1" in out and "[[node]] sl-1" in out
    _, _, err = at_once("check", config)
    assert "beside its nodes 1 joined by a claim: sl-9" in err
    status, out, _ = at_once("claims", "list", config)
    assert status == 0 and "sl-9  lamp-1" in out and "replaced by sl-9" in out
    status, _, err = at_once("replace", config, "sl-9", "sl-1")
    assert status == 1 and "commission sl-1 again" in err
    status, out, _ = at_once("claims", "remove", config, "sl-9")
    assert status == 0 and "commission it again" in out
    status, out, _ = at_once("claims", "list", config, "--json")
    found: dict[str, Any] = json.loads(out)
    assert not found["joined"] and [each["node_id"] for each in found["revoked"]] == [
        "sl-1",
        "sl-9",
    ]
    secrets = (KEY.hex(), FRESH.hex())
    for path in (tmp_path / "state").rglob("*"):
        if path.is_file():
            assert not any(each in path.read_text("ascii", "replace") for each in secrets), path


def test_a_wrong_call_is_answered_in_words(tmp_path: Path) -> None:
    for words in (("gateway", "key"), ("gateway", "key", "--state", "a", "--config", "b")):
        status, _, err = at_once(*words)
        assert status == 2 and "--state FOLDER or --config" in err
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "gateway.key").write_text("x")
    status, _, err = at_once("gateway", "key", "--state", tmp_path / "state")
    assert status == 1 and "chmod 600" in err


@pytest.mark.parametrize(
    ("waits", "online", "unserved", "said"),
    [
        (True, False, "", "it waits"),
        (False, True, "", "talks"),
        (False, False, "bus full", "not served: bus full"),
    ],
)
def test_a_window_tells_each_thing_once(
    *, waits: bool, online: bool, unserved: str, said: str
) -> None:
    joined = {
        "node_id": "sl-9",
        "asset": "lamp-9",
        "kind": "streetlight",
        "port": "udp",
        "waits": waits,
        "online": online,
        "unserved": unserved,
        "provision": True,
    }
    found: dict[str, Any] = {"joined": [joined], "said": ["no"], "refused": {"foreign": 2}}
    told: set[str] = set()
    lines = list(told_now(found, told))
    assert len(lines) == 2 and said in lines[0] and not list(told_now(found, told))
    last = "\n".join(told_last(found))
    serves = not waits and not unserved
    assert ("iota-provision" in last) == serves
    assert f"{int(serves)} joined" in last and "another gateway (2)" in last
    assert os.linesep not in lines[0]


def test_each_of_several_is_told_its_part() -> None:
    more = {"kind": "streetlight", "port": "udp", "waits": False, "online": True, "unserved": ""}
    joined = [
        {"node_id": f"sl-{number}", "asset": f"lamp-{number}", "part_of": ["dimming[1]"]} | more
        for number in (1, 2)
    ]
    lines = list(told_now({"joined": joined, "said": []}, set()))
    told = [line for line in lines if "dimming[1]" in line]
    assert told == ["  lamp-1 takes part: dimming[1]", "  lamp-2 takes part: dimming[1]"]


def test_nothing_is_changed_behind_a_gateway_that_begins(tmp_path: Path) -> None:
    """It has its store, and no socket yet: what it read of who joined would be out of date."""
    config = written(tmp_path, free_udp_port())
    file = tmp_path / "sl-9.claim"
    file.write_text(claim.to_text(claim_for(tmp_path, "sl-9", "lamp-9")))
    store = Store.open(tmp_path / "state" / STORE_FILE)
    status, _, err = at_once("claims", "add", config, file)
    assert status == 1 and "is in use" in err and "nothing was done; try again" in err
    assert "no node joined" in at_once("claims", "list", config)[1]
    store.close()
    assert at_once("claims", "add", config, file)[0] == 0
    assert "sl-9" in at_once("claims", "list", config)[1]
