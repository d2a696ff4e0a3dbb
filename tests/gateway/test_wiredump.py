"""A capture as readable lines: every frame said, sealed ones opened, bad ones named."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kerbline import wiredump
from kerbwire import keyschedule
from kerbwire import messages as m
from kerbwire.limits import STREAM
from tests.wire.pair import Pair, flipped, frames
from tools.trees import ROOT

KEYS = {Pair.NODE_ID: Pair.PSK}


def _capture() -> tuple[list[bytes], list[bytes]]:
    """What goes over a line, in order: as chunks of the stream, and as frames."""
    pair = Pair(1, STREAM)
    both: list[bytes] = []
    pair.up_line.written = pair.down_line.written = both
    pair.settled()
    pair.make(values=(30, 245, 1000, 10, 12, 0))
    pair.run(100)
    pair.make(m.EVENT, (m.EV_MOTION, 1))
    pair.lose(3)
    pair.gateway.send_command(5, Pair.UTC_MS // 1000 + 60, m.OP_IDENTIFY, (3,))
    pair.run(100)
    return both, frames(both)


def test_every_frame_is_told() -> None:
    chunks, sent = _capture()
    lines = list(wiredump.told(b"".join(chunks), KEYS))
    assert len(lines) == len(sent)
    said = "\n".join(lines)
    assert re.search(
        r"^up   plain   HELLO node-id=sl-0001 generation=0 nonce=.* mac=right$", said, re.M
    )
    assert re.search(
        r"^down plain   WELCOME generation=0 nonce=.* address=0 mac=right$", said, re.M
    )
    assert re.search(
        r"^up   control #0 sl-0001/0 INFO messages-version=\d+ schema-hash=", said, re.M
    )
    assert re.search(
        r"REPORT n=0 rseq=1 boot=0 uptime-s=\d+ value: 30 245 1000 10 12 0$", said, re.M
    )
    assert re.search(r"EVENT rseq=2 boot=0 uptime-s=\d+ code=motion value=1$", said, re.M)
    assert "GAP first=3 last=5 reason=power" in said
    assert "CMD id=5 expires-utc-s=1790000060 op=identify argument: 3" in said
    assert "POLL seen=" in said
    assert "unopened" not in said and "bad" not in said


def test_hex_lines_say_the_same_as_the_stream() -> None:
    chunks, sent = _capture()
    text = "# a capture\n" + "\n".join([data.hex() for data in sent])
    assert list(wiredump.told(text.encode(), KEYS)) == list(wiredump.told(b"".join(chunks), KEYS))


def test_without_keys_the_sealed_ones_are_told_by_their_headers() -> None:
    _, sent = _capture()
    text = "\n".join([data.hex() for data in sent]).encode()
    lines = list(wiredump.told(text, {}))
    assert [line for line in lines if "HELLO node" in line and line.endswith("mac=unknown")]
    assert [
        line
        for line in lines
        if re.search(r"^up   report  #\d+ parity 0, \d+ bytes, unopened", line)
    ]


def test_bad_frames_are_named() -> None:
    _, sent = _capture()
    reader = wiredump.Reader(KEYS)
    for data in sent:
        reader.line(data)
    report = next(data for data in sent if data[0] & 3 == m.CLASS_REPORT)
    assert reader.line(report).endswith("replay")
    hello = flipped(sent[0], 8 * len(sent[0]) - 1)
    assert reader.line(hello).endswith("mac=wrong")
    assert reader.line(b"\x43") == "bad  short: 43"
    assert reader.line(b"\x83\x00\x00") == "bad  layout: 830000"
    assert reader.line(b"\x43\x1f") == "bad  cbor: 431f"
    assert list(wiredump.told(b"\x09\x01\x00" + b"\x01" * 300 + b"\x00", {})) == [
        "bad  cobs: block 0, 2 bytes",
        "bad  long (over 254): block 1, 300 bytes",
    ]


def test_every_prefix_of_a_capture_is_told() -> None:
    chunks, _ = _capture()
    stream = b"".join(chunks)
    for end in range(0, len(stream), 7):
        assert all(isinstance(line, str) for line in wiredump.told(stream[:end], KEYS))


@pytest.mark.parametrize(
    "text", [b"sl-0001", b"sl-0001 00", b"sl-0001 " + b"g" * 32, b"sl-0001 \xff", bytes(range(256))]
)
def test_a_keys_file_that_is_none_is_refused(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "s.keys"
    file.write_bytes(b"# first keys\n" + text)
    with pytest.raises(wiredump.KeysFault, match=r"s\.keys:2: "):
        wiredump.read_keys(file)


def test_hostile_captures_are_told_in_short_plain_lines() -> None:
    hello = b"43 00 50 1b5b33316d0a5a5a5a5a5a5a5a5a5a5a 00 48 0000000000000000 0000000000000000"
    assert "node-id=\\x1b[31m\\x0aZZZZZZZZZZ " in next(iter(wiredump.told(hello, {})))
    assert list(wiredump.told(b"63\n5301", {})) == ["bad  short: 63", "bad  short: 5301"]
    assert list(wiredump.told(b"# two\n6x\n", {})) == ["bad  hex: line 2"]
    (line,) = wiredump.told(b"00" * 3_000_000, {})
    assert line.endswith("... (3000000 bytes)") and len(line) < 120


def test_a_key_is_followed_far_ahead_once() -> None:
    reader = wiredump.Reader(KEYS)
    keys = [Pair.PSK]
    for _ in range(3 * wiredump.LADDER):
        keys.append(keyschedule.ratchet(keys[-1]))
    for generation in (700, 3, 255, 256, 257, 512, 0, 700):
        assert reader._key(Pair.NODE_ID, generation) == keys[generation]
    assert len(reader._ladders[Pair.NODE_ID]) == 1 + 700 // wiredump.LADDER
    assert reader._key(Pair.NODE_ID, wiredump.GENERATIONS + 1) is None


def test_the_names_are_those_of_the_cddl() -> None:
    cddl = re.sub(r";.*", "", (ROOT / "protocol" / "messages.cddl").read_text())
    named = re.findall(r"[\w-]+\s*=\s*\[(\d+)((?:[^][]|\[[^]]*\])*)\]", cddl)
    assert {int(number) for number, _ in named} == set(wiredump.MESSAGES)
    for number, items in named:
        for name in wiredump.MESSAGES[int(number)].items:
            plain = name.removesuffix("s") if name == "bytes" else name
            assert re.search(rf"\b{plain}\b", items) or _by_kind(name), (number, name)


def _by_kind(name: str) -> bool:
    """An item that the CDDL names by its kind alone."""
    return name in {"n", "bytes", "value"}


def test_the_command(tmp_path: Path) -> None:
    chunks, sent = _capture()
    keys = tmp_path / "keys"
    keys.write_text(f"{Pair.NODE_ID.decode()} {Pair.PSK.hex()}  # of the bench\n")
    command = [sys.executable, "-m", "kerbline", "wire", "decode", "-", "--keys", str(keys)]
    done = subprocess.run(command, input=b"".join(chunks), capture_output=True, check=True)
    assert len(done.stdout.splitlines()) == len(sent)
    assert b"INFO messages-version=" in done.stdout
