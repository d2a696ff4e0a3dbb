"""The MQTT dialect: schemas, the page's examples (copied from runs) and the mapper agree."""

import json
import re
from collections.abc import Callable
from typing import Any

import cbor2
import fastjsonschema
import pytest

from kerbline.model import (
    Alarm,
    Command,
    CommandResult,
    CommandState,
    Entry,
    Gap,
    Key,
    NodeState,
    Reading,
    Severity,
    Value,
)
from kerbline.north.cbor import Cbor
from kerbline.north.commands import parse
from kerbline.north.mapping import Mapper
from kerbline.north.port import Message
from kerbline.north.topics import Topics
from kerbline.operations import OPERATIONS
from kerbwire.schema import SCHEMAS
from tools.trees import ROOT

FOLDER = ROOT / "docs" / "reference" / "mqtt"
PAGES = [ROOT / "docs" / "operate" / name for name in ("mqtt.md", "commands.md")]
TOPICS = Topics("kerbline", "gw-demo")
AT_MS = 1_795_301_182_393
KEY = Key("gw-demo", 1_795_301_182, 26)
WORDS = {"readings", "gap", "alarm", "result"}


def schema(name: str) -> Callable[[Any], Any]:
    """The validator of one kind of message; it raises JsonSchemaException."""
    text = (FOLDER / f"{name}.schema.json").read_text(encoding="utf-8")
    validator: Callable[[Any], Any] = fastjsonschema.compile(json.loads(text))
    return validator


def kind(payload: dict[str, Any]) -> str:
    """Which message an example is, by the field that only it has."""
    marks = {
        "ranges": "ack",
        "readings": "readings",
        "first": "gap",
        "rule": "alarm",
        "operation": "command",
        "firmware": "state",
    }
    found = [name for mark, name in marks.items() if mark in payload]
    return found[0] if found else "result" if "asset" in payload else "status"


EXAMPLES = [
    json.loads(text)
    for page in PAGES
    for text in re.findall(r"^```json\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
]


@pytest.mark.parametrize("payload", EXAMPLES, ids=kind)
def test_examples_fit_their_schema(payload: dict[str, Any]) -> None:
    schema(kind(payload))(payload)


def test_every_message_has_an_example() -> None:
    files = {file.name.partition(".")[0] for file in FOLDER.glob("*.schema.json")}
    assert {kind(payload) for payload in EXAMPLES} == files


@pytest.mark.parametrize(
    "entry",
    [
        Reading(KEY, "lamp-1", "streetlight", AT_MS, 600, {"power_w": 18.4}),
        Reading(KEY, "air-1", "air_quality", AT_MS, 0, {}, ("undated",)),
        Reading(KEY, "lamp-1", "event", AT_MS, 600, {"event": "boot", "value": 1}),
        Gap("sl-0001", 7, 19, 67, "power", AT_MS),
        Gap("sl-0001", 7, 1, None, "log_lost", AT_MS),
        Alarm(KEY, "meter-2", "continuous_flow", True, Severity.WARNING, AT_MS, {"limit_h": 6.0}),
    ],
)
def test_what_the_mapper_makes_fits(entry: Entry) -> None:
    (outgoing,) = Mapper(TOPICS).outgoing([entry])
    word = outgoing.message.topic.rpartition("/")[2]
    assert word in WORDS
    schema(word)(json.loads(outgoing.message.payload))


@pytest.mark.parametrize("count", [1, 23, 24, 200, 300])
def test_cbor_carries_the_same_trees(count: int) -> None:
    values: dict[str, Value] = {"power_w": 18.4, "level_pct": 30, "hourly_l": (1, 2, 3), "on": True}
    entries: list[Entry] = [
        Reading(Key("sl-1", 7, n), "lamp-1", "event", AT_MS, 600, values, ("undated",))
        for n in range(1, count + 1)
    ]
    entries += [
        Gap("sl-1", 7, 301, None, "log_lost", AT_MS),
        Alarm(KEY, "meter-2", "leak", True, Severity.WARNING, AT_MS, {"limit_h": 6.0}),
    ]
    as_json, as_cbor = Mapper(TOPICS).outgoing(entries), Mapper(TOPICS, Cbor()).outgoing(entries)
    assert [each.message.topic for each in as_cbor] == [each.message.topic for each in as_json]
    for one, other in zip(as_json, as_cbor, strict=True):
        assert cbor2.loads(other.message.payload) == json.loads(one.message.payload)
        assert len(other.message.payload) < len(one.message.payload)
    assert cbor2.loads(Mapper(TOPICS, Cbor()).status("online", AT_MS).payload)["state"] == "online"


def test_results_and_status_fit() -> None:
    mapper = Mapper(TOPICS)
    for state in CommandState:
        result = mapper.result(CommandResult("night", "lamp-6", state, "", AT_MS))
        schema("result")(json.loads(result.message.payload))
    for at_ms in (AT_MS, None):
        schema("status")(json.loads(mapper.status("offline", at_ms).payload))


@pytest.mark.parametrize("what", [each.name for each in SCHEMAS])
def test_states_fit(what: str) -> None:
    before = NodeState("sl-1", "lamp-1", what, online=False, since_ms=None)
    after = NodeState("sl-1", "lamp-1", what, True, AT_MS, "0.1.0", "lamp-esp32", "1f0c9a27")
    for state in (before, after):
        schema("state")(json.loads(Mapper(TOPICS).state(state).payload))


def test_the_example_command_is_taken() -> None:
    kinds = {"lamp-6": "streetlight", "pump-7": "modbus"}
    payloads = [each for each in EXAMPLES if kind(each) == "command"]
    assert len(payloads) == len(kinds)
    for payload, asset in zip(payloads, kinds, strict=True):
        message = Message(f"kerbline/gw-demo/{asset}/command", json.dumps(payload).encode())
        command = parse(message, TOPICS, kinds, payload["expires_at"] - 1000)
        assert isinstance(command, Command), command


def test_no_operation_and_no_field_is_forgotten() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    fields = {field.name for each in SCHEMAS for field in each.fields}
    arguments = {name for each in OPERATIONS.values() for name in each.arguments or ()}
    named = set(re.findall(r"`(\w+)`", text))
    assert fields | arguments | set(OPERATIONS) <= named
    schema_file = json.loads((FOLDER / "command.schema.json").read_text(encoding="utf-8"))
    assert schema_file["properties"]["operation"]["enum"] == list(OPERATIONS)


def test_every_value_has_a_unit_code_or_is_told_to_have_none() -> None:
    readings = json.loads((FOLDER / "readings.schema.json").read_text(encoding="utf-8"))
    values = readings["properties"]["readings"]["items"]["properties"]["values"]
    codes = values["x-unitCodes"]
    fields = {field.name for each in SCHEMAS for field in each.fields}
    bare = {name for name in fields if "_" + name.rpartition("_")[2] not in codes}
    assert bare == {"status", "alarms"}
    assert all(re.fullmatch("[A-Z0-9]{2,3}", code) for code in codes.values())


def test_every_rejection_is_explained() -> None:
    source = (ROOT / "gateway/kerbline/north/commands.py").read_text(encoding="utf-8")
    reasons = set(re.findall(r'_Refused\("(\w+)"', source))
    assert len(reasons) > 10
    text = PAGES[1].read_text(encoding="utf-8")
    missing = [reason for reason in sorted(reasons) if not re.search(f"`{reason}[:`]", text)]
    assert not missing
