"""What a node says of an update moves it one step, once, and in its own time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerbline.update.campaign import ABSENT_MS, Activate, Campaign, Course, Offer, Run
from kerbline.update.hearing import RETRY_MS, Running
from kerbline.update.states import ABORTED, ENDED, STARTING, STEPS, TOO_OLD, Progress, State
from kerbwire import messages as m
from tests.gateway.test_update_journal import PLAN

OLD = b"old-old-"
NODE = "sl-1"
T0 = PLAN.began_ms


class One:
    """A campaign in which one node has the word; all are there."""

    def __init__(self) -> None:
        plan = replace(PLAN, window=None, stages=(100,))
        self.campaign = Campaign(plan, Course(), {})
        self.campaign.resume(T0)
        self.now_ms = T0
        self.number = 100
        self.join()

    @property
    def state(self) -> str:
        return self.campaign.fleet[NODE].state

    @property
    def why(self) -> str:
        return self.campaign.fleet[NODE].why

    def join(self, build: bytes = OLD, messages: int = 3) -> None:
        running = Running(build, messages, 7, self.number)
        self.campaign.hearing.joined(NODE, running, self.now_ms)
        self.campaign.hearing.has_board(NODE, PLAN.board, self.now_ms)

    def tell(self, value: int) -> None:
        self.campaign.hearing.told(NODE, value, (7, self.number), self.now_ms)
        self.number += 1

    def tick(self, after_s: float = 1.0) -> list[object]:
        self.now_ms += int(1000 * after_s)
        return [a for a in self.campaign.tick(self.now_ms, {NODE}) if a.node == NODE]

    def opened(self) -> None:
        """Its stage has begun."""
        assert self.tick() == [Offer(NODE, parts=False, whole=False)]

    def staged(self) -> None:
        self.opened()
        self.tell(m.UPDATE_TAKEN)
        assert self.tick() == [Offer(NODE, parts=True, whole=False)]
        self.tell(m.UPDATE_STAGED)

    def ordered(self) -> None:
        self.staged()
        assert self.tick() == [Activate(NODE)]

    def trial(self) -> None:
        self.ordered()
        self.join(PLAN.build)
        assert self.state == State.TRIAL


def test_a_node_goes_from_due_to_done() -> None:
    one = One()
    one.trial()
    one.tell(m.UPDATE_CONFIRMED)
    assert one.state == State.DONE
    assert one.tick() == []


def test_who_has_the_build_already_gets_nothing() -> None:
    one = One()
    one.join(PLAN.build)
    assert one.state == State.DONE and one.tick() == []


def test_who_holds_all_objects_needs_no_parts() -> None:
    one = One()
    one.opened()
    one.tell(m.UPDATE_STAGED)
    assert one.tick() == [Activate(NODE)]


def test_who_restarts_to_judge_says_what_came_of_it_before_more_is_offered() -> None:
    """Else it would get the same once more, and restart for it once more."""
    one = One()
    one.opened()
    one.join()
    assert one.tick(0.1) == []
    one.tell(m.UPDATE_TAKEN)
    assert one.tick() == [Offer(NODE, parts=True, whole=False)]
    one.join()
    assert one.tick(0.1) == []
    assert one.tick() == [Offer(NODE, parts=True, whole=False)], "the power went, or the link"


def test_an_image_goes_last_and_again_where_it_did_not_stay() -> None:
    one = One()
    one.opened()
    one.tell(m.UPDATE_TAKEN)
    one.tick()
    one.tell(m.UPDATE_IMAGE)
    assert one.tick() == [Offer(NODE, parts=False, whole=False, image=True)]
    assert one.tick() == []
    one.tell(m.UPDATE_DAMAGED)
    assert one.state == State.DUE
    assert one.tick(61) == [Offer(NODE, parts=False, whole=False)]
    one.tell(m.UPDATE_IMAGE)
    assert one.tick() == [Offer(NODE, parts=False, whole=False, image=True)]
    one.tell(m.UPDATE_STAGED)
    assert one.tick() == [Activate(NODE)]


def test_a_board_without_a_place_for_an_image_has_failed() -> None:
    one = One()
    one.opened()
    one.tell(m.UPDATE_NO_OTA)
    assert one.state == State.FAILED and "flash it by cable" in one.why


def test_parts_that_do_not_fit_come_whole_and_then_it_has_failed() -> None:
    one = One()
    one.opened()
    one.tell(m.UPDATE_TAKEN)
    one.tick()
    one.tell(m.UPDATE_PARTS)
    assert one.tick() == [Offer(NODE, parts=False, whole=True)]
    one.tell(m.UPDATE_TAKEN)
    assert one.tick() == [Offer(NODE, parts=True, whole=True)]
    one.tell(m.UPDATE_PARTS)
    assert one.state == State.FAILED


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (m.UPDATE_SIGNATURE, "refused: not signed by the release key that the node knows"),
        (m.UPDATE_SEQUENCE, "refused: the node has confirmed a newer release"),
        (m.UPDATE_NO_ROOT, "refused: the node has no release key; give it one by cable"),
        (99, "refused: cause 99, which this gateway does not know"),
    ],
)
def test_a_refusal_is_a_failure_with_its_cause(value: int, why: str) -> None:
    one = One()
    one.opened()
    one.tell(value)
    assert (one.state, one.why) == (State.FAILED, why)
    one.tick()
    assert one.campaign.course.run is Run.STOPPED  # one of five is too many


@pytest.mark.parametrize("value", [m.UPDATE_FLASH, m.UPDATE_DAMAGED])
def test_what_may_go_better_is_tried_five_times_with_growing_pauses(value: int) -> None:
    one = One()
    one.opened()
    for pause_ms in RETRY_MS:
        one.tell(value)
        assert one.state == State.DUE
        assert one.tick(pause_ms / 1000 - 2) == []
        assert one.tick(3) == [Offer(NODE, parts=False, whole=False)]
    one.tell(value)
    assert one.state == State.FAILED


def test_an_event_of_an_earlier_try_and_one_told_twice_change_nothing() -> None:
    one = One()
    one.trial()
    one.campaign.hearing.told(NODE, m.UPDATE_NO_ACK, (7, 99), one.now_ms)
    assert one.state == State.TRIAL
    one.campaign.hearing.excuse([NODE])
    one.tell(m.UPDATE_NO_ACK)
    assert one.state == State.DUE
    one.tick(61)
    assert one.state == State.MANIFEST
    one.tell(m.UPDATE_TAKEN)
    one.tick()
    one.tell(m.UPDATE_STAGED)
    assert one.tick() == [Activate(NODE)]
    one.campaign.hearing.told(NODE, m.UPDATE_NO_ACK, (7, one.number - 3), one.now_ms)
    assert one.state == State.ORDERED


@pytest.mark.parametrize(
    ("value", "excused", "state"),
    [
        (m.UPDATE_NO_ACK, False, State.FAILED),
        (m.UPDATE_BOOTS_FAILED, False, State.FAILED),
        (m.UPDATE_NO_ACK, True, State.DUE),
        (m.UPDATE_BOOTS_FAILED, True, State.DUE),
        (m.UPDATE_ORDERED_BACK, False, State.GIVEN_UP),
    ],
)
def test_who_goes_back_has_failed_unless_nobody_was_there(
    value: int, *, excused: bool, state: State
) -> None:
    one = One()
    one.trial()
    if excused:
        one.campaign.hearing.excuse([NODE])
    one.join(OLD)
    one.tell(value)
    assert one.state == state


@pytest.mark.parametrize(
    ("heard_s", "value", "state"),
    [
        ((1, 89, 91), m.UPDATE_NO_ACK, State.FAILED),  # it greeted: its line was there
        ((1, 120), m.UPDATE_NO_ACK, State.DUE),
        ((9, 101), m.UPDATE_NO_ACK, State.DUE),  # a session, then not a word
        ((1, 120), m.UPDATE_BOOTS_FAILED, State.FAILED),  # no line is needed to start
    ],
)
def test_a_trial_of_which_nothing_was_heard_is_not_counted_once(
    heard_s: tuple[int, ...], value: int, state: State
) -> None:
    one = One()
    one.trial()
    hear(one, heard_s)
    one.join(OLD)
    one.tell(value)
    assert one.state == state
    if state == State.DUE:
        one.tick(61)
        one.tell(m.UPDATE_STAGED)
        assert one.tick(11) == [Activate(NODE)]
        one.join(PLAN.build)
        hear(one, heard_s)
        one.join(OLD)
        one.tell(value)
        assert one.state == State.FAILED


def hear(one: One, at_s: tuple[int, ...]) -> None:
    """Frames of it, so many seconds after it began to start."""
    begun_ms = one.now_ms
    for each in (0, *at_s):
        one.campaign.hearing.voice(NODE, begun_ms + 1_000 * each)


def test_a_meter_whose_word_was_lost_is_done_when_it_still_wakes_on_it_a_day_later() -> None:
    one = One()
    one.trial()
    for _ in range(26):
        one.now_ms += 3_600_000
        assert one.state == State.TRIAL
        one.campaign.tick(one.now_ms - 1_000, set())
        one.join(PLAN.build)
        one.campaign.tick(one.now_ms, {NODE})
    assert (one.state, one.why) == (State.DONE, "runs it; its word of it was lost")
    one.join(OLD)
    one.tell(m.UPDATE_NO_ACK)
    assert one.state == State.DUE  # and if it went back after all, that is true


def test_who_goes_back_and_does_not_say_why_is_waited_for_a_minute() -> None:
    one = One()
    one.trial()
    one.join(OLD)
    one.tick(59)
    assert one.state == State.TRIAL
    one.tick(2)
    assert (one.state, one.why) == (State.FAILED, "rolled back without saying why")


def test_an_order_that_came_too_late_is_given_again() -> None:
    one = One()
    one.ordered()
    one.campaign.hearing.answered(NODE, "expired", one.now_ms)
    assert one.state == State.STAGED
    assert one.tick(11) == [Activate(NODE)]  # the street has its pause
    one.campaign.hearing.answered(NODE, "", one.now_ms)
    one.tick(301)  # it said yes, and nothing came of it
    assert one.state == State.DUE and "does not start" in one.why


def test_an_order_that_went_with_a_killed_gateway_is_given_again() -> None:
    one = One()
    one.ordered()
    one.campaign.resume(one.now_ms)
    one.now_ms += 1_000
    one.join(OLD)
    one.tick(59)
    assert one.state == State.ORDERED  # it may have gone back, and say so yet
    assert one.tick(2) == [Activate(NODE)]
    one.join(PLAN.build)
    assert one.state == State.TRIAL


def test_a_node_too_old_is_left_out_until_somebody_flashed_it() -> None:
    one = One()
    one.join(messages=2)
    assert (one.state, one.why) == (State.SKIPPED, TOO_OLD)
    assert one.tick() == []
    one.join(messages=3)
    assert one.tick() == [Offer(NODE, parts=False, whole=False)]


def test_another_board_is_left_out() -> None:
    one = One()
    one.campaign.hearing.has_board(NODE, "water-meter-esp32", T0)
    assert (one.state, one.why) == (State.SKIPPED, "another board: water-meter-esp32")


def test_a_silent_transfer_is_begun_again_later() -> None:
    one = One()
    one.opened()
    one.tick(181)
    assert one.state == State.DUE and one.why == "the transfer came to nothing"
    assert one.tick(61) == [Offer(NODE, parts=False, whole=False)]


def test_a_transfer_that_comes_to_nothing_five_times_is_given_up() -> None:
    one = One()
    one.opened()
    for pause_ms in RETRY_MS:
        one.tick(181)
        assert one.state == State.DUE
        assert one.tick(pause_ms / 1000) == [Offer(NODE, parts=False, whole=False)]
    one.tick(181)
    assert one.state == State.GIVEN_UP
    assert one.why == "given up after 5 tries: the transfer came to nothing"
    assert one.tick(4_000) == []


def aborted(one: One) -> None:
    """A person ends it."""
    one.campaign.turn(Run.ABORTED, "by an operator", one.now_ms)


@pytest.mark.parametrize(
    ("before", "state", "why"),
    [
        (lambda _: None, State.SKIPPED, "aborted before its turn"),
        (One.opened, State.GIVEN_UP, "aborted while it received the release"),
        (One.staged, State.GIVEN_UP, "aborted before it was told to start"),
    ],
)
def test_who_is_not_starting_is_at_its_end_when_a_campaign_is_aborted(
    before: Callable[[One], None], state: State, why: str
) -> None:
    one = One()
    before(one)
    aborted(one)
    assert one.state == state and one.why.startswith(why)
    for value in (m.UPDATE_TAKEN, m.UPDATE_STAGED, m.UPDATE_NO_ACK, m.UPDATE_FLASH):
        one.tell(value)
    one.join(OLD)
    one.join(OLD, messages=2)
    one.join(OLD)
    assert one.tick(4_000) == [] and one.state == state
    one.join(PLAN.build)  # an order of before, or a cable: what it runs is true
    assert one.state == State.DONE


def test_what_an_abort_cut_off_keeps_its_cause() -> None:
    one = One()
    one.opened()
    one.tell(m.UPDATE_DAMAGED)
    aborted(one)
    assert one.state == State.GIVEN_UP
    assert one.why == "aborted before its turn; before: refused: what arrived is damaged"


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ((PLAN.build, m.UPDATE_CONFIRMED), State.DONE),
        ((PLAN.build, OLD, m.UPDATE_NO_ACK), State.FAILED),
        ((PLAN.build, OLD), State.FAILED),  # and never says why
        ((PLAN.build,), State.DONE),  # and its word is lost
        ((OLD,), State.GIVEN_UP),
        ((), State.GIVEN_UP),
    ],
)
def test_who_is_starting_when_a_campaign_is_aborted_comes_to_an_end(
    words: tuple[bytes | int, ...], state: State
) -> None:
    one = One()
    one.ordered()
    aborted(one)
    assert one.state == State.ORDERED and one.campaign.watched
    for word in words:
        one.now_ms += 1_000
        one.tell(word) if isinstance(word, int) else one.join(word)
    for _ in range(3):
        assert one.tick(400) == []
    assert one.state == state and not one.campaign.watched


def test_an_order_that_comes_too_late_after_an_abort_is_given_no_more() -> None:
    one = One()
    one.ordered()
    aborted(one)
    one.campaign.hearing.answered(NODE, "expired", one.now_ms)
    assert (one.state, one.why) == (State.GIVEN_UP, ABORTED[State.ORDERED])


def test_who_was_starting_and_is_heard_no_more_is_given_up_in_the_end() -> None:
    one = One()
    one.ordered()
    aborted(one)
    one.now_ms += ABSENT_MS - 2_000
    one.campaign.tick(one.now_ms, set())
    assert one.state == State.ORDERED
    one.now_ms += 5_000
    one.campaign.tick(one.now_ms, set())
    assert one.state == State.GIVEN_UP and "not heard" in one.why


def test_a_journal_of_an_abort_that_was_cut_is_closed_at_the_next_start() -> None:
    known = {NODE: Progress(State.PARTS), "sl-2": Progress(State.TRIAL)}
    campaign = Campaign(PLAN, Course(Run.ABORTED), known)
    campaign.resume(T0)
    assert campaign.fleet[NODE].state is State.GIVEN_UP
    assert campaign.fleet["sl-2"].state is State.TRIAL and campaign.fleet["sl-2"].excused
    assert campaign.fleet["sl-3"].state is State.SKIPPED


def test_who_leaves_a_release_after_the_end_of_its_campaign_does_not_wait_for_it() -> None:
    one = One()
    one.trial()
    one.tell(m.UPDATE_CONFIRMED)
    one.campaign.turn(Run.ENDED, "", one.now_ms)
    one.join(OLD)
    assert (one.state, one.why) == (State.GIVEN_UP, "it runs another build again")


WORDS: dict[str, Callable[[One], object]] = {
    "old": lambda one: one.join(OLD),
    "new": lambda one: one.join(PLAN.build),
    "ancient": lambda one: one.join(OLD, messages=1),
    "excuse": lambda one: one.campaign.hearing.excuse([NODE]),
    "carried": lambda one: one.campaign.hearing.carried(NODE, one.now_ms, whole=True),
    "declined": lambda one: one.campaign.hearing.carried(NODE, one.now_ms, whole=False),
    "obeyed": lambda one: one.campaign.hearing.answered(NODE, "", one.now_ms),
    "failed": lambda one: one.campaign.hearing.answered(NODE, "failed", one.now_ms),
    "late": lambda one: one.campaign.hearing.answered(NODE, "expired", one.now_ms),
    "second": lambda one: one.tick(),
    "hour": lambda one: one.tick(3_600),
    "abort": lambda one: aborted(one) if one.campaign.live else one.tick(),
}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(sorted(WORDS)), st.integers(0, 25)), max_size=40))
def test_whatever_is_said_in_whatever_order_the_table_holds(words: list[str | int]) -> None:
    """A restart of the gateway at any place leads on from the same state."""
    one = One()
    for word in words:
        before = one.campaign.fleet[NODE].state
        if isinstance(word, int):
            one.tell(word)
        else:
            WORDS[word](one)
        if one.campaign.course.run is Run.STOPPED:
            one.campaign.turn(Run.RUNNING, "", one.now_ms)
        after = one.campaign.fleet[NODE]
        assert after.state is before or reaches(before, after.state)
        assert Progress.decoded(after.encoded()) == after
        assert (after.state in (State.FAILED, State.GIVEN_UP)) <= bool(after.why)
        if not one.campaign.live:
            assert after.state in ENDED | STARTING


def reaches(before: State, after: State) -> bool:
    """One word may take a node over a step that stands between."""
    return after in STEPS[before] or any(after in STEPS[each] for each in STEPS[before])


def test_no_step_leads_out_of_the_table() -> None:
    assert set(STEPS) == set(State)
    assert all(State.DONE in STEPS[state] for state in ENDED - {State.DONE})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (m.UPDATE_MEMORY, "rolled back: the new build had no memory left to confirm itself"),
        (m.UPDATE_FLASH, "rolled back: the node's flash did not take that the new build stays"),
    ],
)
def test_a_build_that_can_not_confirm_itself_has_failed(value: int, why: str) -> None:
    one = One()
    one.trial()
    one.join()
    one.tell(value)
    assert (one.state, one.why) == (State.FAILED, why)


def test_a_node_that_finds_the_release_expired_at_its_start_refuses_it() -> None:
    one = One()
    one.ordered()
    one.tell(m.UPDATE_EXPIRED)
    assert (one.state, one.why) == (State.FAILED, "refused: the release has expired")
    one.campaign.hearing.answered(NODE, "failed", one.now_ms)
    assert one.state == State.FAILED


def test_that_it_has_expired_may_come_behind_the_answer_that_it_does_not_start() -> None:
    one = One()
    one.ordered()
    one.campaign.hearing.answered(NODE, "failed", one.now_ms)
    assert one.state == State.DUE
    one.tell(m.UPDATE_EXPIRED)
    assert (one.state, one.why) == (State.FAILED, "refused: the release has expired")


def test_how_much_room_is_lacking_is_told() -> None:
    one = One()
    one.opened()
    one.tell(m.UPDATE_TAKEN)
    one.tick()
    one.tell(m.UPDATE_NO_ROOM | 84 << m.UPDATE_BITS)
    why = "refused: no room on the node's flash, which lacks 84 KiB"
    assert (one.state, one.why) == (State.FAILED, why)
