"""What the gateway talks about: readings, gaps, alarms and commands, as frozen values.

Everything here is plain data. How it got here (south), where it goes (north) and how it is
kept (store) is the business of those rooms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

ANCHOR_KIND = "anchor"  # of a node's own record of the time: kept, never published

Value = int | float | str | bool | tuple[int | float, ...]


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The name of one record for ever: `number` is never reused within (source, epoch).

    A node's record is (node id, log epoch, rseq); the gateway's own is
    (gateway id, start epoch, sequence).
    """

    source: str
    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement or event of an asset, in engineering units (the unit ends each name)."""

    key: Key
    asset: str
    kind: str  # "streetlight", "water_meter", "air_quality", "event", "anchor", "modbus", ...
    observed_at_ms: int  # UTC (street time in a simulation), ms since 1970
    uncertainty_ms: int  # half width of the interval around observed_at_ms
    values: Mapping[str, Value] = field(default_factory=dict)
    quality: tuple[str, ...] = ()  # flags, empty means good
    received_at_ms: int = 0  # real UTC at the gateway, ms since 1970


@dataclass(frozen=True, slots=True)
class Gap:
    """Record numbers `first`..`last` (both included) that will never come, and why."""

    source: str
    epoch: int
    first: int
    last: int | None  # None: open-ended, the rest of a lost log
    reason: str  # "power", "full", "log_lost", ...
    declared_at_ms: int = 0


class Severity(StrEnum):
    """How loud an alarm is."""

    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A rule's finding on an asset; `active` False is its clearing. `evidence` explains it."""

    key: Key
    asset: str
    rule: str  # "continuous_flow", ...
    active: bool
    severity: Severity
    observed_at_ms: int
    evidence: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found: an alarm that has no key yet."""

    asset: str
    rule: str
    active: bool
    severity: Severity
    observed_at_ms: int  # street time
    evidence: Mapping[str, Value] = field(default_factory=dict)

    def alarm(self, key: Key) -> Alarm:
        """The alarm under the number `key`."""
        return Alarm(
            key,
            self.asset,
            self.rule,
            self.active,
            self.severity,
            self.observed_at_ms,
            self.evidence,
        )


@dataclass(frozen=True, slots=True)
class NodeState:
    """Is a node there, and what runs on it; texts are empty until it told."""

    node: str
    asset: str
    kind: str
    online: bool
    since_ms: int | None  # real UTC; None: not heard since the gateway began
    firmware: str = ""  # "1.2.3"
    board: str = ""
    build: str = ""  # the first 4 bytes of its commit, in hex


Entry = Reading | Gap | Alarm  # whatever the durable log keeps


class CommandState(StrEnum):
    """Where a command stands; the last four are final."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    OK = "OK"
    ERROR = "ERROR"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class Command:
    """An order to one asset. `id` is the sender's and makes a repeat harmless."""

    id: str
    asset: str
    operation: str  # "set_level", ...
    arguments: Mapping[str, Value]  # of "write" registers and their values, in the order to go
    expires_at_ms: int  # real UTC; never delivered after it
    source: str  # "mqtt", "control/dimming", ...

    def whole(self, name: str) -> int:
        """A whole number among the arguments, 0 where it is not given."""
        value = self.arguments.get(name, 0)
        return value if isinstance(value, int) else 0


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What became of a command; `reason` is empty when it went well."""

    command_id: str
    asset: str
    state: CommandState
    reason: str = ""
    at_ms: int = 0  # real UTC
