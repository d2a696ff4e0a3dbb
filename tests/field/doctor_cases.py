"""What a technician meets, as the system or a chip tells it, and the doctor's finding of it.

`python -m tests.field.doctor_cases` prints the table of docs/operate/technician.md.
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerbline import boards
from kerbline.boardtools.loader import ChipFound
from kerbline.config.awaited import Awaited, Misfit
from kerbline.field.doctor import board, boot_text, broker, clock, gateway, joined, node, port, usb
from kerbline.field.doctor.finding import Finding
from kerbline.north.tls import TlsFiles

PORT = "/dev/ttyUSB0"
BOARD = boards.load(boards.find("streetlight-esp32"))
CLAIM = Path("/var/lib/kerbline/claims/sl-0017.json")
BUILT_S = 1_795_000_000.0
NOON_S = 1_795_305_600.0
MQTT = broker.Target("broker.example", 8883, "gw-1", "rain", TlsFiles(Path("ca.pem")))
PLAIN = broker.Target("broker.example", 1883, "gw-1", "rain")

ROM = "ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:{boot}\r\n"
BOOT = ROM.format(boot="0x13 (SPI_FAST_FLASH_BOOT)")
NODE = "kerbnode: no node without its settings: {}\r\n"
GURU = (
    "Guru Meditation Error: Core  1 panic'ed (LoadProhibited). Exception was unhandled.\r\n"
    "rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
)
GOOD_NODE: dict[str, Any] = {
    "platform": "esp32",
    "version": [1, 28, 0],
    "machine": "Generic ESP32 module with ESP32",
    "settings": '{"node_id": "sl-0001", "asset": "streetlight", "link": "uart"}',
    "unread": False,
    "key": 20,
    "root": 52,
    "fs": [4096, 4096, 512, 470, 470],
    "files": ["boot.py", "main.py", "slots.mpy", "o", "slot_a"],
    "app": True,
    "cause": 1,
}
STATUS: dict[str, Any] = {
    "gateway": "gw-1",
    "version": "0.1.0",
    "up_s": 900.0,
    "nodes": [{"node": "sl-0001", "since_ms": None, "online": False}],
    "sinks": [{"name": "mqtt", "connected": True, "batches_behind": 0}],
    "store": {"blocked": ""},
    "counters": {},
}
CHIP = ChipFound("esp32", "ESP32", "v3.0", "24:0a:c4:00:01:10", 4 << 20, False, False, False)


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that goes wrong: what a person sees, and what was found."""

    symptom: str
    code: str
    found: list[Finding]

    @property
    def finding(self) -> Finding:
        """The one with that code."""
        (found,) = [each for each in self.found if each.code == self.code]
        return found


def said(text: str) -> list[Finding]:
    return boot_text.judge(text.encode(), PORT, after_reset=True)


def of_port(**what: Any) -> list[Finding]:
    return port.judge(port.Seen(PORT, **what))


def of_node(**what: Any) -> list[Finding]:
    return node.judge(node.told({**GOOD_NODE, **what}), PORT, BOARD)


def of_broker(seen: broker.Seen, target: broker.Target = MQTT) -> list[Finding]:
    return [broker.judge(target, seen)]


def of_gateway(counters: dict[str, int] | None = None, **what: Any) -> list[Finding]:
    line = gateway.Line("sl-0001", "/dev/ttyUSB1", bus=False)
    status = {**STATUS, "counters": counters or {}}
    known = {"lines": (line,), "status": status, "free_bytes": 9_000_000_000}
    known["state_dir"] = "/var/lib/kerbline"
    return gateway.judge(gateway.Seen("gateway.toml", **{**known, **what}))


def of_joined(**what: Any) -> list[Finding]:
    return joined.judge(joined.Seen((), CLAIM.parent, **what))


def of_chip(**what: bool | str) -> list[Finding]:
    about = {name: getattr(CHIP, name) for name in CHIP.__dataclass_fields__}
    return list(board.chip(ChipFound(**{**about, **what}), PORT, BOARD))


def cases() -> Iterator[Case]:
    """In the order of the way from the laptop to the city."""
    nothing = usb.Seen(())
    adapter = usb.Device("1-2", 0x1A86, 0x7523, "USB Serial")
    yield Case("no port at all", "no_usb", usb.judge(nothing))
    yield Case(
        "plugged in, and nothing appears (`--watch`)",
        "charge_only",
        usb.judge_change(nothing, nothing, 30),
    )
    yield Case("the adapter is there, a port is not", "no_driver", usb.judge(usb.Seen((adapter,))))
    yield Case(
        "the named port is not there", "no_port", of_port(exists=False, ports=("/dev/ttyUSB1",))
    )
    yield Case("permission denied", "permission", of_port(opened=errno.EACCES, group="dialout"))
    yield Case(
        "the port is in use",
        "port_busy",
        of_port(holders=(port.Holder(4711, "minicom -D /dev/ttyUSB0"),)),
    )
    yield Case(
        "`waiting for download`",
        "boot_strap",
        said(
            ROM.format(boot="0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))")
            + "waiting for download\r\n"
        ),
    )
    yield Case(
        "`invalid header`, again and again",
        "no_image",
        said(BOOT + "invalid header: 0xffffffff\r\n" * 5),
    )
    yield Case(
        "the image is for another chip",
        "wrong_chip",
        said(BOOT + "E (31) boot_comm: mismatch chip ID, expected 0, found 9\r\n"),
    )
    yield Case("secure boot", "secure_boot", of_chip(secure_boot=True))
    yield Case("flash encryption", "flash_encryption", of_chip(flash_encryption=True))
    yield Case(
        "`Brownout detector`",
        "brown_out",
        said((BOOT + "Brownout detector was triggered\r\n\r\n") * 3),
    )
    yield Case("it starts again and again", "panic", said(BOOT + GURU * 4))
    yield Case("silent when it starts", "silent", said(""))
    yield Case("no prompt on a node that works", "console_closed", [board.closed(PORT, BOARD)])
    yield Case(
        "another board than meant",
        "wrong_chip",
        of_node(machine="Generic ESP32C3 module with ESP32C3"),
    )
    yield Case("no node on it", "no_node", of_node(files=["boot.py"]))
    yield Case("file system full", "files_full", of_node(fs=[4096, 4096, 512, 600, 600]))
    yield Case("file system broken", "files_broken", of_node(fs=[5], files=None))
    yield Case(
        "`no node without its settings: missing`",
        "settings_missing",
        said(BOOT + NODE.format("missing")),
    )
    yield Case(
        "`no node without its settings: report_s`",
        "setting_bad",
        said(BOOT + NODE.format("report_s")),
    )
    yield Case("no key", "no_key", of_node(key=0))
    yield Case("no release key", "no_root", of_node(root=0))
    yield Case(
        "the gateway does not run",
        "gateway_down",
        of_gateway(status=None, said="no gateway runs here"),
    )
    yield Case("a node was never heard", "node_unheard", of_gateway())
    yield Case("never heard, the key differs", "key_misfit", of_gateway({"nodes.mac": 3}))
    yield Case("never heard, an old key", "generation", of_gateway({"nodes.generation": 3}))
    yield Case(
        "never heard, another id or line", "unknown_node", of_gateway({"nodes.unknown_node": 3})
    )
    yield Case("never heard, a shared line", "bus_address", of_gateway({"nodes.babble": 9}))
    yield Case("a node wants to join", "claims.closed", of_gateway({"claims.closed": 3}))
    yield Case("a claim for another gateway", "claims.foreign", of_gateway({"claims.foreign": 1}))
    yield Case("a replaced node still talks", "nodes.revoked", of_gateway({"nodes.revoked": 2}))
    awaited = Awaited("lamp-17", ("dimming[1]",), "lamp-71")
    misfit = Misfit("lamp-17", "water_meter", "streetlight", ("dimming[1]",))
    yield Case("a lamp of the config has not joined", "awaited", of_joined(awaited=(awaited,)))
    yield Case("a node of another kind joined for it", "wrong_kind", of_joined(misfits=(misfit,)))
    yield Case("a joined node's key is gone", "key_lost", of_joined(lost=("sl-0017",)))
    yield Case("a joined node's file is damaged", "claim_damaged", of_joined(damaged=(CLAIM,)))
    yield Case("another user's gateway", "gateway_hidden", of_gateway(may_ask=False))
    yield Case(
        "another user's state folder", "joined_hidden", of_joined(hidden="Permission denied")
    )
    yield Case(
        "the gateway hangs", "gateway_stuck", of_gateway(status=None, said="no answer: timed out")
    )
    yield Case(
        "the disk is full",
        "store_full",
        of_gateway(status={**STATUS, "store": {"blocked": "No space left on device"}}),
    )
    yield Case(
        "the broker's name",
        "broker_name",
        of_broker(broker.Seen(broker.Stage.NAME, "Name or service not known")),
    )
    yield Case(
        "the broker's port",
        "broker_refused",
        of_broker(broker.Seen(broker.Stage.PORT, "Connection refused", refused=True)),
    )
    yield Case(
        "no way to the broker",
        "broker_unreachable",
        of_broker(broker.Seen(broker.Stage.PORT, "timed out")),
    )
    yield Case(
        "the broker's certificate",
        "broker_tls",
        of_broker(broker.Seen(broker.Stage.TLS, "certificate has expired")),
    )
    yield Case(
        "the broker's users",
        "broker_user",
        of_broker(broker.Seen(broker.Stage.ANSWERED, code=broker.NOT_AUTHORIZED)),
    )
    yield Case(
        "the laptop's clock, no network",
        "clock_wrong",
        [clock.judge(clock.Seen(BUILT_S - 90 * 86_400, BUILT_S))],
    )
    yield Case(
        "the laptop's clock, years ahead",
        "clock_wrong",
        [clock.judge(clock.Seen(BUILT_S + 78 * 365 * 86_400, BUILT_S))],
    )
    yield Case(
        "the laptop's clock, compared",
        "clock_wrong",
        [clock.judge(clock.Seen(NOON_S, BUILT_S, None, "ntp://10.0.0.1", NOON_S + 7_260))],
    )


def table() -> str:
    """A row each, in Markdown."""
    rows = [("what you see", "what `kerbline doctor` says", "what to do"), ("---",) * 3]
    for each in cases():
        found = each.finding
        rows.append((each.symptom, f"{found.subject}: {found.what}", found.remedy))
    cells = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells) + "\n"


if __name__ == "__main__":
    print(table(), end="")
