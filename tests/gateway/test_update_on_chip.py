"""A whole node on a stock image takes a release over its line, tries it and confirms it."""

import asyncio
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from hil_tests.gateway_end import GatewayEnd
from hil_tests.rig import attached
from kerbline.bundle import parts
from kerbline.field import install
from kerbline.sim.repl import StockBoard
from kerbwire import manifest
from kerbwire import messages as m
from kerbwire.limits import BLOCK_BYTES
from tests.field import releases
from tests.gateway import boards_at_hand as at_hand
from tests.gateway.boards_at_hand import PATIENT_S

EXTRA = b"M\x06\x00\x1f nothing imports this " * 40


async def brought(gateway: GatewayEnd, kind: int, handle: int, data: bytes) -> None:
    """Offer an object and give its blocks until the node has them all."""
    objects = gateway._session.objects
    objects.offer(handle, kind, sha256(data).digest(), len(data), BLOCK_BYTES)
    while objects._outgoing:
        await gateway._pump_once()
        while (event := gateway._taken("WANTED")) is not None:
            at = event[2] * BLOCK_BYTES
            objects.give(handle, event[2], data[at : at + BLOCK_BYTES])


async def outcome(gateway: GatewayEnd) -> int:
    """The next that the node tells of an update."""
    while True:
        record = await gateway.hear("RECORD", PATIENT_S)
        values = record[-1]
        if record[1] == m.EVENT and values[0] == m.EV_UPDATE:
            return int(values[1])


def test_a_node_is_updated_over_its_line(tmp_path: Path, micropython: Path) -> None:
    key_file = tmp_path / "sl-0001.key"
    job = install.prepare("streetlight-esp32", at_hand.settings_file(tmp_path), key_file)
    key = releases.key()
    job = replace(job, root=key.root.hss)
    old = job.firmware.manifest
    wanted = manifest.decode(old)
    wanted.sequence = 5
    wanted.entries += (("kerbnode/unused.mpy", len(EXTRA), manifest.digest(EXTRA)),)
    new = manifest.encoded(wanted)
    held = {manifest.digest(data): data for data in job.firmware.files.values()}
    brings = parts.made(
        new, (held | {manifest.digest(EXTRA): EXTRA}).__getitem__, old, held.__getitem__
    )

    async def scenario() -> None:
        async with StockBoard(tmp_path, micropython) as board:
            await at_hand.installed(job, board)
            way = attached(board.line_url, 115_200, "sl-0001", key_file, tmp_path / "keys")
            async with way as gateway:
                info = await gateway.connect(PATIENT_S)
                assert info.build == manifest.build_id(old)
                await brought(gateway, m.OBJECT_UPDATE, 1, key.manifest(new))
                assert await outcome(gateway) == m.UPDATE_TAKEN
                await brought(gateway, m.OBJECT_PARTS, 2, brings)
                assert await outcome(gateway) == m.UPDATE_STAGED
                assert await gateway.command(m.OP_ACTIVATE) == m.OK
                await board.happens("reset")
            async with attached(
                board.line_url, 115_200, "sl-0001", key_file, tmp_path / "keys"
            ) as gateway:
                info = await gateway.connect(PATIENT_S)
                assert info.build == manifest.build_id(new)
                while (told := await outcome(gateway)) in (m.UPDATE_TAKEN, m.UPDATE_STAGED):
                    pass  # this gateway has not heard of it yet
                assert told == m.UPDATE_CONFIRMED
            blob = at_hand.blobs(board)["slots"]
            assert (blob[0], blob[1], blob[7]) == (1, 255, 5)

    asyncio.run(scenario())
