"""What a node is told of itself: settings, service, a restart. Loaded for it, and gone again."""

import asyncio

from kerbnode import settings
from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.app import Node
    from kerbnode.hal.board import Line

SERVICE_S = 3600  # at most
LEAVE_S = 1
LONGEST_WAIT_MS = 5000
PROMPT_S = 120  # a debug build at the prompt, until the watchdog starts the node again


def configure(node: "Node", version: int, values: "dict[int, int | bytes]", now: int) -> int:
    """Take a CONFIG; its result's code. Another period needs a session that knows of it."""
    wanted = node.settings
    code = settings.configure(node.board.nvs, wanted, version, values)
    info = node.session.info
    if code == m.OK and info.config_version != wanted.config_version:
        info.config_version = wanted.config_version
        node.instruments.configure(wanted)
        node.sense.report_each(wanted.report_s)
        if info.period_s != wanted.report_s:
            info.period_s = wanted.report_s
            node.session.start(now)
    return code


def obey(node: "Node", op: int, args: "tuple[int, ...]") -> int:
    """An operation of `app.OWN_OPS`; its result's code."""
    if op == m.OP_REBOOT:
        node.leaving = True
        return m.OK
    if op == m.OP_SERVICE:
        if len(args) != 1 or not 0 <= args[0] <= SERVICE_S:
            return m.OUT_OF_RANGE
        serve(node, args[0])
        return m.OK
    try:
        from kerbnode import trial

        done = (trial.activate if op == m.OP_ACTIVATE else trial.go_back)(node)
    except (MemoryError, OSError):
        return m.FAILED
    node.leaving = node.leaving or done  # it may be leaving already
    return m.OK if done else m.FAILED


def serve(node: "Node", seconds: int) -> None:
    """Open the console for so long, or close it; told either way."""
    node.service_ms = node.board.monotonic_ms() + 1000 * seconds if seconds else None
    node.board.console(is_open=seconds > 0 or node.settings.build == "debug")
    node.tell(m.EV_SERVICE, seconds)


def prompt_s(node: "Node") -> int:
    """How long who interrupted the node may have its console."""
    if node.service_ms is None:
        return PROMPT_S
    return max(1, (node.service_ms - node.board.monotonic_ms()) // 1000)


async def leave(node: "Node", line: "Line") -> None:
    """Restart in good order; a line on which nodes have turns needs some time for the result."""
    saying = asyncio.create_task(_say(node, line))
    await asyncio.sleep(LEAVE_S)
    saying.cancel()
    node.stop()
    if node.rest is not None:
        node.rest.last()
    node.board.reset()


async def _say(node: "Node", line: "Line") -> None:
    """What is to go out, whenever it may."""
    try:
        while True:
            data = node.session.outgoing(node.board.monotonic_ms())
            if not data:
                await node.link_wake.wait(LONGEST_WAIT_MS)
                continue
            sending = line.write(data)
            if sending is not None:
                await sending
    except OSError:
        pass  # the far side is gone
