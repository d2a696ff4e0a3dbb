"""Every message of commissioning: what it is and what to do; docs/operate/technician.md has them.

A message is named by its code, which scripts may rely on; `{...}` is what differs each time.
"""

from __future__ import annotations

from kerbline.errors import KerblineError

FAULTS = {
    # before the board is touched
    "missing": "{what} is missing; give {option}, or write {key} into the profile",
    "gateway_key": "{path}: {what}; give the file with what `kerbline gateway key` printed",
    "simulated": "{board} is a simulated board; take another --board",
    "micropython": "{path}: {what}; name the image for the chip with --micropython",
    "text": "{what} {shown}: one line of 1 to {most} characters is wanted; write it shorter",
    "name": "{what} {shown}: not of the right form; {remedy}",
    "asset_taken": (
        "asset {asset} has node {node} already ({where}, MAC {mac}); take another --asset, "
        "or give --replaces {node}, and let the gateway know: `kerbline replace`"
    ),
    "node_taken": (
        "node {node} is another board already ({where}, MAC {mac}); take another --node, or "
        "none: the next free id is found by itself"
    ),
    "no_node_id": "no id below {prefix} is free for this board; give one with --node",
    "bound": (
        "this board is bound to asset {asset} as node {node}, and {what} {shown} was asked for; "
        "leave that away to finish it, or begin anew with --again"
    ),
    # the board
    "board_busy": "another kerbline works on the board with MAC {mac}; wait for it, or end it",
    "port_taken": "another kerbline commissions the board at {port}; wait for it, or end it",
    "other_board": (
        "this is another board: MAC {there}, and {mac} was begun; plug {mac} in again, or start "
        "anew for this one"
    ),
    "works": (
        "a node works on this board, with up to {records} readings in its log; take another "
        "board, or give --again, which ends it: its key and readings are lost"
    ),
    "wrong_chip": "its chip is {there}, and {board} is for another one; take another --board",
    "encrypted": (
        "the board's {what} is on: it starts nothing of ours; take a board whose fuses are as made"
    ),
    "selftest": "the self-test failed: {what}; {remedy}, then run the same command again",
    # the proof
    "no_way": (
        "no way to the node's telemetry was given; plug an adapter into the node's line and give "
        "--line, or --gateway with the gateway's status.sock"
    ),
    "line": "{line}: {what}; is the adapter on the node's line, and nothing else?",
    "silent": (
        "the node sent no telemetry in {seconds} s on {line} ({heard}); look at its line's wires, "
        "A and B, TX and RX, and at the baud rate, then run the same command again"
    ),
    "gateway_away": (
        "the gateway can't be reached at {socket}: {what}; bring that in order, or give --line "
        "for a session on this laptop"
    ),
    "gateway_declined": (
        "the gateway declines the claim: {what}; mend that there, then run the same command again"
    ),
    "gateway_silent": (
        "the gateway has the claim and heard no measured record of node {node} in {seconds} s; is "
        "the node on the gateway's line? Then run the same command again"
    ),
    # this laptop
    "disk": (
        "{path}: {what}; make room there, or name a folder that you may write in XDG_STATE_HOME"
    ),
    "job_damaged": "{path}: damaged; move its folder away and begin anew",
    "records_busy": "{path}: another kerbline writes there; try again",
    "records_none": "{path}: there is no such file; commission a board first, or name an export",
    "records_to": "{path}: a folder; name a file for the export",
    "records_size": "{path}: too large to be a queue of records; name another file",
    "records_changed": (
        "{path}: line {line} was changed or is out of place: {what}; take the queue from a "
        "backup, and tell who keeps the records"
    ),
    "records_lost": (
        "{path}: {told} records were written, {found} are there: its end is lost; take the queue "
        "from a backup, and tell who keeps the records"
    ),
    "records_end": "{path}: damaged; take it and the queue beside it from a backup",
    "laptop_key": "the laptop's key: {what}; {remedy}",
    "label": "{text}: not a label of ours, or read wrongly; read the code again",
}

STEPS = {
    "detect": "who is there",
    "flash": "MicroPython and the node's program",
    "identity": "the node's id and a fresh key",
    "settings": "settings and key to the node",
    "selftest": "the board tests itself",
    "bind": "asset, place and technician",
    "label": "the label",
    "record": "the signed record",
    "proof": "first telemetry",
    "claim": "the sealed claim, and the key's end",
}

SAID = {
    "detect": "{chip}, {flash_mib} MiB of flash, MAC {mac}, on {slot}",
    "flash": "{how} in {seconds} s",
    "identity": "node {node}, with a key of its own",
    "settings": "the node has them, and starts",
    "selftest": "{good} checks good, {unmeasured} could not be made here",
    "bind": "asset {asset} at {location}, by {technician}",
    "label": "{payload}",
    "record": "record {line} of this laptop",
    "proof_laptop": "{kind_of_record} record {rseq} heard on this laptop",
    "proof_gateway": "heard at gateway {gateway_id}",
    "claim": "in {path}; on the node too, and the key is erased here",
    "stands": "done before",
    "would": "would be done",
    "end": "node {node} stands at asset {asset}",
    "end_before": (
        "node {node} stands at asset {asset} already; nothing was changed "
        "(--again begins a new life of this board)"
    ),
    "end_dry": "nothing was changed",
}

WARNINGS = {
    "clock": "{doubt}; set it: the records tell this beside their time, and the node is told none",
    "resumed": "node {node} was begun; goes on behind the step {step}",
    "other_job": (
        "another board was begun on this port and is not done: node {node}, MAC {mac}; "
        "its job waits for it"
    ),
    "key_lost": "the key of this job is gone; a fresh one is written to the node",
    "no_position": (
        "no place in degrees; nothing to do, but no sun contradicts a broken light sensor"
    ),
    "clear": "key and Wi-Fi password go through a network in clear to {port}; use a cable",
    "torn": "the last record was cut by a power failure; nobody was told of it, it is made anew",
}


class CommissionFault(KerblineError):
    """A named fault; `code` is one of FAULTS."""

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(FAULTS[code].format(**values))
        self.code = code
        self.exit_status = 2 if code in BEFORE else 1


BEFORE = (
    "missing",
    "gateway_key",
    "micropython",
    "simulated",
    "text",
    "name",
    "records_none",
    "records_to",
    "asset_taken",
    "node_taken",
    "no_node_id",
    "bound",
)
