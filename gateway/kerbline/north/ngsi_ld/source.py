"""A context source: to write an attribute is an order, to read one tells what is so.

ETSI GS CIM 009, 6.4 and 6.5 (entities), 6.6 and 6.7 (their attributes), 6.3.2 (errors). A request
that can't be an order as a whole orders nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import orjson

from kerbline.model import CommandResult, CommandState
from kerbline.north.ngsi_ld.attributes import NULL, attributes, short
from kerbline.north.ngsi_ld.change import Attribute, Change
from kerbline.north.ngsi_ld.endpoint import Asked, Reply, problem
from kerbline.north.ngsi_ld.forms import Form
from kerbline.north.ngsi_ld.known import Known
from kerbline.north.ngsi_ld.orders import Catalogue, Target

ROOT = ("ngsi-ld", "v1", "entities")
KEY_HEADER = "idempotency-key"
MAX_KEY = 200
PAGE = 1_000
RETRY_S = 5
_JSON = "application/json"
_LD = "application/ld+json"
_WRITES = (_JSON, _LD, "application/merge-patch+json")
_SIMPLE = frozenset(["keyValues", "simplified"])

# Of REJECTED, by reason: status, and the standard's type of error (clause 5.5.2).
_REJECTED: Mapping[str, tuple[int, str]] = {
    "expired": (504, "InternalError"),
    "held by": (409, "Conflict"),
    "id_reused": (409, "Conflict"),
    "not_permitted": (403, ""),
    "not_writable": (403, ""),
    "store_blocked": (503, "InternalError"),
    "too_many_open": (503, "InternalError"),
    "too_often": (429, ""),
    "unknown_asset": (404, "ResourceNotFound"),
    "unknown_attribute": (404, "ResourceNotFound"),
    "unknown_entity": (404, "ResourceNotFound"),
    "unsupported": (422, "OperationNotSupported"),
}

Order = Callable[[str, Mapping[str, object], str], Awaitable[CommandResult]]


class Source:
    """What one broker may ask."""

    def __init__(
        self,
        catalogue: Catalogue,
        known: Known,
        order: Order,
        operation_urn: Callable[[str], str],
        forms: tuple[Form, Form],
        link: str,
    ) -> None:
        """`order`: entity, attributes, idempotency key ("" for none). `forms`: normalized, concise.

        `link` is the address of the context of our terms.
        """
        self._catalogue = catalogue
        self._known = known
        self._order = order
        self._operation_urn = operation_urn
        self._forms = forms
        self._link = link

    async def answer(self, asked: Asked) -> Reply:
        """One request."""
        path = asked.path[:-1] if asked.path[-1:] == ("",) else asked.path
        if path[:3] != ROOT:
            return problem(404, "unknown_path", "/".join(path)[:200], "ResourceNotFound")
        match path[3:], asked.method:
            case (), "GET":
                return self._query(asked)
            case (entity,), "GET":
                return self._retrieve(asked, entity)
            case (entity,) | (entity, "attrs"), "PATCH":
                return await self._written(asked, entity, "")
            case (entity, "attrs", attribute), "PATCH" | "PUT":
                return await self._written(asked, entity, short(attribute))
            case (entity, "attrs", attribute), "DELETE" if "datasetId" in asked.query:
                return problem(404, "unknown_attribute", "no datasetId", "ResourceNotFound")
            case (entity, "attrs", attribute), "DELETE":
                return await self._ordered(asked, entity, {short(attribute): NULL})
        allowed = _allowed(path[3:])
        if not allowed:
            return problem(404, "unknown_path", "/".join(path)[:200], "ResourceNotFound")
        said = problem(405, "unsupported", asked.method, "OperationNotSupported")
        return Reply(405, said.body, {**said.headers, "allow": allowed})

    async def _written(self, asked: Asked, entity: str, attribute: str) -> Reply:
        media = asked.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media not in _WRITES:
            return problem(415, "unsupported_media", f"one of {' '.join(_WRITES)}")
        try:
            given = orjson.loads(asked.body)
        except orjson.JSONDecodeError as error:
            return problem(400, "not_json", str(error), "InvalidRequest")
        if isinstance(given, dict) and not _is_plain_context(given.get("@context")):
            detail = "terms that a body defines by itself are not known here"
            return problem(400, "unknown_context", detail, "BadRequestData")
        if not attribute:
            if not isinstance(given, dict):
                return problem(400, "wrong_type", "an object is expected", "BadRequestData")
            return await self._ordered(asked, entity, attributes(given))
        if isinstance(given, dict):
            given = {name: each for name, each in given.items() if name != "@context"}
            inner = {short(name): each for name, each in given.items()}
            if attribute in inner and "value" not in inner:  # as some brokers forward it
                given = inner[attribute]
        return await self._ordered(asked, entity, {attribute: given})

    async def _ordered(self, asked: Asked, entity: str, given: Mapping[str, object]) -> Reply:
        key = asked.headers.get(KEY_HEADER, "")[:MAX_KEY]
        result = await self._order(entity, given, key)
        return self._told(result)

    def _told(self, result: CommandResult) -> Reply:
        """What became of an order, in HTTP's terms."""
        named = {"operation": self._operation_urn(result.command_id)} if result.command_id else {}
        reason, _, detail = result.reason.partition(": ")
        match result.state:
            case CommandState.OK:
                return Reply(204)
            case CommandState.PENDING | CommandState.DELIVERED:
                body = {"state": result.state, **named}
                return Reply(202, orjson.dumps(body), {"content-type": _JSON})
            case CommandState.EXPIRED:
                return problem(504, "expired", result.reason, "InternalError", **named)
            case CommandState.ERROR:
                return problem(502, reason, detail or reason, "InternalError", **named)
        holder = "held by" if reason.startswith("held by") else reason
        status, kind = _REJECTED.get(holder, (400, "BadRequestData"))
        said = problem(status, reason, detail or result.reason, kind, **named)
        if status in (429, 503):
            return Reply(status, said.body, {**said.headers, "retry-after": str(RETRY_S)})
        return said

    def _retrieve(self, asked: Asked, entity: str) -> Reply:
        target = self._catalogue.targets.get(entity)
        if target is None:
            return problem(404, "unknown_entity", entity[:200], "ResourceNotFound")
        found = self._state(target, _listed(asked, "attrs", "pick"))
        if not found:
            return problem(404, "not_known_yet", entity[:200], "ResourceNotFound")
        return self._shown(asked, self._entity(asked, target, found), target.type)

    def _query(self, asked: Asked) -> Reply:
        """By type, id and attributes; what else a broker asks for it filters by itself."""
        types, ids = _listed(asked, "type"), _listed(asked, "id")
        names = _listed(asked, "attrs", "pick")
        found: list[Any] = []
        for target in self._catalogue.targets.values():
            wanted = not types or target.type in types
            if wanted and (not ids or target.id in ids):
                state = self._state(target, names)
                if state:
                    found.append(self._entity(asked, target, state))
        offset = _whole(asked, "offset", 0)
        limit = min(_whole(asked, "limit", PAGE), PAGE)
        reply = self._shown(asked, found[offset : offset + limit], "Streetlight")
        if asked.query.get("count") == ["true"]:
            count = {"ngsild-results-count": str(len(found))}
            return Reply(reply.status, reply.body, {**reply.headers, **count})
        return reply

    def _state(self, target: Target, names: frozenset[str]) -> Mapping[str, Attribute]:
        found = {}
        for name in target.attributes:
            newest = self._known.newest(target.id, name)
            if newest is not None and (not names or name in names):
                found[name] = newest
        return found

    def _entity(self, asked: Asked, target: Target, state: Mapping[str, Attribute]) -> Any:  # noqa: ANN401 - any JSON
        options = _listed(asked, "options", "format")
        if options & _SIMPLE:
            values = {name: each.value for name, each in state.items()}
            return {"id": target.id, "type": target.type, **values}
        form = self._forms["concise" in options]
        return form.entity(Change(target.id, target.type, state))

    def _shown(self, asked: Asked, body: Any, type_name: str) -> Reply:  # noqa: ANN401 - any JSON
        """With @context in it, or beside it, as is wished (6.3.5)."""
        if _LD in asked.headers.get("accept", ""):
            for each in body if isinstance(body, list) else [body]:
                each["@context"] = self._link
            return Reply(200, orjson.dumps(body), {"content-type": _LD})
        headers = {"content-type": _JSON, "link": self._forms[0].headers(type_name)["Link"]}
        return Reply(200, orjson.dumps(body), headers)


def _allowed(rest: tuple[str, ...]) -> str:
    match rest:
        case ():
            return "GET"
        case (_,):
            return "GET, PATCH"
        case (_, "attrs"):
            return "PATCH"
        case (_, "attrs", _):
            return "PATCH, PUT, DELETE"
    return ""


def _is_plain_context(given: object) -> bool:
    """None, an address or some: what a body defines by itself could mean anything."""
    addresses: Iterable[object] = given if isinstance(given, list) else [given]
    return all(each is None or isinstance(each, str) for each in addresses)


def _listed(asked: Asked, *names: str) -> frozenset[str]:
    """Words parted by commas, of any of these parameters."""
    texts = [each for name in names for each in asked.query.get(name, ())]
    return frozenset(short(word.strip()) for text in texts for word in text.split(",") if word)


def _whole(asked: Asked, name: str, default: int) -> int:
    text = asked.query.get(name, [""])[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else default
