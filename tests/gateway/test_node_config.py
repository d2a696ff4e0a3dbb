"""Which CONFIG a node gets: once, none in another's place, and older firmware what it takes."""

from __future__ import annotations

from pathlib import Path

from kerbline.config import Node
from kerbline.south.node_config import NodeConfig

NODE = Node("sl-1", "lamp-1", "streetlight", Path("k"), "udp")
FULL: dict[int, int | bytes] = {2: bytes((0, 0, 100)), 3: -83, 6: 80}
OLD: dict[int, int | bytes] = {2: bytes((0, 0, 100))}


def made(remembered: str | None = None) -> NodeConfig:
    """A node's, of which nothing is known."""
    config = NodeConfig(NODE, remembered)
    config.ask(FULL)
    return config


def test_what_is_asked_later_is_another_version_while_one_is_under_way() -> None:
    config = made()
    assert config.due(0) == (1, FULL)
    config.ask(OLD)
    assert config.due(0) == (2, OLD)  # the first may have been taken, and its answer be lost
    config.ask(FULL)
    assert config.due(0) == (3, FULL)
    assert config.taken(1) is None
    assert config.taken(3) is not None
    assert config.due(3) is None


def test_what_was_asked_before_is_sent_again_if_something_else_is_under_way() -> None:
    config = made()
    assert config.due(0) == (1, FULL)
    remembered = config.taken(1)
    config.ask(OLD)
    assert config.due(1) == (2, OLD)
    config.ask(FULL)
    assert config.due(1) == (3, FULL)
    assert made(remembered).due(1) is None


def test_an_unanswered_one_keeps_its_version() -> None:
    config = made()
    assert config.due(7) == config.due(7) == (8, FULL)
    assert config.due(8) is None  # its answer was lost


def test_older_firmware_gets_what_it_takes_and_newer_one_all() -> None:
    config = made()
    assert config.due(0) == (1, FULL)
    assert config.refused(1)
    assert config.due(0) == (2, OLD)
    remembered = config.taken(2)
    assert config.due(2) is None
    config.reflashed()
    assert config.due(2) == (3, FULL)
    again = made(remembered)
    assert again.due(2) == (3, FULL)  # a gateway that begins tries
    assert again.refused(3)
    assert again.due(2) is None  # and finds that it has what it takes


def test_a_refusal_of_what_each_firmware_takes_is_final() -> None:
    config = NodeConfig(NODE, None)
    config.ask(OLD)
    assert config.due(0) == (1, OLD)
    assert not config.refused(9)
    assert not config.refused(1)
    assert config.due(0) == (2, OLD)
