"""What a device that is no node of ours gave: values in engineering units, not numbered yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kerbline.model import Finding, Value


@dataclass(frozen=True, slots=True)
class Measured:
    """What one poll or one telegram of a device gave; `quality` says why something is missing."""

    asset: str
    values: Mapping[str, Value]
    read_at_ms: int  # real UTC, ms since 1970: when it was so, by the device's clock or by ours
    quality: tuple[str, ...] = ()
    kind: str = "modbus"  # or "serial": the way it came
    uncertainty_ms: int = 0  # half the width of the interval around read_at_ms
    received_at_ms: int = 0  # real UTC; 0: `read_at_ms`
    findings: tuple[Finding, ...] = ()  # alarms that begin or end with it, at real UTC
