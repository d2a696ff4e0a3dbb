"""When a CONFIG is sent to a node, and what is remembered of its answers."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from kerbline.config import Node
from kerbline.south.arrivals import Noted
from kerbline.south.config_exchange import LAST_VERSION, ConfigExchange
from kerbline.south.node_config import NodeConfig
from kerbwire.gateway import GatewaySession
from kerbwire.messages import OK, OUT_OF_RANGE, UNSUPPORTED, Info
from kerbwire.schema import STREETLIGHT

NODE = Node("sl-1", "lamp-1", "streetlight", Path("k"), "udp", report_s=60)
REPORT_S, NEW_KEY = 1, 6


class Session:
    """The engine's side: what it was told to send."""

    def __init__(self) -> None:
        self.up = True
        self.sent: list[tuple[int, set[int]]] = []  # versions and keys
        self.changes = 0
        session = cast(GatewaySession, self)
        self.exchange = ConfigExchange("sl-1", NodeConfig(NODE, None), session, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def send_config(self, version: int, values: dict[int, int | bytes]) -> None:
        self.sent.append((version, set(values)))

    def begin(self, version: int, firmware: int = 1) -> list[Noted]:
        info = Info(STREETLIGHT.hash, 11, 7, firmware)
        info.config_version = version
        return list(self.exchange.begin(info))


def test_a_config_is_sent_in_a_session_and_remembered_when_it_is_taken() -> None:
    session = Session()
    session.exchange.ask({NEW_KEY: 80})
    assert not session.sent, "it was never heard"
    assert not session.begin(0)
    assert session.sent == [(1, {REPORT_S, NEW_KEY})] and session.changes == 1
    (noted,) = session.exchange.answered(1, OK)
    assert noted.name == "sl-1"
    session.begin(1)
    assert session.changes == 1, "it has what we want"
    session.exchange.ask({})
    assert session.sent[1:] == [(2, {REPORT_S})]
    session.up = False
    session.exchange.ask({NEW_KEY: 70})
    assert len(session.sent) == 2, "it waits for a session"


def test_older_firmware_gets_less_until_it_has_other_one() -> None:
    session = Session()
    session.exchange.ask({NEW_KEY: 80})
    session.begin(0)
    assert not list(session.exchange.answered(1, UNSUPPORTED))
    assert session.sent[1:] == [(2, {REPORT_S})]
    assert list(session.exchange.answered(2, OK))
    session.begin(2)
    assert len(session.sent) == 2
    session.begin(2, firmware=2)
    assert session.sent[2:] == [(3, {REPORT_S, NEW_KEY})]


def test_a_refusal_for_a_value_is_left_at_that() -> None:
    session = Session()
    session.begin(0)
    assert not list(session.exchange.answered(1, OUT_OF_RANGE))
    assert len(session.sent) == 1


def test_a_node_that_states_the_last_version_takes_no_newer_one() -> None:
    session = Session()
    session.begin(LAST_VERSION)
    assert not session.sent
