"""Commands of the city: what is one, by which name it is rejected, and that each runs once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from kerbline.agent.devices import kinds
from kerbline.config import load
from kerbline.model import Command, CommandResult, CommandState
from kerbline.north.commands import MAX_PAYLOAD_BYTES, Rejection, Rights, parse
from kerbline.north.mapping import rfc3339
from kerbline.north.port import Message
from kerbline.north.topics import Topics
from kerbline.store import Notes, Store
from kerbline.store.ledger import COMMANDS_KEPT, ID_REUSED
from tests.gateway.samples import T0_MS, command

TOPICS = Topics("kerbline", "gw-1")
KINDS = {"lamp-1": "streetlight", "meter-1": "water_meter", "cabinet-1": "modbus"}
LAMP = "kerbline/gw-1/lamp-1/command"
NOW_MS = T0_MS
SOON_MS = T0_MS + 5_000
ORDER = {
    "id": "a1",
    "operation": "set_level",
    "arguments": {"level_pct": 60},
    "expires_at": SOON_MS,
}
DAY_MS = 86_400_000


def told(
    payload: object, topic: str = LAMP, *, retained: bool = False
) -> Command | Rejection | None:
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return parse(Message(topic, body, retained), TOPICS, KINDS, NOW_MS)


def test_a_good_order_is_a_command_with_all_its_arguments() -> None:
    arguments = {"level_pct": 60, "hold_s": 0, "fade_ms": 0}
    assert told(ORDER) == Command("a1", "lamp-1", "set_level", arguments, SOON_MS, "mqtt")


@pytest.mark.parametrize("expires", [rfc3339(SOON_MS), "2026-09-21T16:13:25+02:00"])
def test_an_expiry_may_be_rfc_3339(expires: str) -> None:
    assert isinstance(told({**ORDER, "expires_at": expires}), Command)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": None}, "missing_id"),
        ({"id": ""}, "bad_id"),
        ({"id": 7}, "bad_id"),
        ({"id": "x" * 65}, "bad_id"),
        ({"id": "a b"}, "bad_id"),
        ({"operation": "explode"}, "unknown_operation"),
        ({"operation": None}, "unknown_operation"),
        ({"operation": ["set_level"]}, "unknown_operation"),
        ({"arguments": []}, "wrong_type"),
        ({"arguments": {}}, "missing_argument"),
        ({"arguments": {"level_pct": "60"}}, "wrong_type"),
        ({"arguments": {"level_pct": 60.5}}, "wrong_type"),
        ({"arguments": {"level_pct": True}}, "wrong_type"),
        ({"arguments": {"level_pct": 101}}, "out_of_range"),
        ({"arguments": {"level_pct": -1}}, "out_of_range"),
        ({"arguments": {"level_pct": 60, "colour": 3}}, "unknown_argument"),
        ({"expires_at": None}, "missing_expiry"),
        ({"expires_at": NOW_MS}, "expired"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expired"),
        ({"expires_at": "soon"}, "bad_expiry"),
        ({"expires_at": "2026-09-21T16:13:25"}, "bad_expiry"),
        ({"expires_at": "0001-01-01T00:00:00+23:59"}, "expired"),
        ({"expires_at": True}, "bad_expiry"),
        ({"expires_at": 1.5}, "bad_expiry"),
        ({"expires_at": NOW_MS + 2 * DAY_MS}, "bad_expiry"),
        ({"colour": 1}, "unknown_field"),
        ({"expires_at": "2026-W39-1T14:13:25Z"}, "bad_expiry"),
        ({"expires_at": "20260921T141325Z"}, "bad_expiry"),
        ({"expires_at": "2026-09-21T14:13:25+00:00:01"}, "bad_expiry"),
        ({"priority": None}, "bad_priority"),
        ({"source": None}, "bad_source"),
        ({"priority": 1}, "bad_priority"),
        ({"priority": []}, "bad_priority"),
        ({"priority": "mayor"}, "bad_priority"),
        ({"priority": "safety"}, "not_permitted"),
        ({"source": ""}, "bad_source"),
        ({"source": 7}, "bad_source"),
        ({"source": "control/dimming"}, "bad_source"),
        ({"source": "x" * 33}, "bad_source"),
    ],
)
def test_a_bad_order_is_rejected_by_name(change: dict[str, object], reason: str) -> None:
    rejection = told({**ORDER, **change})
    assert isinstance(rejection, Rejection)
    assert rejection.reason == reason
    assert rejection.asset == "lamp-1"
    assert rejection.command_id == ("" if reason.endswith("_id") else "a1")
    result = rejection.result(NOW_MS)
    assert result.state is CommandState.REJECTED
    assert result.reason.startswith(reason)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arguments": {"level_pct": 101}}, "out_of_range: level_pct: 0 to 100"),
        ({"arguments": {"level_pct": "1"}}, "wrong_type: level_pct: a whole number is expected"),
        ({"arguments": {"hold_s": 1}}, "missing_argument: level_pct"),
        ({"arguments": {"level": 1}}, "unknown_argument: level"),
        ({"arguments": 7}, "wrong_type: arguments: an object is expected"),
        ({"expires_at": "2026-09-21T16:13:25"}, "bad_expiry: without a time zone"),
        ({"expires_at": "tomorrow"}, "bad_expiry: not RFC 3339"),
        ({"expires_at": NOW_MS + 2 * DAY_MS}, "bad_expiry: more than 24 h ahead"),
        ({"expires_at": None}, "missing_expiry: expires_at: RFC 3339 or ms since 1970"),
        ({"expires_at": NOW_MS - 1}, "expired"),
        ({"priority": "mayor"}, "bad_priority: one of control operator safety"),
        ({"priority": "safety"}, "not_permitted: priority safety"),
        ({"source": "a b"}, "bad_source: 1 to 32 of A-Z a-z 0-9 . _ : @ -"),
        ({"until": 1}, "unknown_field: until"),
        (
            {"operation": "explode"},
            "unknown_operation: one of set_level release identify reboot write service",
        ),
    ],
)
def test_a_rejection_says_what_to_mend(change: dict[str, object], said: str) -> None:
    rejection = told({**ORDER, **change})
    assert isinstance(rejection, Rejection)
    assert rejection.result(NOW_MS).reason == said


def test_what_the_config_does_not_permit_is_not_taken() -> None:
    def asked(**change: object) -> str:
        body = orjson.dumps({**ORDER, **change})
        rights = Rights(frozenset(["set_level"]), "control")
        found = parse(Message(LAMP, body, retained=False), TOPICS, KINDS, NOW_MS, rights)
        assert found is not None
        return found.source if isinstance(found, Command) else found.result(NOW_MS).reason

    assert asked() == "not_permitted: priority operator"
    assert asked(priority="control", source="scada") == "control/scada"
    assert asked(operation="reboot", arguments={}) == "not_permitted: reboot"
    assert asked(priority="safety") == "not_permitted: priority safety"


def test_who_asks_is_in_the_command() -> None:
    named = told({**ORDER, "source": "dispatcher-3"})
    assert isinstance(named, Command)
    assert named.source == "operator/dispatcher-3"
    urgent = parse(
        Message(LAMP, orjson.dumps({**ORDER, "priority": "safety"}), retained=False),
        TOPICS,
        KINDS,
        NOW_MS,
        Rights(priority="safety"),
    )
    assert isinstance(urgent, Command)
    assert urgent.source == "safety/mqtt"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[" * 2_000, "not_json"),
        ([], "not_json"),
        (b" " * (MAX_PAYLOAD_BYTES + 1), "too_long"),
    ],
)
def test_garbage_is_rejected(payload: object, reason: str) -> None:
    rejection = told(payload)
    assert isinstance(rejection, Rejection)
    assert rejection.reason == reason


@pytest.mark.parametrize(
    ("asset", "operation", "reason"),
    [
        ("lamp-9", "set_level", "unknown_asset"),
        ("meter-1", "set_level", "unsupported"),
        ("cabinet-1", "reboot", "unsupported"),
    ],
)
def test_an_order_must_fit_its_asset(asset: str, operation: str, reason: str) -> None:
    rejection = told({**ORDER, "operation": operation}, f"kerbline/gw-1/{asset}/command")
    assert isinstance(rejection, Rejection)
    assert rejection.reason == reason


def test_a_device_that_only_measures_is_no_unknown_asset(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[gateway]\nid = "gw-1"\nstate_dir = "state"\n'
        '[[modbus]]\nname = "bus"\nport = "/dev/ttyUSB0"\n'
        '[[modbus.device]]\nunit = 1\nasset = "meter-7"\nprofile = "eastron-sdm630"\n'
        '[[modbus.device]]\nunit = 2\nasset = "pump-1"\nprofile = "danfoss-vlt-fc202"\n'
        '[[serial]]\nname = "p1"\nport = "/dev/ttyUSB1"\nprofile = "dsmr5"\nasset = "house-1"\n'
        'assets = {gas = "gas-1"}\n'
    )
    known = kinds(load(path))
    body = orjson.dumps({**ORDER, "operation": "write", "arguments": {"power_w": 1}})
    for asset, device in (
        ("meter-7", "modbus device without writable registers"),
        ("house-1", "serial device"),
        ("gas-1", "serial device"),
    ):
        message = Message(f"kerbline/gw-1/{asset}/command", body, retained=False)
        rejection = parse(message, TOPICS, known, NOW_MS)
        assert isinstance(rejection, Rejection)
        assert (rejection.reason, rejection.detail) == ("unsupported", f"write on a {device}")
    message = Message("kerbline/gw-1/pump-1/command", body, retained=False)
    assert isinstance(parse(message, TOPICS, known, NOW_MS), Command)


@pytest.mark.parametrize("asset", ["lamp-1", "meter-1"])
@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({"seconds": 900}, "ok"),
        ({"seconds": 0}, "ok"),
        ({"seconds": 3601}, "out_of_range"),
        ({"seconds": -1}, "out_of_range"),
        ({"seconds": True}, "wrong_type"),
        ({}, "missing_argument"),
    ],
)
def test_service_names_how_long_the_console_is_open(
    asset: str, given: dict[str, object], verdict: str
) -> None:
    order = {**ORDER, "operation": "service", "arguments": given}
    command = told(order, f"kerbline/gw-1/{asset}/command")
    if verdict == "ok":
        assert isinstance(command, Command)
        assert (command.operation, command.arguments) == ("service", given)
    else:
        assert isinstance(command, Rejection)
        assert command.reason == verdict


def test_a_retained_order_is_never_run() -> None:
    rejection = told(ORDER, retained=True)
    assert isinstance(rejection, Rejection)
    assert (rejection.command_id, rejection.reason) == ("a1", "retained")


@pytest.mark.parametrize(
    "topic",
    ["kerbline/gw-1/status", "kerbline/gw-2/lamp-1/command", "x/kerbline/gw-1/lamp-1/command"],
)
def test_another_topic_is_no_command(topic: str) -> None:
    assert told(ORDER, topic) is None


def test_a_repeated_id_runs_once_and_gets_the_stored_result(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s.db")
    assert store.commands.submit(command("a1"), T0_MS).new
    done = CommandResult("a1", "lamp-1", CommandState.OK, "", T0_MS + 9)
    assert store.commands.settle(done)
    store.close()
    store = Store.open(tmp_path / "s.db")
    again = store.commands.submit(command("a1", expires_at_ms=T0_MS + 99_000), T0_MS + 20)
    assert (again.new, again.result) == (False, done)
    other = store.commands.submit(command("a1", level=10), T0_MS + 30)
    assert (other.new, other.result.state, other.result.reason) == (
        False,
        CommandState.REJECTED,
        ID_REUSED,
    )
    assert [line.state for line in store.commands.audit("a1")] == ["PENDING", "OK"]
    store.close()


def test_a_final_state_is_final(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s.db")
    store.commands.submit(command("a1"), T0_MS)
    for state, accepted in [
        (CommandState.DELIVERED, True),
        (CommandState.PENDING, False),
        (CommandState.ERROR, True),
        (CommandState.OK, False),
        (CommandState.EXPIRED, False),
    ]:
        assert store.commands.settle(CommandResult("a1", "lamp-1", state)) is accepted
    assert not store.commands.settle(CommandResult("nobody", "lamp-1", CommandState.OK))
    store.close()


def test_after_a_restart_the_open_commands_are_known(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s.db")
    for name in ("new", "sent", "done"):
        store.commands.submit(command(name), T0_MS)
    store.commands.settle(CommandResult("sent", "lamp-1", CommandState.DELIVERED))
    store.commands.settle(CommandResult("done", "lamp-1", CommandState.OK))
    store.close()
    store = Store.open(tmp_path / "s.db")
    left = {order.id: state for order, state in store.commands.open()}
    assert left == {"new": CommandState.PENDING, "sent": CommandState.DELIVERED}
    store.close()


def test_an_own_command_is_booked_with_its_outcome(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s.db")
    result = CommandResult("dim-1", "lamp-1", CommandState.OK, "", T0_MS)
    store.append([], T0_MS, Notes(outcomes=[(command("dim-1"), result)]))
    assert store.commands.audit("dim-1") == [result]
    store.close()


def test_who_holds_an_asset_is_not_forgotten_with_the_oldest_commands(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s.db")
    held = replace(command("held"), arguments={"level_pct": 60, "hold_s": 0}, asset="lamp-2")
    for number, order in enumerate([replace(held, id="older"), held]):
        store.commands.submit(order, T0_MS + number)
        store.commands.settle(CommandResult(order.id, "lamp-2", CommandState.OK, "", T0_MS + 9))
    own = [
        (replace(command(f"dim-{n}"), source="control/dimming"), T0_MS + 10 + n)
        for n in range(COMMANDS_KEPT)
    ]
    for start in range(0, len(own), 1_000):
        outcomes = [
            (order, CommandResult(order.id, order.asset, CommandState.OK, "", at_ms))
            for order, at_ms in own[start : start + 1_000]
        ]
        store.append([], T0_MS, Notes(outcomes=outcomes))
    store.keep_within(T0_MS)
    assert [(order.id, came_ms) for order, came_ms in store.commands.standing()] == [
        ("held", T0_MS + 1)
    ]
    assert store.commands.known("older") is None
    store.close()
