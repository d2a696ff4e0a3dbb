"""What a config's `[air]` means: its stations, and the terms that hold for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kerbline.assets import Registry
from kerbline.config import Air, Config
from kerbline.config.air import KIND, REPORT_S
from kerbline.control.air import events
from kerbline.control.air.alarms import FAULT_RULE
from kerbline.control.air.stations import Setting, Terms


def terms(air: Air) -> Terms:
    """What `[air]` says for all stations."""
    own = [
        events.Threshold(
            f"air_{each.name}",
            each.pollutant,
            each.above_ugm3,
            each.mean_h,
            each.hold_h,
            each.critical,
        )
        for each in air.own
    ]
    return Terms(
        air.sensor_type,
        air.reference or "",
        frozenset(air.together),
        air.wait_min * 60_000,
        (*events.SETS[air.thresholds], *own),
    )


def periods(config: Config) -> Mapping[str, int]:
    """The stations of a config, each with the minutes that its samples stand for at most."""
    assert config.air is not None
    reports = {node.asset: node.report_s or REPORT_S for node in config.nodes if node.kind == KIND}
    stations = dict.fromkeys(config.air.stations or reports)
    if config.air.reference is not None:
        stations[config.air.reference] = None
    others = {node.asset for node in config.nodes} - reports.keys()  # of another kind
    found = [each for each in stations if each not in others]
    return {each: min(-(-reports.get(each, REPORT_S) // 60), 60) for each in found}


def settings(config: Config, registry: Registry | None) -> Mapping[str, Setting]:
    """Each station as it is judged; where its place is south of the line, seasons turn over."""
    return {
        asset: Setting(period, registry is not None and _is_southern(registry, asset))
        for asset, period in periods(config).items()
    }


def _is_southern(registry: Registry, asset: str) -> bool:
    location = registry.asset(asset).location
    return location is not None and location.positions[0][1] < 0


def rules(air: Air) -> Sequence[str]:
    """The alarms that a station may have."""
    return [FAULT_RULE, *(each.rule for each in terms(air).thresholds)]
