"""The dialect of an IoT Agent: measures to the letter, and what it is to be told beforehand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from kerbline.assets import Asset, Registry
from kerbline.assets.metered import kinds
from kerbline.assets.registry import FIGURES
from kerbline.config import Config, Leak, light_rules
from kerbline.control import kpi
from kerbline.control.endings import ENDS
from kerbline.counters import Counters
from kerbline.model import (
    Alarm,
    CommandResult,
    CommandState,
    Entry,
    Gap,
    Key,
    NodeState,
    Reading,
    Severity,
)
from kerbline.north.iota.dialect import MEASURES_PER_MESSAGE, IotaDialect
from kerbline.north.iota.measures import plain
from kerbline.north.iota.names import DEVICE_CHARS, Topics, device_id
from kerbline.north.iota.orders import REPEAT_MS, Commands, arguments
from kerbline.north.iota.provision import EVENTS, commanded, devices, entities, services
from kerbline.north.ngsi_ld import models
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.models.alert import EVENTS as ALERTS
from kerbline.north.port import Message
from kerbline.sim.iota import IotAgent, WrongSyntax
from kerbline.store import Batch
from kerbwire import messages
from kerbwire.messages import EVENT_NAMES
from tests.gateway import city_day
from tests.gateway.city_day import ASSETS, CITY, T0_MS, day
from tools.trees import ROOT

KEY = "4jggokgpepnvsb2uv4s40d59ov"
TOPICS = Topics("/json/", KEY)
DUST = {"dust-1": ("pm1_ugm3", "pm2_5_ugm3", "pm10_ugm3")}
ARRIVED = "2026-11-22T08:00:00.000Z"
LAMP = "urn:ngsi-ld:Streetlight:sjoestad:sl-0001"


def config() -> Config:
    """The day's, with rules that its alarms come of."""
    silent = light_rules.OfSilence("sl-0001", 3_600)
    own = light_rules.Rule("quiet", silences=(silent,), notify=light_rules.Notify())
    return replace(city_day.config(), leaks=(Leak("wm-0001"),), rules=(own,))


def city(assets: tuple[Asset, ...] = ASSETS) -> City:
    whole = config()
    gateway = whole.gateway.id
    registry = Registry(CITY, assets, kinds(whole), "City of Sjoestad", gateway)
    return models.city_of(whole, registry)


def commands(of: City, *, everything: bool = True) -> Commands:
    found = commanded(config(), of, everything=everything)
    assets = {device: asset for device, (asset, _) in found.items()}
    return Commands("agent", TOPICS, lambda: assets, 30_000, Counters())


def dialect(of: City | None = None, topics: Topics = TOPICS, **more: bool) -> IotaDialect:
    of = of or city()

    def changes(what: Entry | NodeState) -> Any:
        return models.changes(what, of)

    return IotaDialect(topics, of.registry, "gw-1", changes, commands(of).asked, **more)


def agent(of: City, *, everything: bool = True) -> IotAgent:
    found = IotAgent()
    found.post_services(services(KEY))
    told = entities(config(), of, DUST, everything=everything)
    found.post_devices(devices(told, of.registry, KEY))
    return found


def lamp(number: int, at_ms: int = T0_MS, **values: Any) -> Reading:
    told = {"level_pct": 30, "power_w": 24.5, "energy_wh": number, "status": 0, **values}
    return Reading(Key("n-sl-0001", 7, number), "sl-0001", "streetlight", at_ms, 50, told)


def body(message: Message) -> Any:
    return orjson.loads(message.payload)


def test_a_lamps_report_is_one_flat_measure_in_the_terms_of_its_model() -> None:
    (made,) = dialect().outgoing([lamp(1_500)])
    assert made.message.topic == f"/json/{KEY}/sl-0001/attrs"
    assert not made.message.retained
    assert body(made.message) == {
        "status": "ok",
        "illuminanceLevel": 0.3,
        "powerConsumption": 24.5,
        "lifetimePowerConsumption": 1.5,
        "powerState": "on",
        "quality": "good",
        "TimeInstant": "2026-09-21T14:13:20.000Z",
    }
    assert (made.log, made.marks) == (("n-sl-0001", 7), (1_500,))


def test_what_is_doubtful_is_said_of_what_it_is_about() -> None:
    dark = Reading(
        Key("n-sl-0001", 7, 1),
        "sl-0001",
        "streetlight",
        T0_MS,
        60_000,
        {"level_pct": 80, "power_w": 0.4, "status": 0},
    )
    told = body(dialect().outgoing([dark])[0].message)
    assert told["quality"] == "uncertainty_ms:60000 powerConsumption:implausible"


def test_a_meters_report_is_told_by_each_entity_that_it_is_about() -> None:
    values = {"volume_l": 123_456, "flow_lph": 12, "alarms": 0, "battery_mv": 3_600}
    report = Reading(Key("n-wm-0001", 3, 9), "wm-0001", "water_meter", T0_MS, 0, values)
    (made,) = dialect().outgoing([report])
    told = {each.topic.split("/")[3]: body(each) for each in made.messages}
    assert made.marks == (9,)
    assert told["wm-0001"]["waterConsumption"] == 123
    assert told["wm-0001:volume_l"]["numValue"] == 123_456
    assert told["wm-0001:flow_lph"]["numValue"] == 12
    assert told["Device:n-wm-0001"]["batteryLevel"] == 1.0
    assert {each["TimeInstant"] for each in told.values()} == {"2026-09-21T14:13:20.000Z"}


def test_an_alarm_is_its_alert_and_its_text_is_one_that_orion_takes() -> None:
    found = Alarm(
        Key("gw-1", 5, 1),
        "wm-0001",
        "continuous_flow",
        True,
        Severity.WARNING,
        T0_MS,
        {"why": 'flow > 0 ("leak"); x=1'},
    )
    (made,) = dialect().outgoing([found])
    told = body(made.message)
    assert made.message.topic.endswith("/Alert:wm-0001:continuous_flow/attrs")
    assert told["severity"] == "medium"
    assert told["description"] == "continuous_flow: why flow _ 0 __leak___ x_1"


def test_what_has_no_word_for_an_agent_is_delivered_by_saying_nothing() -> None:
    gap = Gap("n-sl-0001", 7, 4, 6, "power", T0_MS)
    boot = Reading(Key("n-sl-0001", 7, 7), "sl-0001", "event", T0_MS, 0, {"event": "boot"})
    made = dialect().outgoing([gap, boot])
    assert [each.messages for each in made] == [(), ()]
    assert {mark for each in made for mark in each.marks} == {(4, 6), 7}


def test_many_measures_of_a_device_share_a_message_as_an_array() -> None:
    chunk = dialect().chunk()
    entries = [lamp(n, T0_MS + n * 1_000) for n in range(1, 251)]
    for _ in chunk.fill(Batch.made(1, T0_MS, entries)):
        pass
    made = list(chunk.outgoing(lambda _: {250}))
    sizes = [len(body(each.message)) for each in made]
    assert sizes == [MEASURES_PER_MESSAGE, MEASURES_PER_MESSAGE, 49]
    assert min(sizes[:2]) >= 50
    assert [mark for each in made for mark in each.marks] == list(range(1, 250))
    assert max(len(each.message.payload) for each in made) < 64_000


def test_a_message_is_bounded_in_bytes() -> None:
    told = dialect()
    flags = tuple(f"flag_{n}" for n in range(200))
    entries = [
        Reading(
            Key("n-sl-0001", 7, n), "sl-0001", "streetlight", T0_MS + n, 0, {"level_pct": 1}, flags
        )
        for n in range(1, 101)
    ]
    sizes = [len(each.message.payload) for each in told.outgoing(entries)]
    assert len(sizes) > 1
    assert max(sizes) <= 60_100


def test_behind_what_is_late_comes_what_is_newest_so_that_it_stays() -> None:
    told = dialect()
    told.outgoing([lamp(9, T0_MS + 9_000, level_pct=90)])
    late = body(told.outgoing([lamp(2, T0_MS + 2_000), lamp(1, T0_MS + 1_000)])[0].message)
    assert [each["illuminanceLevel"] for each in late] == [0.3, 0.3, 0.9]
    assert [each["TimeInstant"][-7:] for each in late] == ["21.000Z", "22.000Z", "29.000Z"]
    in_order = told.outgoing([lamp(10, T0_MS + 10_000)])
    assert body(in_order[0].message)["TimeInstant"].endswith("30.000Z")


def test_after_a_start_what_is_sent_again_turns_nothing_back() -> None:
    told = dialect()
    told.remember([lamp(9, T0_MS + 9_000, level_pct=90)])
    again = body(told.outgoing([lamp(2, T0_MS + 2_000)])[0].message)
    assert [each["illuminanceLevel"] for each in again] == [0.3, 0.9]
    whole = body(told.outgoing([lamp(8, T0_MS + 8_000), lamp(9, T0_MS + 9_000)])[0].message)
    assert [each["TimeInstant"][-7:] for each in whole] == ["28.000Z", "29.000Z"]


def test_without_arrays_each_measure_is_a_message_and_the_newest_comes_last() -> None:
    """For agents that would put an entity into one batch twice."""
    readings = [lamp(n, T0_MS + n * 1_000) for n in (3, 1, 2)]
    (whole,) = dialect().outgoing(readings)
    (parted,) = dialect(arrays=False).outgoing(readings)
    assert [body(each) for each in parted.messages] == body(whole.message)
    assert len(parted.messages) == 3
    assert {each.topic for each in parted.messages} == {whole.message.topic}
    assert (parted.log, parted.marks) == (whole.log, whole.marks)
    told = dialect(arrays=False)
    told.remember([lamp(9, T0_MS + 9_000, level_pct=90)])
    late = [body(each) for each in told.outgoing([lamp(2, T0_MS + 2_000)])[0].messages]
    assert [each["illuminanceLevel"] for each in late] == [0.3, 0.9]


def test_the_gateway_and_its_nodes_are_devices_that_nobody_retains() -> None:
    told = dialect()
    assert body(told.status("offline", None)) == {"deviceState": "offline"}
    assert told.status("online", T0_MS).topic == f"/json/{KEY}/Device:gw-1/attrs"
    node = NodeState("n-sl-0001", "sl-0001", "streetlight", True, T0_MS, "1.2.3", "esp32", "ab12")
    said = told.state(node)
    assert body(said) == {
        "deviceState": "online",
        "firmwareVersion": "1.2.3",
        "hardwareVersion": "esp32",
        "softwareVersion": "ab12",
        "quality": "good",
        "TimeInstant": "2026-09-21T14:13:20.000Z",
    }
    silent = NodeState("n-sl-0001", "sl-0001", "streetlight", False, None)
    assert body(told.state(silent)) == {"deviceState": "offline", "quality": "good"}
    assert not said.retained and not told.status("online", T0_MS).retained
    unit = NodeState("b1:1", "cab-1", "modbus", True, T0_MS)
    there = agent(city())
    for state in (node, unit, replace(unit, node="dust", asset="dust-1", kind="serial")):
        name = told.state(state).topic.split("/")[-2]
        assert "deviceState" in [each["name"] for each in there.devices[KEY, name]["attributes"]]


@pytest.mark.parametrize(
    ("prefix", "measures", "filters"),
    [
        ("/json/", "/json/k/lamp/attrs", "/k/+/cmd"),
        ("json/", "json/k/lamp/attrs", "k/+/cmd"),
        ("/", "/k/lamp/attrs", "/k/+/cmd"),
    ],
)
def test_topics_of_each_generation_of_agents(prefix: str, measures: str, filters: str) -> None:
    topics = Topics(prefix, "k")
    assert (topics.measures("lamp"), topics.commands) == (measures, filters)
    assert topics.commanded(filters.replace("+", "lamp")) == "lamp"
    assert topics.commanded(filters.replace("+", "a/b")) == ""
    assert topics.commanded("/other/lamp/cmd") == ""


def test_any_name_makes_a_device_of_its_own() -> None:
    names = [
        device_id("Alert", local) for local in ("a b", "a_b", "a%20b", "\u00e9" * 200, "x" * 500)
    ]
    assert len(set(names)) == len(names)
    assert all(len(name) <= DEVICE_CHARS and not set(name) & set(" %\u00e9/+#") for name in names)
    assert device_id("Streetlight", "lamp-1") == "lamp-1"


def test_all_of_a_day_is_taken_by_an_agent_that_knows_the_provisioning_alone() -> None:
    of = city()
    there, told = agent(of), dialect(of)
    entries = [each for each in day() if not isinstance(each, NodeState) and happens(each)]
    entries = [said_by_its_node(each) for each in entries]
    states = [each for each in day() if isinstance(each, NodeState)]
    said = [one for made in told.outgoing(entries) for one in made.messages]
    said += [told.state(each) for each in states]
    said += [told.status("online", T0_MS), told.status("offline", None)]
    for each in said:
        there.take(each.topic, each.payload, ARRIVED, retained=each.retained)
    assert all(f"/{KEY}/nobody:" in each for each in there.refused)  # whom no config names
    wanted: dict[tuple[str, str], tuple[int, object]] = {}
    for entry in entries:
        for change in models.changes(entry, of):
            for name, attribute in change.attributes.items():
                at_ms = attribute.observed_at_ms
                if at_ms is None or "nobody" in change.id:
                    continue
                known = wanted.get((change.id, name))
                if known is None or known[0] <= at_ms:
                    wanted[change.id, name] = (at_ms, attribute.value)
    assert len({entity for entity, _ in wanted}) > 20
    for (entity, name), (_, value) in wanted.items():
        said_value = plain(value) if isinstance(value, str) else value
        assert there.entities[entity].attributes[name] == said_value, (entity, name)


def test_units_and_what_stands_are_in_the_provisioning() -> None:
    there = agent(city())
    device = there.devices[KEY, "sl-0001"]
    assert (device["entity_name"], device["entity_type"]) == (LAMP, "Streetlight")
    assert (device["transport"], device["timezone"], device["lazy"]) == ("MQTT", "Etc/UTC", [])
    attributes = {each["name"]: each for each in device["attributes"]}
    assert attributes["lifetimePowerConsumption"] == {
        "object_id": "lifetimePowerConsumption",
        "name": "lifetimePowerConsumption",
        "type": "Number",
        "metadata": {"unitCode": {"type": "Text", "value": "KWH"}},
    }
    assert attributes["status"]["type"] == "Text"
    assert all(each["object_id"] == each["name"] for each in attributes.values())
    static = {each["name"]: each for each in device["static_attributes"]}
    assert static["location"]["type"] == "geo:json"
    assert static["refStreetlightGroup"] == {
        "name": "refStreetlightGroup",
        "type": "Relationship",
        "value": "urn:ngsi-ld:StreetlightGroup:sjoestad:quay",
    }
    words = [each["name"] for each in device["commands"]]
    assert words == ["set_level", "release", "identify", "reboot", "service"]


def test_who_joined_takes_commands_and_who_went_does_not() -> None:
    of = city()
    nodes = [(node.id, node.asset, node.kind) for node in config().nodes]
    gone, *rest = [each for each in nodes if each[2] == "streetlight"]
    of.registry.serve([*rest, ("sl-9", "lamp-9", "streetlight")])
    found = dict(commanded(config(), of, everything=True).values())
    assert "set_level" in found["lamp-9"] and gone[1] not in found


def test_who_gets_zones_alone_is_not_told_of_a_households_device() -> None:
    names = {name for _, name in agent(city(), everything=False).devices}
    assert not [name for name in names if "wm-000" in name]
    assert "sl-0001" in names and "KeyPerformanceIndicator:dma-4:gw-1:consumed_l" in names
    assert "wm-0001" in {name for _, name in agent(city()).devices}
    assert "wm-0001" not in commanded(config(), city(), everything=False)


@pytest.mark.parametrize("kind", EVENTS)
def test_each_kind_has_the_events_that_its_firmware_tells(kind: str) -> None:
    firmware = ROOT / "firmware" / "kerbnode"
    files = [firmware / "assets" / f"{kind}.py", *firmware.glob("*.py")]
    told = {name for file in files for name in re.findall(r"\bEV_[A-Z_]+", file.read_text())}
    events = {EVENT_NAMES[getattr(messages, name)] for name in told}
    assert {ENDS.get(each, each) for each in events} & set(ALERTS) == set(EVENTS[kind])


def test_figures_that_are_worked_out_are_provisioned() -> None:
    days = kpi.Days()
    days.serve({"quay": kpi.Area(("sl-0001",), ()), "harbour": kpi.Area((), ("sl-0001",))})
    days.take(lamp(1), T0_MS)
    told = days.due(T0_MS + 2 * kpi.DAY_MS)
    names = {name for _, name in agent(city()).devices}
    wanted = {
        f"KeyPerformanceIndicator:{each.area}:gw-1:{name}" for each in told for name in each.values
    }
    assert len(wanted) == 3
    assert wanted <= names


def test_the_alarm_of_a_rule_is_provisioned() -> None:
    assert "Alert:sl-0001:rule-quiet" in {name for _, name in agent(city()).devices}


def test_the_page_shows_what_goes_over_the_wire() -> None:
    page = (ROOT / "docs" / "operate" / "iota.md").read_text(encoding="utf-8")
    measure, order, answer = re.findall(r"^```json\n(.*?)^```", page, re.M | re.S)
    of = city((*ASSETS, Asset("lamp-1", "Streetlight")))
    said = dialect(of).outgoing([replace(lamp(1_500), asset="lamp-1")])[0].message
    assert orjson.loads(measure) == body(said)
    assert said.topic in page
    desk = Commands("agent", TOPICS, lambda: {"lamp-1": "lamp-1"}, 30_000, Counters())
    (made,) = desk.orders(asked(order, "lamp-1"), T0_MS)
    assert asked("", "lamp-1").topic in page
    assert made.body["arguments"] == {"level_pct": 40, "hold_s": 3_600}
    done = CommandResult(str(made.body["id"]), "lamp-1", CommandState.OK)
    told = IotaDialect(TOPICS, of.registry, "gw-1", lambda _: (), desk.asked).result(done).message
    assert orjson.loads(answer) == body(told)
    assert told.topic in page


def happens(entry: Entry) -> bool:
    """Would a node of that kind tell this?"""
    if isinstance(entry, Reading) and entry.kind in FIGURES:
        return False  # of no node
    if not isinstance(entry, Reading) or entry.kind != "event":
        return True
    kind = next(node.kind for node in config().nodes if node.asset == entry.asset)
    event = str(entry.values["event"])
    return ENDS.get(event, event) in {*EVENTS[kind], *(EVENT_NAMES.values() - ALERTS.keys())}


def said_by_its_node(entry: Entry) -> Entry:
    """The day's events of the air station name no node of the config."""
    if isinstance(entry, Reading) and entry.kind == "event" and entry.asset == "air-1":
        return replace(entry, key=replace(entry.key, source="n-air"))
    return entry


def asked(text: str, device: str = "sl-0001", *, retained: bool = False) -> Message:
    return Message(f"/{KEY}/{device}/cmd", text.encode(), retained)


def test_a_command_becomes_an_order_with_an_end() -> None:
    desk = commands(city())
    (order,) = desk.orders(asked('{"set_level": {"level_pct": 40, "fade_ms": "500"}}'), T0_MS)
    assert order.asset == "sl-0001"
    name = str(order.body["id"])
    assert len(name) <= 64 and name.startswith("iota:agent:set_level:")
    assert order.body == {
        "id": name,
        "operation": "set_level",
        "arguments": {"level_pct": 40, "fade_ms": 500},
        "expires_at": T0_MS + 30_000,
        "source": "iota:agent",
    }


@pytest.mark.parametrize(
    ("word", "value", "wanted"),
    [
        ("set_level", 40, {"level_pct": 40}),
        ("set_level", "40", {"level_pct": 40}),
        ("set_level", 40.5, {"level_pct": 40.5}),
        ("set_level", "", {}),
        ("release", "anything", {}),
        ("identify", None, {}),
        ("write", {"setpoint_hz": "40"}, {"setpoint_hz": "40"}),
        ("write", 3, 3),
        ("explode", 3, 3),
    ],
)
def test_a_bare_value_is_the_first_argument(word: str, value: object, wanted: object) -> None:
    assert arguments(word, value) == wanted


def test_what_comes_again_at_once_is_the_same_order_and_what_comes_later_another() -> None:
    desk = commands(city())
    first = desk.orders(asked('{"set_level": 40}'), T0_MS)
    assert desk.orders(asked('{"set_level": 40}'), T0_MS + REPEAT_MS) == first
    other = desk.orders(asked('{"set_level": 20}'), T0_MS + 2)
    back = desk.orders(asked('{"set_level": 40}'), T0_MS + 3)
    later = desk.orders(asked('{"set_level": 40}'), T0_MS + 4 + REPEAT_MS)
    assert len({each[0].body["id"] for each in (first, other, back, later)}) == 4


def test_what_is_no_order_is_none() -> None:
    desk = commands(city())
    for text in ("", "[1]", "{", '"on"', "{}", '{"a": "%s"}' % ("x" * 5_000)):
        assert desk.orders(asked(text), T0_MS) == ()
    assert desk.orders(asked('{"set_level": 40}', retained=True), T0_MS) == ()
    assert desk.orders(Message(f"/{KEY}/sl-0001/attrs", b"{}"), T0_MS) == ()


@pytest.mark.parametrize(
    ("state", "reason", "wanted"),
    [
        (CommandState.OK, "", "OK"),
        (CommandState.ERROR, "failed", "ERROR: failed"),
        (CommandState.EXPIRED, "expired", "ERROR: EXPIRED"),
        (
            CommandState.REJECTED,
            "out_of_range: level_pct: 0 to 100",
            "ERROR: REJECTED: out_of_range: level_pct: 0 to 100",
        ),
    ],
)
def test_an_end_is_told_under_the_word_that_was_used(
    state: CommandState, reason: str, wanted: str
) -> None:
    of = city()
    desk = commands(of)
    registry = of.registry
    told = IotaDialect(TOPICS, registry, "gw-1", lambda _: (), desk.asked)
    (order,) = desk.orders(asked('{"set_level": 40}'), T0_MS)
    result = CommandResult(str(order.body["id"]), "sl-0001", state, reason, T0_MS)
    (message,) = told.result(result).messages
    assert message.topic == f"/json/{KEY}/sl-0001/cmdexe"
    assert body(message) == {"set_level": wanted}
    there = agent(of)
    there.take(message.topic, message.payload, ARRIVED)
    assert there.refused == []
    assert there.entities[LAMP].attributes["set_level_info"] == wanted


def test_a_restart_forgets_no_word_and_what_is_under_way_is_not_told() -> None:
    desk = commands(city())
    (order,) = desk.orders(asked('{"set_level": 40}'), T0_MS)
    name = str(order.body["id"])
    fresh = dialect()
    result = CommandResult(name, "sl-0001", CommandState.ERROR, "outcome_unknown")
    assert body(fresh.result(result).message) == {"set_level": "ERROR: outcome_unknown"}
    for state in (CommandState.PENDING, CommandState.DELIVERED):
        assert fresh.result(CommandResult(name, "sl-0001", state)).messages == ()
    assert fresh.result(CommandResult("mine", "sl-0001", CommandState.OK)).messages == ()


def strange() -> Iterator[tuple[str, bytes]]:
    yield f"/json/{KEY}/nobody/attrs", b'{"status": "ok"}'
    yield f"/json/{KEY}/sl-0001/attrs", b"{"
    yield f"/json/{KEY}/sl-0001/attrs", b'{"status": {"value": "ok"}}'
    yield f"/json/{KEY}/sl-0001/attrs", b'{"status": "(ok)"}'
    yield f"/json/{KEY}/sl-0001/attrs", b'{"status": "ok", "TimeInstant": "2026-11-22 08:00"}'
    yield f"/json/{KEY}/sl-0001/attrs", b'{"illuminanceLevel": "0.3"}'
    yield f"/json/{KEY}/sl-0001/attrs", b"[]"
    yield f"/json/{KEY}/sl-0001/cmdexe", b'{"explode": "OK"}'


@pytest.mark.parametrize(("topic", "payload"), list(strange()))
def test_the_stand_in_refuses_what_an_agent_or_its_broker_does(topic: str, payload: bytes) -> None:
    there = agent(city())
    there.take(topic, payload, ARRIVED)
    assert len(there.refused) == 1
    assert there.history == []


def test_the_stand_in_refuses_bad_provisioning() -> None:
    there = IotAgent()
    with pytest.raises(WrongSyntax):
        there.post_devices({"devices": [{"device_id": "a", "apikey": KEY}]})
    with pytest.raises(WrongSyntax):
        there.post_services({"services": [], "more": 1})
    there.post_services(services(KEY))
    with pytest.raises(WrongSyntax):
        there.post_services(services(KEY))
