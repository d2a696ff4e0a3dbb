"""From a motion input to another level, on the node's own tasks, in virtual time."""

from kerbnode.clock import Clock
from kerbnode.drivers.motion import Motion
from kerbnode.instruments.lamp_head import LampHead
from kerbnode.sense import Sense
from kerbnode.settings import Settings
from kerbwire import messages as m
from node.street_night import NoRecords, Pause

EDGE_LOOK_MS = 6  # how late a board may be to see an edge
LIMIT_MS = 50


class Bench:
    """A board whose time goes from wait to wait; an edge at `edge_ms` ends one early."""

    def __init__(self, profile_pct: int, edge_ms: int) -> None:
        self.now = 0
        self.edge_ms = edge_ms
        self.seen = False
        self.shown: list[tuple[int, int]] = []
        self.records = NoRecords()
        wanted = Settings({"node_id": "n", "profile": [[-720, profile_pct]]})
        self.head = LampHead(dimmer=self, motion=Motion(self, warm_s=0))
        self.head.begin(wanted, None)
        self.clock = Clock()
        self.sense = Sense(self, self.clock, self.head, self.records, (), 900, None)

    def monotonic_ms(self) -> int:
        return self.now

    def uptime_ms(self) -> int:
        return self.now

    def quiet(self) -> bool:
        return False

    async def tick_wait(self, ms: int) -> None:
        until = self.now + ms
        if self.now < self.edge_ms <= until:
            until = min(until, self.edge_ms + EDGE_LOOK_MS)
        await Pause(until - self.now)

    def take(self) -> bool:
        seen = self.now >= self.edge_ms and not self.seen
        self.seen = self.seen or seen
        return seen

    def show(self, level: int) -> None:
        if not self.shown or level != self.shown[-1][1]:
            self.shown.append((self.now, level))

    def run(self, until_ms: int) -> None:
        task = self.sense.run()
        while self.now < until_ms:
            self.now += task.send(None)
        task.close()


def test_motion_changes_the_light_within_50_ms() -> None:
    worst_ms = 0
    for resting_pct in (0, 1, 5, 30, 80):
        for phase_ms in range(0, 120, 7):
            bench = Bench(resting_pct, 30_000 + phase_ms)
            bench.head.asset.command(m.OP_SET_LEVEL, (resting_pct, 3600, 0), 0)
            bench.run(33_000)
            changes = [at for at, _ in bench.shown if at >= bench.edge_ms]
            worst_ms = max(worst_ms, changes[0] - bench.edge_ms)
            assert bench.head.asset.level == 1000 or resting_pct <= 5
    assert 0 < worst_ms <= LIMIT_MS
    print("from a motion input to another level:", worst_ms, "ms at most")


def test_a_resting_lamp_is_ticked_ten_times_a_second() -> None:
    bench = Bench(100, 1 << 40)
    bench.run(10_000)
    assert bench.sense.beats == 100


def test_a_driver_that_raises_leaves_the_lamp_lit() -> None:
    class Broken(Bench):
        def take(self) -> bool:
            if self.now >= self.edge_ms:
                raise ValueError("a bug")
            return False

    bench = Broken(0, 5000)
    bench.head.asset.command(m.OP_SET_LEVEL, (0, 3600, 0), 0)
    try:
        bench.run(6000)
    except ValueError:
        pass
    assert bench.now < 6000 and bench.shown[-1][1] == 1000
