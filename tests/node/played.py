"""Long proofs go on where they stopped, under both interpreters: build/nightly holds what is done.

A file belongs to the very code that was played; other code begins anew.
"""

import os
import sys
from binascii import hexlify
from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = __file__.rsplit("/", 3)[0]
CODE = ("assets", "drivers", "instruments", "sim", "")  # of kerbnode
PLAYS = (ROOT + "/tests/node/street_night.py", ROOT + "/tests/node/test_failsafe.py")


def left(proof: str, seeds: "Iterable[int]") -> "Iterator[int]":
    """The seeds not yet played; each counts as played when the next is asked for."""
    folder = ROOT + "/build/nightly"
    for path in (ROOT + "/build", folder):
        try:
            os.mkdir(path)
        except OSError:
            pass  # it is there
    name = "{}/{}-{}-{}.txt".format(folder, proof, sys.implementation.name, _code())
    try:
        with open(name) as log:
            done = {int(word) for word in log.read().split()}
    except OSError:
        done = set()
    for seed in seeds:
        if seed not in done:
            yield seed
            with open(name, "a") as log:
                log.write("{}\n".format(seed))


def _code() -> str:
    """Names what is played."""
    digest = sha256()
    files = list(PLAYS)
    for folder in CODE:
        place = ROOT + "/firmware/kerbnode/" + folder
        files += [place + "/" + name for name in sorted(os.listdir(place)) if name.endswith(".py")]
    for path in files:
        with open(path, "rb") as file:
            digest.update(file.read())
    return hexlify(digest.digest()[:8]).decode()
