"""What a broker is told of us as a context source, and as who wants to be notified; pure.

ETSI GS CIM 009, 5.2.9 (CSourceRegistration), 4.3.6 (its modes), 4.20 (names of operations), 5.2.12
(Subscription), 5.2.14 and 5.2.15 (its endpoint).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kerbline.north.mapping import rfc3339
from kerbline.north.ngsi_ld.orders import Target
from kerbline.north.ngsi_ld.registrar import REGISTRATIONS, SUBSCRIPTIONS, Document

EXCLUSIVE = "exclusive"
REDIRECT = "redirect"  # as exclusive, but to each that has it (4.3.6.3)
LEASE_MS = 24 * 3_600_000  # what is not renewed ends by itself
_REGISTRATION = "urn:ngsi-ld:ContextSourceRegistration"
_SUBSCRIPTION = "urn:ngsi-ld:Subscription"
# What of an entity may be written and read by way of us. No batch, no history, no deletion.
OPERATIONS = ("updateOps", "mergeEntity", "retrieveOps")


def registrations(
    targets: Sequence[Target],
    who: str,
    mode: str,
    endpoint: str,
    headers: Mapping[str, str],
    now_ms: int,
) -> list[Document]:
    """One for each entity where it is exclusive (4.3.6.3), else one for all; `who`: city:gateway.

    A group of which lamps hang on other gateways is redirected to each of them.

    `headers` are what the broker has to send to us.
    """
    if not targets:
        return []
    parts = [[each] for each in targets] if mode == EXCLUSIVE else [list(targets)]
    found = []
    for part in parts:
        name = f"{_REGISTRATION}:{who}"
        if mode == EXCLUSIVE:
            name += f":{part[0].name}"
        body = {
            "id": name,
            "type": "ContextSourceRegistration",
            "information": [_information(each) for each in part],
            "mode": REDIRECT if mode == EXCLUSIVE and part[0].shared else mode,
            "operations": list(OPERATIONS),
            "endpoint": endpoint,
            "expiresAt": rfc3339(now_ms + LEASE_MS),
        }
        if headers:
            pairs = [{"key": key, "value": value} for key, value in headers.items()]
            body["contextSourceInfo"] = pairs
        in_the_way = [(each.id, attr) for each in part for attr in each.attributes]
        found.append(
            Document(
                REGISTRATIONS,
                body,
                in_the_way=in_the_way if mode == EXCLUSIVE else (),
            )
        )
    return found


def _information(target: Target) -> dict[str, Any]:
    return {
        "entities": [{"id": target.id, "type": target.type}],
        "propertyNames": list(target.attributes),
    }


def subscription(
    targets: Sequence[Target],
    who: str,
    uri: str,
    context: str,
    now_ms: int,
) -> Document | None:
    """Of every change of what takes orders; None where nothing does.

    With the system's own dates (`sysAttrs`) an order that is repeated is told from a new one.
    """
    if not targets:
        return None
    names = list(dict.fromkeys(name for each in targets for name in each.attributes))
    body = {
        "id": f"{_SUBSCRIPTION}:{who}",
        "type": "Subscription",
        "entities": [{"id": each.id, "type": each.type} for each in targets],
        "watchedAttributes": names,
        "notification": {
            "attributes": names,
            "format": "normalized",
            "sysAttrs": True,
            "endpoint": {
                "uri": uri,
                "accept": "application/json",
                "notifierInfo": [{"key": "MQTT-QoS", "value": "1"}],
            },
        },
        "jsonldContext": context,
        "expiresAt": rfc3339(now_ms + LEASE_MS),
    }
    less = ("notification.sysAttrs", "jsonldContext", "notification.endpoint.notifierInfo")
    return Document(SUBSCRIPTIONS, body, less)
