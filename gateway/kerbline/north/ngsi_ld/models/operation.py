"""DeviceOperation: an order to a device, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping

from kerbline.model import Command, CommandResult, CommandState
from kerbline.north.mapping import rfc3339
from kerbline.north.ngsi_ld.change import RELATIONSHIP, Attribute, Change
from kerbline.north.ngsi_ld.city import City

TYPE = "DeviceOperation"

# Our states: theirs, and the result of what is over. A refused order was never begun.
STATES: Mapping[CommandState, tuple[str, str]] = {
    CommandState.PENDING: ("scheduled", ""),
    CommandState.DELIVERED: ("ongoing", ""),
    CommandState.OK: ("finished", "ok"),
    CommandState.ERROR: ("finished", "failed"),
    CommandState.EXPIRED: ("cancelled", "aborted"),
    CommandState.REJECTED: ("cancelled", "failed"),
}


def change(
    result: CommandResult,
    city: City,
    command: Command | None = None,
    *,
    what: Mapping[str, object] | None = None,
) -> Change:
    """Where an order stands; with the `command`, or `what` was ordered, that is told as well."""
    if command is not None:
        what = {"operation": command.operation, "arguments": command.arguments}
    at_ms = result.at_ms
    status, outcome = STATES[result.state]
    found = {
        "status": Attribute(status, at_ms),
        "operationType": Attribute("other", at_ms),
        "description": Attribute(_told(result, what), at_ms),
        "reportedAt": Attribute(rfc3339(at_ms), at_ms),
    }
    if outcome:
        found["result"] = Attribute(outcome, at_ms)
        found["endedAt"] = Attribute(rfc3339(at_ms), at_ms)
    elif result.state is CommandState.DELIVERED:
        found["startedAt"] = Attribute(rfc3339(at_ms), at_ms)
    if command is not None:
        found["plannedEndAt"] = Attribute(rfc3339(command.expires_at_ms), at_ms)
        found["source"] = Attribute(command.source, at_ms)
    devices = city.devices_at(result.asset)
    if devices:
        found["device"] = Attribute(devices[0], kind=RELATIONSHIP)
    return Change(city.urn(TYPE, result.command_id), TYPE, found)


def _told(result: CommandResult, what: Mapping[str, object] | None) -> str:
    """The state in our own word, what was ordered, and why it did not come to pass."""
    ordered = ""
    if what is not None:
        given = what.get("arguments")
        pairs = given.items() if isinstance(given, Mapping) else ()
        ordered = f" {what['operation']}" + "".join(f" {name} {value}" for name, value in pairs)
    reason = f": {result.reason}" if result.reason else ""
    return f"{result.state.value}{ordered} at {result.asset}{reason}"
