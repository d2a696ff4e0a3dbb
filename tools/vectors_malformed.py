"""Frames that an engine must refuse, each with the code of the fault that it must tell."""

from collections.abc import Iterator
from dataclasses import replace

from tools import second_batch
from tools import second_wire as wire

UP, DOWN = wire.UP, wire.DOWN
REPORT, CONTROL, OBJECT = wire.REPORT_CLASS, wire.CONTROL_CLASS, wire.OBJECT_CLASS

Case = dict[str, str]
BIG = 1 << 63

# What the gateway refuses in a session that is up: (name, class, items, error).
TO_GATEWAY: tuple[tuple[str, int, wire.Items, str], ...] = (
    ("no type", CONTROL, [], "type"),
    ("type is a byte string", CONTROL, [b"\x0a"], "type"),
    ("unknown type", CONTROL, [23], "type"),
    ("a type of the gateway", CONTROL, [7, 0, 0, 1, 0, 0], "type"),
    ("a HELLO, sealed", CONTROL, [0, b"sl-0001", 5, bytes(8)], "type"),
    ("REPORT in class 1", CONTROL, [4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], "class"),
    ("IDLE in class 0", REPORT, [10], "class"),
    ("IDLE in class 2", wire.OBJECT_CLASS, [10], "class"),
    ("65 items", CONTROL, [10] * 65, "cbor"),
    ("REPORT cut short", REPORT, [4, 0, 1, 0], "value"),
    ("delta cut short", REPORT, [4, 1, 9], "value"),
    ("keyframe without a field", REPORT, [4, 0, 1, 0, 0], "value"),
    ("keyframe with a field too many", REPORT, [4, 0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8], "value"),
    ("keyframe with a byte string", REPORT, [4, 0, 1, 0, 0, 1, 2, 3, 4, 5, b""], "value"),
    ("rseq 0", REPORT, [4, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6], "value"),
    ("rseq of 2^40", REPORT, [4, 0, 1 << 40, 0, 0, 1, 2, 3, 4, 5, 6], "value"),
    ("negative rseq", REPORT, [4, 0, -1, 0, 0, 1, 2, 3, 4, 5, 6], "value"),
    ("boot id of 2^32", REPORT, [4, 0, 1, 1 << 32, 0, 1, 2, 3, 4, 5, 6], "value"),
    ("uptime of 2^32", REPORT, [4, 0, 1, 0, 1 << 32, 1, 2, 3, 4, 5, 6], "value"),
    ("negative uptime", REPORT, [4, 0, 1, 0, -1, 1, 2, 3, 4, 5, 6], "value"),
    ("value past 63 bit", REPORT, [4, 0, 1, 0, 0, 1, 2, 3, 4, 5, BIG], "value"),
    ("value below -2^63", REPORT, [4, 0, 1, 0, 0, 1, 2, 3, 4, 5, -BIG - 1], "value"),
    ("delta without its base", REPORT, [4, 1, 9, 0], "base"),
    ("delta of a negative n", REPORT, [4, -1, 9, 0], "value"),
    ("delta too far from its base", REPORT, [4, 4097, 9, 0], "value"),
    ("base of 256", REPORT, [4, 1, 256, 0], "value"),
    ("mask beyond the fields", REPORT, [4, 1, 9, 1 << 33], "value"),
    ("negative mask", REPORT, [4, 1, 9, -1], "value"),
    ("EVENT cut short", REPORT, [5, 1, 0, 0, 2], "value"),
    ("EVENT of rseq 0", REPORT, [5, 0, 0, 0, 2, 1], "value"),
    ("EVENT with a value past 63 bit", REPORT, [5, 1, 0, 0, 2, BIG], "value"),
    ("EVENT with a byte string", REPORT, [5, 1, 0, 0, 2, b"x"], "value"),
    ("ANCHOR cut short", REPORT, [21, 1, 0, 0, 0, 1, 0], "value"),
    ("ANCHOR with 1000 ms of uptime", REPORT, [21, 1, 0, 0, 1000, 1, 0, 0], "value"),
    ("ANCHOR before 2000", REPORT, [21, 1, 0, 0, 0, -1, 0, 0], "value"),
    ("ANCHOR with -1 ms of UTC", REPORT, [21, 1, 0, 0, 0, 1, -1, 0], "value"),
    ("ANCHOR of no certainty at all", REPORT, [21, 1, 0, 0, 0, 1, 0, 1 << 31], "value"),
    ("ANCHOR in class 1", CONTROL, [21, 1, 0, 0, 0, 1, 0, 0], "class"),
    ("DIAG whose keys fall", CONTROL, [13, 2, 0, 1, 0], "value"),
    ("DIAG without the last value", CONTROL, [13, 1], "value"),
    ("DIAG of 17 pairs", CONTROL, [13, *(n // 2 + 1 for n in range(34))], "value"),
    ("GAP cut short", CONTROL, [6, 1, 2], "value"),
    ("GAP that ends before it starts", CONTROL, [6, 2, 1, 1], "value"),
    ("GAP from 0", CONTROL, [6, 0, 1, 1], "value"),
    ("GAP to 2^40", CONTROL, [6, 1, 1 << 40, 1], "value"),
    ("GAP for reason 256", CONTROL, [6, 1, 2, 256], "value"),
    ("RESULT cut short", CONTROL, [9, 5, 0], "value"),
    ("RESULT with a byte string", CONTROL, [9, 5, 0, b""], "value"),
    ("OFFER in class 1", CONTROL, [15, 1, bytes(16), 9, 9, 1], "class"),
    ("OFFER by a hash of 15", OBJECT, [15, 1, bytes(15), 9, 9, 1], "value"),
    ("OFFER of blocks of 225", OBJECT, [15, 1, bytes(16), 900, 225, 1], "value"),
    ("WANT cut short", OBJECT, [16, 1, 0], "value"),
)

# What the node refuses in a session that is up.
TO_NODE: tuple[tuple[str, int, wire.Items, str], ...] = (
    ("no type", CONTROL, [], "type"),
    ("unknown type", CONTROL, [23], "type"),
    ("a type of the node", CONTROL, [10], "type"),
    ("a REPORT from the gateway", REPORT, [4, 0, 1, 0, 0, 1, 2, 3, 4, 5, 6], "type"),
    ("POLL in class 0", REPORT, [7, 0, 0, 1, 0, 0], "class"),
    ("POLL cut short", CONTROL, [7, 0, 0, 1, 0], "value"),
    ("POLL with a byte string", CONTROL, [7, 0, 0, 1, 0, b""], "value"),
    ("POLL keeps more than it has seen", CONTROL, [7, 1, 2, 1, 0, 0], "value"),
    ("POLL keeps more than all", CONTROL, [7, 1, -1, 1, 0, 0], "value"),
    ("POLL with five spans", CONTROL, [7, 0, 0, 1, 5, *[2, 1] * 5, 0], "value"),
    ("POLL whose spans are cut short", CONTROL, [7, 0, 0, 1, 2, 9, 1], "value"),
    ("POLL with an empty span", CONTROL, [7, 0, 0, 1, 1, 2, 0, 0], "value"),
    ("POLL with a span without a gap", CONTROL, [7, 0, 0, 1, 1, 0, 1, 0], "value"),
    ("POLL with a span below its start", CONTROL, [7, 9, 0, 1, 1, 2, 3, 0], "value"),
    ("POLL with a span to 2^40", CONTROL, [7, 0, 0, 1, 1, 1 << 40, 1, 0], "value"),
    ("time offer held for less than nothing", CONTROL, [7, 0, 0, 1, 0, 0, 0, -1, 1, 1], "value"),
    ("time offer of no time", CONTROL, [7, 0, 0, 1, 0, 0, 0, 0, 0, 1], "value"),
    ("time offer without certainty", CONTROL, [7, 0, 0, 1, 0, 0, 0, 0, 1, -1], "value"),
    ("CMD cut short", CONTROL, [8, 1, 1], "value"),
    ("CMD of id 0", CONTROL, [8, 0, 1, 1], "value"),
    ("CMD that expires before 1970", CONTROL, [8, 1, -1, 1], "value"),
    ("CMD with nine arguments", CONTROL, [8, 1, 1, 1, *range(9)], "value"),
    ("CMD with a byte string", CONTROL, [8, 1, 1, 1, b""], "value"),
    ("CONFIG without a version", CONTROL, [14], "value"),
    ("CONFIG of version 0", CONTROL, [14, 0], "value"),
    ("CONFIG whose keys fall", CONTROL, [14, 1, 2, 0, 1, 0], "value"),
    ("CONFIG with a key of bytes", CONTROL, [14, 1, b"1", 0], "value"),
    ("CONFIG without the last value", CONTROL, [14, 1, 1], "value"),
    ("CONFIG with a value past 63 bit", CONTROL, [14, 1, 1, BIG], "value"),
    ("OFFER of nothing", OBJECT, [15, 1, bytes(16), 0, 9, 1], "value"),
    ("WANT by a hash of 7", OBJECT, [16, bytes(7)], "value"),
    ("BLOCK that nobody offered", OBJECT, [17, 1, 0, b"x"], "object"),
)


def _case(to: str, state: str, name: str, frame: bytes, error: str) -> Case:
    return {"to": to, "state": state, "name": name, "frame": frame.hex(), "error": error}


def _headers(session: wire.Session) -> Iterator[Case]:
    good = session.seal(UP, CONTROL, 1, b"\x0a")
    parity = session.generation & 1
    info = wire.body([3, 1, session.schema_hash, 9, 77, 1, 3, 120, 900, 256, 4, 0])
    bodies = (
        ("a CBOR head cut short", b"\x0a\x18"),
        ("a float", b"\x0a\xf9\x00\x00"),
        ("an array", b"\x81\x0a"),
        ("not the shortest form", b"\x18\x0a"),
    )
    frames = [
        ("one byte", good[:1], "short"),
        ("no room for a tag", good[:10], "short"),
        ("layout 0", bytes((good[0] & 0x3F,)) + good[1:], "layout"),
        ("layout 2", bytes((good[0] & 0x3F | 0x80,)) + good[1:], "layout"),
        ("layout 3", bytes((good[0] | 0xC0,)) + good[1:], "layout"),
        ("our own direction", session.seal(DOWN, CONTROL, 1, b"\x0a"), "direction"),
        (
            "the other parity",
            session.seal(UP, CONTROL, 1, b"\x0a", parity=1 - parity),
            "unknown_session",
        ),
        ("a bit of the tag", good[:-1] + bytes((good[-1] ^ 1,)), "tag"),
        ("a bit of the ciphertext", good[:3] + bytes((good[3] ^ 1,)) + good[4:], "tag"),
        ("a bit of the number", good[:2] + bytes((good[2] ^ 2,)) + good[3:], "tag"),
        ("a cut tail", good[:-1], "tag"),
        ("a tail too long", good + b"\0", "tag"),
        ("INFO again, byte for byte", session.seal(UP, CONTROL, 0, info), "replay"),
        ("a number long gone", session.seal(UP, CONTROL, 0xFFFF, b"\x0a"), "replay"),
    ]
    frames += [(name, session.seal(UP, CONTROL, 1, body), "cbor") for name, body in bodies]
    nameless = replace(session, schema_hash=b"")
    report = wire.body([4, 0, 1, 0, 0, 1, 2, 3, 4, 5, 6])
    frames.append(("a report without its schema", nameless.seal(UP, REPORT, 1, report), "tag"))
    for name, frame, error in frames:
        yield _case("gateway", "up", name, frame, error)


def _greetings(session: wire.Session) -> Iterator[Case]:
    def hello(items: wire.Items, key: bytes = session.key) -> bytes:
        data = wire.plain(UP, None, items)
        return data + wire.mac(key, data)

    def welcome(items: wire.Items) -> bytes:
        data = wire.plain(DOWN, None, items)
        return data + wire.mac(session.key, data + session.node_nonce)

    node, nonce = session.node_id, bytes(8)
    following = wire.ratchet(session.key)
    to_gateway = [
        ("HELLO without a body", wire.plain(UP, None, []) + b"\x00", "short"),
        ("HELLO of another node", hello([0, b"sl-0002", 6, nonce], following), "unknown_node"),
        ("HELLO of a lower generation", hello([0, node, 5, nonce]), "generation"),
        ("HELLO too far ahead", hello([0, node, 1007, nonce]), "generation"),
        ("HELLO with a wrong key", hello([0, node, 6, nonce]), "mac"),
        ("HELLO with an item too few", hello([0, node, 6], following), "type"),
        ("HELLO with a nonce of 7", hello([0, node, 6, bytes(7)], following), "value"),
        ("HELLO of a negative generation", hello([0, node, -1, nonce], following), "value"),
        ("HELLO with an id of 17", hello([0, bytes(17), 6, nonce], following), "value"),
        ("WELCOME to a gateway", wire.plain(UP, None, [1, 6, nonce, 0]) + bytes(8), "type"),
        ("plain in our own direction", welcome([1, 6, nonce, 0]), "direction"),
    ]
    to_node = [
        ("WELCOME with a wrong MAC", session.welcome()[:-1] + b"\0", "mac"),
        ("WELCOME of another generation", welcome([1, 6, session.gateway_nonce, 0]), "mac"),
        ("WELCOME with an item too few", welcome([1, 5, session.gateway_nonce]), "type"),
        ("WELCOME with a nonce of 9", welcome([1, 5, bytes(9), 0]), "value"),
        ("WELCOME with the address of all", welcome([1, 5, session.gateway_nonce, 255]), "value"),
        ("DISCOVER in its short form, on a line of its own", wire.plain(DOWN, None, [18]), "type"),
        ("HELLO to a node", session.hello(), "direction"),
    ]
    yield from (_case("gateway", "up", *case) for case in to_gateway)
    yield from (_case("node", "greeting", *case) for case in to_node)


def _infos(session: wire.Session) -> Iterator[Case]:
    good: list[int | bytes] = [3, 1, session.schema_hash, 9, 77, 1, 3, 120, 900, 256, 4, 0]
    cases: list[tuple[str, list[int | bytes], str]] = [
        ("IDLE before INFO", [10], "type"),
        ("INFO cut short", good[:-1], "value"),
        ("INFO of a message set long gone", [3, 0, *good[2:]], "version"),
        ("INFO with a hash of 7", [*good[:2], bytes(7), *good[3:]], "value"),
        ("INFO without a hash", [*good[:2], 0, *good[3:]], "value"),
        ("INFO of boot 0", [*good[:3], 0, *good[4:]], "value"),
        ("INFO of an epoch of 2^32", [*good[:4], 1 << 32, *good[5:]], "value"),
        ("INFO with a negative uptime", [*good[:7], -1, *good[8:]], "value"),
        ("INFO with a byte string", [*good[:11], b""], "value"),
        ("INFO of set 3 with a build of 7", [3, 3, *good[2:], bytes(7)], "value"),
        ("INFO of set 3 with a number for a build", [3, 3, *good[2:], 8], "value"),
    ]
    for name, items, error in cases:
        frame = session.seal(UP, CONTROL, 0, wire.body(items))
        yield _case("gateway", "confirming", name, frame, error)


# Schemas that no batch of a streetlight may name.
OTHERS = (
    ("its version 1, which foretells nothing", format(0xB187B8AE010439DD, "064b")),
    ("a schema of another class", format(0x53EDB601C2A1763E, "064b")),
)


def _batches(session: wire.Session) -> Iterator[Case]:
    """Each body from its bits: schema flag, n - 1, rseq, distance, then what is to be refused."""
    whole, gamma = second_batch.whole, second_batch.gamma
    one = "0" + gamma(0) + whole(1)
    row = "0" + whole(0) + whole(0) * 7  # own boot, uptime 0, values 0
    good = one + gamma(0) + row + "0" * 8
    pad = "0" * (-len(good) % 8)
    long = "0" + gamma(47) + whole(1) + gamma(0) + row
    texts = (
        ("BATCH of nothing", "", "value"),
        ("BATCH cut short", good[:-9], "value"),
        ("BATCH with a byte too many", good + pad + "0" * 8, "value"),
        ("BATCH whose last bits are none", good + "1", "value"),
        ("BATCH of 49 records", "0" + gamma(48) + whole(1) + gamma(0) + row + "0" * 8, "value"),
        ("BATCH with a count without end", "0" + "1" * 60, "value"),
        ("BATCH of rseq 0", "0" + gamma(0) + whole(0) + gamma(0) + row + "0" * 8, "value"),
        (
            "BATCH to 2^40",
            "0" + gamma(1) + whole((1 << 40) - 1) + gamma(0) + row + "0" * 8,
            "value",
        ),
        ("BATCH of boot 2^32", one + gamma(0) + "1" + whole(1 << 32) + row[1:] + "0" * 8, "value"),
        (
            "BATCH of boot 0, said whole",
            one + gamma(0) + "1" + whole(0) + row[1:] + "0" * 8,
            "value",
        ),
        ("BATCH with a count of 17 bits", "0" + "1" * 16 + "0" * 60, "value"),
        ("BATCH too far from its base", "0" + gamma(0) + whole(9000) + gamma(4097), "value"),
        ("BATCH without its base", "0" + gamma(0) + whole(9) + gamma(1) + "0" * 8, "base"),
        ("BATCH in a schema unknown", "1" + "01" * 32 + good[1:], "schema"),
        *((f"BATCH in {what}", "1" + bits + good[1:], "schema") for what, bits in OTHERS),
        (
            "BATCH before its boot",
            one + gamma(0) + row + "1" + "0001" + "1" + "10" + "0" * 7,
            "value",
        ),
        (
            "BATCH with more than there is",
            long + "1" + "0000" + "0" + "0000" + second_batch.rice(49, 3),
            "value",
        ),
        (
            "BATCH with a gap beyond its end",
            one + gamma(0) + row + "1" + "0000" + "0" + "0000" + "10" + "10",
            "value",
        ),
        (
            "BATCH with a value past 63 bit",
            one + gamma(0) + row + "0" + "1" + "0001" + "0" + "1" * 8 + whole(1 << 63) + "0" * 6,
            "value",
        ),
    )
    for name, bits, error in texts:
        body = b"\x0c" + second_batch.packed(bits)
        yield _case("gateway", "up", name, session.seal(UP, REPORT, 1, body), error)
    in_control = session.seal(UP, CONTROL, 1, b"\x0c" + second_batch.packed(good))
    yield _case("gateway", "up", "BATCH in class 1", in_control, "class")


def malformed(session: wire.Session) -> list[Case]:
    cases = [*_headers(session), *_greetings(session), *_infos(session), *_batches(session)]
    for to, direction, table in (("gateway", UP, TO_GATEWAY), ("node", DOWN, TO_NODE)):
        for name, class_, items, error in table:
            frame = session.seal(direction, class_, 1, wire.body(items))
            cases.append(_case(to, "up", name, frame, error))
    return cases
