"""How the gateway is, by its own word and its disk: nodes never heard, a full store, no gateway."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerbline.errors import KerblineError
from kerbline.field.doctor.finding import Finding, fault, good, note, unknown
from kerbline.field.doctor.joined import AGAIN
from kerbline.local_socket import SOCKET_FILE, Declined, NotServing, ask

MQTT = "mqtt"  # the sink whose broker is looked at itself
LEAST_FREE_BYTES = 64 << 20
ANSWER_S = 10.0
QUIET_S = 120.0  # a node greets every minute; before that nothing is to be said


@dataclass(frozen=True, slots=True)
class Line:
    """Where a node hangs."""

    node: str
    port: str
    bus: bool
    joined: bool = False  # by a claim


@dataclass(frozen=True, slots=True)
class Seen:
    """`status` is its answer, None where it does not serve; `free_bytes` None: no such folder.

    `may_ask` False: its socket is another user's.
    """

    config: str
    lines: Sequence[Line] = ()
    status: Mapping[str, Any] | None = None
    said: str = ""
    state_dir: str = ""
    free_bytes: int | None = None
    missing: Sequence[str] = field(default_factory=tuple)  # devices of lines that are not there
    may_ask: bool = True


def judge(seen: Seen) -> list[Finding]:
    """Every finding of that gateway."""
    found = _disk(seen)
    subject = f"gateway of {seen.config}"
    if not seen.may_ask:
        remedy = "ask as its own user: sudo -u USER kerbline doctor --config ..."
        return [*found, unknown("gateway_hidden", subject, "you may not ask it", remedy)]
    if seen.status is None and "timed out" in seen.said:
        what = f"it is there and does not answer ({seen.said})"
        return [*found, fault("gateway_stuck", subject, what, "see its log, and start it again")]
    if seen.status is None:
        what = f"it does not run ({seen.said})" if seen.said else "it does not run"
        remedy = f"kerbline run {seen.config}, or: sudo systemctl start kerbline; then its log"
        return [*found, fault("gateway_down", subject, what, remedy)]
    try:
        return _answered(seen, seen.status, found)
    except (LookupError, TypeError):
        what = "it answers as no gateway of this version does"
        return [
            fault("gateway_version", subject, what, "use the kerbline that it was started with")
        ]


def _answered(seen: Seen, status: Mapping[str, Any], disk: Sequence[Finding]) -> list[Finding]:
    """By its own word; LookupError or TypeError where that is not of this version."""
    subject = f"gateway {status['gateway']}"
    found = [good("gateway", subject, f"it runs, kerbline {status['version']}"), *disk]
    for sink in status["sinks"]:
        if not sink["connected"]:
            what = f"{sink['name']} is not connected, {sink['batches_behind']} batches wait"
            below = sink["name"] == MQTT
            remedy = "see the broker below" if below else f"the log tells why: {sink['name']}: ..."
            found.append(note("sink_waits", subject, what, remedy))
    unheard = [node for node in status["nodes"] if node["since_ms"] is None]
    counters = status["counters"]
    for node in unheard:
        found.append(_unheard(node["node"], seen, counters, up_s=status["up_s"]))
    silent = [n for n in status["nodes"] if n["since_ms"] is not None and not n["online"]]
    for node in silent:
        found.append(
            fault(
                "node_silent",
                f"node {node['node']}",
                "it was there, and is silent",
                "look at its power and its line; a lamp that shines by day and night runs without "
                "its gateway",
            )
        )
    online = len(status["nodes"]) - len(unheard) - len(silent)
    found += _strangers(counters, subject, seen.config)
    if status["nodes"]:
        found.append(good("nodes", subject, f"{online} of {len(status['nodes'])} nodes are there"))
    return found


def _disk(seen: Seen) -> list[Finding]:
    subject = f"disk of {seen.state_dir}"
    store = (seen.status or {}).get("store", {})
    if store.get("blocked"):
        what = f"the store can't write ({store['blocked']}), and keeps readings in memory meanwhile"
        return [fault("store_full", subject, what, "make room there, or move state_dir")]
    if seen.free_bytes is None:
        return []
    if seen.free_bytes < LEAST_FREE_BYTES:
        what = f"{seen.free_bytes / 1e6:.1f} MB are free"
        return [fault("store_full", subject, what, "make room there, or move state_dir")]
    return [good("disk", subject, f"{seen.free_bytes / 1e9:.1f} GB are free")]


def _unheard(node: str, seen: Seen, counters: Mapping[str, int], *, up_s: float) -> Finding:
    """Why a node was never heard, by what was counted; several nodes share the counters."""
    subject = f"node {node}"
    line = next((each for each in seen.lines if each.node == node), None)
    if line is not None and line.port in seen.missing:
        what = f"never heard: its line {line.port} is not there"
        return fault("line_missing", subject, what, "plug it in, or mend its port in the config")
    if counters.get("nodes.mac"):
        what = "never heard, and somebody greets whose key is not the one in key_file"
        if line is not None and line.joined:
            what = "never heard, and somebody greets with another key than that of its claim"
            return fault("key_misfit", subject, what, AGAIN)
        remedy = "put the node's key into its key_file: `kerbline commission` writes both anew"
        return fault("key_misfit", subject, what, remedy)
    if counters.get("nodes.generation") or counters.get("nodes.ratchet"):
        what = "never heard, and somebody greets with a key of another generation"
        remedy = "a backup was put back: give the node a new key, `kerbline commission`"
        return fault("generation", subject, what, remedy)
    if counters.get("nodes.unknown_node"):
        what = "never heard, and somebody greets who is not known on that line"
        remedy = (
            "is its node_id that of the [[node]], and its port the line where it hangs? "
            "`kerbline permit` lets one with a claim in"
        )
        return fault("unknown_node", subject, what, remedy)
    if counters.get("nodes.babble"):
        what = "never heard, and something talks on its line without being asked"
        remedy = 'are two nodes of one node_id on that line, or another master, or link = "uart"?'
        return fault("bus_address", subject, what, remedy)
    if counters.get("nodes.cobs") or counters.get("nodes.layout"):
        what = "never heard, and what comes is no frame"
        return fault("baud", subject, what, "is baud the same in its settings and the config?")
    if up_s < QUIET_S:
        return note("node_unheard", subject, "not heard yet", "the gateway is young: ask again")
    wires = "A and B swapped, no termination" if line and line.bus else "RX and TX not crossed"
    if line is not None and line.port == "udp":
        wires = "Wi-Fi not joined, another address in its settings, a firewall on this machine"
    what = "never heard, and nothing came on its line"
    return fault("node_unheard", subject, what, f"has it power? Then its line: {wires}")


def _strangers(counters: Mapping[str, int], subject: str, config: str) -> Iterator[Finding]:
    """Who came since the start, and is no node of this gateway's."""
    for name, what, remedy in (
        (
            "claims.closed",
            "a node says its claim, and no window was open",
            f"`kerbline permit {config} --seconds 60` lets it in",
        ),
        (
            "claims.foreign",
            "a claim for another gateway came",
            "let that node join there, or commission it with what `kerbline gateway key` prints",
        ),
        (
            "nodes.revoked",
            "a node whose key is revoked is still there",
            "take it away, or commission it again: it gets a fresh key",
        ),
    ):
        if counters.get(name):
            yield note(name, subject, f"{what} (counted: {counters[name]})", remedy)


def look(
    config_file: str, state_dir: Path, lines: Sequence[Line], within_s: float = ANSWER_S
) -> Seen:
    """Ask the gateway and look at its disk."""
    try:
        about = os.statvfs(state_dir)
        free: int | None = about.f_bavail * about.f_frsize
    except OSError:
        free = None
    missing = [each.port for each in lines if _is_gone(each.port)]
    status, said = None, ""
    try:
        status = ask(state_dir / SOCKET_FILE, {"ask": "status"}, within_s)
    except (NotServing, Declined) as error:
        said = str(error)
    except KerblineError as error:
        said = str(error)
    may = _may_ask(state_dir / SOCKET_FILE)
    return Seen(config_file, lines, status, said, str(state_dir), free, missing, may)


def _may_ask(socket: Path) -> bool:
    try:
        return not socket.exists() or os.access(socket, os.W_OK)
    except PermissionError:  # not even whether it is there
        return False


def _is_gone(port: str) -> bool:
    return port.startswith("/") and not Path(port).exists()
