"""Judges a release, and makes a slot of it beside the one that runs; nothing of it is executed.

Generators: each step is short, and the last one gives an outcome of messages.UPDATE_NAMES.
"""

import os
from hashlib import sha256

import slots
from kerbnode import build, loaded, nvs, trial
from kerbnode.standing import State, expired, sequence
from kerbwire import manifest as manifests
from kerbwire import messages as m
from kerbwire.errors import RemoteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import BinaryIO

    from kerbnode.app import Node
    from kerbnode.hal.board import Nvs

PIECE = 256


def taken_path() -> str:
    """The manifest whose signature was good, until it is a slot."""
    return slots.home + "u/manifest"


def judged(node: "Node", path: str) -> "Iterator[int | None]":
    """A signed manifest has come; removed when it is judged."""
    signed = bytearray(os.stat(path)[6])  # to read without knowing how much takes twice as much
    with open(path, "rb") as file:
        file.readinto(signed)
    os.remove(path)
    yield None
    root = nvs.get_checked(node.board.nvs, "root")
    if root is None:
        yield m.UPDATE_NO_ROOT
        return
    from kerbwire import release

    try:
        data = release.verified(signed, root)
        del signed, release
        loaded.forget("kerbwire", ("release", "lms"))
    except RemoteError:
        yield m.UPDATE_SIGNATURE
        return
    yield None
    try:
        found = manifests.decode(data, entries=False)
    except RemoteError:
        yield m.UPDATE_MALFORMED
        return
    state = State(node.board.nvs)
    if found.board != build.BOARD:
        yield m.UPDATE_BOARD
    elif found.sequence <= max(state.highest, sequence(slots.manifest)):
        yield m.UPDATE_SEQUENCE
    elif expired(node, data):
        yield m.UPDATE_EXPIRED
    else:
        wanted = found.image
        del found
        yield from _taken(node.board.nvs, state, data, wanted)


def _taken(
    store: "Nvs", state: State, data: bytes, wanted: "tuple[int, bytes] | None"
) -> "Iterator[int | None]":
    """All is well with it: has the board a place for its image, and what does it lack?"""
    if wanted is not None:
        from kerbnode import image

        refusal = yield from image.refused(store, wanted)
        if refusal != image.NONE:
            yield refusal
            return
    yield from trial.swept()
    if state.good != slots.slot:  # it was not sound: what is staged there must not run untried
        state.good = slots.slot
        state.keep()
    _create(taken_path(), data)
    yield None
    yield from _completed(store, data)


def taken() -> bytes:
    """The manifest that is under way; OSError where none is."""
    with open(taken_path(), "rb") as file:
        data: bytes = file.read()
    return data


def applied(store: "Nvs", path: str) -> "Iterator[int | None]":
    """Parts have come; they stay where a cut may have them needed again."""
    try:
        data = taken()
    except OSError:
        known = _staged_by(path, State(store).highest)
        os.remove(path)
        yield m.UPDATE_STAGED if known else m.UPDATE_PARTS
        return
    from kerbwire import parts

    sink = Sink()
    fits = False
    try:
        with open(path, "rb") as stream:
            for _ in parts.steps(stream, data, _opened, sink):
                yield None
        fits = not trial.lacking(data)
    except RemoteError:
        pass
    except MemoryError:
        sink.close()
        raise
    except OSError as fault:  # flash fails, or is full: nothing of it stays
        yield from _dropped(sink, path)
        raise fault
    sink.close()
    if not fits:
        os.remove(path)
        yield m.UPDATE_PARTS
        return
    for outcome in _completed(store, data):
        if outcome is not None:
            os.remove(path)
        # What was here, and not among the parts, is damaged: all of it has to come.
        yield m.UPDATE_PARTS if outcome == m.UPDATE_TAKEN else outcome


def _staged_by(path: str, highest: int) -> bool:
    """Has a gateway brought these parts once more, which did not hear what came of them?"""
    data = trial.read(slots.slot ^ 1)
    if sequence(data) <= highest or trial.lacking(data):
        return False
    with open(path, "rb") as file:
        return bool(file.read(12)[4:] == manifests.build_id(data))


def _dropped(sink: "Sink", path: str) -> "Iterator[None]":
    """The parts are given up, with all that was made of them."""
    try:
        sink.close()
        os.remove(path)
        os.remove(taken_path())
    except OSError:
        pass
    yield from trial.swept()


def arrived(store: "Nvs") -> "Iterator[int | None]":
    """All of an image has come."""
    for outcome in _completed(store, taken()):
        yield m.UPDATE_DAMAGED if outcome == m.UPDATE_IMAGE else outcome


def _completed(store: "Nvs", data: bytes) -> "Iterator[int | None]":
    """When all is here, the slot that does not run names it; else what is wanted still."""
    if trial.lacking(data):
        yield m.UPDATE_TAKEN
        return
    for _, digest in manifests.objects(data):
        sound = yield from _sound(digest)
        if not sound:
            yield m.UPDATE_TAKEN
            return
    wanted = manifests.image(data)
    other = slots.slot ^ 1
    kept, place = None, trial.NONE
    if wanted is not None or store.get("image") is not None:
        from kerbnode import image

        place = yield from image.located(store, wanted)
        if place == trial.NONE:
            yield m.UPDATE_IMAGE
            return
        kept = image.Kept(store)
        if kept.slots[other] != place:
            kept.bind(trial.NONE)  # whatever it ran with before, it is another build now
    _create(trial.path(other), data)
    if kept is not None:
        kept.bind(place)
    os.remove(taken_path())
    yield m.UPDATE_STAGED


def _sound(digest: bytes) -> "Generator[None, None, bool]":
    """Is an object in flash still what its name says?"""
    hashed = sha256()
    piece = bytearray(PIECE)
    with open(trial.object_path(digest), "rb") as file:
        while True:
            got = file.readinto(piece)
            if not got:
                break
            hashed.update(memoryview(piece)[:got])
            yield None
    return bool(hashed.digest()[: len(digest)] == digest)


def _create(path: str, data: bytes) -> None:
    """A file, whole or not at all."""
    with open(path + ".new", "wb") as file:
        file.write(data)
        file.flush()
    os.rename(path + ".new", path)


def _opened(digest: bytes) -> "BinaryIO | None":
    try:
        return open(trial.object_path(digest), "rb")  # type: ignore[no-any-return]
    except OSError:
        return None


class Sink:
    """Writes objects; each has its name only when it is whole."""

    def __init__(self) -> None:
        self._path = ""
        self._file: BinaryIO | None = None

    def begin(self, digest: bytes, size: int) -> None:
        """One follows."""
        self._path = trial.object_path(digest)
        self._file = open(self._path + ".new", "wb")

    def write(self, data: memoryview) -> None:
        """Some of it."""
        assert self._file is not None
        self._file.write(data)

    def end(self) -> None:
        """All of it was right."""
        assert self._file is not None
        self._file.close()
        self._file = None
        os.rename(self._path + ".new", self._path)

    def close(self) -> None:
        """What was begun and not ended is nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None
