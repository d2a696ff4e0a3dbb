"""The golden vectors of a polled bus: what a master says, and a node's answers."""

from typing import Any

from tools import second_wire as wire

ADDRESS = 7
ALL = 255


def bus(session: wire.Session, given: dict[str, Any]) -> list[dict[str, str]]:
    """Frames of one node's way onto a bus at ADDRESS; `session` is its session there."""
    digest = session.schema_hash
    named = wire.plain(
        wire.DOWN, ADDRESS, [1, session.generation, session.gateway_nonce, ADDRESS, session.node_id]
    )
    info = [3, 3, digest, given["boot_id"], given["epoch"], given["first_rseq"], given["next_rseq"]]
    info += [given["uptime_s"], given["period_s"], given["firmware"], given["command_id"]]
    info += [given["config_version"], bytes.fromhex(given["build"])]
    polls: list[tuple[str, wire.Items]] = [
        ("POLL for none", [7, 0, 0, 0, 0, 0]),
        ("POLL short", [7, 1]),
        ("POLL for four", [7, 0, 0, 4, 1, 3, 1, 0]),
    ]
    frames = [
        ("DISCOVER", wire.plain(wire.DOWN, ALL, [18, 0, 64, 32, 6])),
        ("HELLO? by name", wire.plain(wire.DOWN, ADDRESS, [2, 0, session.node_id])),
        ("HELLO", session.hello()),
        ("WELCOME by name", named + wire.mac(session.key, named + session.node_nonce)),
        ("INFO", session.seal(wire.UP, 1, 0, wire.body(info))),
    ]
    for fseq, (name, items) in enumerate(polls):
        frames.append((name, session.seal(wire.DOWN, 1, fseq, wire.body(items))))
    frames.append(("IDLE", session.seal(wire.UP, 1, 1, wire.body([10]))))
    # What a later version may put behind the items.
    more = (b"later", (1 << 64) - 1)
    asked = wire.plain(wire.DOWN, ADDRESS, [2, 0, session.node_id, *more])
    frames.append(("HELLO? by name, and later items", asked))
    searched = wire.plain(wire.DOWN, ALL, [18, 0, 64, 32, 6, *more])
    frames.append(("DISCOVER, and later items", searched))
    frames.append(("CALL of all", wire.plain(wire.DOWN, ALL, [22, 1, 247])))
    frames.append(
        ("CALL, and later items", wire.plain(wire.DOWN, ALL, [22, ADDRESS, ADDRESS, *more]))
    )
    event = session.seal(wire.UP, 0, 2, wire.body([5, 1, 0, 1805, 2, 1]))
    frames.append(("EVENT for a CALL", event))
    return [
        {"name": name, "frame": frame.hex(), "stream": wire.cobs(frame).hex()}
        for name, frame in frames
    ]
