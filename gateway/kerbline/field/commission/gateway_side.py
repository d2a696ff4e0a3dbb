"""First telemetry at the gateway, asked at its own socket: here, or forwarded from there.

The socket is the gateway's status.sock (mode 0600 in its state folder): on the gateway itself, or
`ssh -L /tmp/gw.sock:/var/lib/kerbline/status.sock gateway` brings it to the laptop. The gateway
hears nothing of a node whose key it has not: so here the sealed claim goes before the proof.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerbline.field.commission.words import CommissionFault
from kerbline.local_socket import Answer, Declined, NotServing, ask

PAUSE_S = 0.5


def now_ms(socket: Path) -> int:
    """The gateway's UTC."""
    return int(_asked(socket, {"ask": "status"})["at_ms"])


def prove(
    socket: Path,
    sealed: bytes,
    port: str | None,
    node_id: str,
    since_ms: int,
    within_s: float,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Hand the claim over and wait for a record of the node that came after `since_ms`.

    That is the gateway's time. `port`: the node's line, where the gateway has several of its kind.
    """
    began = time.monotonic()
    joined = _asked(socket, {"ask": "claims-add", "sealed": sealed.hex(), "port": port})
    say(f"the gateway has the claim, and looks for the node on {joined.get('port')}")
    while time.monotonic() - began < within_s:
        status = _asked(socket, {"ask": "status"})
        for node in status["nodes"]:
            heard_ms = node.get("record_ms")
            if node["node"] == node_id and heard_ms is not None and heard_ms >= since_ms:
                return {
                    "where": "gateway",
                    "gateway_id": status["gateway"],
                    "record_ms": heard_ms,
                    "seconds": round(time.monotonic() - began, 1),
                }
        time.sleep(PAUSE_S)
    raise CommissionFault("gateway_silent", node=node_id, seconds=round(within_s))


def _asked(socket: Path, question: dict[str, object]) -> Answer:
    try:
        return ask(socket, question)
    except NotServing as fault:
        raise CommissionFault("gateway_away", socket=socket, what=fault) from None
    except Declined as fault:
        raise CommissionFault("gateway_declined", what=fault) from None
