"""One operation so many times, to be counted from outside: `micropython loops.py NAME COUNT`."""

import sys
from binascii import unhexlify

from kerbnode.assets.streetlight import RAISE_TICK_MS
from kerbwire import cobs, seal
from wire.pair import up_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.instruments.lamp_head import LampHead
    from kerbnode.sense import Sense

_NONCE = bytes(13)
_AAD = bytes(24)
_PLAIN = bytes(range(64))


def _seal(count: int) -> None:
    cipher = seal.cipher(bytes(16))
    for _ in range(count):
        cipher.seal(_NONCE, _AAD, _PLAIN)


def _open(count: int) -> None:
    cipher = seal.cipher(bytes(16))
    sealed = cipher.seal(_NONCE, _AAD, _PLAIN)
    for _ in range(count):
        cipher.open(_NONCE, _AAD, sealed)


def _cobs(count: int) -> None:
    deframer = cobs.Deframer()
    stream = cobs.encode(_PLAIN)
    for _ in range(count):
        deframer.take(stream, 0)


def _report(count: int) -> None:
    """A record becomes bytes for the line."""
    node = up_pair().node
    for rseq in range(1, count + 1):
        node.send_report((rseq, 1, rseq, (30, 245, rseq, 10, 12, 0)), 2000)
        node.outgoing(2000)
        node.failed(2000)  # nothing is acknowledged here


def _receive(count: int) -> None:
    """A POLL is opened and understood."""
    pair = up_pair()
    polls = []
    for _ in range(count):
        pair.gateway.keep(pair.epoch, 1, 1)
        polls.append(pair.gateway.outgoing(pair.now))
    for poll in polls:
        pair.node.receive(poll, pair.now)


def _polls(count: int) -> None:
    """What `_receive` does before it receives."""
    pair = up_pair()
    for _ in range(count):
        pair.gateway.keep(pair.epoch, 1, 1)
        pair.gateway.outgoing(pair.now)


class _Pole:
    """A lamp's board and drivers, with somebody before the sensor."""

    def __init__(self) -> None:
        self.now = 0

    def monotonic_ms(self) -> int:
        return self.now

    uptime_ms = monotonic_ms

    def take(self) -> bool:
        return self.now > 10_000

    def sample(self) -> "tuple[int, int, int]":
        return 300, 2300, 130

    def show(self, level: int) -> None:
        self.level = level


def _rising() -> "tuple[LampHead, Sense]":
    """A lamp that has begun to rise, and what ticks it."""
    from kerbnode.clock import Clock
    from kerbnode.drivers.motion import Motion
    from kerbnode.instruments.lamp_head import LampHead
    from kerbnode.sense import Sense
    from kerbnode.settings import Settings
    from kerbwire import messages as m

    pole = _Pole()
    head = LampHead(dimmer=pole, power=pole, motion=Motion(pole, warm_s=0))
    head.begin(Settings({"node_id": "n"}), None)
    head.asset.command(m.OP_SET_LEVEL, (20, 3600, 0), 0)
    sense = Sense(pole, Clock(), head, None, (), 900, None)
    sense.tick()
    head.asset._told = True  # the event is another's cost
    pole.now = 10_007
    sense.tick()
    assert head.asset.fading == RAISE_TICK_MS and pole.level < 250
    return head, sense


def _rise(count: int) -> None:
    """A tick that only fades."""
    _, sense = _rising()
    for _ in range(count):
        sense.tick()


def _tick(count: int) -> None:
    """A tick that reads all but what is looked at once a second, and steps the lamp."""
    head, sense = _rising()
    for _ in range(count):
        head._ticked_ms = -1000
        sense.tick()


def _lms(count: int) -> None:
    """A signature over a manifest of 2 KiB, as a node's is."""
    from kerbwire import lms, release
    from wire.vectors import load

    case = load("updates")["releases"]
    signature = release.split(unhexlify(case["good"][0]["signed"]))[1]
    ident = unhexlify(case["root"])[12:28]
    for _ in range(count):
        lms.root(ident, (bytes(2048),), signature, 24, 4, 10)


LOOPS = {
    "lms": _lms,
    "rise": _rise,
    "tick": _tick,
    "seal": _seal,
    "open": _open,
    "cobs": _cobs,
    "report": _report,
    "receive": _receive,
    "polls": _polls,
}
if __name__ == "__main__":
    LOOPS[sys.argv[1]](int(sys.argv[2]))
