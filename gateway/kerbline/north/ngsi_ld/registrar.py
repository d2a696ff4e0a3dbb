"""Puts documents of ours at a broker and takes them away: registrations and a subscription.

ETSI GS CIM 009, 6.8 and 6.9 (csourceRegistrations), 6.10 and 6.11 (subscriptions). Each has an id
of its own for ever, so to put it again changes nothing but its end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from kerbline.errors import KerblineError
from kerbline.north.ngsi_ld.answers import retry_after_s
from kerbline.north.ngsi_ld.client import Answer, Client
from kerbline.north.ngsi_ld.token import Tokens

REGISTRATIONS = "/ngsi-ld/v1/csourceRegistrations"
SUBSCRIPTIONS = "/ngsi-ld/v1/subscriptions"
ENTITIES = "/ngsi-ld/v1/entities"
LONGEST_S = 3_600.0  # no broker is believed that wants us away for longer
# Of a PATCH: it can't be changed there. Whatever else went wrong leaves what is there as it is.
_UNCHANGEABLE = frozenset([400, 405, 409, 422, 501])
_LINK = '<{}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'


class NotPut(KerblineError):
    """The broker does not have it; the text says why, and it wants no other try for `after_s`."""

    code = "not_put"

    def __init__(self, name: str, answer: Answer) -> None:
        super().__init__(f"{name}: {_told(answer)}")
        self.after_s = min(retry_after_s(answer.headers, math.inf) or 0.0, LONGEST_S)


@dataclass(frozen=True, slots=True)
class Document:
    """What is put at `place`; `less`: members that a broker of an older version may not know."""

    place: str
    body: Mapping[str, Any]
    less: Sequence[str] = ()
    in_the_way: Sequence[tuple[str, str]] = ()  # attributes that a broker may hold against it

    @property
    def id(self) -> str:
        """Its name at the broker."""
        return str(self.body["id"])


class Registrar:
    """One broker, by its own connection."""

    def __init__(
        self,
        client: Client,
        tokens: Tokens,
        headers: Mapping[str, str],
        contexts: Sequence[str],
        *,
        link: bool,
    ) -> None:
        """`headers` go with each request; `contexts` map what our documents name."""
        self._client = client
        self._tokens = tokens
        self._headers = headers
        self._contexts = list(contexts)
        self._link = link

    async def put(self, document: Document) -> None:
        """Make it, or make the one that is there equal to it; raises NotPut, NoAnswer, NoToken."""
        answer = await self._post(document)
        if answer.status == 409:
            answer = await self._change(document, answer)
        if not 200 <= answer.status < 300:
            raise NotPut(document.id, answer)

    async def remove(self, place: str, name: str) -> None:
        """Take it away; that it is not there is as good. Raises NotPut, NoAnswer, NoToken."""
        answer = await self._ask("DELETE", _at(place, name), None)
        if not 200 <= answer.status < 300 and answer.status not in (404, 410):
            raise NotPut(name, answer)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.close()

    async def _post(self, document: Document) -> Answer:
        """Make it; a broker that finds it bad gets it without what it may not know."""
        answer = await self._ask("POST", document.place, document.body)
        if answer.status == 400 and document.less:
            body = _without(document.body, document.less)
            answer = await self._ask("POST", document.place, body)
        return answer

    async def _change(self, document: Document, conflict: Answer) -> Answer:
        """It is there already; or what it is about stands in its way, which then goes."""
        fragment = {name: each for name, each in document.body.items() if name != "id"}
        where = _at(document.place, document.id)
        answer = await self._ask("PATCH", where, fragment)
        if answer.status == 400 and document.less:
            answer = await self._ask("PATCH", where, _without(fragment, document.less))
        if answer.status == 404:
            if not document.in_the_way:
                return conflict
            for entity, attribute in document.in_the_way:
                await self._ask("DELETE", f"{_at(ENTITIES, entity)}/attrs/{attribute}", None)
        elif answer.status in _UNCHANGEABLE:
            await self._ask("DELETE", where, None)
        else:
            return answer
        return await self._post(document)

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        sent = dict(self._headers)
        text = b""
        if self._link or body is None:  # names in a path have no other context
            sent["Link"] = _LINK.format(self._contexts[0])
        if body is not None:
            sent["Content-Type"] = "application/json" if self._link else "application/ld+json"
            own = {} if self._link else {"@context": self._contexts}
            text = orjson.dumps({**body, **own})
        for _ in range(2):
            token = await self._tokens.get()
            if token:
                sent["Authorization"] = f"Bearer {token}"
            answer = await self._client.ask(method, path, text, sent)
            if answer.status != 401:
                break
            self._tokens.refused(token)
        return answer


def _at(place: str, name: str) -> str:
    return f"{place}/{quote(name, safe=':')}"


def _without(body: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A copy without these members, however deep they stand: "notification.sysAttrs"."""
    found = dict(body)
    for name in names:
        head, _, rest = name.partition(".")
        if not rest:
            found.pop(head, None)
        elif isinstance(found.get(head), dict):
            found[head] = _without(found[head], [rest])
    return found


def _told(answer: Answer) -> str:
    """The status and what is said of it, in a line."""
    try:
        said = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        said = None
    words = ""
    if isinstance(said, dict):
        words = ": ".join(str(said[each]) for each in ("title", "detail") if said.get(each))
    plain = "".join(each if each.isprintable() else " " for each in words)
    return f"{answer.status} {plain[:200]}".strip()
