"""One operation so many times, to be counted from outside: `micropython loops.py NAME COUNT`."""

import sys

from kerbwire import cobs, seal
from wire.pair import up_pair

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


LOOPS = {
    "seal": _seal,
    "open": _open,
    "cobs": _cobs,
    "report": _report,
    "receive": _receive,
    "polls": _polls,
}
if __name__ == "__main__":
    LOOPS[sys.argv[1]](int(sys.argv[2]))
