"""What nodes say of themselves and of an update, as steps of a campaign's fleet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kerbline.update.fleet import Fleet
from kerbline.update.states import (
    ABORTED,
    AGAIN,
    HAS_IT,
    LINE_AWAY,
    NOT_HERE,
    ROLLED_BACK,
    STARTING,
    TOO_OLD,
    UNCONFIRMED,
    UNDER_WAY,
    UNHEARD,
    WORD_LOST,
    WORDS,
    State,
)
from kerbwire import messages as m

SINCE_MESSAGES = 3  # the message set that has updates
RETRY_MS = (60_000, 300_000, 900_000, 3_600_000)  # after each try that came to nothing
TRIES = 5  # then a node is given up, or has failed where that is its own fault
WORD_MS = 180_000  # for a node to say something of what arrived
BOARD_MS = 30_000  # for one to tell its board, which it does at the start of each session
BACK_MS = 60_000  # for one that runs its old build again to say why
ORDER_MS = 300_000  # for one that is told to start the new one to be seen with it
# A build that does not hear its gateway greets it all the time; one of which nothing comes for so
# long before it goes back has no line, or has made its node mute.
MUTE_MS = 90_000
ASLEEP_MS = 26 * 3_600_000  # so long after its start a meter that wakes on it has not either
STAY_MS = 600_000  # a node that is heard on the new build for so long has not rolled back


@dataclass(frozen=True, slots=True)
class Running:
    """What a node's INFO says: its build, its message set, and its log's epoch and next number."""

    build: bytes
    messages: int
    epoch: int
    number: int


MAY_BE_SKIPPED = UNDER_WAY | {State.WAITING, State.DUE, State.STAGED}


class Hearing:
    """Takes what the nodes say; times are UTC in ms."""

    def __init__(self, build: bytes, board: str, fleet: Fleet) -> None:
        self._build = build
        self._board = board
        self._fleet = fleet
        self.running: dict[str, Running] = {}
        self.boards: dict[str, str] = {}
        self.joined_ms: dict[str, int] = {}
        self.heard_ms: dict[str, int] = {}
        self.moved_ms: dict[str, int] = {}  # when a transfer or a start last got on
        self.offered: set[str] = set()  # those who have had, in their session, what is due to them
        self._voices: dict[str, int] = {}  # when who is starting was last heard
        self._mute: set[str] = set()  # of these, who was not for long
        self.over = False  # nothing is brought or started any more

    def joined(self, node: str, running: Running, now_ms: int) -> None:
        """A session: what the node runs is true, whatever was thought of it."""
        self.running[node] = running
        self.heard_ms[node] = self.moved_ms[node] = self.joined_ms[node] = now_ms
        self.offered.discard(node)
        state = self._fleet[node].state
        if running.build == self._build:
            self._has_it(node, state, now_ms)
        elif state is State.DONE:
            self.again(node, "it runs another build again", now_ms)
        elif running.messages < SINCE_MESSAGES:
            if state is not State.SKIPPED:
                self._fleet.move(node, State.SKIPPED, now_ms, why=TOO_OLD)
        elif state is State.SKIPPED and self._fleet[node].why == TOO_OLD and not self.over:
            self._fleet.move(node, State.WAITING, now_ms)

    def ordered(self, node: str, now_ms: int) -> None:
        """It is about to be told to start what it has staged."""
        self.moved_ms[node] = now_ms
        self._voices.pop(node, None)
        self._mute.discard(node)

    def voice(self, node: str, heard_ms: int) -> None:
        """When a node that is starting was last heard, by a clock that only goes forward."""
        before = self._voices.get(node, heard_ms)
        if heard_ms - before >= MUTE_MS:
            self._mute.add(node)
        self._voices[node] = heard_ms

    def _has_it(self, node: str, state: State, now_ms: int) -> None:
        if state is State.ORDERED:
            self._fleet.move(node, State.TRIAL, now_ms)
        elif state is State.TRIAL and now_ms - self._fleet[node].at_ms >= ASLEEP_MS:
            self._fleet.move(node, State.DONE, now_ms, why=WORD_LOST)
        elif state not in (State.TRIAL, State.DONE, State.FAILED):
            self._fleet.move(node, State.DONE, now_ms, why=HAS_IT)

    def told(self, node: str, value: int, record: tuple[int, int], now_ms: int) -> None:
        """An EVENT of an update; `record` is its log epoch and its number."""
        epoch, number = self._fleet[node].after
        if record[0] == epoch and record[1] < number:
            return  # of an earlier try, or said once already
        self.heard_ms[node] = self.moved_ms[node] = now_ms
        self._fleet.note(node, after=(record[0], record[1] + 1))
        value, more = value % (1 << m.UPDATE_BITS), value >> m.UPDATE_BITS
        if value == m.UPDATE_CONFIRMED:
            self._confirmed(node, now_ms)
        elif value in (m.UPDATE_TAKEN, m.UPDATE_IMAGE, m.UPDATE_STAGED):
            self._got_on(node, value, now_ms)
        elif value in ROLLED_BACK:
            self._rolled_back(node, WORDS[value], now_ms, no_ack=value == m.UPDATE_NO_ACK)
        elif value in UNCONFIRMED and self._fleet[node].state is State.TRIAL:
            self._rolled_back(node, UNCONFIRMED[value], now_ms)
        elif value == m.UPDATE_EXPIRED and self._was_ordered(node):
            self._refused(node, value, now_ms)
        elif value == m.UPDATE_ORDERED_BACK:
            self._fleet.move(node, State.GIVEN_UP, now_ms, why=WORDS[value])
        elif self._fleet[node].state in UNDER_WAY or self._fleet[node].state is State.STAGED:
            self._refused(node, value, now_ms, lacks_kib=more)

    def _was_ordered(self, node: str) -> bool:
        """To start; its answer, that it does not, may be here before its word why."""
        progress = self._fleet[node]
        return progress.state is State.ORDERED or (
            progress.state is State.DUE and progress.tries > 0
        )

    def _confirmed(self, node: str, now_ms: int) -> None:
        running = self.running.get(node)
        if self._fleet[node].state in STARTING | {State.FAILED} and (
            running is None or running.build == self._build
        ):
            self._fleet.move(node, State.DONE, now_ms)

    def _got_on(self, node: str, value: int, now_ms: int) -> None:
        state = self._fleet[node].state
        if state not in UNDER_WAY:
            return
        if value == m.UPDATE_STAGED:
            self._fleet.move(node, State.STAGED, now_ms)
            return
        wants = State.PARTS if value == m.UPDATE_TAKEN else State.IMAGE
        if state is not wants:
            self._fleet.move(node, wants, now_ms)
            self.offered.discard(node)

    def _rolled_back(self, node: str, why: str, now_ms: int, *, no_ack: bool = False) -> None:
        progress = self._fleet[node]
        if progress.state not in STARTING | {State.DONE}:
            return
        if progress.excused:
            self.again(node, f"{why}, {LINE_AWAY}", now_ms)
        elif no_ack and node in self._mute and not progress.unheard:
            self._fleet.note(node, unheard=True)
            self.again(node, f"{why}, {UNHEARD}", now_ms)
        else:
            self._fleet.move(node, State.FAILED, now_ms, why=why)

    def _refused(self, node: str, value: int, now_ms: int, *, lacks_kib: int = 0) -> None:
        why = WORDS.get(value, f"refused: cause {value}, which this gateway does not know")
        if value == m.UPDATE_NO_ROOM and lacks_kib:
            why += f", which lacks {lacks_kib} KiB"
        progress = self._fleet[node]
        if value == m.UPDATE_PARTS and not progress.whole:
            self._fleet.move(node, State.MANIFEST, now_ms, whole=True)
            self.offered.discard(node)
        elif value in AGAIN and progress.tries + 1 < TRIES:
            self.again(node, why, now_ms)
        else:
            self._fleet.move(node, State.FAILED, now_ms, why=why)

    def known(self, node: str, now_ms: int) -> bool:
        """Has it told all that must be known before anything is offered to it?"""
        return node in self.running and (
            node in self.boards or now_ms - self.joined_ms[node] >= BOARD_MS
        )

    def rests(self, node: str, now_ms: int) -> bool:
        """Is it too early for another try? What a wrong clock put off further is not."""
        return now_ms < self._fleet[node].not_before_ms <= now_ms + RETRY_MS[-1]

    def shift(self, by_ms: int) -> None:
        """The clock was set by so much."""
        for times in (self.joined_ms, self.heard_ms, self.moved_ms):
            for node in times:
                times[node] += by_ms

    def again(self, node: str, why: str, now_ms: int) -> None:
        """A try came to nothing, and not by its fault: another one later, but not for ever."""
        tries = self._fleet[node].tries + 1
        self.offered.discard(node)
        if self.over or tries >= TRIES:
            told = why if self.over else f"given up after {tries} tries: {why}"
            self._fleet.move(node, State.GIVEN_UP, now_ms, why=told)
            return
        later_ms = now_ms + RETRY_MS[min(tries, len(RETRY_MS)) - 1]
        self._fleet.move(
            node, State.DUE, now_ms, why=why, tries=tries, not_before_ms=later_ms, excused=False
        )

    def has_board(self, node: str, board: str, now_ms: int) -> None:
        """A node told its board; one that is another class than the release gets nothing."""
        self.boards[node] = board
        if board != self._board and self._fleet[node].state in MAY_BE_SKIPPED:
            self._fleet.move(node, State.SKIPPED, now_ms, why=f"another board: {board}")

    def left(self, node: str, now_ms: int) -> None:
        """A node is none of this gateway's any more."""
        ending = State.GIVEN_UP if self._fleet[node].state in STARTING else State.SKIPPED
        self._fleet.move(node, ending, now_ms, why=NOT_HERE)

    def carried(self, node: str, now_ms: int, *, whole: bool) -> None:
        """What was offered has gone over, or was declined: the node says why, or nothing at all."""
        self.moved_ms[node] = now_ms
        if not whole and self._fleet[node].state in UNDER_WAY:
            self.moved_ms[node] = now_ms - WORD_MS + BACK_MS

    def answered(self, node: str, reason: str, now_ms: int) -> None:
        """The answer to the order to start the new build; "" where it does."""
        if self._fleet[node].state is not State.ORDERED or not reason:
            return
        if reason in ("expired", "no_time"):  # it never knew of it
            self._not_started(node, now_ms, why=f"the order came too late: {reason}")
        else:
            self.again(node, f"does not start what is staged: {reason}", now_ms)

    def _not_started(self, node: str, now_ms: int, why: str = "", tries: int | None = None) -> None:
        """What is staged there waits for another order, if there is to be one."""
        if self.over:
            self._fleet.move(node, State.GIVEN_UP, now_ms, why=ABORTED[State.ORDERED])
            return
        tries = self._fleet[node].tries if tries is None else tries
        self._fleet.move(node, State.STAGED, now_ms, why=why, tries=tries)

    def excuse(self, nodes: Iterable[str]) -> None:
        """The line of these is away: who is on trial and goes back meanwhile, has not failed."""
        for node in nodes:
            progress = self._fleet[node]
            if progress.state in STARTING and not progress.excused:
                self._fleet.note(node, excused=True)

    def _came_back(self, node: str) -> bool:
        """Has it had a session since it was told to start?"""
        return self.joined_ms[node] > self._fleet[node].at_ms

    def watch(self, node: str, now_ms: int) -> None:
        """Time alone passes for a node that is there; `node` is under way or starting."""
        state = self._fleet[node].state
        running = self.running.get(node)
        quiet_ms = now_ms - self.moved_ms.get(node, now_ms)
        if running is None:
            return
        if state in UNDER_WAY and node in self.offered and quiet_ms >= WORD_MS:
            self.again(node, "the transfer came to nothing", now_ms)
        elif state is State.TRIAL and running.build == self._build and quiet_ms >= STAY_MS:
            self._fleet.move(node, State.DONE, now_ms, why=WORD_LOST)
        elif state is State.TRIAL and running.build != self._build and quiet_ms >= BACK_MS:
            self._rolled_back(node, "rolled back without saying why", now_ms)
        elif state is State.ORDERED and quiet_ms >= BACK_MS and self._came_back(node):
            tries = self._fleet[node].tries + 1
            if tries < TRIES:  # the order, or its answer, went with a gateway
                self._not_started(node, now_ms, tries=tries)
            else:
                self.again(node, "does not start what is staged", now_ms)
        elif state is State.ORDERED and quiet_ms >= ORDER_MS:
            self.again(node, "does not start what is staged", now_ms)
