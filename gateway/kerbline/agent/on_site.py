"""What a technician asks the running gateway at its own socket: reads and writes of Modbus units.

A write is a command like any other, of the source "operator/cli"; a read is a request on the bus.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from kerbline.agent import asking
from kerbline.agent.orders import Orders
from kerbline.clock import Clock
from kerbline.local_socket import Answer, Declined, Question
from kerbline.ports import PortLost

if TYPE_CHECKING:
    from kerbline.south.modbus.bus import Bus

READ_S = 5.0  # for its turn on the bus
LONGEST_WAIT_S = 300.0
SOURCE = "cli"


class OnSite:
    """Answers "modbus-read" and "modbus-write"."""

    def __init__(
        self,
        buses: Mapping[str, Bus],
        assets: Collection[str],
        orders: Orders,
        clock: Clock,
    ) -> None:
        """`assets` are those that take a write."""
        self._buses = buses
        self._assets = assets
        self._orders = orders
        self._clock = clock

    async def read(self, question: Question) -> Answer:
        """One read: of `bus`, `unit`, `function`, `address`, `count`; or 43 with `words`.

        Answers `words`, or `objects` by their numbers, or `fault` with what is `said` of it.
        """
        from kerbline.south.modbus.framing import (
            READS,
            BusFault,
            Function,
            Refused,
            Request,
            WrongRequest,
        )
        from kerbline.south.modbus.schedule import TooLate
        from kerbline.south.modbus.transaction import Priority

        bus = self._buses.get(str(question.get("bus")))
        if bus is None:
            raise Declined(f"no such bus here: {', '.join(self._buses) or 'there is none'}")
        unit, function, address, count = (
            _whole(question, key) for key in ("unit", "function", "address", "count")
        )
        if function not in (*READS.values(), Function.READ_DEVICE_IDENTIFICATION):
            raise Declined(f"function {function} does not read")
        words = question.get("words", [])
        if not isinstance(words, list) or not all(isinstance(word, int) for word in words):
            raise Declined("words: whole numbers are expected")
        request = Request(unit, function, address, count, tuple(words))
        priority = Priority.COMMAND if question.get("urgent") else Priority.FOREIGN
        try:
            response = await bus.transact(request, priority=priority, within_s=READ_S)
        except Refused as error:
            return {"fault": error.code, "exception": error.exception, "said": str(error)}
        except (BusFault, TooLate, PortLost, WrongRequest) as error:
            return {"fault": error.code, "said": str(error)}
        objects = {str(key): each.decode("latin-1") for key, each in response.objects.items()}
        return {"words": list(response.words), "objects": objects}

    async def write(self, question: Question) -> Answer:
        """Write `values` to `asset` within `within_s`; answers the command's id, state, reason."""
        asset, values = question.get("asset"), question.get("values")
        within_s = question.get("within_s")
        if not isinstance(asset, str) or asset not in self._assets:
            known = ", ".join(self._assets) or "none"
            raise Declined(f"no such asset with a register to write to; known here: {known}")
        if not isinstance(values, dict):
            raise Declined("values: an object is expected")
        if not isinstance(within_s, int | float) or not 0 < within_s <= LONGEST_WAIT_S:
            raise Declined(f"within_s: up to {LONGEST_WAIT_S:g} is expected")
        order = {
            "id": f"cli-{os.urandom(8).hex()}",
            "operation": "write",
            "arguments": values,
            "expires_at": self._clock.utc_ms() + int(1_000 * within_s),
            "priority": "operator",
            "source": SOURCE,
        }
        waiting = asking.Waiting()
        try:
            await asking.submit(self._orders, asset, order, waiting)
        except TypeError as error:  # a whole number of more than 64 bits
            raise Declined(f"values: {error}") from None
        result = await waiting.result
        told: dict[str, Any] = {"id": order["id"], "state": result.state, "reason": result.reason}
        return told


def _whole(question: Question, key: str) -> int:
    value = question.get(key, 0)
    if not isinstance(value, int):
        raise Declined(f"{key}: a whole number is expected")
    return value
