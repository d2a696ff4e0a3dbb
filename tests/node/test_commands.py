"""Commands run once, in time, and never again."""

from kerbnode import uptake
from kerbnode.commands import REMEMBERED, Commands
from kerbwire import messages as m
from node.test_settings import Blobs, Full

UTC_MS = 1_795_300_000_000
EXPIRES_S = UTC_MS // 1000 + 10


def loaded(store: Blobs) -> Commands:
    commands = Commands()
    uptake.load_commands(commands, store)
    return commands


def obey(
    commands: Commands, command_id: int, op: int = m.OP_SET_LEVEL, utc_ms: "int | None" = UTC_MS
) -> int:
    """What the node does with a command, its execution apart."""
    known = commands.known(command_id)
    if known is not None:
        return known[0]
    code = commands.refusal(EXPIRES_S, utc_ms)
    if code == m.OK:
        code = commands.begin(command_id, op)
    commands.finish(command_id, code, 0)
    return code


def test_without_time_nothing_runs_but_the_same_command_may_come_again() -> None:
    commands = Commands()
    assert obey(commands, 1, utc_ms=None) == m.NO_TIME
    assert obey(commands, 1) == m.OK


def test_an_expired_command_stays_expired() -> None:
    commands = Commands()
    assert obey(commands, 1, utc_ms=EXPIRES_S * 1000) == m.EXPIRED
    assert obey(commands, 1) == m.EXPIRED
    assert obey(commands, 2, utc_ms=EXPIRES_S * 1000 - 1) == m.OK


def test_a_repeat_gets_the_first_result_and_a_lower_unknown_one_is_a_replay() -> None:
    commands = Commands()
    for command_id in range(5, 5 + REMEMBERED + 1):
        assert obey(commands, command_id) == m.OK
    assert obey(commands, 6) == m.OK
    assert obey(commands, 5) == m.REPLAYED
    assert obey(commands, 3) == m.REPLAYED
    assert commands.highest == 5 + REMEMBERED


def test_what_must_not_run_twice_is_remembered_over_a_restart() -> None:
    store = Blobs()
    commands = loaded(store)
    obey(commands, 8)
    assert store.get("command") is None
    obey(commands, 9, op=m.OP_REBOOT)
    later = loaded(store)
    assert obey(later, 9, op=m.OP_REBOOT) == m.REPLAYED
    assert obey(later, 10) == m.OK


def test_an_id_of_40_bits_is_not_cut() -> None:
    store = Blobs()
    top = (1 << 40) - 1
    commands = loaded(store)
    for command_id in ((1 << 32) + 5, top):
        commands.begin(command_id, m.OP_REBOOT)
        later = loaded(store)
        assert later.highest == command_id
        assert later.known(5) == (m.REPLAYED, 0)


def test_the_four_bytes_of_older_firmware_are_read() -> None:
    store = Blobs()
    store.set("command", bytes((0, 0, 1, 2)))
    commands = loaded(store)
    assert commands.highest == 258


def test_what_flash_can_not_remember_does_not_run() -> None:
    commands = loaded(Full())
    assert obey(commands, 7) == m.OK, "this one may run twice"
    assert obey(commands, 8, op=m.OP_REBOOT) == m.FAILED
    assert obey(commands, 8, op=m.OP_REBOOT) == m.FAILED
    assert commands.highest == 7
