"""What every node must do, simulated or real: start, say who it is, report, obey."""

import asyncio

import pytest

from hil_tests.gateway_end import GatewayEnd, NodeSilent
from hil_tests.rig import Rig
from kerbwire import messages as m
from kerbwire.schema import by_hash

BOOT_S = 30.0
TIME_S = 60.0  # an offer that was long under way on a busy machine is not taken
UNKNOWN_OP = 99


async def time_known(node: GatewayEnd) -> None:
    """Returns once the node has taken our time offer: before that it obeys nothing (NO_TIME)."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + TIME_S
    while await node.command(m.OP_IDENTIFY, 1) == m.NO_TIME:
        if loop.time() > ends_s:
            raise NodeSilent(f"{node.node_id}: takes no time offer in {TIME_S} s")
        await asyncio.sleep(0.2)


def test_identity(rig: Rig) -> None:
    """INFO names a schema that we know, a firmware and a log."""
    info = rig.run(rig.node.connect(BOOT_S))
    assert by_hash(info.schema_hash) is not None
    assert info.firmware > 0
    assert info.messages_version == m.MESSAGES_VERSION
    assert 1 <= info.first_rseq <= info.next_rseq


def test_boot(rig: Rig) -> None:
    """A restart answers first, then makes a new boot of the same log, and reports itself."""

    async def restart(node: GatewayEnd) -> None:
        before = await node.connect(BOOT_S)
        await time_known(node)
        assert await node.command(m.OP_REBOOT) == m.OK
        node.forget()
        after = (await node.hear("UP", BOOT_S))[1]
        assert after.boot_id != before.boot_id
        assert after.epoch == before.epoch
        while True:
            _, kind, epoch, _, boot_id, _, values = await node.hear("RECORD", BOOT_S)
            if kind == m.EVENT and boot_id == after.boot_id and values[0] == m.EV_BOOT:
                assert epoch == after.epoch
                return

    rig.run(restart(rig.node))


def test_reading_comes_through(rig: Rig) -> None:
    """A report has the schema's fields, the present boot and a number of its own."""

    async def reading(node: GatewayEnd) -> None:
        info = await node.connect(BOOT_S)
        if info.period_s > rig.patience_s:
            pytest.skip(f"reports every {info.period_s} s; --patience is {rig.patience_s:g} s")
        schema = by_hash(info.schema_hash)
        assert schema is not None
        while True:
            _, kind, epoch, rseq, boot_id, uptime_s, values = await node.hear(
                "RECORD", rig.patience_s
            )
            if kind == m.REPORT and boot_id == info.boot_id:
                break
        assert epoch == info.epoch
        assert rseq >= info.first_rseq
        assert uptime_s >= 0
        assert len(values) == len(schema.fields)
        assert all(isinstance(value, int) for value in values)

    rig.run(reading(rig.node))


def test_command_comes_back(rig: Rig) -> None:
    """A command is carried out and answered; an operation that no node has is refused."""

    async def obey(node: GatewayEnd) -> None:
        await node.connect(BOOT_S)
        await time_known(node)
        assert await node.command(m.OP_IDENTIFY, 1) == m.OK
        assert await node.command(UNKNOWN_OP) == m.UNSUPPORTED

    rig.run(obey(rig.node))
