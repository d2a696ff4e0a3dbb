"""The street as a picture for a terminal. Draws what it is given; knows no files and no clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kerbline.demo.plan import Plan
from kerbline.demo.scene import Scene
from kerbline.sim.street import CABINET, SPACING_M, Asset

COLUMNS = 11  # a lamp's share of the street
ROWS = 3
BLOCKS = " ▁▂▃▄▅▆▇█"
LEAST_EVENTS = 4
LATE = 50  # so many readings on their way are worth a colour
GLOW = ("grey37", "orange4", "dark_goldenrod", "gold3", "yellow1")


def frame(scene: Scene, plan: Plan, at_s: float, events: int) -> RenderableType:
    """The whole picture `at_s` seconds after the start, with the last so many `events`."""
    return Group(
        street(scene, plan, at_s),
        Text(),
        _readings(scene, list(plan.street.assets())),
        Text(),
        *_ways(scene),
        Text(),
        *[event(at, text) for at, text in list(scene.events)[max(len(scene.events) - events, 0) :]],
    )


def street(scene: Scene, plan: Plan, at_s: float) -> RenderableType:
    """The upper part of the picture: the clock, the lamps and the road."""
    lamps = [asset for asset in plan.street.assets() if asset.kind == "streetlight"]
    return Group(_title(plan, at_s), Text(), *_lamps(scene, lamps), _road(plan, at_s))


def events_in(height: int, plan: Plan) -> int:
    """How many events fit below the rest of the picture."""
    others = plan.street.meters + plan.street.air + 1
    return max(height - ROWS - others - 10, LEAST_EVENTS)


def _title(plan: Plan, at_s: float) -> Text:
    street = plan.street.clock.street_ms(plan.real_ms(at_s)) // 1000
    clock = f"{datetime.fromtimestamp(street, UTC):%H:%M}"
    fast = plan.fast_s <= at_s < plan.stop_s
    pace = "an hour passes each second" if fast else "in real time"
    return Text.assemble(
        (" Kerbline ", "bold black on yellow1"),
        f"  on this street it is {clock}, {pace}  ",
        (f"{at_s:.0f} s of {plan.seconds:.0f} s", "grey50"),
    )


def _lamps(scene: Scene, lamps: list[Asset]) -> Iterator[Text]:
    for row in reversed(range(ROWS)):
        line = Text("  ")
        for lamp in lamps:
            level = scene.levels.get(lamp.asset, 0)
            steps = min(max(round(level * ROWS * 8 / 100) - 8 * row, 0), 8)
            line.append(f"{BLOCKS[steps] * 5:^{COLUMNS}}", GLOW[min(level // 20, 4)])
        yield line
    levels, names = Text("  "), Text("  ", style="grey50")
    for lamp in lamps:
        powered = lamp.node in scene.up
        shown = f"{scene.levels.get(lamp.asset, 0)} %" if powered else "no power"
        levels.append(f"{shown:^{COLUMNS}}", "" if powered else "bold red")
        names.append(f"{lamp.asset:^{COLUMNS}}")
    yield levels
    yield names


def _road(plan: Plan, at_s: float) -> Text:
    (car, *_) = plan.street.cars
    length = plan.street.lamps * COLUMNS
    gone_m = car.speed_mps * (at_s - plan.car_s)
    at = round((gone_m / SPACING_M - 0.5) * COLUMNS)
    road = Text("  " + "─" * length, style="grey37")
    if 0 <= at < length - 3:
        road = Text.assemble(("  " + "─" * at, "grey37"), ("▟█▙▸", "bold cyan"))
        road.append("─" * (length - at - 4), "grey37")
    return road


def _readings(scene: Scene, assets: list[Asset]) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 2), show_header=False)
    for asset in assets:
        values = scene.values.get(asset.asset)
        if asset.kind == "streetlight":
            continue
        if values is None:
            table.add_row(asset.asset, Text("no report yet", "grey50"))
        elif asset.kind == "water_meter":
            leak = Text("LEAK", "bold red") if asset.asset in scene.leaking else ""
            volume, flow = values["volume_l"], values["flow_lph"]
            table.add_row(asset.asset, f"{volume} L", f"{flow} L/h", leak)
        else:
            pm, no2 = values["pm2_5_ugm3"], values["no2_ppb"]
            table.add_row(asset.asset, f"PM2.5 {pm} µg/m³", f"NO₂ {no2} ppb")
    cabinet = scene.values.get(CABINET, {})
    if cabinet:
        volts, watts = cabinet.get("voltage_l1_v", 0.0), cabinet.get("power_w", 0.0)
        table.add_row(CABINET, f"{volts:.0f} V", f"{watts:.0f} W", Text("over Modbus", "grey50"))
    return table


def _ways(scene: Scene) -> Iterator[Text]:
    broker = ("up", "green") if scene.broker_up else ("KILLED", "bold red")
    gateway = ("online", "green") if scene.gateway_online else ("unheard, it stores on", "bold red")
    gone = sum(last - first + 1 for _, _, first, last in scene.gone)
    late = "bold yellow" if scene.waiting > LATE else "bold"
    yield Text.assemble(
        "  readings made ", (f"{len(scene.made)}", "bold"),
        "   published ", (f"{len(scene.published)}", "bold"),
        "   on the way ", (f"{scene.waiting}", late),
        "   numbers skipped ", (f"{gone}", "bold"),
    )  # fmt: skip
    yield Text.assemble("  broker ", broker, "   gateway ", gateway)


def event(at_s: float, text: str) -> Text:
    """One line of the story."""
    return Text.assemble((f"  {at_s:5.1f} s  ", "grey50"), text, no_wrap=True, overflow="ellipsis")


def report(figures: dict[str, object]) -> RenderableType:
    """The figures, every fault, and the verdict that rests on them."""
    faults = figures["faults"]
    assert isinstance(faults, list)
    shown = []
    for name, value in figures.items():
        if name != "faults":
            bad = name in ("lost", "doubled") and value != 0
            style = "bold red" if bad else "bold"
            shown.append(Text.assemble((f"{name} ", "grey50"), (f"{value}", style)))
    verdict = [Text(f"FAULT: {fault}", "bold red") for fault in faults]
    if not faults:
        verdict = [Text("All of it happened; nothing was lost, nothing came twice.", "bold green")]
    return Group(Text(), Columns(shown, padding=(0, 3)), *verdict)
