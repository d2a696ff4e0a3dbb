#!/usr/bin/env python3
"""Keeps each reading of a city once in SQLite: consumer.py HOST PORT FILE [PREFIX]; paho-mqtt 2."""

import json
import sqlite3
import sys

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

TABLES = """PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
CREATE TABLE IF NOT EXISTS record (source TEXT, epoch INTEGER, n INTEGER, asset TEXT, kind TEXT,
    observed_at TEXT, body TEXT, PRIMARY KEY (source, epoch, n)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gap (source TEXT, epoch INTEGER, first INTEGER, last INTEGER,
    reason TEXT, UNIQUE (source, epoch, first, reason));
"""


def store(database: sqlite3.Connection, channel: str, told: dict) -> dict:
    """Writes one message, without what came before by its name; what an ack says of it."""
    of, first, last = (told["source"], told["epoch"]), told.get("first"), told.get("last")
    if channel == "gap":  # without an end it lasts for ever
        row = (*of, first, last or 2**63 - 1, told["reason"])
        database.execute("INSERT OR REPLACE INTO gap VALUES (?, ?, ?, ?, ?)", row)
        return {"source": of[0], "epoch": of[1], "gaps": [[first, last]]}
    records = told["readings"] if channel == "readings" else [told]
    for it in records:
        row = (*of, it["n"], told["asset"], it.get("kind", channel), it["observed_at"])
        write = "INSERT OR IGNORE INTO record VALUES (?,?,?,?,?,?,?)"
        database.execute(write, (*row, json.dumps(it)))
    return {"source": of[0], "epoch": of[1], "ranges": [[it["n"], it["n"]] for it in records]}


def main(host: str, port: str, file: str, prefix: str = "kerbline") -> None:
    """Serves until it is killed; what it acknowledged is on its disk."""
    database = sqlite3.connect(file, check_same_thread=False)
    database.executescript(TABLES)
    client = Client(CallbackAPIVersion.VERSION2, "city", clean_session=False, manual_ack=True)

    def connected(client: Client, *_: object) -> None:
        client.subscribe([(f"{prefix}/+/+/{end}", 1) for end in ("readings", "gap", "alarm")])

    def arrived(client: Client, _: object, message: MQTTMessage) -> None:
        *way, _, channel = message.topic.split("/")
        try:
            with database:  # commits; only then may the broker and the gateway forget it
                ack = store(database, channel, json.loads(message.payload))
            client.publish("/".join([*way, ack["source"], "ack"]), json.dumps(ack), qos=1)
        except (ValueError, KeyError, TypeError) as fault:
            print(f"{message.topic}: {fault!r}: left out", file=sys.stderr)
        client.ack(message.mid, message.qos)

    client.on_connect, client.on_message = connected, arrived
    client.reconnect_delay_set(1, 10)
    client.connect_async(host, int(port), keepalive=30)
    client.loop_forever(retry_first_connection=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
