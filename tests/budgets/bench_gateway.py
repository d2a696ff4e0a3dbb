"""The gateway on one core: sealed frames a second, from bytes to event."""

import time

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from kerbwire import cobs
from kerbwire.schema import AIR_QUALITY
from tests.budgets.sessions import PERIOD_S, connected
from tools.figures import Figure

FRAMES = 5000
VALUES = (56, 80, 112, 450, 150, 118, 482, 10_132, 0)


def _reports() -> list[bytes]:
    """Reports on the UART, each a delta against the one before, and what takes them."""
    node, gateway = connected(AIR_QUALITY)
    data = []
    now = 0
    for rseq in range(1, FRAMES + 1):
        now += PERIOD_S
        node.send_report((rseq, 1, rseq * PERIOD_S, (rseq % 97, *VALUES[1:])), now)
        data.append(node.outgoing(now))
        gateway.receive(data[-1], now)
        gateway.keep(1, rseq, rseq)
        node.receive(gateway.outgoing(now), now)
    return data


def _taken(data: list[bytes]) -> float:
    """Frames a second that a second gateway of the same session turns into events."""
    _, gateway = connected(AIR_QUALITY)
    events = 0
    started = time.perf_counter()
    for portion in data:
        gateway.receive(portion, 0)
        while event := gateway.next_event():
            events += event[0] == "RECORD"
    spent = time.perf_counter() - started
    assert events == FRAMES, events
    return FRAMES / spent


def _bare(data: list[bytes]) -> float:
    """The same with nothing but AES-CCM and COBS."""
    cipher = AESCCM(bytes(16), tag_length=8)
    started = time.perf_counter()
    for portion in data:
        cipher.encrypt(bytes(13), portion, bytes(20))
        cobs.encode(portion)
    return FRAMES / (time.perf_counter() - started)


def figures() -> list[Figure]:
    data = _reports()
    return [
        Figure("reports taken", max(_taken(data) for _ in range(3)), "a second", ">= 10_000"),
        Figure("bare AES-CCM and COBS of the same bytes", _bare(data), "a second"),
    ]
