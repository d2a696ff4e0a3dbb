"""Makes the golden vectors of protocol/vectors; with --check only tells which would change.

.venv/bin/python -m tools.vectors [--check]
"""

import hashlib
import hmac
import json
import sys
from collections.abc import Iterator
from typing import Any

import cbor2
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from tools import second_wire as wire
from tools.trees import ROOT
from tools.vectors_batch import batches, named
from tools.vectors_bus import bus
from tools.vectors_claim import claim
from tools.vectors_malformed import malformed
from tools.vectors_received import received
from tools.vectors_updates import updates

FOLDER = ROOT / "protocol" / "vectors"
NODE_ID = b"sl-0001"
PSK = bytes(range(16))
GENERATION = 5
NODE_NONCE = bytes(range(0xA0, 0xA8))
GATEWAY_NONCE = bytes(range(0xB0, 0xB8))

INTEGERS = (
    *(0, 1, 10, 23, 24, 25, 100, 1000, 1000000, 1000000000000, 18446744073709551615),
    *(-1, -10, -100, -1000, -18446744073709551616),
    *(255, 256, 65535, 65536, 4294967295, 4294967296, -24, -25, -256, -257),
)
NOT_CBOR = (
    # not the shortest form
    *("1800", "1817", "190000", "1900ff", "1a0000ffff", "1b00000000ffffffff", "3817", "5803616263"),
    # cut short
    *("18", "19ff", "1a000000", "1b00000000000000", "41", "420a", "5818", "580200"),
    # more bytes than any frame has
    *("5b7fffffffffffffff00", "5affffffff00", "59ffff00"),
    # indefinite, reserved
    *("5fff", "5f4100ff", "9fff", "bfff", "1c", "1d", "1e", "1f", "3f", "5c", "ff"),
    # text, arrays, maps, tags, simple values, floats
    *("60", "80", "8101", "a0", "c000", "f4", "f5", "f6", "f7", "f90000", "fa00000000"),
    "fb0000000000000000",
    # a good item, then trailing rubbish
    *("0018", "01ff", "410060"),
)
# Version 2: name, scale, unit, predictor, field referred to, argument, count.
LAST = (0, 0, 0, 1)
STREETLIGHT = (
    ("level_pct", 0, "P1", *LAST),
    ("power_w", 1, "WTT", 7, 0, 0, 1),
    ("energy_wh", 0, "WHR", 5, 1, 36000, 1),
    ("lamp_hours", 0, "HUR", 6, 0, 0, 1),
    ("temperature_c", 0, "CEL", 8, 1, 8, 1),
    ("status", 0, "E48", *LAST),
    ("uptime_s", 0, "SEC", 4, 0, 0, 1),
)
WATER_METER = (
    ("volume_l", 0, "LTR", 3, 5, 0, 1),
    ("flow_lph", 0, "E32", 2, 5, 0, 1),
    *((name, 0, unit, *LAST) for name, unit in (("backflow_l", "LTR"), ("battery_mv", "2Z"))),
    ("alarms", 0, "E48", *LAST),
    ("hourly_l", 0, "LTR", 1, 0, 0, 24),
)
AIR_QUALITY = (
    ("pm1_ugm3", 1, "GQ", *LAST),
    ("pm2_5_ugm3", 1, "GQ", 7, 0, 0, 1),
    ("pm10_ugm3", 1, "GQ", 7, 1, 0, 1),
    *(("co2_ppm", 0, "59", *LAST), ("no2_ppb", 1, "61", *LAST)),
    *(("temperature_c", 1, "CEL", *LAST), ("humidity_pct", 1, "P1", *LAST)),
    *(("pressure_hpa", 1, "A97", *LAST), ("status", 0, "E48", *LAST)),
)
# What version 1 had, which told no more than names, scales and units.
OLD_FIELDS = {"streetlight": 6, "water_meter": 5, "air_quality": 9}


def cbor() -> dict[str, Any]:
    good = [{"integer": str(n), "cbor": cbor2.dumps(n).hex()} for n in INTEGERS]
    for data in (b"", b"\x01\x02\x03\x04", bytes(23), bytes(24), bytes(255)):
        good.append({"bytes": data.hex(), "cbor": cbor2.dumps(data).hex()})
    return {"good": good, "malformed": [{"cbor": text} for text in NOT_CBOR]}


def cobs() -> dict[str, Any]:
    """The examples of Cheshire and Baker's encoding within one block."""
    frames = ["00", "0000", "001100", "11220033", "11223344", "11000000", "01" * 254, "00" * 254]
    frames.append("02" * 100 + "00" + "03" * 153)
    return {
        "good": [{"frame": f, "stream": wire.cobs(bytes.fromhex(f)).hex()} for f in frames],
        "malformed": [
            {"stream": "0500", "error": "cobs"},
            {"stream": "02110400", "error": "cobs"},
            {"stream": "ff010200", "error": "cobs"},
            {"stream": "01" * 256 + "00", "error": "long"},
        ],
    }


def schemas() -> dict[str, Any]:
    found = []
    named: tuple[tuple[str, tuple[tuple[Any, ...], ...]], ...] = (
        ("streetlight", STREETLIGHT),
        ("water_meter", WATER_METER),
        ("air_quality", AIR_QUALITY),
    )
    for version in (2, 1):
        for class_id, (name, fields) in enumerate(named, 1):
            if version == 1:
                fields = tuple(field[:3] for field in fields[: OLD_FIELDS[name]])
            items: list[int | bytes] = [class_id, version]
            for field, scale, unit, *foretold in fields:
                items += [field.encode(), scale, unit.encode(), *foretold]
            digest = hashlib.sha256(wire.body(items)).digest()[:8]
            found.append({"name": name, "version": version, "fields": fields, "hash": digest.hex()})
    return {"schemas": found}


def _ccm(name: str, key: bytes, nonce: bytes, aad: bytes, plain: bytes) -> dict[str, str]:
    sealed = AESCCM(key, tag_length=8).encrypt(nonce, plain, aad)
    names = ("key", "nonce", "aad", "plain", "sealed")
    values = (key, nonce, aad, plain, sealed)
    return {"name": name} | {n: v.hex() for n, v in zip(names, values, strict=True)}


def _ccms() -> Iterator[dict[str, str]]:
    x = bytes.fromhex
    yield _ccm(
        "RFC 8613 C.4",
        x("f0910ed7295e6ad4b54fc793154302ff"),
        x("4622d4dd6d944168eefb549868"),
        x("8368456e63727970743040488501810a40411440"),
        x("01b3747631"),
    )
    yield _ccm(
        "RFC 3610 packet 1",
        bytes(range(0xC0, 0xD0)),
        x("00000003020100a0a1a2a3a4a5"),
        bytes(range(8)),
        bytes(range(8, 0x1F)),
    )
    for length in (0, 1, 15, 16, 17, 31, 32, 33, 64, 240):
        stuff = hashlib.shake_128(b"kerbwire %d" % length).digest(16 + 13 + length)
        aad = bytes(range(1 + length % 31))
        yield _ccm(f"{length} bytes", stuff[:16], stuff[16:29], aad, stuff[29:])


def crypto() -> dict[str, Any]:
    messages = (
        (b"\x0b" * 20, b"Hi There"),
        (b"Jefe", b"what do ya want for nothing?"),
        (b"\xaa" * 20, b"\xdd" * 50),
        (bytes(range(1, 26)), b"\xcd" * 50),
        (b"\xaa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First"),
    )
    secrets = (
        (bytes(range(13)), b"\x0b" * 22, bytes(range(0xF0, 0xFA)), 42),
        (bytes(range(0x60, 0xB0)), bytes(range(0x50)), bytes(range(0xB0, 0x100)), 82),
        (b"", b"\x0b" * 22, b"", 42),
        # RFC 8613 C.1.1: the sender key of its first test vector
        (
            bytes.fromhex("9e7ca92223786340"),
            bytes(range(1, 17)),
            bytes.fromhex("8540f60a634b657910"),
            16,
        ),
    )
    return {
        "ccm": list(_ccms()),
        "hmac": [
            {"key": k.hex(), "message": t.hex(), "mac": hmac.digest(k, t, "sha256").hex()}
            for k, t in messages
        ],
        "hkdf": [
            {
                "salt": salt.hex(),
                "secret": secret.hex(),
                "info": info.hex(),
                "length": length,
                "okm": wire.hkdf(salt, secret, info, length).hex(),
            }
            for salt, secret, info, length in secrets
        ],
    }


def session(address: int | None) -> wire.Session:
    digest = bytes.fromhex(schemas()["schemas"][0]["hash"])
    return wire.Session(PSK, GENERATION, NODE_ID, NODE_NONCE, GATEWAY_NONCE, address, digest)


CONTENT = bytes(range(150))
# Hash, size and block size.
OBJECT = (hashlib.sha256(CONTENT).digest()[:16], len(CONTENT), 100)

GIVEN: dict[str, Any] = {
    "node_id": NODE_ID.hex(),
    "generation": GENERATION,
    "key": PSK.hex(),
    "node_nonce": NODE_NONCE.hex(),
    "gateway_nonce": GATEWAY_NONCE.hex(),
    "boot_id": 9,
    "epoch": 77,
    "firmware": 0x000100,
    "first_rseq": 1,
    "next_rseq": 3,
    "uptime_s": 120,
    "period_s": 900,
    "command_id": 4,
    "config_version": 0,
    "build": "b0b1b2b3b4b5b6b7",
    "utc_ms": 1790000000000,
    "uncertainty_ms": 20,
    "keyframe": [3, 9, 900, [30, 245, 1000, 10, 12, 0]],
    "delta": [4, 9, 1803, [100, 801, 1018, 10, 11, 0]],
    "backfill": [1, 8, 70000, [0, 0, 982, 9, -4, 1]],
    "event": [5, 9, 1805, [2, 1]],
    "gap": [2, 2, 1],
    "command": [5, 1790000060, 1, [80, 30, 500]],
    "result": [5, 0, 80],
    "content": CONTENT.hex(),
}


def exchange(address: int | None) -> list[dict[str, str]]:
    """Every message once, in the order in which the tests bring them about."""
    g = GIVEN
    made = session(address)
    digest = made.schema_hash
    info = [g["boot_id"], g["epoch"], g["first_rseq"], g["next_rseq"], g["uptime_s"]]
    info += [g["period_s"], g["firmware"], g["command_id"], g["config_version"]]
    info.append(bytes.fromhex(g["build"]))
    up: list[tuple[str, int, wire.Items]] = [
        ("INFO", 1, [3, 3, digest, *info]),
        ("REPORT keyframe", 0, [4, 0, 3, 0, 900, *g["keyframe"][3]]),
        ("REPORT delta", 0, [4, 1, 3, 0b1010111, 70, 556, 18, -1, 3]),
        ("REPORT backfill", 0, [4, 0, 1, 8, 70000, *g["backfill"][3]]),
        ("EVENT", 0, [5, 5, 0, 1805, 2, 1]),
        ("GAP", 1, [6, 2, 2, 1]),
        ("RESULT", 1, [9, 5, 0, 80]),
        ("IDLE", 1, [10]),
        ("REPORT base unknown", 0, [4, 1, 200, 0]),
        ("ANCHOR", 0, [21, 6, 0, 1806, 250, 843315200, 7, 25]),
        ("DIAG", 1, [13, 1, 120000, 2, 0, 3, 17]),
        ("RESULT unsupported", 1, [9, 0, 4, 23]),
        ("RESULT of CONFIG", 1, [9, 0, 0, 14, 3]),
        ("OFFER up", 2, [15, 1, *OBJECT, 3]),
        ("WANT up", 2, [16, 2, 0, 3]),
        ("WANT up, next", 2, [16, 2, 1, 1]),
        ("WANT up, whole", 2, [16, 2, 2, 0]),
    ]
    # The mask of the delta has bits 0, 1, 2 and 4: level, power, energy, temperature; 6: dt.
    down: list[tuple[str, int, wire.Items]] = [
        ("POLL with time", 1, [7, 0, 0, 1, 0, 0, 0, 0, g["utc_ms"], g["uncertainty_ms"]]),
        ("POLL seen", 1, [7, 0, 0, 1, 1, 3, 1, 0]),
        ("POLL kept", 1, [7, 1, 0, 1, 1, 4, 3, 1, 2, 1]),
        ("CMD", 1, [8, 5, 1790000060, 1, 80, 30, 500]),
        ("NEED_KEYFRAME", 1, [11]),
        ("a type of the future", 1, [23, 1, b"2"]),
        ("CONFIG", 1, [14, 3, 1, 60, 2, bytes((0, 0, 100, 2, 88, 30))]),
        ("WANT down", 2, [16, OBJECT[0][:8]]),
        ("OFFER down", 2, [15, 2, *OBJECT, 2]),
        ("BLOCK 0", 2, [17, 2, 0, CONTENT[:100]]),
        ("BLOCK 1", 2, [17, 2, 1, CONTENT[100:]]),
    ]
    frames = [
        ("HELLO", made.hello()),
        ("WELCOME", made.welcome()),
        ("HELLO?", wire.plain(1, address, [2])),
    ]
    for direction, messages in ((wire.UP, up), (wire.DOWN, down)):
        for fseq, (name, class_, items) in enumerate(messages):
            frames.append((name, made.seal(direction, class_, fseq, wire.body(items))))
    return [
        {"name": name, "frame": frame.hex(), "stream": wire.cobs(frame).hex()}
        for name, frame in frames
    ]


BATCHED = {"streetlight": (STREETLIGHT, 900), "water_meter": (WATER_METER, 86400)} | {
    "air_quality": (AIR_QUALITY, 600)
}


def packed() -> dict[str, Any]:
    made = batches(GIVEN, BATCHED)
    digest = schemas()["schemas"][0]["hash"]
    return {"given": GIVEN, "batches": [*made, named(made[1], digest)]}


def heard() -> list[dict[str, Any]]:
    newest = {each["name"]: each["hash"] for each in reversed(schemas()["schemas"])}
    return received(session(None), BATCHED, newest)


def keys() -> dict[str, Any]:
    made = session(None)
    return {
        "ratchet": {"key": PSK.hex(), "next": wire.ratchet(PSK).hex()},
        "up_key": made.derived(b"\x00", "Key", 16).hex(),
        "down_key": made.derived(b"\x01", "Key", 16).hex(),
        "common_iv": made.derived(b"", "IV", 13).hex(),
        "nonces": [
            {"direction": d, "fseq": fseq, "nonce": made.nonce(d, fseq).hex()}
            for d in (wire.UP, wire.DOWN)
            for fseq in (0, 1, 0xFFFF, 0x10000, (1 << 40) - 1)
        ],
    }


def contents() -> dict[str, str]:
    """Name and text of every file."""
    made = {
        "cbor": cbor(),
        "cobs": cobs(),
        "schemas": schemas(),
        "crypto": crypto(),
        "keys": {"given": GIVEN} | keys(),
        "batch": packed(),
        "exchange": {"given": GIVEN, "stream": exchange(None), "datagram": exchange(7)},
        "bus": {"given": GIVEN, "frames": bus(session(7), GIVEN)},
        "received": {"given": GIVEN, "ends": heard()},
        "malformed": {"given": GIVEN, "frames": malformed(session(None))},
        "updates": updates(),
        "claim": claim(),
    }
    return {name: json.dumps(data, indent=1) + "\n" for name, data in made.items()}


def main() -> int:
    stale = []
    for name, text in contents().items():
        file = FOLDER / f"{name}.json"
        if not file.exists() or file.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                file.write_text(text)
    if "--check" in sys.argv and stale:
        print("vectors differ from what tools/vectors.py makes:", *stale)
        return 1
    print("vectors:", "rewrote " + ", ".join(stale) if stale else "nothing to change")
    return 0


if __name__ == "__main__":
    sys.exit(main())
