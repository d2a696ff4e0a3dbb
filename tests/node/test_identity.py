"""Nothing of the node that a board was before appears under another one's name."""

import json

from kerbnode import app, boots, nvs, settings, uptake
from kerbnode.flash import Flash
from kerbnode.hal.sim import Board
from kerbwire import messages as m
from node import scratch
from node.test_board import NOON_MS, powered

LAMP = {"node_id": "sl-0001", "asset": "streetlight"}
METER = {"node_id": "wm-0001", "asset": "water_meter"}
CONFIG = b'{"version": 4, "report_s": 61}'


def booted(board: Board, given: "dict[str, str]", key: bytes = bytes(16)) -> app.Node:
    nvs.set_checked(board.nvs, "settings", json.dumps(given).encode())
    node = app.Node(board, settings.load(board.nvs), (0, key))
    node.assemble()
    return node


def lived(board: Board, given: "dict[str, str]") -> app.Node:
    """A node with all that a node may leave behind."""
    node = booted(board, given)
    for uptime_s in range(3):
        node.sense.record(1000 * uptime_s, m.REPORT, node.instruments.asset.values())
    node.stop()
    nvs.set_checked(board.nvs, "totals", b"[360000000000, 7200000]")
    nvs.set_checked(board.nvs, "config", CONFIG)
    nvs.set_checked(board.nvs, "config_was", CONFIG)
    nvs.set_checked(board.nvs, "rate", b"\x00\x01\x00\x00")
    board.nvs.set("command", b"\x00\x00\x00\x00\x09")
    boots.keep_good(board.nvs, node.settings)
    return node


def is_fresh(node: app.Node, before: app.Node) -> None:
    assert node.journal.epoch not in (0, before.journal.epoch), "the old log goes on"
    number = node.journal.first()
    while number < node.journal.next:
        record = node.journal.read(number)
        assert record is None or record[1] == m.EVENT, "a report of another node"
        number += 1
    assert node.settings.config_version == 0 and node.settings.report_s == 900
    assert node.settings.restored == "", "what is gone on purpose was taken for damage"
    assert node.commands.highest == 0 and node.clock._rate_ppb == 0
    assert uptake.load_totals(node.board.nvs) is None


def test_another_asset_takes_nothing_along() -> None:
    board, place = powered(NOON_MS, "streetlight")
    before = lived(board, LAMP)
    node = booted(board, METER)
    is_fresh(node, before)
    assert node.instruments.asset.values()[0] == 0, "watt-hours became litres"
    node.stop()
    again = booted(board, METER)
    assert again.journal.epoch == node.journal.epoch, "it is known by now"
    assert again.settings.restored == ""
    scratch.remove(place)


def test_another_name_takes_nothing_along() -> None:
    board, place = powered(NOON_MS, "streetlight")
    before = lived(board, LAMP)
    is_fresh(booted(board, {"node_id": "sl-0002", "asset": "streetlight"}), before)
    scratch.remove(place)


def test_the_same_node_keeps_all_of_it() -> None:
    """With new settings and a new key too."""
    board, place = powered(NOON_MS, "streetlight")
    before = lived(board, LAMP)
    node = booted(board, dict(LAMP, build="debug"), b"k" * 16)
    assert node.journal.epoch == before.journal.epoch
    assert node.journal.next > before.journal.next
    assert (node.settings.config_version, node.settings.report_s) == (4, 61)
    assert node.commands.highest == 9 and node.clock._rate_ppb == 256
    assert node.instruments.asset.values()[3] == 2, "its hours"
    scratch.remove(place)


def test_old_settings_never_come_back() -> None:
    board, place = powered(NOON_MS, "streetlight")
    lived(board, LAMP)
    booted(board, METER)
    board.nvs.set("settings", b"damaged")
    try:
        settings.load(board.nvs)
        raise AssertionError("another node's settings were taken for its own")
    except settings.SettingsError as error:
        assert error.code == "damaged"
    scratch.remove(place)


def test_a_cut_while_it_forgets_leaves_no_half(cuts: int = 12) -> None:
    """Each blob and file that goes may be the last one before the power does."""
    for cut in range(cuts):
        board, place = powered(NOON_MS, "streetlight")
        before = lived(board, LAMP)
        real, left = board.nvs.set, [cut]

        def set_until(name: str, blob: bytes, real=real, left=left) -> None:  # noqa: ANN001
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            real(name, blob)

        nvs.set_checked(board.nvs, "settings", json.dumps(METER).encode())
        board.nvs.set = set_until
        try:
            app.Node(board, settings.load(board.nvs), (0, bytes(16))).assemble()
        except KeyboardInterrupt:
            pass
        board.nvs.set = real
        is_fresh(booted(board, METER), before)
        scratch.remove(place)


def test_a_log_that_can_not_go_is_not_taken_up() -> None:
    """Flash that refuses gives the new node no log at all rather than another's."""
    board, place = powered(NOON_MS, "streetlight")
    before = lived(board, LAMP)
    real = Flash.remove

    def refuse(*_: object) -> None:
        raise OSError(5)

    Flash.remove = refuse
    try:
        node = booted(board, METER)
    finally:
        Flash.remove = real
    assert node.journal.epoch == 0 and node.journal.next == 1
    is_fresh(booted(board, METER), before)
    scratch.remove(place)
