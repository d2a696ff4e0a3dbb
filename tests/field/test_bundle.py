"""A bundle: the same input makes the same bytes, any tar reads it, what went in comes out."""

import ast
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from kerbline.bundle import REASONS, BundleFault, PackFault, Root, archive, image, load, loads
from kerbwire.manifest import digest
from tests.field import releases
from tools.trees import ROOT

AGAIN = """
import sys
from hashlib import sha256
from tests.field import releases
sys.stdout.write(sha256(releases.unsigned()).hexdigest())
"""


def test_what_went_in_comes_out() -> None:
    root = releases.key().root
    before = releases.with_files({"kerbnode/sun.mpy": b"M" * 300})
    earlier = loads(releases.signed(sequence=6, files=before), "earlier", root)
    bundle = loads(releases.key().signed(releases.following(earlier)), "this", root)
    assert bundle.files == releases.FILES
    assert bundle.starts == releases.STARTS
    content = releases.FILES["kerbnode/app.mpy"]
    assert bundle.object(digest(content)) == content
    assert bundle.objects.keys() == {digest(each) for each in releases.FILES.values()}
    assert (bundle.parts_from(earlier.build) or b"")[4:12] == bundle.build
    assert bundle.parts_from(bytes(8)) is None
    assert bundle.image is None and bundle.next_root is None
    assert bundle.build == sha256(bundle.manifest_bytes).digest()[:8]
    assert bundle.manifest.board == releases.BOARD
    assert bundle.about.patches[0].index == earlier.index >= 0


def test_two_files_of_one_content_are_one_object() -> None:
    same = releases.with_files({"kerbwire/batch.mpy": releases.FILES["kerbnode/app.mpy"]})
    bundle = loads(releases.unsigned(files=same), "this", None)
    assert len(bundle.objects) == 3 and bundle.files == same


def test_a_next_root_is_told() -> None:
    following = releases.stranger()
    bundle = loads(releases.signed(next_root=following), "this", releases.key().root)
    assert bundle.next_root == following
    assert bundle.manifest.next_root == following.hss


def test_the_same_bytes_wherever_and_by_whomever(tmp_path: Path) -> None:
    """Another folder, umask, locale, time zone and order of hashes."""
    made = {sha256(releases.unsigned()).hexdigest()}
    for seed, zone, mask in (("1", "Asia/Tokyo", 0o077), ("2", "America/Lima", 0)):
        folder = tmp_path / seed
        folder.mkdir()
        path = os.pathsep.join(str(ROOT / each) for each in ("", "gateway", "protocol"))
        environment = {"PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C", "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", AGAIN],
            cwd=folder,
            env={**os.environ, **environment},
            umask=mask,
            capture_output=True,
            text=True,
            check=True,
        )
        made.add(done.stdout)
    assert len(made) == 1


def test_the_order_of_what_is_given_does_not_matter() -> None:
    backwards = dict(reversed(releases.FILES.items()))
    assert releases.unsigned(files=backwards) == releases.unsigned()


def test_any_tar_reads_it() -> None:
    data = releases.signed()
    with tarfile.open(fileobj=io.BytesIO(data)) as there:
        found = {each.name: each for each in there}
        read = {name: there.extractfile(each) for name, each in found.items()}
        assert {n: f.read() for n, f in read.items() if f} == archive.unpacked(data, "this")
    assert all(each.isreg() and each.mtime == 0 and each.uid == 0 for each in found.values())


def test_a_manifest_that_holds_it_not_is_told() -> None:
    for wrong in (
        {"files": {"kerbnode/app.mpy": b""}},
        {"files": {"a" * 49: b"x"}},
        {"files": {f"kerbnode/drivers/number_{n:04}.mpy": b"x" for n in range(200)}},
        {"version": "0.1"},
        {"version": "0.300.1"},
    ):
        with pytest.raises(PackFault):
            releases.unsigned(**wrong)


def test_no_file_of_ours(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # nobody writes: it must not be waited for
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(archive.MOST_BYTES + 1)
    for path, reason in (
        (tmp_path / "none.kerb", "unreadable"),
        (tmp_path, "not-a-bundle"),
        (pipe, "not-a-bundle"),
        (huge, "too-large"),
    ):
        with pytest.raises(BundleFault) as told:
            load(path, None)
        assert told.value.reason == reason and str(path) in str(told.value)


# ---------------------------------------------------------------- release.pub


def test_a_root_is_its_text(tmp_path: Path) -> None:
    root = releases.key().root
    file = tmp_path / "release.pub"
    file.write_text(root.text)
    assert Root.load(file) == root
    assert root.text.startswith("kerbline release root\ned25519 ")
    assert len(root.hss) == 52


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:0],
        lambda text: text.replace("root", "boot", 1),
        lambda text: text.replace("hss", "lms"),
        lambda text: text.partition("hss")[0],
        lambda text: text.replace("ed25519 ", "ed25519 00"),
        lambda text: text + text.splitlines()[1] + "\n",
        lambda text: text.replace("0000000b", "0000000a"),
        lambda text: text.upper(),
        lambda text: text.replace("ed25519 ", "ed25519 \u0663\u0663"),
        lambda text: text + "\n" * 5000,
    ],
)
def test_a_root_that_is_none(change: Any, tmp_path: Path) -> None:
    file = tmp_path / "release.pub"
    file.write_text(change(releases.key().root.text))
    with pytest.raises(BundleFault) as told:
        Root.load(file)
    assert told.value.reason == "root"


# ---------------------------------------------------------------- a MicroPython image


def app(chip: int = 0, *, hashed: bool = True) -> bytes:
    header = bytearray(24)
    header[0], header[1], header[23] = 0xE9, 1, hashed
    header[12:14] = chip.to_bytes(2, "little")
    description = bytes.fromhex("3254cdab") + bytes(12) + b"v1.26.1".ljust(32, b"\0")
    body = bytes(header) + bytes(8) + description + bytes(range(200)) * 400
    return body + sha256(body).digest() if hashed else body


def test_an_app_image_goes_in(tmp_path: Path) -> None:
    file = tmp_path / "micropython.app-bin"
    file.write_bytes(app())
    data = image.load(file, "esp32")
    assert data == app() and image.app_version(data) == "v1.26.1"
    bundle = loads(releases.unsigned(image=data), "this", None)
    assert bundle.image == data and bundle.manifest.image == (len(data), digest(data))
    told = [each for each in json.loads(bundle.sbom)["components"] if each["name"] == "micropython"]
    assert told[0]["version"] == "v1.26.1"
    assert told[0]["hashes"][0]["content"] == sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no image"),
        (b"\x7fELF" * 50, "no image"),
        (app(9), "is for chip esp32s3, the board has esp32"),
        (app(77), "is for chip 77"),
        (app()[:-1] + b"\0", "damaged"),
        (app()[:0x7000] + b"\xaa\x50" + app()[0x7002:], "boot loader"),
    ],
)
def test_an_image_that_no_update_can_write(data: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "image.bin"
    file.write_bytes(data)
    with pytest.raises(PackFault, match=said):
        image.load(file, "esp32")


# ---------------------------------------------------------------- the bill of materials


def test_the_bill_is_of_the_standard() -> None:
    """CycloneDX 1.6's own schema, which cyclonedx-python-lib carries."""
    folder = files("cyclonedx.schema") / "_res"

    def read(name: str) -> Any:
        return json.loads((folder / name).read_text())

    check = fastjsonschema.compile(
        read("bom-1.6.SNAPSHOT.schema.json"),
        handlers={"http": lambda uri: read(uri.rpartition("/")[2])},
    )
    told = json.loads(loads(releases.unsigned(), "this", None).sbom)
    check(told)
    with pytest.raises(fastjsonschema.JsonSchemaException):
        check({**told, "components": [{"type": "nonsense", "name": "x"}]})


def test_the_bill_names_each_file_with_its_hash_and_licence() -> None:
    bundle = loads(releases.unsigned(), "this", None)
    told = json.loads(bundle.sbom)
    top = {each["name"]: each for each in told["components"]}
    inside = {
        each["name"]: each for name in ("kerbnode", "kerbwire") for each in top[name]["components"]
    }
    for name, content in releases.FILES.items():
        assert inside[name]["hashes"][0]["content"] == sha256(content).hexdigest()
    for name, content in releases.STARTS.items():
        assert top[f"start/{name}"]["hashes"][0]["content"] == sha256(content).hexdigest()
    licences = {each["licenses"][0]["license"]["id"] for each in top.values()}
    assert licences == {"Apache-2.0", "MIT"}
    assert told["metadata"]["tools"]["components"][0]["version"] == "1.29.0"
    properties = {p["name"]: p["value"] for p in told["metadata"]["component"]["properties"]}
    assert properties["kerbline:build"] == bundle.build.hex()
    assert "timestamp" not in told["metadata"]


def test_every_reason_stands_in_the_docs() -> None:
    """A person who reads one in brackets finds it there."""
    page = (ROOT / "docs/operate/releases.md").read_text()
    given = set(re.findall(r"`([a-z0-9-]+)`", page))
    sources = (ROOT / "gateway/kerbline/field/signing").glob("*.py")
    raised = {
        call.args[1].value
        for file in sources
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "SignerFault"
        and isinstance(call.args[1], ast.Constant)
    }
    assert {"restored", "busy", "machine"} <= raised
    assert set(REASONS) | raised <= given
