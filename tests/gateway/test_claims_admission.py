"""Who is a node of ours, by the state folder alone: claims, revocations, replacements, kills."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kerbline.config import Config, Gateway, Node, Udp
from kerbline.config.enrolment import EnrolmentLine
from kerbline.keys import KeyFault, KeyRing, NodeKeys, checked
from kerbline.keys.admission import MAX_WAITING, Admission, Refused
from kerbline.keys.claim import Claim
from kerbline.keys.ring import KEY_FOLDER
from kerbline.keys.way import Way
from kerbwire.keyschedule import ratchet

KEY = bytes(range(16))
FRESH = bytes(range(100, 116))
UDP = Way("udp")
MADE_S = 1_780_000_000
LATER_S = MADE_S + 1_000


def config_of(folder: Path, *names: str, lines: tuple[EnrolmentLine, ...] = ()) -> Config:
    nodes = []
    for name in names:
        key_file = folder / f"{name}.key"
        if not key_file.exists():
            key_file.touch(mode=0o600)
            key_file.write_text(KEY.hex())
        nodes.append(Node(name, f"lamp-of-{name}", "streetlight", key_file, "udp"))
    state = Gateway("gw", folder / "state")
    return Config(state, udp=Udp("127.0.0.1:1"), nodes=tuple(nodes), enrolments=lines)


def made(config: Config) -> Admission:
    return Admission(config, KeyRing(config.gateway.state_dir / KEY_FOLDER))


def of(node: str, asset: str, key: bytes = FRESH, made_s: int = MADE_S, **more: object) -> Claim:
    fields: dict[str, object] = {"kind": "streetlight", "generation": 0, "link": "udp"} | more
    return Claim(node, asset, key=key, made_s=made_s, **fields)  # type: ignore[arg-type]


def refused(work: Callable[[], object], reason: str) -> str:
    with pytest.raises(Refused) as fault:
        work()
    assert fault.value.reason == reason, str(fault.value)
    return str(fault.value)


def serving(admission: Admission) -> dict[str, str]:
    return {node.id: node.asset for node in admission.nodes()}


def test_a_claim_makes_a_node_known_for_good(tmp_path: Path) -> None:
    config = config_of(tmp_path, "sl-1")
    admission = made(config)
    joined = admission.admit(of("sl-9", "lamp-9"), UDP, LATER_S)
    assert admission.admit(of("sl-9", "lamp-9"), UDP, LATER_S + 5) == joined
    for each in (admission, made(config)):
        assert serving(each) == {"sl-1": "lamp-of-sl-1", "sl-9": "lamp-9"}
    (node,) = [node for node in made(config).nodes() if node.id == "sl-9"]
    ring = KeyRing(tmp_path / "state" / KEY_FOLDER)
    Admission(config, ring)
    assert ring.load("sl-9", node.key_file) == NodeKeys(0, FRESH)
    for path in (tmp_path / "state").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
        if path.is_file() and path.parent.name != KEY_FOLDER:
            assert FRESH.hex() not in path.read_text(), path


def test_an_old_claim_never_turns_a_ratchet_back(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    made(config).admit(of("sl-9", "lamp-9"), UDP, LATER_S)
    ring = KeyRing(tmp_path / "state" / KEY_FOLDER)
    admission = Admission(config, ring)
    (node,) = admission.nodes()
    ring.load("sl-9", node.key_file)
    ring.store("sl-9", NodeKeys(7, KEY))
    admission.admit(of("sl-9", "lamp-9"), UDP, LATER_S)
    assert ring.load("sl-9", node.key_file) == NodeKeys(7, KEY)


def test_a_lost_key_is_brought_again_by_the_same_claim(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    made(config).admit(of("sl-9", "lamp-9"), UDP, LATER_S)
    shutil.rmtree(tmp_path / "state" / KEY_FOLDER)
    ring = KeyRing(tmp_path / "state" / KEY_FOLDER)
    admission = Admission(config, ring)
    (node,) = admission.nodes()
    with pytest.raises(KeyFault, match="bring its claim again"):
        ring.load("sl-9", node.key_file)
    admission.admit(of("sl-9", "lamp-9"), UDP, LATER_S)
    assert ring.load("sl-9", node.key_file) == NodeKeys(0, FRESH)


def test_what_may_not_join_is_told_with_its_remedy(tmp_path: Path) -> None:
    admission = made(config_of(tmp_path, "sl-1"))
    admission.admit(of("sl-9", "lamp-9"), UDP, LATER_S)
    other = of("sl-9", "lamp-9", KEY)
    text = refused(lambda: admission.admit(other, UDP, LATER_S), "other_key")
    assert "kerbline claims remove CONFIG sl-9" in text
    same_id = of("sl-1", "lamp-7")
    text = refused(lambda: admission.admit(same_id, UDP, LATER_S), "configured")
    assert "kerbline replace CONFIG sl-1 NEW" in text
    ours = of("gw", "lamp-7")
    refused(lambda: admission.admit(ours, UDP, LATER_S), "configured")


def test_who_claims_an_asset_that_has_a_node_waits(tmp_path: Path) -> None:
    config = config_of(tmp_path, "sl-1")
    admission = made(config)
    assert admission.admit(of("sl-9", "lamp-of-sl-1"), UDP, LATER_S).waits
    assert serving(admission) == {"sl-1": "lamp-of-sl-1"}
    (trouble,) = made(config).troubles()
    assert "kerbline replace CONFIG sl-1 sl-9" in trouble
    for number in range(MAX_WAITING - 1):
        admission.admit(of(f"w-{number}", "lamp-of-sl-1"), UDP, LATER_S)
    one_more = of("w-more", "lamp-of-sl-1")
    refused(lambda: admission.admit(one_more, UDP, LATER_S), "asset")


def test_a_claim_by_hand_finds_its_line_or_asks(tmp_path: Path) -> None:
    uart = EnrolmentLine("/dev/ttyUSB7")
    bus = (EnrolmentLine("/dev/ttyS1", 19200, bus=True), EnrolmentLine("/dev/ttyS2", bus=True))
    admission = made(config_of(tmp_path, lines=(uart, *bus)))
    joined = admission.admit(of("a", "la", link="uart"), None, LATER_S)
    assert (joined.port, joined.link) == ("/dev/ttyUSB7", "uart")
    assert admission.admit(of("b", "lb"), None, LATER_S).port == "udp"
    on_bus = of("c", "lc", link="rs485")
    text = refused(lambda: admission.admit(on_bus, None, LATER_S), "line")
    assert "--port with one of /dev/ttyS1, /dev/ttyS2" in text
    joined = admission.admit(on_bus, admission.way("/dev/ttyS1"), LATER_S)
    assert (joined.port, joined.baud, joined.link) == ("/dev/ttyS1", 19200, "rs485")
    refused(lambda: admission.way("/dev/ttyS9"), "line")
    deaf = made(Config(Gateway("gw", tmp_path / "other")))
    for link, remedy in (("udp", "add [udp]"), ("uart", "add an [[enrolment]]")):
        claim = of("d", "ld", link=link)
        assert remedy in refused(lambda claim=claim: deaf.admit(claim, None, LATER_S), "line")  # type: ignore[misc]


def test_a_node_of_the_config_is_replaced(tmp_path: Path) -> None:
    config = config_of(tmp_path, "sl-1", "sl-2")
    admission = made(config)
    admission.admit(of("sl-9", "lamp-of-sl-1"), UDP, LATER_S)
    admission.replace("sl-1", "sl-9", LATER_S)
    for each in (admission, made(config)):
        assert serving(each) == {"sl-2": "lamp-of-sl-2", "sl-9": "lamp-of-sl-1"}
    assert any("remove its [[node]]" in each for each in made(config).troubles())
    admission.replace("sl-1", "sl-9", LATER_S + 9)  # the same again
    assert serving(made(config)) == {"sl-2": "lamp-of-sl-2", "sl-9": "lamp-of-sl-1"}
    text = refused(lambda: admission.replace("sl-1", "sl-7", LATER_S), "replaced")
    assert "kerbline replace CONFIG sl-9 sl-7" in text
    # The same [[node]] with a fresh key is another node; its asset has one, so it would be two.
    (tmp_path / "sl-1.key").write_text(FRESH[::-1].hex())
    assert serving(made(config))["sl-1"] == "lamp-of-sl-1"


def test_a_node_that_comes_later_takes_the_place(tmp_path: Path) -> None:
    config = config_of(tmp_path, "sl-1")
    made(config).replace("sl-1", "sl-9", LATER_S)
    assert serving(made(config)) == {}
    wrong = of("sl-9", "lamp-77", kind="water_meter")
    refused(lambda: made(config).admit(wrong, UDP, LATER_S), "kind")
    joined = made(config).admit(of("sl-9", "lamp-77"), UDP, LATER_S)
    assert joined.asset == "lamp-of-sl-1" and not joined.waits


def test_a_chain_of_replacements(tmp_path: Path) -> None:
    config = config_of(tmp_path, "sl-1")
    admission = made(config)
    for number, (old, new) in enumerate((("sl-1", "a"), ("a", "b"), ("b", "c"))):
        key = bytes([number + 1] * 15 + [7])
        admission.admit(of(new, "lamp-of-sl-1", key), UDP, LATER_S)
        admission.replace(old, new, LATER_S)
        assert serving(made(config)) == {new: "lamp-of-sl-1"}
    kept = {path.name for path in (tmp_path / "state" / KEY_FOLDER).iterdir()}
    assert kept <= {"c.json", "c.new"}, "no revoked key stays"


def test_a_revoked_key_stays_out(tmp_path: Path) -> None:
    config = config_of(tmp_path, "sl-1")
    admission = made(config)
    admission.admit(of("sl-9", "lamp-9"), UDP, LATER_S)
    admission.remove("sl-9", LATER_S)
    admission.remove("sl-9", LATER_S)  # the same again
    for again in (
        of("sl-9", "lamp-9"),  # the same claim
        of("sl-9", "lamp-9", KEY),  # an earlier one of the node
        of("sl-8", "lamp-8", made_s=LATER_S + 9),  # its key under another name
    ):
        refused(lambda again=again: made(config).admit(again, UDP, LATER_S), "revoked")  # type: ignore[misc]
    fresh = of("sl-9", "lamp-9", KEY, LATER_S + 9)
    assert not made(config).admit(fresh, UDP, LATER_S + 10).waits


def test_an_earlier_key_of_a_revoked_one_stays_out(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    ring = KeyRing(tmp_path / "state" / KEY_FOLDER)
    admission = Admission(config, ring)
    key = ratchet(ratchet(FRESH))
    admission.admit(of("sl-9", "lamp-9", key, generation=2), UDP, LATER_S)
    (node,) = admission.nodes()
    ring.load("sl-9", node.key_file)
    newer = ratchet(key)
    ring.store("sl-9", NodeKeys(3, newer, ratchet(newer)))
    admission.remove("sl-9", LATER_S)
    for generation, each in enumerate((FRESH, ratchet(FRESH), key, newer)):
        again = of("other", "lamp-7", each, LATER_S + 9, generation=generation)
        refused(lambda again=again: admission.admit(again, UDP, LATER_S), "revoked")  # type: ignore[misc]


def test_no_undo_but_a_remedy(tmp_path: Path) -> None:
    config = config_of(tmp_path, "sl-1")
    admission = made(config)
    admission.admit(of("sl-9", "lamp-of-sl-1"), UDP, LATER_S)
    admission.replace("sl-1", "sl-9", LATER_S)
    text = refused(lambda: admission.replace("sl-9", "sl-1", LATER_S), "revoked")
    assert "commission sl-1 again" in text
    # What the remedy says, done.
    again = of("sl-1", "lamp-of-sl-1", bytes(range(50, 66)), LATER_S + 9)
    assert admission.admit(again, UDP, LATER_S).waits
    admission.replace("sl-9", "sl-1", LATER_S + 10)
    assert serving(made(config)) == {"sl-1": "lamp-of-sl-1"}


def test_replacements_that_can_not_be(tmp_path: Path) -> None:
    admission = made(config_of(tmp_path, "sl-1", "sl-2"))
    admission.admit(of("sl-9", "lamp-9"), UDP, LATER_S)
    refused(lambda: admission.replace("sl-1", "sl-1", LATER_S), "same")
    refused(lambda: admission.replace("sl-1", "sl-2", LATER_S), "configured")
    refused(lambda: admission.replace("sl-1", "sl-9", LATER_S), "serves")
    assert "sl-1, sl-2" in refused(lambda: admission.replace("sl-0", "n", LATER_S), "unknown")
    refused(lambda: admission.remove("sl-1", LATER_S), "configured")
    refused(lambda: admission.remove("sl-0", LATER_S), "unknown")
    admission.admit(of("w", "lamp-of-sl-1", KEY, kind="water_meter"), UDP, LATER_S)
    refused(lambda: admission.replace("sl-1", "w", LATER_S), "kind")
    assert not admission.revoked.all


def test_a_config_that_names_a_joined_node_counts(tmp_path: Path) -> None:
    made(config_of(tmp_path)).admit(of("sl-9", "lamp-of-sl-1"), UDP, LATER_S)
    admission = made(config_of(tmp_path, "sl-1"))
    assert serving(admission) == {"sl-1": "lamp-of-sl-1"}
    assert ["claims remove CONFIG sl-9" in each for each in admission.troubles()] == [True]


def test_one_damaged_list_of_the_revoked_is_made_up_for(tmp_path: Path) -> None:
    config = config_of(tmp_path, "sl-1")
    made(config).replace("sl-1", "sl-9", LATER_S)
    files = [tmp_path / "state" / name for name in ("revoked.json", "revoked-copy.json")]
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[:-20])
        assert serving(made(config)) == {}
        path.write_bytes(content)
    for path in files:
        path.write_bytes(b"{}")
    with pytest.raises(KeyFault, match="nobody knows which keys are revoked"):
        made(config)


class Killed(BaseException):
    """The power is gone."""


@contextmanager
def cut_after(steps: int) -> Iterator[list[int]]:
    """Every durable step of a file system counts; after so many the process is no more."""
    taken = [0]
    names = ("fsync", "replace", "unlink", "link", "rename")
    real = {name: getattr(os, name) for name in names}

    def counted(name: str) -> Callable[..., object]:
        def step(*args: object, **more: object) -> object:
            if taken[0] >= steps:
                raise Killed
            taken[0] += 1
            return real[name](*args, **more)

        return step

    for name in names:
        setattr(os, name, counted(name))
    try:
        yield taken
    finally:
        for name, function in real.items():
            setattr(os, name, function)


def nothing(config: Config) -> Path:
    """Nothing was before."""
    return config.gateway.state_dir


def _kills(
    folder: Path, begin: Callable[[Config], object], work: Callable[[Admission], object]
) -> Iterator[Config]:
    """A state folder as each kill within `work` leaves it."""
    for steps in range(1_000):
        here = folder / str(steps)
        here.mkdir()
        config = config_of(here, "sl-1")
        begin(config)
        try:
            with cut_after(steps):
                work(made(config))
        except Killed:
            yield config
        else:
            assert steps > 5, "a kill at each step was played"
            return


def test_a_kill_at_any_point_leaves_joined_or_not(tmp_path: Path) -> None:
    seen = set[bool]()
    for config in _kills(
        tmp_path,
        nothing,
        lambda admission: admission.admit(of("sl-9", "lamp-9"), UDP, LATER_S),
    ):
        ring = KeyRing(config.gateway.state_dir / KEY_FOLDER)
        admission = Admission(config, ring)
        joined = "sl-9" in serving(admission)
        seen.add(joined)
        if joined:
            (node,) = [node for node in admission.nodes() if node.id == "sl-9"]
            assert ring.load("sl-9", node.key_file) == NodeKeys(0, FRESH)
        admission.admit(of("sl-9", "lamp-9"), UDP, LATER_S)  # it comes again
        assert serving(made(config))["sl-9"] == "lamp-9"
    assert seen == {False, True}


def test_a_kill_at_any_point_of_a_replacement_is_made_up_for(tmp_path: Path) -> None:
    seen = set[str]()

    def begin(config: Config) -> None:
        ring = KeyRing(config.gateway.state_dir / KEY_FOLDER)
        ring.load("sl-1", config.nodes[0].key_file)
        ring.store("sl-1", NodeKeys(3, KEY))
        made(config).admit(of("sl-9", "lamp-of-sl-1"), UDP, LATER_S)

    for config in _kills(
        tmp_path, begin, lambda admission: admission.replace("sl-1", "sl-9", LATER_S)
    ):
        (node,) = serving(made(config))  # never both, never none
        seen.add(node)
        made(config).replace("sl-1", "sl-9", LATER_S + 60)
        assert serving(made(config)) == {"sl-9": "lamp-of-sl-1"}
        for path in (config.gateway.state_dir / KEY_FOLDER).glob("sl-1.*"):
            assert not any(path.read_bytes()), "a key that is revoked does not stay"
    assert seen == {"sl-1", "sl-9"}


def test_a_known_node_is_moved_by_no_replayed_claim(tmp_path: Path) -> None:
    """Who recorded its claim on the bus says it on UDP: it stays where it is."""
    bus = Way("/dev/ttyS1", bus=True)
    admission = made(config_of(tmp_path, lines=(EnrolmentLine(bus.port, bus=True),)))
    claim = of("sl-9", "lamp-9", link="rs485")
    admission.admit(claim, bus, LATER_S)
    assert "to move it" in refused(lambda: admission.admit(claim, UDP, LATER_S), "elsewhere")
    assert admission.nodes()[0].port == bus.port
    other = Way("/dev/ttyS2", bus=True)
    assert admission.admit(claim, other, LATER_S).port == other.port, "another bus is a move"


def test_a_line_of_its_own_takes_one_node(tmp_path: Path) -> None:
    line = EnrolmentLine("/dev/ttyS1")
    admission = made(config_of(tmp_path, lines=(line,)))
    admission.admit(of("sl-8", "lamp-8", link="uart"), None, LATER_S)
    second = of("sl-9", "lamp-9", KEY, link="uart")
    text = refused(lambda: admission.admit(second, None, LATER_S), "line")
    assert "/dev/ttyS1 has node sl-8" in text and "claims remove CONFIG sl-8" in text
    heir = of("sl-9", "lamp-8", KEY, link="uart")
    assert admission.admit(heir, None, LATER_S).waits, "its heir may wait for it"
    admission.replace("sl-8", "sl-9", LATER_S)
    assert serving(admission) == {"sl-9": "lamp-8"}


def test_an_end_dated_by_a_wrong_clock_keeps_no_fresh_key_out(tmp_path: Path) -> None:
    admission = made(config_of(tmp_path))
    admission.admit(of("sl-9", "lamp-9"), None, LATER_S)
    admission.remove("sl-9", LATER_S + 10 * 365 * 86_400)  # its clock ran ten years ahead
    early = of("sl-9", "lamp-9", made_s=LATER_S)
    refused(lambda: admission.admit(early, None, LATER_S + 9), "revoked")  # by its key
    fresh = of("sl-9", "lamp-9", KEY, made_s=LATER_S)
    assert admission.admit(fresh, None, LATER_S + 9).asset == "lamp-9"


def test_a_file_of_another_version_is_told_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    admission = made(config_of(tmp_path))
    for name, key in (("sl-8", KEY), ("sl-9", FRESH)):
        admission.admit(of(name, f"lamp-{name}", key), None, LATER_S)
    path = tmp_path / "state" / "claims" / "sl-8.json"
    body = checked.read(path)
    assert body is not None
    checked.write(path, body | {"colour": "red"})
    assert list(serving(made(config_of(tmp_path)))) == ["sl-9"]
    assert "sl-8.json: written by another version of kerbline; bring the claim" in caplog.text
    shutil.rmtree(path.parent)
    path.parent.write_text("")
    assert not serving(made(config_of(tmp_path)))
    assert "so that no node which joined is served: Not a directory" in caplog.text


def test_revocations_of_another_version_are_passed_over_by_nobody(tmp_path: Path) -> None:
    admission = made(config_of(tmp_path))
    admission.admit(of("sl-9", "lamp-9"), None, LATER_S)
    admission.remove("sl-9", LATER_S)
    path = tmp_path / "state" / "revoked.json"
    body = checked.read(path)
    assert body is not None
    entries = [each | {"colour": "red"} for each in body["revoked"]]
    checked.write(path, {"revoked": entries})
    with pytest.raises(KeyFault, match="another version of kerbline; install that one"):
        made(config_of(tmp_path))


def test_a_slip_in_the_heirs_name_is_mended_by_the_right_one(tmp_path: Path) -> None:
    admission = made(config_of(tmp_path, "sl-1"))
    admission.admit(of("sl-9", "lamp-of-sl-1"), UDP, LATER_S)
    for name in ("", "../x", "n" * 17):
        with pytest.raises(Refused, match="1 to 16 letters"):
            admission.replace("sl-1", name, LATER_S)
    assert serving(admission) == {"sl-1": "lamp-of-sl-1"}, "nothing was revoked for that"
    admission.replace("sl-1", "sl-90", LATER_S)
    assert not serving(admission)
    admission.replace("sl-1", "sl-9", LATER_S)
    assert (
        serving(admission) == serving(made(config_of(tmp_path, "sl-1"))) == {"sl-9": "lamp-of-sl-1"}
    )


def test_who_was_replaced_itself_stands_in_for_nobody_any_more(tmp_path: Path) -> None:
    """Commissioned anew for another lamp it serves that one, before a restart and after it."""
    config = config_of(tmp_path, "sl-1")
    admission = made(config)
    admission.replace("sl-1", "sl-8", LATER_S)
    admission.admit(of("sl-8", "lamp-of-sl-1"), UDP, LATER_S)
    admission.admit(of("sl-9", "lamp-of-sl-1", bytes(range(50, 66))), UDP, LATER_S)
    admission.replace("sl-8", "sl-9", LATER_S)
    text = refused(lambda: admission.replace("sl-1", "sl-8", LATER_S + 1), "revoked")
    assert "commission sl-8 again" in text
    again = of("sl-8", "lamp-7", bytes(range(70, 86)), made_s=LATER_S + 5)
    assert admission.admit(again, UDP, LATER_S + 6).asset == "lamp-7"
    assert serving(admission) == {"sl-9": "lamp-of-sl-1", "sl-8": "lamp-7"}
    assert serving(made(config)) == serving(admission)
    third = of("sl-7", "lamp-of-sl-1", bytes(range(90, 106)), made_s=LATER_S + 5)
    assert admission.admit(third, UDP, LATER_S + 6).waits
    text = refused(lambda: admission.replace("sl-1", "sl-7", LATER_S + 7), "replaced")
    assert "replaced by sl-8; run: kerbline replace CONFIG sl-8 sl-7" in text
    refused(lambda: admission.replace("sl-8", "sl-9", LATER_S + 7), "serves")  # what was said once
    admission.replace("sl-9", "sl-7", LATER_S + 8)
    assert serving(made(config)) == {"sl-7": "lamp-of-sl-1", "sl-8": "lamp-7"}


def test_who_waits_for_an_asset_whose_node_is_gone_is_told_how_to_get_it(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    admission = made(config)
    admission.admit(of("sl-8", "lamp-8"), UDP, LATER_S)
    admission.admit(of("sl-9", "lamp-8", KEY), UDP, LATER_S)
    assert [each["after"] for each in admission.told()["joined"]] == ["", "sl-8"]
    admission.remove("sl-8", LATER_S)
    (waits,) = admission.troubles()
    assert "lamp-8 had node sl-8; run: kerbline replace CONFIG sl-8 sl-9" in waits
    admission.replace("sl-8", "sl-9", LATER_S)
    assert serving(made(config)) == {"sl-9": "lamp-8"}
