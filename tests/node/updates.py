"""A node that is updated, on any littlefs: its flash, its slots and a gateway that serves it.

`Served` is the part of a node that an update meets; `boot` runs what only a cable lays, and then
really imports two files of the slot, which say of which build they are.
"""

import os
import sys
from binascii import crc32
from struct import pack

import choice
import slots
from kerbnode import nvs, standing, trial, update
from kerbnode.hal.sim import Nvs
from kerbnode.update import Update
from kerbwire import messages as m
from kerbwire.objects import Objects
from node import release_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HOME = "/cut"
BLOCK = 224
COMMON = b"HERE = True\n" * 30
ROOT = release_key.public()
heard: "list[int]" = []  # all that any node told
update.SPARE_BLOCKS = 2  # of a small flash


def files(name: str, size: int = 300) -> "dict[str, bytes]":
    """A build's files: two tell which it is, a third is the same in all."""
    told = "BUILD = '{}'\n".format(name)
    one = (told + "#" * max(0, size - len(told))).encode()
    two = (told + "TWO = 2\n").encode()
    return {"cutapp/__init__.py": told.encode(), "cutapp/a.py": one, "cutapp/b.py": two,
            "cutapp/common.py": COMMON}  # fmt: skip


class Power(BaseException):
    """The chip restarts."""


class Timer:
    """machine.Timer that the test fires."""

    made: "list[Timer]" = []  # noqa: RUF012

    def __init__(self, number: int, **what: object):
        assert number == choice.TIMER and what["period"] == choice.STEP_MS
        self.callback = what["callback"]
        self.runs = True
        Timer.made.append(self)

    def deinit(self) -> None:
        self.runs = False


class Machine:
    cause = 1
    watched: "list[int]" = []  # noqa: RUF012
    Timer = Timer

    @staticmethod
    def WDT(timeout: int) -> None:  # noqa: N802 - the chip's name
        Machine.watched.append(timeout)

    @staticmethod
    def reset_cause() -> int:
        return Machine.cause

    @staticmethod
    def reset() -> None:
        raise Power


class Esp32:
    """esp32.NVS over the blobs in files."""

    store = None

    class NVS:
        def __init__(self, namespace: str):
            assert namespace == "kerbnode"

        def get_blob(self, name: str, room: bytearray) -> int:
            blob = Esp32.store.get(name)
            if blob is None:
                raise OSError(-0x1102)
            if len(blob) > len(room):
                raise OSError(-0x110C, "ESP_ERR_NVS_INVALID_LENGTH")
            room[: len(blob)] = blob
            return len(blob)

        def set_blob(self, name: str, blob: bytes) -> None:
            Esp32.store.set(name, bytes(blob))

        def commit(self) -> None:
            pass


class Plain:
    """Attributes."""


class Served:
    """The part of a node that an update meets; `told` are its outcomes."""

    def __init__(self, store: "Nvs"):
        self.board = Plain()
        self.board.nvs = store
        self.board.monotonic_ms = lambda: 0
        self.session = Plain()
        self.session.info = Plain()
        self.session.info.build = b""
        self.session.objects = Objects(bytes)
        self.journal = Plain()
        self.journal.flush = lambda: True
        self.clock = Plain()
        self.clock.trusted = False
        self.update = None
        self.rest = None
        self.leaving = False
        self.restarts = True  # at once, when it leaves
        self.link_wake = Plain()
        self.link_wake.set = lambda: None
        self.told: "list[int]" = []
        self.steps = 0
        self.befalls = lambda: None  # after so many steps of an object that is judged or applied

    def tell(self, code: int, value: int) -> None:
        assert code == m.EV_UPDATE
        self.told.append(value)
        heard.append(value)

    def given(self, kind: int, data: bytes, handle: int = 3, blocks: int = 1 << 30) -> int:
        """The gateway offers an object and sends what is wanted; how many blocks that took."""
        from hashlib import sha256

        objects = self.session.objects
        digest = sha256(data).digest()
        self._take(objects.receive(m.OFFER, [m.OFFER, handle, digest, len(data), BLOCK, kind], 0))
        sent = 0
        while sent < blocks:
            wanted = self._wanted()
            if wanted is None or not wanted[1]:
                break
            block = data[wanted[0] * BLOCK : (wanted[0] + 1) * BLOCK]
            sent += 1
            self._take(objects.receive(m.BLOCK, [m.BLOCK, handle, wanted[0], block], 0))
        while hasattr(self.update, "step") and self.update.step():
            self.steps -= 1
            if self.steps == 0:
                self.befalls()
        if self.leaving and self.restarts:  # it goes on at the next boot, and tells it then
            self.leaving = False
            import vfs

            boot(self.board.nvs, vfs)
            after = Served(self.board.nvs)
            standing.begin(after)
            self.told += after.told
        return sent

    def _wanted(self) -> "tuple[int, int] | None":
        from kerbwire import cbor

        body = self.session.objects.pull(0)
        if body is None:
            return None
        items = cbor.decode(body)
        return items[2], items[3]

    def _take(self, events: "list[tuple[object, ...]]") -> None:
        for event in events:
            if self.update is None:
                self.update = Update(self)
            self.update.take(event)


class Cause:
    """kerbnode.hal.esp32_cause, of which a boot that goes on needs the watchdog."""

    class Watchdog:
        def feed(self) -> None:
            Machine.watched.append(0)

    @staticmethod
    def watchdog(timeout_ms: int) -> "Cause.Watchdog":
        Machine.watched.append(timeout_ms)
        return Cause.Watchdog()


class Hal:
    """kerbnode.hal.esp32."""

    @staticmethod
    def Nvs() -> "Nvs":  # noqa: N802 - the class's name
        return Esp32.store


def go_on() -> None:
    """What an update left for this boot, as kerbnode.start has it."""
    from kerbnode import start

    mine = {name: sys.modules[name] for name in sys.modules if name.startswith("kerb")}
    sys.modules["kerbnode.hal.esp32"], sys.modules["kerbnode.hal.esp32_cause"] = Hal, Cause
    import kerbnode.hal as hal

    hal.esp32, hal.esp32_cause = Hal, Cause
    try:
        start.go_on()
    finally:
        for name, module in mine.items():  # what it gave back of them is the test's too
            sys.modules[name] = module
            package, _, short = name.rpartition(".")
            if package:
                setattr(sys.modules[package], short, module)


def lay(store: "Nvs", name: str, sequence: int) -> None:
    """What a cable lays: a build in the first slot, the root, the slots' blob."""
    lay_files(name, sequence)
    nvs.set_checked(store, "root", ROOT)
    nvs.set_checked(store, "slots", pack(choice.FORM, 0, 255, 0, 0, sequence, 255))


def lay_files(name: str, sequence: int) -> None:
    """The build alone."""
    os.mkdir(HOME + "/o")
    content = files(name)
    data = release_key.build(sequence, content)
    for each in content.values():
        with open(trial.object_path(release_key.manifest.digest(each)), "wb") as file:
            file.write(each)
    with open(trial.path(0), "wb") as file:
        file.write(data)


def boot(store: "Nvs", vfs: object) -> str:
    """Start the chip: the build that runs, whose two files must be of one."""
    slots.manifest, slots.slot, slots.trial, slots.unconfirmed = b"", 255, False, m.UPDATE_NO_ACK
    Timer.made[:] = []
    Esp32.store = store
    held = {name: sys.modules.get(name) for name in ("esp32", "machine", "choice")}
    sys.modules["esp32"], sys.modules["machine"] = Esp32, Machine
    try:
        choice.main()
    finally:
        for name, module in held.items():
            if module is not None:
                sys.modules[name] = module
    assert slots.manifest, "no slot is sound"
    try:
        import cutapp.a
        import cutapp.b
        import cutapp.common

        found = sys.modules["cutapp"].BUILD
        assert cutapp.a.BUILD == cutapp.b.BUILD == found, "a mix"
        assert cutapp.common.HERE
    finally:
        for name in ("cutapp", "cutapp.a", "cutapp.b", "cutapp.common"):
            sys.modules.pop(name, None)
        vfs.umount("/app")
        sys.path.remove("/app")
    go_on()
    return found


def failed(store: "Nvs") -> None:
    """What main.py does where the build that runs has raised something."""
    Esp32.store = store
    before = sys.modules.get("esp32")
    sys.modules["esp32"] = Esp32
    try:
        choice.doubt()
    finally:
        if before is not None:
            sys.modules["esp32"] = before


def acked(node: Served) -> None:
    """The first ack after a look at the lamp."""
    if slots.trial:
        for _ in trial.confirm(node):
            pass


def serve(
    store: "Nvs", vfs: object, release: "tuple[bytes | Callable[[bytes], bytes], bytes]"
) -> str:
    """A gateway brings a release to the node as it is, until it has confirmed a build.

    Of a release (signed manifest, parts) the first may be a function that signs for a root.
    """
    signed, parts = release
    for _ in range(6):
        node = Served(store)
        name = boot(store, vfs)
        standing.begin(node)
        acked(node)
        offered = signed
        if callable(signed):
            offered = signed(nvs.get_checked(store, "root"))
        if slots.manifest == release_key.release.split(offered)[0]:
            return name
        node.given(m.OBJECT_UPDATE, offered)
        if node.told[-1:] == [m.UPDATE_TAKEN]:
            node.given(m.OBJECT_PARTS, parts, handle=4)
        assert node.told[-1:] == [m.UPDATE_STAGED], node.told
        assert trial.activate(node)
    raise AssertionError("never confirmed")


def checked_blob(body: bytes) -> bytes:
    """With its CRC."""
    return body + pack("<I", crc32(body))
