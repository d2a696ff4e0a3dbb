"""The files of a TLS section: each that can't serve is told before the gateway runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from kerbline.cli import app
from kerbline.config import ConfigFault, load
from tests.gateway.test_north_tls import DAY, Office

CONFIG = """\
[gateway]
id = "gw-1"
state_dir = "state"
[mqtt]
host = "broker.example"
[mqtt.tls]
ca = "ca.pem"
"""


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path, "ca")
    office.issue("gateway")
    office.issue("other")
    (tmp_path / "gateway.toml").write_text(CONFIG)
    return office


def told(office: Office, more: str = "") -> list[str]:
    path = office.folder / "gateway.toml"
    path.write_text(CONFIG + more)
    try:
        load(path)
    except ConfigFault as fault:
        return str(fault).replace(f"{office.folder}/", "").splitlines()
    return []


def test_a_whole_pair_is_good_in_two_files_or_in_one(office: Office) -> None:
    assert told(office, 'cert = "gateway.pem"\nkey = "gateway.key"\n') == []
    both = office.folder / "both.pem"
    both.touch(mode=0o600)
    both.write_bytes(
        b"".join((office.folder / f"gateway.{end}").read_bytes() for end in ("pem", "key"))
    )
    assert told(office, 'cert = "both.pem"\n') == []
    both.chmod(0o644)
    (found,) = told(office, 'cert = "both.pem"\n')
    assert found.startswith('gateway.toml:8: mqtt.tls.cert: "both.pem" has mode 0644')


def test_a_certificate_and_a_key_alone_are_told(office: Office) -> None:
    assert told(office, 'cert = "gateway.pem"\n') == [
        'gateway.toml:8: mqtt.tls.cert: "gateway.pem" holds no key; add key = "..." with its key'
    ]
    assert told(office, 'key = "gateway.key"\n') == [
        'gateway.toml:8: mqtt.tls.key: there is no certificate to it; add cert = "..."'
    ]


def test_a_key_that_does_not_serve_is_told(office: Office) -> None:
    for name, content in [
        ("other", (office.folder / "other.key").read_bytes()),
        ("junk", b"no key"),
        (
            "locked",
            office.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            ),
        ),
    ]:
        (office.folder / f"{name}.key").write_bytes(content)
        (office.folder / f"{name}.key").chmod(0o600)
    pair = 'cert = "gateway.pem"\nkey = "{}.key"\n'
    assert told(office, pair.format("other")) == [
        'gateway.toml:9: mqtt.tls.key: "other.key" is not the key of "gateway.pem"; '
        "write the path of the key that the certificate was made for"
    ]
    assert told(office, pair.format("junk")) == [
        'gateway.toml:9: mqtt.tls.key: "junk.key" holds no key; '
        "write the path of a PEM file with a private key"
    ]
    assert told(office, pair.format("locked")) == [
        'gateway.toml:9: mqtt.tls.key: "locked.key" wants a passphrase; '
        "write the key without one into a file of mode 0600: openssl pkey -in locked.key -out KEY"
    ]


@pytest.mark.parametrize("content", [b"", b"\n", b"no certificate", b"\xff\xfe", b"key"])
def test_a_ca_file_without_a_certificate_is_told(office: Office, content: bytes) -> None:
    if content == b"key":
        content = (office.folder / "gateway.key").read_bytes()
    (office.folder / "ca.pem").write_bytes(content)
    assert told(office) == [
        'gateway.toml:7: mqtt.tls.ca: "ca.pem" holds no certificates; write the path of a PEM file'
    ]


def test_a_certificate_that_is_over_is_a_warning(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    office.issue("gateway", ends=-DAY)
    path = office.folder / "gateway.toml"
    path.write_text(CONFIG + 'cert = "gateway.pem"\nkey = "gateway.key"\n')
    assert app(["check", str(path)], standalone_mode=False) == 0
    seen = capsys.readouterr()
    (warning,) = seen.err.splitlines()
    assert warning.startswith(f"warning: {path}:8: mqtt.tls.cert: ")
    assert warning.endswith("; renew it, or set this machine's clock")
    assert "ended on " in warning and "good" in seen.out
