"""States of orders before a broker that is away: which are forgotten when too many wait."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import cast

import orjson

from kerbline.north.ngsi_ld.answers import Again, Done, Verdict
from kerbline.north.ngsi_ld.change import Attribute, Change
from kerbline.north.ngsi_ld.courier import Courier
from kerbline.north.ngsi_ld.forms import Form
from kerbline.north.ngsi_ld.gate import Gate, Lane
from kerbline.north.ngsi_ld.reports import MAX_WAITING, Reports


def state(number: int) -> Change:
    urn = f"urn:ngsi-ld:DeviceOperation:x:{number}"
    return Change(urn, "DeviceOperation", {"operationStatus": Attribute("finished")})


class Away:
    """A way to a broker that fails once, while as much comes as can wait, and then takes all."""

    def __init__(self) -> None:
        self.reports: Reports | None = None
        self.took: list[str] = []
        self.whole = asyncio.Event()

    async def send(
        self, _path: str, body: bytes, _headers: Mapping[str, str], _names: Collection[str]
    ) -> Verdict:
        reports, self.reports = self.reports, None
        if reports is not None:
            for number in range(MAX_WAITING):
                reports.put(state(1_000 + number))
            return Again("away")
        self.took += [entity["id"].rpartition(":")[2] for entity in orjson.loads(body)]
        if len(self.took) == MAX_WAITING:
            self.whole.set()
        return Done()


def test_of_too_many_states_the_oldest_are_forgotten() -> None:
    async def story() -> list[str]:
        way = Away()
        lane = Lane(Gate(lambda: 0.0), (0.0, 0.0), lambda: 0.0)
        way.reports = reports = Reports(Form(), cast(Courier, way), lane)
        for number in range(3):
            reports.put(state(number))
        running = asyncio.create_task(reports.run())
        await asyncio.wait_for(way.whole.wait(), 60)
        running.cancel()
        return way.took

    assert asyncio.run(story()) == [str(1_000 + number) for number in range(MAX_WAITING)]
