"""Each diagnosis of the doctor, of what was recorded and of real ports, processes and files."""

import errno
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kerbline.field.doctor import board, boot_text, clock, gateway, joined, node, port, usb
from kerbline.field.doctor.finding import Level
from tests.field import doctor_cases
from tests.gateway.test_claims_admission import LATER_S, UDP, config_of, made, of

CASES = list(doctor_cases.cases())
HOLD = """
import fcntl, os, sys, time
line = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
if sys.argv[2:]:
    fcntl.flock(line, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.symptom)
def test_the_cause_is_told_first_and_what_to_do(case: doctor_cases.Case) -> None:
    worst = [each for each in case.found if each.level is Level.FAULT] or case.found
    assert worst[0].code == case.code or case.finding.level in (Level.NOTE, Level.UNKNOWN)
    assert case.finding.what and case.finding.remedy
    assert case.finding.line.isprintable()


def test_a_healthy_node_is_called_so() -> None:
    assert {each.level for each in doctor_cases.of_node()} == {Level.GOOD}


def test_unknown_is_told_as_unknown() -> None:
    (hidden,) = usb.judge(usb.Seen((), visible=False))
    assert hidden.level is Level.UNKNOWN
    assert clock.judge(clock.Seen(doctor_cases.NOON_S)).level is Level.UNKNOWN
    seen = port.Seen("/dev/ttyUSB0", opened=errno.EBUSY, hidden=40)
    assert "40 processes can't be looked at" in port.judge(seen)[0].what
    free = port.judge(port.Seen("/dev/ttyUSB0", hidden=40))
    assert [each.level for each in free] == [Level.GOOD, Level.NOTE]


def test_what_follows_from_a_cause_is_not_a_second_one() -> None:
    text = b"flash read err, 1000\r\ninvalid header: 0xffffffff\r\n" * 4
    assert [each.code for each in boot_text.judge(text, "P")] == ["flash_chip"]
    again = boot_text.judge(doctor_cases.BOOT.encode() * 5, "P")
    assert [each.code for each in again] == ["boot_loop"]


def test_a_running_board_that_is_silent_is_no_fault() -> None:
    assert boot_text.judge(b"", "P") == []
    assert [each.code for each in boot_text.judge(bytes(range(128, 250)), "P")] == ["garbled"]


def test_two_full_words_of_littlefs_are_no_free_blocks() -> None:
    full = doctor_cases.of_node(fs=[4096, 4096, 512, 0xFFFF_FFFF, 0])
    assert "files_full" in {each.code for each in full}


def sysfs(folder: Path, *, driver: str, tty: str) -> Path:
    """A tree as Linux makes it: a hub, and a CP2102 at 1-2.3."""
    devices = folder / "bus" / "usb" / "devices"
    hub = devices / "usb1"
    board = devices / "1-2.3"
    interface = board / "1-2.3:1.0"
    for place in (hub, interface):
        place.mkdir(parents=True)
    (hub / "idVendor").write_text("1d6b\n")
    (hub / "bDeviceClass").write_text("09\n")
    for name, text in (("idVendor", "10c4"), ("idProduct", "ea60"), ("product", "CP2102")):
        (board / name).write_text(text + "\n")
    if driver:
        (folder / "drivers" / driver).mkdir(parents=True)
        (interface / "driver").symlink_to(folder / "drivers" / driver)
    if tty:
        (interface / tty).mkdir()
    return folder


def test_sysfs_tells_a_driver_from_none(tmp_path: Path) -> None:
    with_port = usb.look(sysfs(tmp_path / "a", driver="cp210x", tty="ttyUSB0"))
    assert [each.line for each in usb.judge(with_port)] == [
        "good    USB: /dev/ttyUSB0 is CP210x 10c4:ea60 at 1-2.3"
    ]
    without = usb.look(sysfs(tmp_path / "b", driver="", tty=""))
    (finding,) = usb.judge(without)
    assert finding.code == "no_driver" and "modprobe cp210x" in finding.remedy
    (fresh,) = usb.judge_change(usb.Seen(()), with_port, 30)
    assert fresh.code == "usb_port"
    assert not usb.look(tmp_path / "nowhere").visible


@contextmanager
def held(path: str, *words: str) -> Iterator[int]:
    """A process that has the port open: its id."""
    command = [sys.executable, "-c", HOLD, path, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process.pid
        process.stdin.close()


@contextmanager
def line() -> Iterator[str]:
    """A port that is there: the far end of a pty."""
    master, slave = pty.openpty()
    try:
        path = os.ttyname(slave)
        os.close(slave)
        yield path
    finally:
        os.close(master)


def test_who_has_the_port_open_is_named() -> None:
    with line() as path, held(path) as pid:
        (finding,) = port.judge(port.look(path, ()))
        assert finding.code == "port_busy"
        assert f"pid {pid}" in finding.what and "python" in finding.what
        assert finding.remedy.endswith(f"kill {pid}")


def test_a_lock_of_somebody_hidden_counts(tmp_path: Path) -> None:
    """/proc shows nothing of him here: an empty folder stands in its place."""
    with line() as path, held(path, "locked"):
        (finding,) = port.judge(port.look(path, (), proc=tmp_path))
        assert finding.code == "port_busy"


def test_a_free_port_is_good_and_a_file_is_none(tmp_path: Path) -> None:
    with line() as path:
        assert port.judge(port.look(path, ()))[0].level is Level.GOOD
    file = tmp_path / "notes"
    file.write_text("")
    assert port.judge(port.look(str(file), ()))[0].code == "no_line"
    (gone,) = port.judge(port.look(str(tmp_path / "gone"), ["/dev/ttyUSB3"]))
    assert gone.code == "no_port" and "/dev/ttyUSB3" in gone.what


@pytest.mark.parametrize(
    "name", ["/dev/null", "/dev/zero", "/etc/passwd", "/", "http://there", "x://"]
)
def test_what_is_no_line_is_called_so(name: str) -> None:
    """Whoever else has /dev/null open does not matter."""
    (found,) = port.judge(port.look(name, []))
    assert (found.code, found.level) == ("no_line", Level.FAULT)
    assert port.judge(port.look("socket://127.0.0.1:1", [])) == []


def test_many_users_of_a_port_are_counted() -> None:
    holders = tuple(port.Holder(number, "cat") for number in range(7))
    (found,) = port.judge(port.Seen("/dev/ttyUSB0", holders=holders))
    assert "cat (pid 2) and 4 more has it open" in found.what


def test_a_network_address_gets_no_advice_about_cables() -> None:
    for address in ("socket://127.0.0.1:1", "socket://127.0.0.1:99999", "rfc2217://127.0.0.1:1"):
        (found,) = board.examine(address, None, lambda _: None)
        assert found.code == "no_port" and "socket://HOST:PORT" in found.remedy
        assert "debug" not in found.line


def test_joined_a_group_and_not_logged_in_again() -> None:
    seen = port.Seen("P", opened=errno.EACCES, group="dialout", in_group=True)
    assert "newgrp dialout" in port.judge(seen)[0].remedy
    nobody = port.Seen("P", opened=errno.EACCES, group="root")
    assert "sudo" in port.judge(nobody)[0].remedy


def test_a_young_gateway_accuses_nobody() -> None:
    young = {**doctor_cases.STATUS, "up_s": 5.0}
    found = doctor_cases.of_gateway(status=young)
    assert all(each.level is not Level.FAULT for each in found)


def test_a_line_that_is_not_there_is_the_cause(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    gone = gateway.Line("sl-0001", str(tmp_path / "ttyUSB9"), bus=False)
    seen = gateway.look("gateway.toml", state, [gone])
    assert seen.missing == [gone.port] and seen.free_bytes
    (down,) = [each for each in gateway.judge(seen) if each.level is Level.FAULT]
    assert down.code == "gateway_down"


def test_settings_that_are_no_object_are_told() -> None:
    for text in ('{"node_id": "x"}', "[1]", "12"):
        assert "setting_bad" in {each.code for each in doctor_cases.of_node(settings=text)}
    assert "settings_damaged" in {each.code for each in doctor_cases.of_node(settings="")}
    seen = node.told({**doctor_cases.GOOD_NODE, "unread": True})
    assert "nvs_unread" in {each.code for each in node.judge(seen, "P")}


def test_nodes_that_joined_are_known(tmp_path: Path) -> None:
    """By the state folder as the gateway writes it; nothing in it changes by a look."""
    config = config_of(tmp_path, "sl-1")
    assert joined.judge(joined.look(config)) == []
    admission = made(config)
    admission.admit(of("sl-8", "lamp-8"), UDP, LATER_S)
    admission.admit(of("sl-9", "lamp-of-sl-1", key=b"9" * 16), UDP, LATER_S)
    files = {path: path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()}
    seen = joined.look(config)
    assert [each.id for each in seen.nodes] == ["sl-1", "sl-8"] and set(seen.names) == {
        "sl-8",
        "sl-9",
    }
    waits, there = joined.judge(seen)
    assert (waits.code, waits.level) == ("joined_left_out", Level.NOTE)
    assert "sl-9 waits" in waits.what and "kerbline replace" in waits.what
    assert there.what == "2 nodes joined by a claim"
    for path, content in files.items():
        assert path.read_bytes() == content

    (tmp_path / "state" / "claims" / "sl-8.json").write_text("{")
    (tmp_path / "state" / "keys" / "sl-9.json").unlink()
    codes = {each.code: each.subject for each in joined.judge(joined.look(config))}
    assert codes["claim_damaged"] == "node sl-8" and codes["key_lost"] == "node sl-9"
    for name in ("revoked.json", "revoked-copy.json"):
        (tmp_path / "state" / name).write_text("{}")
    (broken,) = joined.judge(joined.look(config))
    assert broken.code == "revoked_damaged" and "revoked" in broken.what


def test_a_joined_node_has_no_key_file_to_mend() -> None:
    line = gateway.Line("sl-0001", "udp", bus=False, joined=True)
    seen = doctor_cases.of_gateway({"nodes.mac": 1}, lines=(line,))
    (misfit,) = [each for each in seen if each.code == "key_misfit"]
    assert "key_file" not in misfit.line and "kerbline claims add" in misfit.remedy


def test_strangers_are_told_with_their_way_in() -> None:
    counters = {"claims.closed": 3, "claims.foreign": 1, "nodes.revoked": 2}
    found = {each.code: each for each in doctor_cases.of_gateway(counters)}
    assert "kerbline permit gateway.toml" in found["claims.closed"].remedy
    assert all(found[name].level is Level.NOTE for name in counters)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_another_users_gateway_is_unknown_and_not_down(tmp_path: Path) -> None:
    """It is neither said to be down nor to have nobody joined."""
    config = config_of(tmp_path)
    made(config).admit(of("sl-8", "lamp-8"), UDP, LATER_S)
    (tmp_path / "state" / "status.sock").touch(mode=0o600)
    child = os.fork()
    if not child:
        os.setresuid(65534, 65534, 65534)
        levels = {each.level for each in joined.judge(joined.look(config))}
        levels |= {e.level for e in gateway.judge(gateway.look("c", tmp_path / "state", []))}
        os._exit(0 if levels == {Level.UNKNOWN} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_gateway_that_hangs_is_not_called_down(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(tmp_path / "status.sock"))
        hung.listen()
        seen = gateway.look("gateway.toml", tmp_path, [], within_s=0.05)
    assert [each.code for each in gateway.judge(seen)] == ["disk", "gateway_stuck"]


@pytest.mark.parametrize("answer", [b"null\n", b"[]\n", b"x", b"", b"9" * 5_000 + b"\n"])
def test_whatever_answers_at_the_socket_is_no_fault_of_ours(tmp_path: Path, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(str(tmp_path / "status.sock"))
        line.listen()

        def say() -> None:
            there, _ = line.accept()
            with there:
                there.recv(100)
                there.sendall(answer)

        saying = threading.Thread(target=say)
        saying.start()
        seen = gateway.look("gateway.toml", tmp_path, [])
        saying.join()
    assert [each.code for each in gateway.judge(seen)] == ["disk", "gateway_down"]


@pytest.mark.parametrize("status", [{}, {"gateway": 1, "version": 2}, {"nodes": None}])
def test_a_gateway_of_another_version_is_called_so(status: dict[str, object]) -> None:
    found = doctor_cases.of_gateway(status=status)
    assert [each.code for each in found] == ["gateway_version"]


def test_who_is_not_looked_at_below_is_not_sent_there() -> None:
    names = ("mqtt", "ngsi_ld:city", "iota:city")
    sinks = [{"name": name, "connected": False, "batches_behind": 3} for name in names]
    found = doctor_cases.of_gateway(status=doctor_cases.STATUS | {"sinks": sinks})
    told = {each.what.split()[0]: each.remedy for each in found if each.code == "sink_waits"}
    assert tuple(told) == names
    assert [name for name, remedy in told.items() if "below" in remedy] == ["mqtt"]
