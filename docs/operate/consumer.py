#!/usr/bin/env python3
"""Keeps each reading of a city once, in SQLite: consumer.py HOST PORT FILE [PREFIX]; paho-mqtt 2."""

import json
import sqlite3
import sys

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

TABLES = """
CREATE TABLE IF NOT EXISTS record (source TEXT, epoch INTEGER, n INTEGER, asset TEXT, kind TEXT,
    observed_at TEXT, body TEXT, PRIMARY KEY (source, epoch, n)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gap (source TEXT, epoch INTEGER, first INTEGER, last INTEGER,
    reason TEXT, UNIQUE (source, epoch, first, reason));
"""
FOR_EVER = 2**63 - 1


def store(database: sqlite3.Connection, channel: str, told: dict) -> None:
    """Writes one message. What came before, by its name, is left out."""
    of = (told["source"], told["epoch"])
    if channel == "gap":
        row = (*of, told["first"], told["last"] or FOR_EVER, told["reason"])
        wider = "ON CONFLICT DO UPDATE SET last = max(last, excluded.last)"
        database.execute(f"INSERT INTO gap VALUES (?, ?, ?, ?, ?) {wider}", row)
        return
    for it in told["readings"] if channel == "readings" else [told]:
        name = (*of, it["n"], told["asset"], it.get("kind", channel), it["observed_at"])
        insert = "INSERT OR IGNORE INTO record VALUES (?, ?, ?, ?, ?, ?, ?)"
        database.execute(insert, (*name, json.dumps(it)))


def main(host: str, port: str, file: str, prefix: str = "kerbline") -> None:
    """Serves until it is killed; what was acknowledged to the broker is on the disk."""
    database = sqlite3.connect(file, check_same_thread=False)
    database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + TABLES)
    name = f"{prefix}-consumer".replace("/", "-")
    client = Client(CallbackAPIVersion.VERSION2, name, clean_session=False, manual_ack=True)

    def connected(client: Client, *_: object) -> None:
        client.subscribe([(f"{prefix}/+/+/{end}", 1) for end in ("readings", "gap", "alarm")])

    def arrived(client: Client, _: object, message: MQTTMessage) -> None:
        try:
            with database:  # commits; only then may the broker forget the message
                store(database, message.topic.rpartition("/")[2], json.loads(message.payload))
        except (ValueError, KeyError, TypeError) as fault:
            print(f"{message.topic}: {fault!r}: left out", file=sys.stderr)
        client.ack(message.mid, message.qos)

    client.on_connect, client.on_message = connected, arrived
    client.reconnect_delay_set(1, 30)
    client.connect_async(host, int(port), keepalive=30)
    client.loop_forever(retry_first_connection=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
