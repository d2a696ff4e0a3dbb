"""`kerbline wire measure`: both engines, every byte, and nothing lost on the way."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from kerbline import wirebench
from kerbline.cli import app
from tests import streams
from tools import second_batch
from tools.vectors import BATCHED

BESIDE = ("handshake_bytes", "poll_bytes")
BOUNDS = {  # bytes on the UART, of a new street
    "streetlight": {"live": 23, "batch24": 2.2},
    "water_meter": {"live": 38, "batch7": 18.5},
    "air_quality": {"live": 28, "batch24": 5.5},
}


@pytest.mark.parametrize("kind", BOUNDS)
@pytest.mark.parametrize("seed", [11, 12])
def test_a_street_keeps_to_its_bytes(tmp_path: Path, kind: str, seed: int) -> None:
    report = wirebench.measure(streams.write(tmp_path / "s.jsonl", kind, seed, 480))
    for name, bound in BOUNDS[kind].items():
        part = report[name]
        assert part["uart_mean"] <= bound, name
        assert part["reports"] == 480 and part["uart_max"] <= 256
        assert 0 < part["datagram_mean"] < part["uart_mean"]
    assert 0 < report["poll_bytes"] < 40 and 0 < report["handshake_bytes"] < 200


def test_the_command_prints_either_form(tmp_path: Path) -> None:
    file = str(streams.write(tmp_path / "s.jsonl", "water_meter", 3, 30))
    done = CliRunner().invoke(app, ["wire", "measure", file, "--json"])
    assert set(json.loads(done.output)) == {"live", "batch4", "batch7", *BESIDE}
    done = CliRunner().invoke(app, ["wire", "measure", file])
    assert "batch7" in done.output and done.exit_code == 0


def changed(line: str, **values: object) -> str:
    item = json.loads(line)
    item["values"].update(values)
    return json.dumps(item)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda _: "{", "no reading"),
        (lambda _: "[]", "no reading"),
        (lambda line: line.replace("water_meter", "fountain"), "asset 'fountain'"),
        (lambda line: line.replace('"t": 1', '"t": "x'), "no reading"),
        (lambda line: changed(line, hourly_l=[1, 2]), "numbers of a field"),
        (lambda line: changed(line, colour=3), "fields"),
        (lambda line: changed(line, volume_l=None), "want {"),
        (lambda line: changed(line, volume_l=1 << 62), "more than 62 bits"),
        (lambda line: changed(line, volume_l=float("nan")), "no reading"),
        (lambda line: line.replace('"t": 1', '"t": 1000000000000000'), "t is no UTC"),
        (lambda line: line.replace('"t": 17', '"t": 97'), "since its boot"),
        (lambda line: line.replace('"t"', '"at"'), "lacks 't'"),
        (lambda _: "[" * 10_000, "nested too deep"),
        (lambda _: " " * 70_000, "65536 bytes"),
        (lambda _: chr(0xDC80), "codec"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, spoil: Callable[[str], str], told: str) -> None:
    file = streams.write(tmp_path / "s.jsonl", "water_meter", 3, 9)
    lines = file.read_text().splitlines()
    lines[4] = spoil(lines[4])
    file.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    with pytest.raises(wirebench.StreamFault, match=r"s\.jsonl:5: ") as fault:
        wirebench.measure(file)
    assert told in str(fault.value)


def test_what_is_finer_than_a_field_is_rounded(tmp_path: Path) -> None:
    file = streams.write(tmp_path / "s.jsonl", "air_quality", 3, 9)
    lines = file.read_text().splitlines()
    lines[4] = changed(lines[4], co2_ppm=431.4, no2_ppb=17.449).replace("000,", "400,", 1)
    file.write_text("\n".join(lines))
    record = wirebench.read(file).records[4]
    assert record[3][3:5] == (431, 174)
    assert wirebench.measure(file)["live"]["reports"] == 9


def test_one_reading_is_no_stream(tmp_path: Path) -> None:
    with pytest.raises(wirebench.StreamFault, match="fewer than two"):
        wirebench.measure(streams.write(tmp_path / "s.jsonl", "air_quality", 3, 1))


def test_what_comes_back_otherwise_is_a_fault(tmp_path: Path) -> None:
    stream = wirebench.read(streams.write(tmp_path / "s.jsonl", "streetlight", 3, 40))
    _, pair = wirebench.live(stream)
    got = pair._got
    rseq, boot, uptime_s, values = got[7]
    for wrong in ((rseq, boot, uptime_s + 1, values), (rseq, boot, uptime_s, (*values[1:], 0))):
        got[7] = wrong
        with pytest.raises(wirebench.StreamFault, match="record 8 came back"):
            pair.check()
    got[7:] = []
    with pytest.raises(wirebench.StreamFault, match="40 went in, 7 came out"):
        pair.check()


@pytest.mark.parametrize("kind", BOUNDS)
def test_the_second_implementation_reads_our_batches(tmp_path: Path, kind: str) -> None:
    from kerbwire import batch
    from kerbwire import messages as m

    stream = wirebench.read(streams.write(tmp_path / "s.jsonl", kind, 5, 200))
    fields, _ = BATCHED[kind]
    info = m.Info(stream.schema.hash, 1, 1, 1)
    info.period_s = stream.period_s
    base: wirebench.Record | None = None
    for group in wirebench._groups(stream.records, 24):
        if base is not None and base[1] != group[0][1]:
            base = None
        body = batch.encode(group, base, stream.schema, info)
        held = {base[0]: base} if base else {}
        assert second_batch.decode(body[1:], fields, 1, stream.period_s, held) == group
        base = group[-1]
