"""TLS to a broker over HTTP: a clear line for each certificate that does not fit, nothing lost."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

import pytest

from kerbline.north.tls import TlsFiles
from tests.gateway.ngsi_ld_scene import Scene, lamp, play
from tests.gateway.test_north_tls import DAY, Office


def listening(folder: Path, *, asks: bool) -> ssl.SSLContext:
    """A broker with `broker.pem`, which believes `ca.pem` where it asks who we are."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "broker.pem", folder / "broker.key")
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "ca.pem")
    return context


@pytest.mark.parametrize(
    ("ca", "broker", "client", "expected"),
    [
        ("ca", {}, "gateway", ""),
        ("ca", {}, "none needed", ""),
        ("other", {}, "gateway", "is signed by nobody in {folder}/other.pem; write"),
        ("", {}, "none needed", "is signed by nobody in this system's list; name it as ca"),
        ("ca", {"ends": -DAY}, "gateway", "broker's certificate has expired; renew it, or set"),
        ("ca", {"address": "127.0.0.2"}, "gateway", "another name than 127.0.0.1; write host"),
        (
            "ca",
            {},
            "missing",
            "add cert and key|our certificate (none)",
        ),
        (
            "ca",
            {},
            "foreign",
            "refuse {folder}/foreign.pem|our certificate {folder}/foreign.pem",
        ),
        ("ca", {}, "plain", "what listens there may not speak TLS; write the broker's"),
    ],
)
def test_each_certificate_that_does_not_fit_is_one_clear_line_and_nothing_is_lost(
    ca: str,
    broker: dict[str, object],
    client: str,
    expected: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours, others = Office(tmp_path, "ca"), Office(tmp_path, "other")
    ours.issue("gateway")
    others.issue("foreign")
    signed = client in ("gateway", "foreign")
    files = TlsFiles(
        tmp_path / f"{ca}.pem",
        tmp_path / f"{client}.pem" if signed else None,
        tmp_path / f"{client}.key" if signed else None,
    )
    asks = client not in ("none needed", "plain")

    async def story(scene: Scene) -> None:
        port = int(scene.broker.url.rpartition(":")[2])
        await scene.broker.stop()
        ours.issue("broker", **broker)  # type: ignore[arg-type]
        tls = None if client == "plain" else listening(tmp_path, asks=asks)
        await scene.broker.start(port=port, tls=tls)
        scene.broker.url = f"https://127.0.0.1:{port}"
        sink = scene.start()
        sink.offer(reading := lamp(1, at_s=0))
        sink.log_grew(scene.log.commit([reading]))
        await asyncio.sleep(30)
        assert sink.connected == (not expected)
        if not expected:
            return
        assert scene.log.cursor == 0
        assert not scene.came()
        await scene.stop()
        await scene.broker.stop()
        ours.issue("broker")
        scene.tls = TlsFiles(
            tmp_path / "ca.pem", tmp_path / "gateway.pem", tmp_path / "gateway.key"
        )
        await scene.broker.start(port=port, tls=listening(tmp_path, asks=asks))
        scene.start()
        await scene.until(lambda: scene.log.cursor == 1)

    with caplog.at_level(logging.WARNING):
        scene = play(Scene(tmp_path, tls=files if ca else None), story)
    assert scene.levels()["lifetimePowerConsumption"]["value"] == 0.001
    assert not list((tmp_path / "dead-letters").glob("*"))
    told = [line for line in caplog.messages if line.startswith("ngsi_ld:city:")]
    assert len(told) == (1 if expected else 0), told
    if expected:  # an alert of TLS may or may not arrive before the connection is gone
        assert any(each in told[0] for each in expected.format(folder=tmp_path).split("|")), told
