"""A strict NGSI-LD broker that asks others: context source registrations and notifications.

ETSI GS CIM 009: 4.3.6 (what of a registration it holds itself, and what not), 5.9.2, 5.8, 7.2.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import h11

from kerbline.sim.ngsi_ld import ENTITIES, UPSERT, Answer, Fault, Request, Standin, problem
from kerbline.sim.ngsi_ld_state import Unfit, attributes_of, is_stamp

REGISTRATIONS = "/ngsi-ld/v1/csourceRegistrations"
SUBSCRIPTIONS = "/ngsi-ld/v1/subscriptions"
FORWARD_S = 10.0
_WRITES = {"updateOps": {"PATCH", "PUT"}, "mergeEntity": {"PATCH"}, "deleteAttrs": {"DELETE"}}
_OPERATIONS = frozenset(
    [
        *("updateOps", "retrieveOps", "redirectionOps", "federationOps", "mergeEntity"),
        *("updateEntity", "updateAttrs", "replaceAttrs", "retrieveEntity", "queryEntity"),
    ]
)
_ATTRIBUTE = re.compile(rf"{ENTITIES}/([^/]+)/attrs/([^/]+)")
_ENTITY = re.compile(rf"{ENTITIES}/([^/]+)(/attrs)?")

Publish = Callable[[str, bytes], Awaitable[None]]


class Forwarder(Standin):
    """The broker; a city's application writes and reads by its HTTP as by any broker's."""

    def __init__(
        self,
        publish: Publish | None = None,
        fault: Callable[[Request], Fault | None] | None = None,
    ) -> None:
        """`publish`: a notification's MQTT address and message."""
        super().__init__(fault)
        self.registrations: dict[str, dict[str, Any]] = {}
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.conflicts: list[tuple[str, str]] = []  # upserts of what is registered elsewhere
        self.forwarded: list[tuple[str, str, int]] = []  # method, path, and what was answered
        self.system_dates = True  # does it tell modifiedAt where it is asked to?
        self.keeps_dates = True  # an observedAt that was not written with a value stays
        self.wait_s = FORWARD_S
        self.publish = publish
        self._numbers = count(1)
        self._modified: dict[tuple[str, str], str] = {}

    async def judge(self, request: Request, fault: Fault) -> Answer:
        """As ever, but what others hold is asked of them."""
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return await super().judge(request, fault)
        for place, kept in (
            (REGISTRATIONS, self.registrations),
            (SUBSCRIPTIONS, self.subscriptions),
        ):
            if request.path == place or request.path.startswith(place + "/"):
                return self._document(request, place, kept)
        if request.path == UPSERT:
            return await self._upserted(request, fault)
        if found := _ATTRIBUTE.fullmatch(request.path):
            entity, name = map(unquote, found.groups())
            return await self._write(request, entity, {name: request.json})
        if (found := _ENTITY.fullmatch(request.path)) and request.method == "PATCH":
            given = request.json
            if not isinstance(given, dict):
                return problem(400, "InvalidRequest", "no object")
            return await self._write(request, unquote(found[1]), attributes_of(given))
        if (found := _ENTITY.fullmatch(request.path)) and request.method == "GET":
            return await self._read_all(request, unquote(found[1]))
        return await super().judge(request, fault)

    # -------- what it is told of others

    def _document(self, request: Request, place: str, kept: dict[str, dict[str, Any]]) -> Answer:
        name = unquote(request.path[len(place) + 1 :])
        given = request.json
        if request.method == "GET":
            found: object = kept.get(name) if name else list(kept.values())
            if found is None:
                return problem(404, "ResourceNotFound", name)
            return Answer(200, json.dumps(found).encode())
        if request.method == "DELETE":
            if kept.pop(name, None) is None:
                return problem(404, "ResourceNotFound", name)
            return Answer(204)
        if not isinstance(given, dict):
            return problem(400, "InvalidRequest", "no object")
        if request.method == "PATCH" and name not in kept:
            return problem(404, "ResourceNotFound", name)
        document = {**kept.get(name, {}), **given}
        document.pop("@context", None)
        try:
            if place == REGISTRATIONS:
                self._check_registration(document, new=request.method == "POST")
            else:
                _check_subscription(document)
        except Unfit as why:
            return problem(400, "BadRequestData", str(why))
        except FileExistsError as why:
            return problem(409, "Conflict", str(why))
        if request.method == "POST" and document["id"] in kept:
            return problem(409, "AlreadyExists", document["id"])
        kept[document["id"]] = document
        if request.method == "PATCH":
            return Answer(204)
        return Answer(201, headers={"location": f"{place}/{document['id']}"})

    def _check_registration(self, document: Mapping[str, Any], *, new: bool) -> None:
        """5.9.2.4: raises Unfit, or FileExistsError for what is in its way."""
        if document.get("type") != "ContextSourceRegistration" or not document.get("information"):
            raise Unfit("no registration")
        if urlsplit(str(document.get("endpoint"))).scheme not in ("http", "https"):
            raise Unfit("no endpoint")
        if not set(document.get("operations", [])) <= _OPERATIONS:
            raise Unfit(f"operations {document['operations']}")
        if "expiresAt" in document and not is_stamp(document["expiresAt"]):
            raise Unfit("expiresAt")
        if document.get("mode") not in ("exclusive", "inclusive", "redirect", "auxiliary"):
            raise Unfit("mode")
        if document["mode"] != "exclusive":
            return
        pairs = [(e["id"], n) for e, n in _pairs(document) if "id" in e and n]
        entities = [each for info in document["information"] for each in info["entities"]]
        if len(entities) != 1 or not pairs or "idPattern" in entities[0]:
            raise Unfit("an exclusive registration names attributes of one entity")
        for other in self.registrations.values():
            alone = other["id"] != document["id"] and other["mode"] == "exclusive"
            if alone and {(e["id"], n) for e, n in _pairs(other)} & set(pairs):
                raise FileExistsError(f"{other['id']} has it")
        for entity, name in pairs if new else ():
            if name in self.entities.now.get(entity, {}):
                raise FileExistsError(f"{entity} has {name} here")

    def _sources(self, entity: str, name: str, method: str = "") -> list[dict[str, Any]]:
        found = []
        for each in self.registrations.values():
            may = {verb for word in each["operations"] for verb in _WRITES.get(word, ())}
            here = any(e.get("id") == entity and n == name for e, n in _pairs(each))
            if here and (each["mode"] == "exclusive" or method in may | {"GET"}):
                found.append(each)
        return found

    # -------- writing

    async def _upserted(self, request: Request, fault: Fault) -> Answer:
        """4.3.6.3: what is registered elsewhere, and takes no batches there, is refused."""
        if not self.registrations and not self.subscriptions:
            return await super().judge(request, fault)
        refused = dict(fault.refused)
        batch = request.json
        for entity in batch if isinstance(batch, list) else []:
            for name in attributes_of(entity):
                if any(r["mode"] == "exclusive" for r in self._sources(entity["id"], name)):
                    self.conflicts.append((entity["id"], name))
                    refused[entity["id"]] = 409
        answer = await super().judge(request, Fault(refused=refused))
        if answer.status in (201, 204):
            for entity in batch:
                await self._changed(entity["id"], attributes_of(entity))
        return answer

    async def _write(self, request: Request, entity: str, given: Mapping[str, Any]) -> Answer:
        """5.6.2 and 5.6.4: to whoever has it, and here, where we may have it."""
        if request.method not in ("PATCH", "DELETE"):
            return problem(405, "OperationNotSupported", request.method)
        sources = [r for name in given for r in self._sources(entity, name, request.method)]
        for source in sources:
            answer = await self._forward(request, source)
            if answer.status >= 300 or source["mode"] == "exclusive":
                return answer
        if any(source["mode"] == "redirect" for source in sources):
            return answer  # held by others alone
        if entity not in self.entities.now:
            return problem(404, "ResourceNotFound", entity)
        here = self.entities.now[entity]
        for name, each in given.items():
            if request.method == "DELETE":
                here.pop(name, None)
                continue
            before = here.get(name)
            merged = self.keeps_dates and isinstance(before, dict) and isinstance(each, dict)
            here[name] = {**(before or {}), **each} if merged else each
        if request.method == "PATCH":
            await self._changed(entity, given)
        return Answer(204)

    async def _read_all(self, request: Request, entity: str) -> Answer:
        """5.7.1: our own attributes, and those that others hold."""
        found = dict(self.entities.now.get(entity, {}))
        for source in self.registrations.values():
            if any(e.get("id") == entity for e, _ in _pairs(source)):
                answer = await self._forward(request, source)
                if answer.status == 200:
                    found.update(json.loads(answer.body))
        if not found:
            return problem(404, "ResourceNotFound", entity)
        return Answer(200, json.dumps(found).encode())

    async def _forward(self, request: Request, source: Mapping[str, Any]) -> Answer:
        """6.3.19: the same request at the source's address, with what it wants to be sent."""
        url = urlsplit(source["endpoint"])
        more = {each["key"]: each["value"] for each in source.get("contextSourceInfo", [])}
        context = more.pop("jsonldContext", "")
        headers = {"host": url.netloc, "accept": "application/json", **more}
        if request.body:
            headers["content-type"] = "application/json"
            headers["content-length"] = str(len(request.body))
        if context:
            relation = 'rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
            headers["link"] = f"<{context}>; {relation}"
        path = quote(unquote(request.path), safe="/:")
        there = url.hostname or "", url.port or 80
        answer = await _exchange(there, request, path, headers, self.wait_s)
        self.forwarded.append((request.method, path, answer.status))
        return answer

    # -------- telling

    async def _changed(self, entity: str, given: Mapping[str, Any]) -> None:
        """5.8.6: who wants to know of it is notified."""
        stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        for name in given:
            self._modified[entity, name] = stamp
        for each in list(self.subscriptions.values()):
            wanted = any(one.get("id", entity) == entity for one in each["entities"])
            if wanted and set(given) & set(each["watchedAttributes"]):
                await self.notify(each, entity, stamp)

    async def notify(self, subscription: Mapping[str, Any], entity: str, stamp: str) -> None:
        """7.2: `{"metadata", "body"}` with the attributes that were wished, changed or not."""
        told = subscription["notification"]
        here = self.entities.now[entity]
        data = {"id": entity, "type": here["type"]}
        for name in told["attributes"]:
            if name in here:
                data[name] = here[name]
                dated = (entity, name) in self._modified and isinstance(here[name], dict)
                if told.get("sysAttrs") and self.system_dates and dated:
                    data[name] = {**here[name], "modifiedAt": self._modified[entity, name]}
        body = {
            "id": f"urn:ngsi-ld:Notification:{next(self._numbers)}",
            "type": "Notification",
            "subscriptionId": subscription["id"],
            "notifiedAt": stamp,
            "data": [data],
        }
        message = {"metadata": {"Content-Type": "application/json"}, "body": body}
        if self.publish is not None:
            await self.publish(told["endpoint"]["uri"], json.dumps(message).encode())


def _pairs(document: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], str]]:
    return [
        (entity, name)
        for info in document["information"]
        for entity in info.get("entities", [])
        for name in [*info.get("propertyNames", []), *info.get("relationshipNames", [])]
    ]


def _check_subscription(document: Mapping[str, Any]) -> None:
    if document.get("type") != "Subscription" or not document.get("entities"):
        raise Unfit("no subscription")
    if "expiresAt" in document and not is_stamp(document["expiresAt"]):
        raise Unfit("expiresAt")
    endpoint = document.get("notification", {}).get("endpoint", {})
    if urlsplit(str(endpoint.get("uri"))).scheme not in ("mqtt", "mqtts"):
        raise Unfit("no endpoint of MQTT")


async def _exchange(
    there: tuple[str, int], request: Request, path: str, headers: Mapping[str, str], wait_s: float
) -> Answer:
    wire = h11.Connection(h11.CLIENT)
    try:
        async with asyncio.timeout(wait_s):
            reader, writer = await asyncio.open_connection(*there)
            try:
                head = h11.Request(method=request.method, target=path, headers=[*headers.items()])
                said = (wire.send(head) or b"") + (
                    (wire.send(h11.Data(request.body)) or b"") if request.body else b""
                )
                writer.write(said + (wire.send(h11.EndOfMessage()) or b""))
                return await _answered(wire, reader)
            finally:
                writer.close()
    except (OSError, TimeoutError, h11.RemoteProtocolError) as error:
        return problem(502, "InternalError", f"the context source: {error!r}")


async def _answered(wire: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    status, body = 502, b""
    headers: dict[str, str] = {}
    while True:
        event = wire.next_event()
        if event is h11.NEED_DATA:
            wire.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            kind = headers.get("content-type")
            return Answer(status, body, {"content-type": kind} if kind else {})
