"""How the agent is: what was counted goes to the log once a minute, and life signs to systemd."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

from kerbline.counters import Counters

REPORT_S = 60.0

log = logging.getLogger("kerbline.health")


def difference(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """What was counted in between, "modbus.timeout +3 (7), ..."; empty if nothing was."""
    return ", ".join(
        f"{kind} +{count - before.get(kind, 0)} ({count})"
        for kind, count in sorted(after.items())
        if count != before.get(kind, 0)
    )


async def report(counters: Counters, every_s: float = REPORT_S) -> None:
    """Log what was counted every minute, and feed systemd's watchdog; runs until cancelled."""
    watchdog_s = _watchdog_s()
    before: Mapping[str, int] = {}
    loop = asyncio.get_running_loop()
    next_report = loop.time() + every_s
    while True:
        await asyncio.sleep(min(max(0.0, next_report - loop.time()), watchdog_s / 2))
        notify("WATCHDOG=1")
        if loop.time() >= next_report:
            next_report += every_s
            after = counters.totals()
            said = difference(before, after)
            if said:
                log.warning("in the last %.0f s: %s", every_s, said)
            before = after


def notify(state: str) -> bool:
    """Tell systemd ("READY=1", "STOPPING=1", "WATCHDOG=1"); False where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.connect("\0" + address[1:] if address[0] == "@" else address)
            sock.send(state.encode())
        except OSError as error:
            log.debug("systemd does not listen: %s", error)
            return False
    return True


def _watchdog_s() -> float:
    try:
        return max(0.1, int(os.environ["WATCHDOG_USEC"]) / 1e6)
    except (KeyError, ValueError):
        return 2 * REPORT_S
