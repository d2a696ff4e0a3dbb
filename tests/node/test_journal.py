"""The log in flash: what it promises about numbers and losses, with the power cut anywhere."""

from kerbnode import loaded
from kerbnode.journal import GAPS, RESERVE, Journal
from kerbwire import messages as m
from kerbwire.ranges import RangeSet
from node.torn_flash import GARBLED, HALF, KEPT, NOTHING, PowerCut, TornFlash

loaded.forget = lambda *_: None  # each would be compiled again and again


def seeded(count: int) -> bytes:
    return bytes(range(1, count + 1))


def make(flash: TornFlash, segment_bytes: int = 400, segments: int = 4) -> Journal:
    return Journal(flash, seeded, segment_bytes, segments)


def opened(flash: TornFlash, segment_bytes: int = 400, segments: int = 4) -> Journal:
    journal = make(flash, segment_bytes, segments)
    journal.open()
    return journal


def values_of(number: int) -> "tuple[int, ...]":
    return (number, -number, 7)


def fill(journal: Journal, count: int) -> "list[int]":
    """Append `count` records; the numbers given."""
    return [journal.append(m.REPORT, 5, n, values_of(n)) for n in range(count)]


def gap_spans(journal: Journal) -> "list[tuple[int, int]]":
    return [(first, last) for first, last, _ in journal.gaps]


def test_numbers_start_at_one_and_are_read_back_before_and_after_the_flush() -> None:
    journal = opened(TornFlash())
    assert journal.epoch == int.from_bytes(seeded(4), "big")
    assert fill(journal, 3) == [1, 2, 3]
    assert journal.read(2) == (2, m.REPORT, 5, 1, values_of(1))
    assert journal.flush()
    assert journal.pending == []
    assert journal.read(2) == (2, m.REPORT, 5, 1, values_of(1))
    assert journal.read(4) is None


def test_a_power_cut_costs_the_reserve_and_declares_it() -> None:
    flash = TornFlash()
    journal = opened(flash)
    fill(journal, 3)
    journal.flush()
    fill(journal, 2)  # numbers 4 and 5 never reach flash
    later = opened(flash)
    assert later.epoch == journal.epoch
    assert later.gaps == [(4, 3 + RESERVE, m.GAP_POWER)]
    assert later.next == 4 + RESERVE
    assert later.read(3) == (3, m.REPORT, 5, 2, values_of(2))
    assert opened(flash).gaps == [(4, 3 + 2 * RESERVE, m.GAP_POWER)]


def test_an_orderly_stop_costs_no_number() -> None:
    flash = TornFlash()
    journal = opened(flash)
    fill(journal, 3)
    journal.close()
    later = opened(flash)
    assert later.gaps == []
    assert later.next == 4


def test_a_number_above_the_reserve_waits_for_a_flush() -> None:
    flash = TornFlash()
    journal = opened(flash)
    fill(journal, RESERVE)
    assert len(journal.pending) == RESERVE
    assert fill(journal, 1) == [RESERVE + 1]
    assert len(journal.pending) == 1


def test_full_flash_refuses_and_then_declares_what_it_refused() -> None:
    flash = TornFlash()
    journal = opened(flash)
    flash.full = True
    assert fill(journal, RESERVE + 3)[-3:] == [0, 0, 0]
    assert journal.faults > 0
    assert len(journal.pending) == RESERVE
    flash.full = False
    assert journal.flush()
    assert journal.gaps == [(RESERVE + 1, RESERVE + 3, m.GAP_FLASH_FAULT)]
    assert [journal.read(n)[0] for n in range(1, RESERVE + 1)] == list(range(1, RESERVE + 1))
    assert fill(journal, 1) == [RESERVE + 4]


def test_dead_flash_refuses_all_and_stops_nobody() -> None:
    flash = TornFlash()
    flash.dead = True
    journal = opened(flash)
    assert fill(journal, 3) == [0, 0, 0]
    assert not journal.flush()
    assert journal.first() == journal.next == 1
    journal.close()


def test_flash_that_answers_again_has_its_log_again() -> None:
    flash = TornFlash()
    journal = opened(flash)
    fill(journal, 5)
    journal.flush()
    flash.dead = True
    between = opened(flash)
    assert between.epoch == 0  # it names no log: the gateway forgets nothing of the real one
    flash.dead = False
    later = opened(flash)
    assert later.epoch == journal.epoch and later.next > 5
    assert [later.read(n)[0] for n in range(1, 6)] == [1, 2, 3, 4, 5]


def test_no_space_drops_the_oldest_segment_and_declares_it() -> None:
    flash = TornFlash()
    journal = opened(flash)
    for _ in range(3):
        fill(journal, 12)
        journal.flush()
    fill(journal, 4)
    journal.release(RangeSet(((1, 2),)))
    oldest = flash.names()[0]
    flash.full = True
    fill(journal, 1)
    assert not journal.flush()
    flash.full = False
    assert journal.flush()
    assert oldest not in flash.names()
    assert journal.gaps[0][0] == 3
    assert journal.gaps[0][2] == m.GAP_FULL
    assert journal.read(journal.gaps[0][1] + 1) is not None
    assert journal.read(41) is not None


def test_a_full_log_drops_its_oldest_and_the_gap_grows() -> None:
    flash = TornFlash()
    journal = opened(flash)
    for _ in range(20):
        fill(journal, 8)
        journal.flush()
    assert len(flash.files) <= 4
    assert len(journal.gaps) == 1
    first, last, reason = journal.gaps[0]
    assert (first, reason) == (1, m.GAP_FULL)
    for number in range(last + 1, 161):
        assert journal.read(number)[0] == number
    assert opened(flash).gaps[0][1] >= last


def test_kept_segments_go_and_settled_gaps_are_forgotten() -> None:
    flash = TornFlash()
    journal = opened(flash)
    fill(journal, 30)
    journal.flush()
    many = len(flash.files)
    kept = RangeSet(((1, 30),))
    journal.release(kept)
    assert many > 1
    assert len(flash.files) == 1
    later = opened(flash)
    kept.add(31, 30 + RESERVE)
    later.release(kept)
    assert later.gaps == []
    assert len(flash.files) == 1
    assert later.next == 31 + RESERVE


def test_a_hole_in_the_kept_numbers_keeps_its_segment() -> None:
    flash = TornFlash()
    journal = opened(flash)
    fill(journal, 30)
    journal.flush()
    journal.release(RangeSet(((1, 2), (4, 30))))
    assert journal.read(3) is not None


def test_a_damaged_block_is_passed_over_and_its_records_are_declared() -> None:
    flash = TornFlash()
    journal = opened(flash, 4000)
    for _ in range(3):
        fill(journal, 4)
        journal.flush()
    name = flash.names()[0]
    data = bytearray(flash.files[name])
    data[len(data) // 2] ^= 1
    flash.files[name] = bytes(data)
    later = opened(flash, 4000)
    assert later.next == 13 + RESERVE
    assert later.read(4) is not None
    assert later.read(5) is None
    for number in range(5, 9):
        later.rarely("lost", number)
    assert (5, 8, m.GAP_FLASH_FAULT) in later.gaps
    assert later.read(9) is not None


def test_an_unreadable_log_begins_a_new_epoch() -> None:
    flash = TornFlash()
    journal = opened(flash)
    fill(journal, 20)
    journal.flush()
    flash.files[flash.names()[-1]] = b"\x00" * 300
    later = Journal(flash, lambda count: b"\x99" * count, 400, 4)
    later.open()
    assert later.epoch == 0x99999999
    assert later.next == 1
    assert len(flash.files) == 1


def test_a_row_of_cuts_costs_no_reading_that_was_in_flash() -> None:
    """A supply that sags each time the lamp is lit, with nobody there to take the backlog."""
    flash = TornFlash()
    journal = opened(flash, 4000, 8)
    fill(journal, 300)
    journal.flush()
    assert len(flash.files) == 3
    for _ in range(120):
        journal = opened(flash, 4000, 8)
        fill(journal, 2)
        journal.flush()
    assert [n for n in range(1, 301) if journal.covering(n) or not journal.read(n)] == []
    assert len(flash.files) <= 8
    assert len(journal.gaps) <= GAPS
    lost = 0
    for number in range(301, journal.next):
        record = journal.read(number)
        assert record or journal.covering(number)
        lost += bool(record and journal.covering(number))
    assert lost <= 2 * (120 - GAPS + 1)
    assert journal.read(journal.next - 1)


def test_a_cut_while_segments_are_joined_leaves_every_record() -> None:
    for tear in (KEPT, HALF, GARBLED, NOTHING):
        for cut_at in range(1, 12):
            flash = TornFlash()
            given = []
            for _ in range(7):
                journal = opened(flash, 4000, 8)
                given += fill_on(journal, 3)
                journal.flush()
            flash.cut_at, flash.tear = cut_at, tear
            try:
                opened(flash, 4000, 8)
            except PowerCut:
                pass
            flash.cut_at = None
            journal = opened(flash, 4000, 8)
            for number, values in given:
                assert journal.covering(number) is None
                assert journal.read(number)[4] == values
            assert len(flash.files) <= 8


def test_full_flash_keeps_apart_what_would_be_joined() -> None:
    flash = TornFlash()
    given = []
    for _ in range(7):
        journal = opened(flash, 4000, 8)
        given += fill_on(journal, 3)
        journal.flush()
    flash.full = True
    journal = opened(flash, 4000, 8)
    for number, values in given[3:]:  # the oldest segment made room
        assert journal.read(number)[4] == values


def fill_on(journal: Journal, count: int) -> "list[tuple[int, tuple[int, ...]]]":
    """Append `count` records whose values tell their numbers."""
    made = []
    for _ in range(count):
        values = values_of(journal.next)
        made.append((journal.append(m.REPORT, 5, 1, values), values))
    return made


class History:
    """What an owner of the journal knows: enough to hold it to its word after any cut."""

    def __init__(self) -> None:
        self.given = {}  # number -> values
        self.durable = set()
        self.epoch = None
        self.highest = 0
        self.kept = RangeSet()

    def live(self, journal: Journal) -> None:
        """A stretch of a node's life: batches, an event, acknowledgements, an orderly stop."""
        self.open(journal)
        for round_ in range(4):
            for _ in range(6):
                self.append(journal)
            self.flush(journal)
            if round_ == 2 and self.highest > 8:
                self.kept.add(1, self.highest - 8)
                journal.release(self.kept)
        self.append(journal)
        journal.close()
        self.durable.update(self.given)

    def open(self, journal: Journal) -> None:
        journal.open()
        assert self.epoch in (None, journal.epoch)
        self.epoch = journal.epoch
        assert journal.next > self.highest, "a number would be used again"
        self.check(journal)

    def append(self, journal: Journal) -> None:
        values = values_of(len(self.given))
        number = journal.append(m.REPORT, 1, 2, values)
        assert number and number not in self.given
        self.given[number] = values
        self.highest = max(self.highest, number)

    def flush(self, journal: Journal) -> None:
        assert journal.flush()
        self.durable.update(self.given)

    def check(self, journal: Journal) -> None:
        """Each number is read back, kept, or declared lost; what was durable is never a cut's."""
        for number in range(1, journal.next):
            gap = journal.covering(number)
            record = journal.read(number)
            if number in self.kept:
                continue
            assert gap or record, "number {} is silently lost".format(number)
            if gap and gap[2] == m.GAP_POWER:
                assert number not in self.durable
            if record and number in self.given:
                assert record[4] == self.given[number]


def cut_everywhere(tear: int, segments: int) -> int:
    """Live with a cut at each write; then recover, once more with a cut at each write of that."""
    cuts = 0
    for cut_at in range(1, 60):
        flash = TornFlash()
        history = History()
        flash.cut_at, flash.tear = cut_at, tear
        try:
            history.live(make(flash, 300, segments))
            break  # no write is left to cut
        except PowerCut:
            cuts += 1
        image = dict(flash.files)
        for again_at in range(1, 4):
            flash.files = dict(image)
            flash.cut_at = again_at
            try:
                make(flash, 300, segments).open()
            except PowerCut:
                pass
            flash.cut_at = None
            after = History()
            after.given, after.durable = dict(history.given), set(history.durable)
            after.epoch, after.highest = history.epoch, history.highest
            after.kept = history.kept.copy()
            after.live(make(flash, 300, segments))
    return cuts


def test_power_cuts_at_every_write() -> None:
    for tear in (KEPT, HALF, GARBLED, NOTHING):
        assert cut_everywhere(tear, segments=8) > 8


def test_power_cuts_at_every_write_of_a_full_log() -> None:
    for tear in (KEPT, HALF, GARBLED, NOTHING):
        assert cut_everywhere(tear, segments=2) > 8


def test_a_power_cut_declares_at_most_the_reserve() -> None:
    flash = TornFlash()
    opened(flash, segments=24)
    for cuts in range(1, 5):
        journal = opened(flash, segments=24)
        assert sum([last - first + 1 for first, last in gap_spans(journal)]) <= cuts * RESERVE
        fill(journal, 20)
        journal.flush()
        fill(journal, 20)
