"""A crash at every step of HELLO, WELCOME, INFO and of each key write, on either side or both."""

import os

from kerbwire.limits import DATAGRAM, STREAM
from wire.steps import StepPair

_NIGHTLY = bool(os.getenv("KERBLINE_NIGHTLY"))
_VICTIMS = ("node", "gateway", "both")
_SECOND = tuple(range(0, 40, 3)) if _NIGHTLY else (2, 7)
_SEEDS = 12 if _NIGHTLY else 2


def _begin(seed: int, repeat: int, *, renewed: bool) -> StepPair:
    """A pair that is about to greet, for the first time or out of a session."""
    pair = StepPair(seed, DATAGRAM if seed & 1 else STREAM, repeat=repeat)
    if renewed:
        assert pair.run(5000, pair.agreed)
        pair.make()
        pair.run(1000)
        pair.node.start(pair.now)
        pair.steps = 0
    return pair


def _ends_well(pair: StepPair, case: object) -> None:
    """A session again with at most 3 greetings; repeats of one answer a HELLO? that is doubled."""
    assert pair.run(90_000, lambda: pair.crash_in < 0 and pair.agreed()), case
    assert len(pair.greetings) <= 3, (case, pair.greetings)
    rseq = pair.make()
    assert pair.run(5000, lambda: rseq in pair.held and rseq not in pair.records), case
    assert pair.agreed() and pair.doubled == 0, case


def _steps(repeat: int, *, renewed: bool) -> int:
    """How many steps it takes from the greeting to the first record."""
    pair = _begin(0, repeat, renewed=renewed)
    pair.run(200)
    return pair.steps


def test_a_crash_at_every_step() -> None:
    for renewed in (False, True):
        for repeat in (0, 50):
            count = _steps(repeat, renewed=renewed)
            assert count > 20
            for moment in range(count):
                for victim in _VICTIMS:
                    for seed in range(_SEEDS):
                        case = (renewed, repeat, moment, victim, seed)
                        pair = _begin(seed, repeat, renewed=renewed)
                        pair.crash_in, pair.victim = moment, victim
                        _ends_well(pair, case)
                        assert pair.hellos <= 3 or repeat, (case, pair.hellos)


def test_a_second_crash_while_the_first_is_mended() -> None:
    count = _steps(50, renewed=False)
    for moment in range(0, count, 1 if _NIGHTLY else 3):
        for later in _SECOND:
            for number in range(len(_VICTIMS) ** 2):
                case = (moment, later, number)
                pair = _begin(moment, 50, renewed=bool(later & 1))
                pair.crash_in, pair.victim = moment, _VICTIMS[number % 3]
                while pair.crash_in >= 0 and pair.run(1):
                    pass
                pair.crash_in, pair.victim = later, _VICTIMS[number // 3]
                pair.run(600)
                _ends_well(pair, case)
