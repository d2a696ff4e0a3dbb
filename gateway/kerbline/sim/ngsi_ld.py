"""A strict NGSI-LD broker in memory on a real socket, with faults by order; all is on record.

Times are the loop's seconds: it lives in virtual time as well.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import h11

from kerbline.sim.ngsi_ld_state import (
    ERRORS,
    MAX_BYTES,
    MAX_ENTITIES,
    Entities,
    Unfit,
    Value,
    check_entity,
    values_of,
)

UPSERT = "/ngsi-ld/v1/entityOperations/upsert"
TEMPORAL = "/ngsi-ld/v1/temporal/entities"
ENTITIES = "/ngsi-ld/v1/entities"
TOKEN = "/token"
READ_BYTES = 65_536
_JSON = ("content-type", "application/json")


@dataclass(frozen=True, slots=True)
class Request:
    """What came: headers have small letters, the body is plain."""

    at_s: float
    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """The body as JSON, None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request, from top to bottom."""

    delay_s: float = 0.0
    proxy_s: float = 0.0  # then a proxy answers 504; behind it the request is taken all the same
    lost: Literal["", "request", "answer"] = ""  # the connection ends before or after it is taken
    silent: bool = False  # taken, and never answered
    status: int = 0  # answered so, and not taken
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"type":"https://uri.etsi.org/ngsi-ld/errors/InternalError","title":"by order"}'
    refused: Mapping[str, int] = field(default_factory=dict)  # of a batch, by id, in a 207


@dataclass(frozen=True, slots=True)
class Answer:
    """What a broker says; `taken`: the values that it now has."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    taken: tuple[Value, ...] = ()


@dataclass(slots=True)
class Arrival:
    """One request on record, and what became of it."""

    request: Request
    values: tuple[Value, ...]  # all that were in it
    taken: tuple[Value, ...] = ()
    taken_s: float = 0.0
    status: int = 0  # 0: no answer went out
    headers: Mapping[str, str] = field(default_factory=dict)
    answered_s: float = 0.0
    came_as: int = 0  # events of the record count from 1: in virtual time many share a moment
    taken_as: int = 0
    answered_as: int = 0

    @property
    def is_acknowledged(self) -> bool:
        """Did an answer go out that tells what was taken?"""
        return 200 <= self.status < 300


Handler = Callable[[Request], Answer]


class Standin:
    """The broker; `url` is known once it has started. Its moods may be changed at any time."""

    def __init__(self, fault: Callable[[Request], Fault | None] | None = None) -> None:
        self.fault = fault or (lambda _: None)
        self.tenants: dict[str, Entities] = {}
        self.arrivals: list[Arrival] = []
        self.token = ""  # who comes without it is answered 401; empty: anybody may
        self.routes: dict[tuple[str, str], Handler] = {
            ("POST", UPSERT): self._upsert,
            ("POST", TEMPORAL): self._temporal,
            ("POST", TOKEN): self._token,
        }
        self.url = ""
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}
        self._stopped = asyncio.Event()
        self._behind: set[asyncio.Task[None]] = set()  # a proxy that gave up
        self._event = count(1)
        self.told: Callable[[Arrival], None] = lambda _: None  # each request when it is over

    @property
    def entities(self) -> Entities:
        """Those without a tenant."""
        return self.tenants.setdefault("", Entities())

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        """Listen; port 0 is any."""
        self._server = await asyncio.start_server(self._serve, host, port, ssl=tls)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"{'https' if tls else 'http'}://{host}:{port}"

    async def stop(self) -> None:
        """Go away, cutting every connection; what came stays on record."""
        if self._server is not None:
            self._server.close()
            self._stopped.set()
            clients = dict(self._clients)
            for writer in clients:
                writer.transport.abort()
            await asyncio.gather(*[task for task in clients.values() if task])
            for task in self._behind:
                task.cancel()
            await self._server.wait_closed()
            self._stopped = asyncio.Event()

    def acknowledged(self) -> Counter[tuple[str, str, str]]:
        """How often each value was taken and its answer sent, by key."""
        return Counter(
            value.key for each in self.arrivals if each.is_acknowledged for value in each.taken
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients[writer] = asyncio.current_task()
        wire = h11.Connection(h11.SERVER)
        try:
            while request := await _request(wire, reader):
                arrival = Arrival(request, _values(request), came_as=next(self._event))
                self.arrivals.append(arrival)
                goes_on = await self._meet(arrival, wire, reader, writer)
                self.told(arrival)
                if not goes_on:
                    break
                wire.start_next_cycle()
        except (ConnectionError, ssl.SSLError, h11.RemoteProtocolError, h11.LocalProtocolError):
            pass
        finally:
            del self._clients[writer]
            writer.close()

    async def _meet(
        self,
        arrival: Arrival,
        wire: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Judge one request; does the connection go on?"""
        request = arrival.request
        fault = self.fault(request) or Fault()
        if fault.proxy_s:
            self._behind.add(asyncio.create_task(self._take(arrival, fault)))
            await asyncio.sleep(fault.proxy_s)
            self._say(Answer(504), arrival, wire, writer)
            return True
        await asyncio.sleep(fault.delay_s)
        if fault.lost == "request":
            writer.transport.abort()
            return False
        if fault.status:
            answer = Answer(fault.status, fault.body, fault.headers)
        else:
            answer = await self.judge(request, fault)
        self._took(answer, arrival)
        if reader.at_eof():  # nobody waits for the answer any more
            return False
        if fault.lost == "answer":
            writer.transport.abort()
            return False
        if fault.silent:
            await self._stopped.wait()
            return False
        self._say(answer, arrival, wire, writer)
        return True

    async def _take(self, arrival: Arrival, fault: Fault) -> None:
        await asyncio.sleep(fault.delay_s)
        self._took(await self.judge(arrival.request, fault), arrival)

    def _took(self, answer: Answer, arrival: Arrival) -> None:
        arrival.taken = answer.taken
        arrival.taken_s = asyncio.get_running_loop().time()
        arrival.taken_as = next(self._event)

    def _say(
        self, answer: Answer, arrival: Arrival, wire: h11.Connection, writer: asyncio.StreamWriter
    ) -> None:
        headers = [
            *answer.headers.items(),
            ("content-length", str(len(answer.body))),
            *([_JSON] if answer.body and "content-type" not in answer.headers else []),
        ]
        said = wire.send(h11.Response(status_code=answer.status, headers=headers))
        said = (said or b"") + (wire.send(h11.Data(answer.body)) or b"")
        arrival.status, arrival.headers = answer.status, answer.headers
        arrival.answered_s = asyncio.get_running_loop().time()
        arrival.answered_as = next(self._event)
        writer.write(said + (wire.send(h11.EndOfMessage()) or b""))

    async def judge(self, request: Request, fault: Fault) -> Answer:
        """What is said to a request; a broker that asks others as well does so here."""
        return self._judged(request, fault)

    def _judged(self, request: Request, fault: Fault) -> Answer:
        handler = self.routes.get((request.method, request.path))
        if handler == self._token:
            return self._token(request)
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return problem(401, "InvalidRequest", "no such token")
        if handler is None:
            return self._read(request)
        if len(request.body) > MAX_BYTES:
            return problem(413, "InvalidRequest", f"more than {MAX_BYTES} bytes")
        if request.json is None:
            return problem(400, "InvalidRequest", "no JSON")
        try:
            _check_context(request)
        except Unfit as why:
            return problem(400, "BadRequestData", str(why))
        if handler == self._upsert:
            return self._upsert(request, fault.refused)
        return handler(request)

    def _kept(self, request: Request) -> Entities:
        return self.tenants.setdefault(request.headers.get("ngsild-tenant", ""), Entities())

    def _upsert(self, request: Request, refused: Mapping[str, int] | None = None) -> Answer:
        """Clause 6.15.3.1: 201 with what is new, 204, or 207 where something failed."""
        batch = request.json
        if not isinstance(batch, list) or not batch:
            return problem(400, "BadRequestData", "an array with one entity at least")
        if len(batch) > MAX_ENTITIES:
            return problem(413, "InvalidRequest", f"more than {MAX_ENTITIES} entities")
        update = "update" in ",".join(request.query.get("options", [])).split(",")
        twice = Counter(str(each.get("id")) for each in batch if isinstance(each, dict))
        success: list[str] = []
        created: list[str] = []
        errors: list[dict[str, Any]] = []
        taken: list[Value] = []
        for entity in batch:
            name = str(entity.get("id")) if isinstance(entity, dict) else "?"
            try:
                check_entity(entity)
                if twice[name] > 1:
                    raise Unfit("it is in the batch more than once")
            except Unfit as why:
                errors.append(_error(name, 400, str(why)))
                continue
            if refused and name in refused:
                errors.append(_error(name, refused[name], "by order"))
                continue
            if self._kept(request).upsert(entity, update=update):
                created.append(name)
            success.append(name)
            taken += values_of(entity, "upsert")
        if errors:
            body = json.dumps({"success": success, "errors": errors}).encode()
            return Answer(207, body, taken=tuple(taken))
        if created:
            return Answer(201, json.dumps(created).encode(), taken=tuple(taken))
        return Answer(204, taken=tuple(taken))

    def _temporal(self, request: Request) -> Answer:
        """Clause 6.18.3.1: 201 where the entity is new to the history, else 204."""
        entity = request.json
        try:
            check_entity(entity, temporal=True)
        except Unfit as why:
            return problem(400, "BadRequestData", str(why))
        new = self._kept(request).add_history(entity)
        taken = tuple(values_of(entity, "temporal"))
        place = {"location": f"{TEMPORAL}/{entity['id']}"} if new else {}
        return Answer(201 if new else 204, b"", place, taken)

    def _token(self, request: Request) -> Answer:
        """RFC 6749, 4.4: a new token for whoever says who he is."""
        form = parse_qs(request.body.decode())
        if form.get("grant_type") != ["client_credentials"]:
            return Answer(400, b'{"error":"unsupported_grant_type"}')
        if not request.headers.get("authorization", "").startswith("Basic "):
            return Answer(401, b'{"error":"invalid_client"}')
        self.token = secrets.token_hex(8)
        body = {"access_token": self.token, "token_type": "Bearer", "expires_in": 300}
        return Answer(200, json.dumps(body).encode())

    def _read(self, request: Request) -> Answer:
        """Entities and their history, for who looks by hand."""
        kept = self._kept(request)
        name = request.path.rpartition("/")[2]
        found: object = None
        if request.method == "GET" and request.path == ENTITIES:
            found = list(kept.now.values())
        elif request.method == "GET" and request.path == f"{ENTITIES}/{name}":
            found = kept.now.get(name)
        elif request.method == "GET" and request.path == f"{TEMPORAL}/{name}":
            found = kept.history.get(name)
        if found is None:
            return problem(404, "ResourceNotFound", request.path)
        return Answer(200, json.dumps(found).encode())


async def _request(wire: h11.Connection, reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None when its peer has gone."""
    head: h11.Request | None = None
    at_s = 0.0
    body = b""
    while True:
        event = wire.next_event()
        if event is h11.NEED_DATA:
            wire.receive_data(await reader.read(READ_BYTES))
        elif isinstance(event, h11.Request):
            head = event
            at_s = asyncio.get_running_loop().time()
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            break
        else:  # closed
            return None
    headers = {name.decode().lower(): value.decode() for name, value in head.headers}
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    url = urlsplit(head.target.decode())
    return Request(at_s, head.method.decode(), url.path, parse_qs(url.query), headers, body)


def _check_context(request: Request) -> None:
    """Clause 6.3.5: `application/ld+json` has @context in each body, the other one in a Link."""
    media = request.headers.get("content-type", "").partition(";")[0].strip()
    linked = "http://www.w3.org/ns/json-ld#context" in request.headers.get("link", "")
    given = request.json if isinstance(request.json, list) else [request.json]
    inside = ["@context" in each for each in given if isinstance(each, dict)]
    if media == "application/ld+json":
        if linked:
            raise Unfit("a Link to a context beside application/ld+json")
        if not all(inside):
            raise Unfit("no @context in a body of application/ld+json")
    elif media == "application/json":
        if any(inside):
            raise Unfit("an @context in a body of application/json")
        if not linked:
            raise Unfit("no Link to a context: terms of no model")
    else:
        raise Unfit(f"content type {media!r}")


def _values(request: Request) -> tuple[Value, ...]:
    """All values of a request, whatever becomes of it."""
    if request.path not in (UPSERT, TEMPORAL):
        return ()
    given = request.json
    way = "upsert" if request.path == UPSERT else "temporal"
    entities = given if isinstance(given, list) else [given]
    return tuple(
        [value for each in entities if isinstance(each, dict) for value in values_of(each, way)]
    )


def problem(status: int, kind: str, detail: str) -> Answer:
    """RFC 7807, as clause 5.5.2 has it."""
    body = {"type": ERRORS + kind, "title": kind, "detail": detail, "status": status}
    return Answer(status, json.dumps(body).encode(), {"content-type": "application/problem+json"})


def _error(name: str, status: int, detail: str) -> dict[str, Any]:
    kind = "BadRequestData" if status == 400 else "InternalError"
    error = {"type": ERRORS + kind, "title": kind, "detail": detail, "status": status}
    return {"entityId": name, "error": error}
