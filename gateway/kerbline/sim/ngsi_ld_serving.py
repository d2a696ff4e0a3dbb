"""The strict NGSI-LD broker as a process: `kerbline sim ngsi-ld`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from random import Random

from kerbline.errors import KerblineError
from kerbline.sim.ngsi_ld import Arrival, Fault, Request
from kerbline.sim.ngsi_ld_forward import Forwarder

SHARE = 0.1


class NotServed(KerblineError):
    """It can't be served so; the text says why."""


def chaos_of(text: str | None) -> Callable[[Request], Fault | None] | None:
    """Faults by a text SEED or SEED:SHARE; raises NotServed."""
    if text is None:
        return None
    seed, _, given = text.partition(":")
    try:
        share = float(given or SHARE)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise NotServed(f"--chaos {text}: write SEED or SEED:SHARE, a share of 0 to 1")
    chance = Random(seed)

    def fault(request: Request) -> Fault | None:
        return None if chance.random() >= share else chance.choice(_kinds(chance, request))

    return fault


def _kinds(chance: Random, request: Request) -> list[Fault]:
    """What may befall a request."""
    wish = {"retry-after": str(chance.randint(1, 5))}
    kinds = [
        Fault(status=429, headers=wish),
        Fault(status=503, headers=wish),
        Fault(status=503),
        Fault(status=500),
        Fault(lost="request"),
        Fault(lost="answer"),
        Fault(delay_s=chance.uniform(0.2, 3.0)),
    ]
    body = request.json
    if isinstance(body, list) and body:
        some = chance.sample(body, 1 + len(body) // 4)
        kinds.append(Fault(refused={str(each.get("id")): 503 for each in some}))
    return kinds


def run(host: str, port: int, fault: Callable[[Request], Fault | None] | None, token: str) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    asyncio.run(_serve(host, port, fault, token))


async def _serve(
    host: str, port: int, fault: Callable[[Request], Fault | None] | None, token: str
) -> None:
    broker = Forwarder(fault=fault)
    broker.token = token
    broker.told = _tell
    try:
        await broker.start(host, port)
    except OSError as error:
        raise NotServed(f"can't listen at {host}:{port}: {error.strerror}") from None
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    print(f"ready {broker.url}", flush=True)
    await stopped.wait()
    await broker.stop()


def _tell(arrival: Arrival) -> None:
    request = arrival.request
    what = f"{request.method} {request.path}: {arrival.status or 'no answer'}"
    entities = len({value.entity for value in arrival.values})
    count = f", {entities} entities, {len(arrival.values)} values" if entities else ""
    print(f"{request.at_s:.3f} {what}{count}", flush=True)
