"""Gateways that die where they are told to: forked from a process that has imported everything.

One line of JSON on standard input starts a gateway, `kerbline run CONFIG` as ever, with a `Doom`;
its pid and then its end come back as lines. Importing once instead of in each life is what makes
a thousand lives affordable; whatever a life opens, reads and writes it does by itself.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, cast

PARENT_DIES = 1  # PR_SET_PDEATHSIG
BUG = 70  # EX_SOFTWARE of sysexits.h
FOLD_COMMITS = 6  # of the store: so that a life of a second comes to a fold and a rotation,
CHECKPOINT_PAGES = 40  # and to a checkpoint

# What a life may die in, by name: every step between a frame that came and a cursor that moved.
PLACES = {
    "open": ("kerbline.store", "Store", "_load"),
    "commit": ("kerbline.store", "Store", "append"),
    "rotation": ("kerbline.store", "Store", "keep_within"),
    "drain": ("kerbline.store", "Store", "read"),
    "cursor": ("kerbline.store", "GroupCommit", "save_cursor"),
    "publish": ("kerbline.north.mqtt", "MqttPort", "publish"),
    "kept": ("kerbline.south.nodes", "Nodes", "keep"),
    "key": ("kerbline.keys", "KeyRing", "store"),
    "written down": ("kerbline.store.daybook", "Daybook", "write"),
    "struck off": ("kerbline.store.daybook", "Daybook", "strike"),
    "order": ("kerbline.store.ledger", "CommandLedger", "submit"),
    "outcome": ("kerbline.store.ledger", "CommandLedger", "settle"),
    "deliver": ("kerbline.south.nodes", "Nodes", "send"),
}


@dataclass(frozen=True, slots=True)
class Doom:
    """SIGALRM, which ends a process as SIGKILL does, `after_us` past the `nth` call of a place.

    A place of "" has no such call: whoever started the life ends it. `sin` breaks the gateway on
    purpose, for a test of the test.
    """

    place: str = ""
    nth: int = 1
    after_us: int = 0
    sin: str = ""


class Method(Protocol):
    """Any method."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


def _class(place: tuple[str, str, str]) -> Any:
    module, owner, _ = place
    return getattr(__import__(module, fromlist=[owner]), owner)


def arm(doom: Doom) -> None:
    """Make the call that `doom` names start the clock."""
    if not doom.place:
        return
    owner, name = _class(PLACES[doom.place]), PLACES[doom.place][2]
    method = cast(Method, getattr(owner, name))
    calls = 0

    @functools.wraps(method)
    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == doom.nth:
            if not doom.after_us:
                os.kill(os.getpid(), signal.SIGKILL)
            signal.setitimer(signal.ITIMER_REAL, doom.after_us / 1e6)
        return method(*args, **kwargs)

    setattr(owner, name, counted)


def _kept_before_the_commit() -> None:
    """The node is told "kept" when its record is in memory."""
    from kerbline.agent.records import Records
    from kerbline.model import Reading
    from kerbline.store.holdings import Span

    take = Records.take

    async def hasty(self: Records, entry: Any) -> None:
        if isinstance(entry, Reading):
            key = entry.key
            self._nodes.keep([Span(key.source, key.epoch, key.number, key.number)])
        await take(self, entry)

    setattr(Records, "take", hasty)  # noqa: B010 - a sin against a type, too


def _cursor_before_the_ack() -> None:
    """What was given to the live lane counts as delivered."""
    from kerbline.north.live import Live

    async def at_once(*_: Any) -> None:
        """Wait for nothing."""

    def whatever(*_: Any) -> bool:
        return True

    setattr(Live, "settled", at_once)  # noqa: B010
    setattr(Live, "has", whatever)  # noqa: B010


def _newest_first() -> None:
    """A message says its readings from the last to the first."""
    from kerbline.north.mapping import Mapper

    readings = Mapper.readings

    def backwards(self: Any, log: Any, asset: str, marks: Any, items: Any) -> Any:
        return readings(self, log, asset, marks[::-1], items[::-1])

    setattr(Mapper, "readings", backwards)  # noqa: B010


def _not_written_down() -> None:
    """An order leaves as if the daybook had it."""
    from kerbline.store.daybook import Daybook

    def blindly(*_: Any) -> bool:
        return True

    setattr(Daybook, "write", blindly)  # noqa: B010


SINS: dict[str, Callable[[], None]] = {
    "kept_before_the_commit": _kept_before_the_commit,
    "cursor_before_the_ack": _cursor_before_the_ack,
    "newest_first": _newest_first,
    "not_written_down": _not_written_down,
}


def _live(config: str, log: str, doom: Doom) -> None:
    """One life of a gateway, in a process of its own; does not return."""
    ctypes.CDLL(None).prctl(PARENT_DIES, signal.SIGKILL, 0, 0, 0)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, output), (2, output)):
        os.dup2(source, target)
    if doom.sin:
        SINS[doom.sin]()
    arm(doom)
    from kerbline.cli import main

    sys.argv = ["kerbline", "run", config]
    main()


def _serve() -> None:
    ctypes.CDLL(None).prctl(PARENT_DIES, signal.SIGKILL, 0, 0, 0)
    import kerbline.agent  # what each life needs, read once
    import kerbline.cli.service
    import kerbline.north.mqtt
    import kerbline.south.modbus.bus  # noqa: F401
    from kerbline.store import database, folded

    folded.FOLD_COMMITS = FOLD_COMMITS
    database.CHECKPOINT_PAGES = CHECKPOINT_PAGES
    for place in PLACES.values():
        getattr(_class(place), place[2])  # a name that is gone would never kill anybody
    print("ready", flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        pid = os.fork()
        if pid == 0:
            status = BUG
            try:
                _live(told["config"], told["log"], Doom(**told["doom"]))
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else BUG
            except BaseException:  # noqa: BLE001 - the child's end, whatever it is
                traceback.print_exc()
            finally:
                os._exit(status)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def request(config: str, log: str, doom: Doom) -> bytes:
    """The line that starts a life."""
    return json.dumps({"config": config, "log": log, "doom": asdict(doom)}).encode() + b"\n"


if __name__ == "__main__":
    _serve()
