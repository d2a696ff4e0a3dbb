"""A stretch of a node's life on any flash, and what must hold after the power went in it.

Everything durable takes part: journal, CONFIG, key, totals, boot number and the highest command.
The life keeps book of what it was told is done; `check` holds a restarted node to that book.
"""

import json

from kerbnode import boots, checking, identity, loaded, settings, store, uptake
from kerbnode.commands import Commands
from kerbnode.journal import RESERVE, Journal
from kerbnode.nvs import set_checked
from kerbnode.sense import Sense
from kerbwire import messages as m
from kerbwire.ranges import RangeSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.flash import Flash
    from kerbnode.hal.board import Nvs

GOOD = {"node_id": "wm-0001", "asset": "water_meter", "link": "uart"}
COMMAND_OP = m.OP_REBOOT  # one that must never run twice
SEGMENT_BYTES = 600
loaded.forget = lambda *_: None  # in a sweep each would be compiled again and again
SEGMENTS = 3


class Meter:
    """A register that never stops: what it counts is saved with the log, or not at all."""

    asset = None

    def __init__(self, litres: int):
        self.litres = litres
        self.asset = self

    def totals(self) -> "tuple[int, ...]":
        return self.litres, 3 * self.litres  # two numbers that belong together


class Silent:
    """The part of a board that `Store` and `Sense` use."""

    def __init__(self, nvs: "Nvs"):
        self.nvs = nvs

    def uptime_ms(self) -> int:
        return 0

    def quiet(self) -> bool:
        return False


class Sent:
    """A gateway that has a report as soon as it is made, flash or no flash."""

    def __init__(self, book: "Book"):
        self._book = book

    def make(self, uptime_ms: int, kind: int, values: "tuple[int, ...]") -> None:
        self._book.done["reported"] = values[0]


class Book:
    """What a life knows. `doing` is (what, old, new) while something durable changes."""

    def __init__(self) -> None:
        self.given: list[int] = []  # numbers, in order
        self.durable = 0  # so many of them
        self.kept = 0  # cumulative, at the gateway
        self.done = {"config": 0, "totals": 0, "boot": 0, "key": 0, "command": 0, "reported": 0}
        self.doing: tuple[str, int] | None = None

    def page(self) -> "tuple[object, ...]":
        """All of it now, unchangeable."""
        done = tuple(sorted(self.done.items()))
        return len(self.given), self.durable, self.kept, done, self.doing

    def begin(self, what: str, new: int) -> None:
        self.doing = (what, new)

    def end(self) -> None:
        if self.doing is not None:
            self.done[self.doing[0]] = self.doing[1]
        self.doing = None


def values_of(number: int) -> "tuple[int, ...]":
    """The values of the record with that number: a reader sees at once whether they are its own."""
    return number, -number, 7


def seeded(count: int) -> bytes:
    return bytes(range(1, count + 1))


def journal_on(flash: "Flash") -> Journal:
    return Journal(flash, seeded, SEGMENT_BYTES, SEGMENTS)


def commission(nvs: "Nvs") -> None:
    """What the installer writes."""
    set_checked(nvs, "settings", json.dumps(GOOD).encode())
    settings.store_key(nvs, 0, bytes(16))
    nvs.set(identity.MARK, b"wm-0001\0water_meter")  # as its first boot leaves it


def boot(nvs: "Nvs", book: Book) -> None:
    """Count the boot."""
    book.begin("boot", book.done["boot"] + 1)
    boot_id = boots.next_boot_id(nvs, lambda count: bytes(count))
    assert boot_id == book.done["boot"] + 1, "a boot's number came twice"
    book.end()
    boots.boot_went_well(nvs)
    boots.keep_good(nvs, checking.load(nvs))


def live(flash: "Flash", nvs: "Nvs", book: Book, rounds: int) -> None:
    """A boot, batches, events, orders, new settings, and an orderly end."""
    boot(nvs, book)
    wanted = checking.load(nvs)
    journal = journal_on(flash)
    journal.open()
    meter = Meter(book.done["totals"])
    keeper = store.Store(Silent(nvs), journal, meter, None, uptake.load_totals(nvs))
    sense = Sense(Silent(nvs), None, meter, Sent(book), (), 900, keeper)
    commands = Commands()
    uptake.load_commands(commands, nvs)
    for round_ in range(rounds):
        for _ in range(5):
            append(journal, book)
        meter.litres += 5
        book.begin("totals", meter.litres)
        if round_ % 2:  # what a round without a report has counted goes with the log
            sense.record(0, m.REPORT, (meter.litres,))
        keeper.save()
        assert not journal.pending
        book.durable = len(book.given)
        book.end()
        if round_ % 3 == 1:
            version = book.done["config"] + 1
            book.begin("config", version)
            code = settings.configure(nvs, wanted, version, {m.CONFIG_REPORT_S: 60 + version})
            assert code == m.OK
            book.end()
        if round_ % 3 == 2:
            book.kept = max(book.kept, book.given[-7])
            journal.release(RangeSet(((1, book.kept),)))
            generation = book.done["key"] + 1
            book.begin("key", generation)
            settings.store_key(nvs, generation, bytes([generation & 255]) * 16)
            book.end()
            command_id = book.done["command"] + 1
            book.begin("command", command_id)
            assert commands.begin(command_id, COMMAND_OP) == m.OK
            book.end()
    append(journal, book)
    journal.close()
    book.durable = len(book.given)


def append(journal: Journal, book: Book) -> None:
    """Make a record."""
    number = journal.append(m.REPORT, 1, 2, values_of(journal.next))
    if number == 0:
        raise AssertionError("flash refused")
    assert not book.given or number > book.given[-1], "a number was used again"
    book.given.append(number)


def check(
    flash: "Flash", nvs: "Nvs", given: "list[int]", page: "tuple[object, ...]", *, fresh: bool
) -> Journal:
    """The node after the cut: old or new of each, nothing lost in silence. The open journal.

    `fresh`: the log itself may not have been there yet.
    """
    count, durable, kept, done, doing = page
    book = dict(done)
    check_blobs(nvs, book, doing)
    journal = journal_on(flash)
    journal.open()
    assert not journal.faults, "the flash refused"
    highest = given[count - 1] if count else 0
    assert journal.next > highest, "a number would be used again"
    if not fresh:
        assert journal.epoch == int.from_bytes(seeded(4), "big")
    lost = 0
    for index in range(count):
        number = given[index]
        if number <= kept:
            continue
        gap = journal.covering(number)
        record = journal.read(number)
        assert gap or record, "number {} is silently lost".format(number)
        if record:
            assert record[4] == values_of(number), "a mix"
        elif gap[2] == m.GAP_POWER:
            assert index >= durable, "what was durable is declared lost"
            lost += 1
        else:
            assert gap[2] == m.GAP_FULL, "reason {}".format(gap[2])
    assert lost <= RESERVE
    return journal


def check_blobs(nvs: "Nvs", book: "dict[str, int]", doing: "tuple[str, int] | None") -> None:
    """Each is the old or the new one, whole."""
    wanted = checking.load(nvs)
    assert wanted.node_id == GOOD["node_id"] and wanted.restored != "settings"
    assert boots.failed_boots(nvs) == 0
    version = wanted.config_version
    _old_or_new("config", version, book, doing)
    assert wanted.report_s == (60 + version if version else 900), "a mix"
    totals = uptake.load_totals(nvs) or (0, 0)
    _old_or_new("totals", totals[0], book, doing)
    assert totals[1] == 3 * totals[0], "a mix"
    assert totals[0] >= book["reported"], "less than what was reported"
    generation, key = settings.load_key(nvs)
    _old_or_new("key", generation, book, doing)
    assert key == bytes([generation & 255]) * 16, "a mix"
    commands = Commands()
    uptake.load_commands(commands, nvs)
    _old_or_new("command", commands.highest, book, doing)


def _old_or_new(
    what: str, found: int, book: "dict[str, int]", doing: "tuple[str, int] | None"
) -> None:
    allowed = [book[what]]
    if doing is not None and doing[0] == what:
        allowed.append(doing[1])
    assert found in allowed, "{} is {}, not of {}".format(what, found, allowed)
