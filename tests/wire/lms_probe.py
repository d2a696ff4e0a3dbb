"""Verifies one release on a small heap: `micropython lms_probe.py SIGNED ROOT`, both in hex."""

import gc
import sys
from binascii import unhexlify

from kerbwire import release
from kerbwire.errors import RemoteError


def _verdict(signed: bytes, root: bytes) -> str:
    try:
        return str(len(release.verified(signed, root)))
    except RemoteError as fault:
        return fault.code


def main() -> None:
    with open(sys.argv[1], "rb") as file:
        signed = file.read()
    root = unhexlify(sys.argv[2])
    gc.collect()
    before = gc.mem_alloc()
    print("good", _verdict(signed, root))
    gc.collect()
    print("kept", gc.mem_alloc() - before)
    print("bad", _verdict(signed, root[:-1] + b"\0"))


main()
