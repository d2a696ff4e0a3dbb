"""`kerbline serial` as a technician meets it, and what a config with a serial device does."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kerbline.config import ConfigFault, load, serial_profile, telegram
from kerbline.south.serial.diagnosis import told
from kerbline.south.serial.listener import Heard
from tests.gateway.serial_telegrams import P1_V5, RMC, shipped
from tools.trees import ROOT

COMMAND = [sys.executable, "-m", "kerbline"]
CONFIG = """[gateway]
id = "gw"
state_dir = "state"

[store]
commit_interval_s = 0.1

[[file]]
name = "all"
folder = "out"

[[serial]]
name = "p1"
port = "{port}"
profile = "dsmr5"
asset = "house-1"
report_s = 0

[serial.assets]
gas = "gas-1"
"water@2" = "water-1"
"""


def kerbline(*words: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr + done.stdout
    return done


@contextmanager
def simulated(device: str, link: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "kerbline.sim.serial", device, "--pty", str(link)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        yield
    finally:
        process.terminate()
        process.communicate()
    assert not link.exists()


def listened(enough: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Listening for two seconds; longer where a machine stood still and did not hear enough."""
    for seconds in (2, 8, 32):
        done = kerbline("serial", "listen", *words, "--seconds", str(seconds))
        if enough in done.stdout + done.stderr:
            break
    return done


def test_a_technician_listens_to_a_meter(tmp_path: Path) -> None:
    with simulated("dsmr5", tmp_path / "p1"):
        done = listened("import_t1_wh", tmp_path / "p1", "--profile", "dsmr5")
    assert done.returncode == 0
    assert "gas@1" in done.stdout
    assert "    import_t1_wh = " in done.stdout
    assert done.stderr == ""


def test_a_wrong_speed_and_a_port_that_is_not_there(tmp_path: Path) -> None:
    listen = (tmp_path / "p1", "--profile", "dsmr5")
    with simulated("dsmr5", tmp_path / "p1"):
        done = listened("bytes came", *listen, "--baud", "9600")
    assert done.returncode == 1
    assert "no telegram in them: they are no text: the baud rate or the parity" in done.stderr
    done = kerbline("serial", "listen", *listen, "--seconds", "1")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"serial listen: {tmp_path}/p1: No such file or directory",
        f"{tmp_path}/p1: no reading came",
    ]


def test_shipped_profiles_are_listed_and_good() -> None:
    listed = [line.split()[0] for line in kerbline("serial", "profiles").stdout.splitlines()]
    assert listed == serial_profile.names()
    done = kerbline("serial", "profile", "check", *listed)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(": good; ") == len(listed)


def test_a_telegram_reaches_a_file(tmp_path: Path) -> None:
    path = tmp_path / "gw.toml"
    path.write_text(CONFIG.format(port=tmp_path / "p1"))
    with simulated("dsmr5", tmp_path / "p1"):
        process = subprocess.Popen(
            [*COMMAND, "run", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            lines: list[dict[str, object]] = []
            for _ in range(600):
                written = [e for f in (tmp_path / "out").glob("*.jsonl") for e in f.open()]
                lines = [json.loads(each) for each in written if each.endswith("\n")]
                if {each.get("asset") for each in lines} >= {"house-1", "gas-1", "water-1"}:
                    break
                try:
                    process.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
                break
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=60)
    by_asset = {each["asset"]: each for each in lines if each.get("kind") == "serial"}
    assert set(by_asset) == {"house-1", "gas-1", "water-1"}, errors


def test_a_gateway_without_serial_devices_does_not_know_them(tmp_path: Path) -> None:
    path = tmp_path / "gw.toml"
    path.write_text(CONFIG.partition("[[serial]]")[0])
    program = (
        "import sys, kerbline.agent, kerbline.config, pathlib\n"
        f"kerbline.config.load(pathlib.Path({str(path)!r}))\n"
        "print(*(each for each in sys.modules if each.startswith('kerbline.south.serial.') or "
        "each in ('kerbline.config.telegram', 'kerbline.config.serial_profile', 'serial')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\n", "")


def faults(tmp_path: Path, text: str) -> str:
    path = tmp_path / "gw.toml"
    path.write_text(text)
    with pytest.raises(ConfigFault) as caught:
        load(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('profile = "dsmr5"', 'profile = "dsmr9"', "gw.toml:15: serial[1].profile: dsmr9: no such"),
        ('profile = "dsmr5"', 'profile = "own.toml"', "own.toml"),
        ("gas = ", "gasoline = ", "20: serial[1].assets.gasoline: dsmr5 has no reading of that"),
        ('"water@2"', '"water@0"', '21: serial[1].assets."water@0": water has no such channel'),
        ("gas = ", "electricity = ", None),
        ('"gas-1"', '"house-1"', '20: serial[1].assets.gas: "house-1" stands at serial[1].asset'),
        ("report_s = 0", "poll_s = 5", "17: serial[1].poll_s: dsmr5 is not asked: it pushes"),
        ("report_s = 0", "baud = 1", "17: serial[1].baud: 1 is not known"),
    ],
)
def test_faults_of_a_config_are_told_by_line(
    old: str, new: str, fault: str | None, tmp_path: Path
) -> None:
    text = CONFIG.replace("{port}", "/dev/ttyUSB0")
    if fault is None:  # one of the device's own readings may have an asset apart
        path = tmp_path / "gw.toml"
        path.write_text(text.replace(old, new))
        assert load(path).serials[0].assets["electricity"] == "gas-1"
        return
    assert fault in faults(tmp_path, text.replace(old, new))


GOOD = (serial_profile.SHIPPED / "nmea-wind.toml").read_text().replace("nmea-wind", "own")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('name = "own"', 'name = "other"', "4: profile.name: the file is called own.toml; rename"),
        ('end = "*"', "bytes = 8", "17: frame.bytes: does not fit content.form; end goes with"),
        ('end = "*"', 'end = "*"\nbytes = 8', "15: frame: end and bytes says where a telegram"),
        ('end = "*"', 'end = "$"', "17: frame.end: start and end share a character"),
        ("max_bytes = 256", "max_bytes = 1", "18: frame.max_bytes: 1 is out of range"),
        ('"xor8"', '"xor9"', '19: frame.checksum.type: "xor9" is not known; write one of "xor8"'),
        ("index = 1,", 'key = "a",', "key says where it stands in content of form separated"),
        ("index = 1,", "", "nothing says where it stands"),
        ("^..MWV,[^,]*,R,", "(", '27: reading[1].match: "(" is no pattern'),
        ('name = "wind"', 'name = "true_wind"', '35: reading[2].name: "true_wind" stands there'),
        ("index = 3,", 'index = 3, unit = "kWh",', '"kWh" does not convert to _mps'),
        ("index = 3,", 'index = 3, type = "uint8",', "is a type of binary frames"),
        ('separator = ","', 'separator = ""', '23: content.separator: "" is not of the right form'),
        ("period_s = 1.0", "period_s = 0\n[request]", "request: says both or neither of send"),
    ],
)
def test_faults_of_a_profile_are_told_by_line(
    old: str, new: str, fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigFault) as caught:
        serial_profile.load(path)
    assert fault in str(caught.value)


def test_a_profile_of_ones_own_hides_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "serial").mkdir()
    mine = tmp_path / "serial" / "dsmr5.toml"
    mine.write_text(GOOD)
    assert serial_profile.find("dsmr5", tmp_path, tmp_path) == mine
    assert serial_profile.find("pms5003", tmp_path, tmp_path).parent == serial_profile.SHIPPED
    assert serial_profile.find("mine.toml", tmp_path) == tmp_path / "mine.toml"


@pytest.mark.parametrize(
    ("heard", "profile", "parity", "words"),
    [
        (Heard(), "dsmr5", "none", "nothing came"),
        (Heard(), "iec62056-21", "even7", "both directions must be wired"),
        (Heard(40, sample=b"\0\xff" * 20), "dsmr5", "none", "far off, or the signal is inverted"),
        (Heard(40, sample=bytes(range(128, 168))), "dsmr5", "none", "they are no text"),
        (Heard(60, sample=RMC), "dsmr5", "none", "they are text: start, end"),
        (Heard(60, sample=RMC), "iec62056-21-push", "even7", 'set parity = "none"'),
        (Heard(9, sample=b"123456789"), "dsmr5", "none", "too few to tell"),
        (Heard(60, sample=RMC), "pms5003", "none", "or it is another device"),
        (Heard(900, 0, 0, {"checksum": 3}, P1_V5), "dsmr5", "none", "a wrong checksum"),
        (Heard(900, 7, 0), "nmea-gnss", "none", "none that the profile reads"),
        (Heard(900, 7, 7, {"half": 5}), "nmea-gnss", "none", "5 cut off"),
    ],
)
def test_what_is_wrong_is_said_in_words(
    heard: Heard, profile: str, parity: str, words: str
) -> None:
    assert words in " ".join(told(heard, shipped(profile), parity))


def test_nothing_is_said_of_a_good_line() -> None:
    assert told(Heard(900, 7, 7, {"half": 1}), shipped("nmea-gnss"), "none") == []


def test_the_reference_page_shows_a_good_profile_with_every_key(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "reference" / "serial-profiles.md").read_text()
    path = tmp_path / "every-key.toml"
    path.write_text(page.split("```toml\n")[1].split("```")[0])
    serial_profile.load(path)
    keys = {
        each.name
        for kind in vars(telegram).values()
        if dataclasses.is_dataclass(kind) and getattr(kind, "__module__", "") == telegram.__name__
        for each in dataclasses.fields(kind)
    } - {"fields", "readings"}  # which the file has as field and reading
    assert not [key for key in sorted(keys) if not re.search(rf"\b{key}\b( =|`|\])", page)]


def test_the_operators_page_names_every_shipped_profile() -> None:
    page = (ROOT / "docs" / "operate" / "serial.md").read_text()
    assert not [name for name in serial_profile.names() if f"`{name}`" not in page]
