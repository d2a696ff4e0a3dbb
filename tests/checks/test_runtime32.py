"""The 32-bit runtime is put together from what Debian says of its packages."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tools import runtime32


def _entry(name: str) -> str:
    return (
        f"Package: {name}\nDescription: any\n more: of it\n"
        f"Filename: pool/{name}.deb\nSHA256: {'ab' * 32}"
    )


def _deb(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as files:
        member = tarfile.TarInfo(f"./{name}")
        member.size = len(content)
        files.addfile(member, io.BytesIO(content))
    archive = b"!<arch>\n"
    for part, body in (("debian-binary", b"2.0\n"), ("data.tar.xz", packed.getvalue())):
        head = f"{part:16}{0:<12}{0:<6}{0:<6}{'100644':8}{len(body):<10}`\n"
        archive += head.encode() + body + b"\n" * (len(body) % 2)
    return archive


def test_the_index_names_path_and_digest_of_each() -> None:
    found = runtime32.listed("\n\n".join(map(_entry, (*runtime32.PACKAGES, "vim"))))
    assert set(found) == set(runtime32.PACKAGES)
    assert found["libc6"] == ("pool/libc6.deb", "ab" * 32)


def test_a_package_that_is_gone_is_a_reason() -> None:
    with pytest.raises(runtime32.NotHere, match="libffi8"):
        runtime32.listed("\n\n".join(_entry(n) for n in runtime32.PACKAGES if n != "libffi8"))


def test_a_package_is_unpacked(tmp_path: Path) -> None:
    runtime32.unpack(_deb("usr/odd", b"123"), tmp_path)
    assert (tmp_path / "usr/odd").read_bytes() == b"123"


def test_it_is_what_a_device_is(micropython32: Path) -> None:
    said = "import sys, cryptolib, hashlib; print(sys.maxsize, sys.implementation[1] >= (1, 24))"
    done = subprocess.run([micropython32, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str((1 << 31) - 1), "True"]
