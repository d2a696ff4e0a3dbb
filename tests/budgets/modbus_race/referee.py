"""The referee: a subscriber that counts values and their age, and is told when by lines on stdin.

    python -m tests.budgets.modbus_race.referee BROKER-PORT DIALECT TOPIC...

"begin" starts the count anew, "end" prints it as a line of JSON.
"""

from __future__ import annotations

import json
import math
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import orjson
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from kerbline.sim.meter_source import age_ms

# ThingsBoard's gateway asks its platform for these and waits; nothing of it is a limit.
LIMITS = {
    "maxPayloadSize": 65_536,
    "maxInflightMessages": 100,
    "rateLimits": {"messages": "", "telemetryMessages": "", "telemetryDataPoints": ""},
    "gatewayRateLimits": {"messages": "", "telemetryMessages": "", "telemetryDataPoints": ""},
}
RPC = "v1/devices/me/rpc/"

Seen = Iterator[tuple[int, int | None]]  # (values, what register 0 showed)


def _named(values: dict[str, object]) -> tuple[int, int | None]:
    """Of values by name, a range being one list."""
    count = sum(len(each) if isinstance(each, list) else 1 for each in values.values())
    first = values.get("r_0", values.get("r"))
    if isinstance(first, list):
        first = first[0]
    return count, first if isinstance(first, int) else None


def kerbline(told: dict[str, list[dict[str, dict[str, object]]]]) -> Seen:
    """Readings, each with its values."""
    for reading in told.get("readings", ()):
        yield _named(reading["values"])


def thingsboard(told: dict[str, list[dict[str, dict[str, object]]]]) -> Seen:
    """For each device a list of values of one time."""
    for rows in told.values():
        for row in rows:
            yield _named(row["values"])


def modpoll(told: dict[str, object]) -> Seen:
    """A device's values."""
    yield _named({name.partition("|")[0]: value for name, value in told.items()})


DIALECTS: dict[str, Callable[..., Seen]] = {
    "kerbline": kerbline,
    "thingsboard": thingsboard,
    "modpoll": modpoll,
}


class Count:
    """What came since `begin`."""

    def __init__(self, dialect: str) -> None:
        self._read = DIALECTS[dialect]
        self._lock = threading.Lock()
        self.begin()

    def begin(self) -> None:
        """Forget what came so far."""
        with self._lock:
            self._began = time.monotonic()
            self._values = 0
            self._messages = 0
            self._ages: list[int] = []

    def take(self, payload: bytes | bytearray, now_ns: int) -> None:
        """Count a message."""
        seen = list(self._read(orjson.loads(payload)))
        with self._lock:
            self._messages += 1
            for values, shown in seen:
                self._values += values
                if shown is not None:
                    self._ages.append(age_ms(shown, now_ns))

    def told(self) -> dict[str, float]:
        """Values a second, and the 50th and 99th percentile of their age in ms."""
        with self._lock:
            ages = sorted(self._ages) or [0]
            seconds = time.monotonic() - self._began
            return {
                "seconds": seconds,
                "values": self._values,
                "messages": self._messages,
                "p50_ms": ages[len(ages) // 2],
                "p99_ms": ages[math.ceil(0.99 * len(ages)) - 1],
            }


def _acknowledge_at_once(client: paho.Client) -> None:
    """A broker with Nagle's algorithm on holds its next message for TCP's ack of this: 40 ms."""
    sock = client.socket()
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def main(port: int, dialect: str, topics: list[str]) -> None:
    """Count until stdin ends."""
    count = Count(dialect)

    def take(client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        now_ns = time.time_ns()
        _acknowledge_at_once(client)
        if message.topic.startswith(RPC):
            asked = message.topic.removeprefix(RPC + "request/")
            client.publish(f"{RPC}response/{asked}", json.dumps(LIMITS), qos=1)
            return
        count.take(message.payload, now_ns)

    client = paho.Client(CallbackAPIVersion.VERSION2, "referee", protocol=paho.MQTTv311)
    client.on_message = take
    client.on_connect = lambda one, *_: one.subscribe(
        [(topic, 0) for topic in (*topics, RPC + "request/+")]
    )
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for line in sys.stdin:
        if line.strip() == "begin":
            count.begin()
        else:
            print(json.dumps(count.told()), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
