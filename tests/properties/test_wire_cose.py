"""A sealed body is a COSE_Encrypt0's: re-wrapped, it opens in two libraries that know no kerbwire.

The keys come from the second implementation of the text, the frames from the engines.
"""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import cbor2
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from kerbwire import messages as m
from kerbwire.limits import STREAM
from kerbwire.schema import STREETLIGHT
from tests.wire.pair import Pair, frames
from tools.second_wire import CONTROL_CLASS, PLAIN_CLASS, REPORT_CLASS, Session
from tools.trees import ROOT

IV, ALGORITHM, CCM_16_64_128 = 5, 1, 10
HEADER = 3


def _session(hello: bytes, welcome: bytes) -> Session:
    """The keys of the session that these two frames began."""
    _, node_id, generation, node_nonce = _sequence(hello[1:-8])
    _, _, gateway_nonce, _ = _sequence(welcome[1:-8])
    return Session(
        *(Pair.PSK, generation, node_id, node_nonce, gateway_nonce), None, STREETLIGHT.hash
    )


def _sequence(body: bytes) -> list[Any]:
    """The items of a body."""
    stream = io.BytesIO(body)
    return [cbor2.load(stream) for _ in range(4)]


def _exchange() -> tuple[Session, list[bytes], list[bytes]]:
    """The keys of a session, and its sealed frames up and down."""
    pair = Pair(1, STREAM).settled()
    for number in range(3):
        pair.make(values=(number, 245, 1000, 10, 12, 0))
        pair.run(200)
    up, down = frames(pair.up_line.written), frames(pair.down_line.written)
    sealed = [[data for data in sent if data[0] & 3 != PLAIN_CLASS] for sent in (up, down)]
    welcome = [data for data in down if data[0] & 3 == PLAIN_CLASS and data[1] == m.WELCOME]
    return _session(up[0], welcome[0]), sealed[0], sealed[1]


def _wrapped(session: Session, data: bytes) -> tuple[dict[str, str], bytes]:
    """A frame as COSE_Encrypt0 with what it takes to open it; and its plain body."""
    direction, class_ = data[0] >> 5 & 1, data[0] & 3
    fseq = int.from_bytes(data[1:HEADER], "big")
    key = session.derived(bytes((direction,)), "Key", 16)
    nonce = session.nonce(direction, fseq)
    external = data[:HEADER] + (session.schema_hash if class_ == REPORT_CLASS else b"")
    message = cbor2.CBORTag(16, [b"", {ALGORITHM: CCM_16_64_128, IV: nonce}, data[HEADER:]])
    aad = cbor2.dumps(["Encrypt0", b"", external])
    plain = AESCCM(key, tag_length=8).decrypt(nonce, data[HEADER:], aad)
    given = {"message": cbor2.dumps(message), "key": key, "external": external}
    return {name: value.hex() for name, value in given.items()}, plain


def test_a_sealed_body_opens_as_cose_encrypt0(cose: Path) -> None:
    session, up, down = _exchange()
    assert {data[0] & 3 for data in up} >= {REPORT_CLASS, CONTROL_CLASS} and down
    wrapped = [_wrapped(session, data) for data in up + down]
    done = subprocess.run(
        [str(cose), "tests/properties/cose_open.py"],
        cwd=ROOT,
        input="".join([json.dumps(given) + "\n" for given, _ in wrapped]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    opened = [json.loads(line) for line in done.stdout.splitlines()]
    assert opened == [{"pycose": plain.hex(), "cwt": plain.hex()} for _, plain in wrapped]
    types = [plain[0] for _, plain in wrapped]
    assert {m.INFO, m.REPORT, m.POLL} <= set(types)
