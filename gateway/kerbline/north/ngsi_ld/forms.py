"""What a change looks like in a body: normalized or concise, now or in history; pure.

ETSI GS CIM 009: 4.5.2.2 and 4.5.3.2 (normalized), 4.5.2.3 and 4.5.3.3 (concise), 4.5.6 (temporal),
6.3.5 (@context). A relationship to several entities has an array of URIs as its object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kerbline.north.mapping import rfc3339
from kerbline.north.ngsi_ld.change import GEO, PROPERTY, RELATIONSHIP, Attribute, Change
from kerbline.north.ngsi_ld.contexts import Contexts

Body = dict[str, object]

QUALITY = "status"  # of the core context, so that each subject's context has it
GOOD = "good"  # said, or nobody could tell it from what was never judged
_LINK = '<{}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'


class Form:
    """How one broker wants its bodies: `concise` or normalized, @context in them or by Link."""

    def __init__(
        self, contexts: Contexts | None = None, *, concise: bool = False, link: bool = False
    ) -> None:
        self._contexts = contexts or Contexts()
        self._link = link
        self._typed = not concise

    def entity(self, change: Change) -> Body:
        """For create, update and upsert: what holds from now on."""
        body: Body = {"id": change.id, "type": change.type}
        at_ms, stamp = None, ""
        for name, attribute in change.attributes.items():
            if attribute.observed_at_ms is not None and attribute.observed_at_ms != at_ms:
                at_ms = attribute.observed_at_ms
                stamp = rfc3339(at_ms)
            body[name] = self._instance(attribute, stamp)
        return self._with_context(body)

    def temporal(self, changes: Sequence[Change]) -> Body | None:
        """History of one entity, all its `changes` in one body; None where nothing has a date.

        Each attribute's instances rise by observedAt; of two with the same one the later given
        holds. What stands has no history here.
        """
        found: dict[str, dict[int, Attribute]] = {}
        for change in changes:
            for name, attribute in change.attributes.items():
                if attribute.observed_at_ms is not None:
                    found.setdefault(name, {})[attribute.observed_at_ms] = attribute
        if not found:
            return None
        body: Body = {"id": changes[0].id, "type": changes[0].type}
        for name, instances in found.items():
            body[name] = [
                self._instance(attribute, rfc3339(at_ms))
                for at_ms, attribute in sorted(instances.items())
            ]
        return self._with_context(body)

    def headers(self, type_name: str) -> Mapping[str, str]:
        """Of a request whose entities are all mapped as `type_name` is (see `group`)."""
        if not self._link:
            return {"Content-Type": "application/ld+json"}
        return {
            "Content-Type": "application/json",
            "Link": ", ".join(_LINK.format(each) for each in self._contexts.of(type_name)),
        }

    def group(self, type_name: str) -> str:
        """Entities of one group may share a body: with a Link one @context holds for all."""
        return self._contexts.of(type_name)[0] if self._link else ""

    def _with_context(self, body: Body) -> Body:
        if not self._link:
            addresses = self._contexts.of(str(body["type"]))
            body["@context"] = addresses[0] if len(addresses) == 1 else list(addresses)
        return body

    def _instance(self, attribute: Attribute, stamp: str) -> object:
        """One attribute; in the concise form a value without anything else stands for it."""
        value, at_ms, unit_code, quality, kind = attribute
        typed = self._typed
        plain = at_ms is None and not unit_code and not quality
        if plain and not typed and (kind == GEO or _is_plain(kind, value)):
            return value
        found: Body = {"type": kind} if typed else {}
        found["object" if kind == RELATIONSHIP else "value"] = value
        if at_ms is not None:
            found["observedAt"] = stamp
        if unit_code:
            found["unitCode"] = unit_code
        if quality or (at_ms is not None and kind == PROPERTY):
            flags = " ".join(quality) or GOOD
            found[QUALITY] = {"type": PROPERTY, "value": flags} if typed else flags
        return found


def _is_plain(kind: str, value: object) -> bool:
    """May a Property's value stand for all of it? An object would be taken for the Property."""
    return kind == PROPERTY and not isinstance(value, dict)
