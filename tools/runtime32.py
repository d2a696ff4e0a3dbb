"""Fetches a 32-bit MicroPython into build/micropython32: Debian trixie's i386 package, unpacked.

.venv/bin/python -m tools.runtime32

Heap figures count on 32 bit alone: pointers there are as wide as on an ESP32. Needs neither root
nor Debian, only an x86 Linux and Debian's mirror; without them the tests that measure skip.
"""

import hashlib
import io
import lzma
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tools.trees import ROOT

FOLDER = ROOT / "build" / "micropython32"
PROGRAM = FOLDER / "micropython"
MIRROR = "https://deb.debian.org/debian"
INDEX = f"{MIRROR}/dists/trixie/main/binary-i386/Packages.xz"
PACKAGES = (
    "micropython",
    "libc6",
    "libffi8",
    "libgcc-s1",
    "libmbedcrypto16",
    "libmbedtls21",
    "libmbedx509-7",
)
TIMEOUT_S = 20
START = """#!/bin/sh
here=$(dirname "$0")/root
lib=$here/usr/lib/i386-linux-gnu
exec "$lib/ld-linux.so.2" --library-path "$lib" "$here/usr/bin/micropython" "$@"
"""


class NotHere(Exception):
    """This machine cannot have it; the text says why."""


def fetched(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            body: bytes = answer.read()
    except OSError as fault:
        raise NotHere(f"{url}: {fault}") from fault
    return body


def listed(index: str) -> dict[str, tuple[str, str]]:
    """Path and SHA-256 of each package that is wanted, from a Debian package index."""
    found = {}
    for paragraph in index.split("\n\n"):
        lines = (line.partition(": ") for line in paragraph.splitlines() if line[:1] != " ")
        fields = {key: value for key, _, value in lines}
        if fields.get("Package") in PACKAGES:
            found[fields["Package"]] = fields["Filename"], fields["SHA256"]
    lacking = set(PACKAGES) - set(found)
    if lacking:
        raise NotHere(f"Debian trixie no longer lists {', '.join(sorted(lacking))}")
    return found


def members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Names and contents of an `ar` archive, which is what a .deb is."""
    at = 8  # after "!<arch>\n"
    while at < len(archive):
        name = archive[at : at + 16].decode().strip().rstrip("/")
        size = int(archive[at + 48 : at + 58])
        at += 60
        yield name, archive[at : at + size]
        at += size + size % 2


def unpack(deb: bytes, into: Path) -> None:
    """Puts a package's files there, without its scripts."""
    data = {name.split(".")[0]: body for name, body in members(deb) if name.startswith("data.")}
    with tarfile.open(fileobj=io.BytesIO(data["data"])) as files:
        # Python 3.11 has no filters before 3.11.4; the package's digest was compared already.
        files.extraction_filter = getattr(tarfile, "tar_filter", None)
        files.extractall(into)


def build(folder: Path) -> None:
    """All packages into folder/root, and the program that starts the interpreter."""
    packages = listed(lzma.decompress(fetched(INDEX)).decode())
    for path, digest in packages.values():
        deb = fetched(f"{MIRROR}/{path}")
        if hashlib.sha256(deb).hexdigest() != digest:
            raise NotHere(f"{path} is not what the index says")
        unpack(deb, folder / "root")
    program = folder / PROGRAM.name
    program.write_text(START)
    program.chmod(0o755)
    command = [str(program), "-c", "import sys; print(sys.maxsize)"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.stdout.strip() != str((1 << 31) - 1):
        raise NotHere(f"the program does not run here: {said.stderr.strip() or said.stdout}")


def main() -> int:
    if not sys.platform.startswith("linux"):
        print("no 32-bit MicroPython: it needs Linux; the tests that measure on it skip")
        return 0
    fresh = FOLDER.with_name(FOLDER.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        build(fresh)
    except NotHere as reason:
        print(f"no 32-bit MicroPython, so the tests that measure on it skip: {reason}")
        shutil.rmtree(fresh)
        return 0
    shutil.rmtree(FOLDER, ignore_errors=True)
    fresh.rename(FOLDER)
    print(f"32-bit MicroPython in {FOLDER.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
