"""A broker of one's own, as a child process that can be killed: nats-server or mosquitto."""

from __future__ import annotations

import asyncio
import shutil
import sys
from enum import StrEnum
from pathlib import Path

from kerbline.errors import KerblineError
from kerbline.sim import children

READY_TIMEOUT_S = 30.0
RETRY_S = 0.02
# CONNECT of MQTT 3.1.1 with a clean session, 10 s of keep-alive and no client id.
_CONNECT = bytes.fromhex("100c00044d5154540402000a0000")
_CONNACK_ACCEPTED = bytes.fromhex("20020000")

_NATS = """\
server_name: kerbline
listen: "127.0.0.1:-1"
# Without it the broker acknowledges what a power cut may still take.
jetstream {{ store_dir: "{folder}"{nats} }}
mqtt {{ listen: "127.0.0.1:{port}" }}
"""
_MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
# Ignored unless we are root; it would then leave us for a user who may not write here.
user root
persistence true
persistence_location {folder}/
{mosquitto}
"""


_SYNCED = {
    "nats": ", sync_interval: always",
    # Sessions and queued messages outlive SIGKILL: saved after each change, not every 30 minutes.
    "mosquitto": "autosave_on_changes true\nautosave_interval 1",
}


class BrokerFailed(KerblineError):
    """The broker did not come up; its log says why."""

    code = "broker_failed"


class BrokerKind(StrEnum):
    """The brokers that we test with."""

    NATS = "nats"
    MOSQUITTO = "mosquitto"


def program(kind: BrokerKind) -> Path | None:
    """Where the broker's program is: beside this Python, in the path, or nowhere."""
    if kind is BrokerKind.NATS:
        beside = Path(sys.executable).parent / "nats-server"
        found = str(beside) if beside.exists() else shutil.which("nats-server")
    else:
        found = shutil.which("mosquitto", path="/usr/local/sbin:/usr/sbin:/usr/bin:/usr/local/bin")
    return Path(found) if found else None


class Broker:
    """One broker with its data in `folder`, on `port` of 127.0.0.1.

    `synced`: what it acknowledged outlives its kill; else it is as fast as its makers ship it.
    `more` goes behind its config, in its own words.
    """

    def __init__(
        self, kind: BrokerKind, folder: Path, port: int, *, synced: bool = True, more: str = ""
    ) -> None:
        self.kind = kind
        self.folder = folder
        self.port = port
        self._tuning = _SYNCED if synced else dict.fromkeys(_SYNCED, "")
        self._more = more
        self._child: children.Child | None = None

    async def start(self) -> None:
        """Start, and return when it speaks MQTT; raises BrokerFailed."""
        path = program(self.kind)
        if path is None:
            raise BrokerFailed(f"there is no {self.kind} program here")
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        config = self.folder / "broker.conf"
        template = _NATS if self.kind is BrokerKind.NATS else _MOSQUITTO
        told = template.format(folder=data, port=self.port, **self._tuning)
        config.write_text(told + self._more)
        self._child = await children.start([path, "-c", config], self.folder / "broker.log")
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._ready(self._child)
        except TimeoutError:
            await self._child.kill()
        if not self._child.running:
            raise BrokerFailed(f"{self.kind} did not come up: see {self.folder / 'broker.log'}")

    async def kill(self) -> None:
        """SIGKILL."""
        if self._child:
            await self._child.kill()

    def forget(self) -> None:
        """Lose the disk, while it is not running: it starts as a new one."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    async def stop(self) -> None:
        """End in order."""
        if self._child:
            await self._child.end()

    async def _ready(self, child: children.Child) -> None:
        while child.running:
            if await self.answers():
                return
            await asyncio.sleep(RETRY_S)

    async def answers(self) -> bool:
        """Does it speak MQTT?"""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            writer.write(_CONNECT)
            return await reader.readexactly(4) == _CONNACK_ACCEPTED
        except (OSError, asyncio.IncompleteReadError):
            return False
        finally:
            writer.close()
