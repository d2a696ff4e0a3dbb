"""TLS to a real broker: one clear line for each way in which certificates do not fit."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kerbline.demo.stage import free_port
from kerbline.north.mqtt import BrokerAddress, MqttPort
from kerbline.north.port import NotConnected
from kerbline.north.tls import TlsFiles, plainly
from kerbline.sim.broker import Broker, BrokerKind
from tests.gateway.test_north_brokers import MAPPER, TOPICS, here

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
CONFIG = """\
listener {port} 127.0.0.1
cafile {folder}/ca.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
require_certificate {client}
"""


class Office:
    """Signs certificates into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.ca = folder / f"{name}.pem"
        self._write(name, self.name, self.key, NOW + DAY, ca=True)

    def issue(self, name: str, address: str = "127.0.0.1", ends: dt.timedelta = DAY) -> None:
        """`name`.pem and `name`.key, good for `address`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._write(name, subject, key, NOW + ends, address=address)

    def _write(
        self,
        file: str,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        ends: dt.datetime,
        address: str = "",
        *,
        ca: bool = False,
    ) -> None:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 9 * DAY)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if address:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        (self.folder / f"{file}.pem").write_bytes(pem)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path = self.folder / f"{file}.key"
        path.touch(mode=0o600)
        path.write_bytes(private)


@pytest.mark.parametrize(
    ("ca", "broker", "client", "expected"),
    [
        ("ca", {}, "gateway", ""),
        ("ca", {}, "none needed", ""),
        ("other", {}, "gateway", "is signed by nobody in {folder}/other.pem; write"),
        ("ca", {"ends": -DAY}, "gateway", "broker's certificate has expired; renew it, or set"),
        ("ca", {"address": "127.0.0.2"}, "gateway", "another name than 127.0.0.1; write host"),
        ("ca", {}, "missing", "it may want a certificate of us; add cert and key"),
        ("ca", {}, "foreign", "it may refuse {folder}/foreign.pem; see that it"),
        ("ca", {}, "plain", "what listens there may not speak TLS; write the broker's"),
    ],
)
@pytest.mark.parametrize("kind", [here(BrokerKind.MOSQUITTO)])
def test_each_certificate_that_does_not_fit_is_one_clear_line(
    kind: BrokerKind, ca: str, broker: dict[str, object], client: str, expected: str, tmp_path: Path
) -> None:
    ours, others = Office(tmp_path, "ca"), Office(tmp_path, "other")
    ours.issue("broker", **broker)  # type: ignore[arg-type]
    ours.issue("gateway")
    others.issue("foreign")
    asks = "false" if client == "none needed" else "true"
    tls_port = free_port()
    config = CONFIG.format(folder=tmp_path, client=asks, port=tls_port)
    signed = client in ("gateway", "foreign")
    files = TlsFiles(
        tmp_path / f"{ca}.pem",
        tmp_path / f"{client}.pem" if signed else None,
        tmp_path / f"{client}.key" if signed else None,
    )

    async def scene() -> str:
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
        running = Broker(kind, tmp_path / "run", free_port(), more=config)
        await running.start()
        number = running.port if client == "plain" else tls_port
        address = BrokerAddress("127.0.0.1", number, "gw-1", tls=files)
        port = MqttPort(address, [TOPICS.commands], MAPPER.status("offline", None))
        try:
            async with asyncio.timeout(60):
                await port.connect()
                await port.publish(MAPPER.status("online", 1_790_000_000_000))
            return ""
        except NotConnected as error:
            return str(error)
        finally:
            await port.close()
            await running.kill()
            assert complaints == []

    told = asyncio.run(scene())
    assert "\n" not in told
    expected = expected.format(folder=tmp_path)
    assert (expected in told) if expected else not told, told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2580)",
            "the broker refuses our certificate gw.pem; see that it has not expired, "
            "and that the broker has the CA that signed it",
        ),
        (
            "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)",
            "the connection broke in its greeting: what listens there may not speak TLS; "
            "write the broker's port for TLS, often 8883",
        ),
        ("[Errno 111] Connection refused", "[Errno 111] Connection refused"),
    ],
)
def test_what_other_brokers_and_versions_of_openssl_say(text: str, expected: str) -> None:
    files = TlsFiles(Path("ca.pem"), Path("gw.pem"), Path("gw.key"))
    assert plainly(text, "broker", files, closed=False) == expected
    assert plainly(text, "broker", None, closed=False) == text


@pytest.mark.parametrize("hurt", ["ca gone", "ca torn", "key gone", "key foreign", "key locked"])
def test_files_that_are_spoilt_while_we_run_end_nothing(hurt: str, tmp_path: Path) -> None:
    """Who renews certificates replaces one file after the other."""
    office = Office(tmp_path, "ca")
    office.issue("gateway")
    office.issue("foreign")
    ca, cert, key = (tmp_path / name for name in ("ca.pem", "gateway.pem", "gateway.key"))
    match hurt:
        case "ca gone":
            ca.unlink()
        case "ca torn":
            ca.write_bytes(ca.read_bytes()[:100])
        case "key gone":
            key.unlink()
        case "key foreign":
            key.write_bytes((tmp_path / "foreign.key").read_bytes())
        case "key locked":
            whole = serialization.load_pem_private_key(key.read_bytes(), None)
            locked = serialization.BestAvailableEncryption(b"secret")
            encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
            key.write_bytes(whole.private_bytes(encoding, form, locked))
    address = BrokerAddress("127.0.0.1", free_port(), "gw-1", tls=TlsFiles(ca, cert, key))
    port = MqttPort(address, [TOPICS.commands])
    with pytest.raises(NotConnected) as raised:
        asyncio.run(port.connect())
    unfit = "the files of [mqtt.tls] can't be used; see `kerbline check`"
    assert str(raised.value) == f"127.0.0.1:{address.port}: {unfit}"


def test_a_host_that_no_name_can_be_is_one_line() -> None:
    port = MqttPort(BrokerAddress("broker..example", 1883, "gw-1"), [TOPICS.commands])
    with pytest.raises(NotConnected, match=r"^broker\.\.example:1883: "):
        asyncio.run(port.connect())
