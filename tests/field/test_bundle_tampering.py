"""Whatever somebody does to a bundle, it is refused, and the refusal says what was done."""

import gzip
import io
import json
import random
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

import pytest

from kerbline.bundle import REASONS, Bundle, BundleFault, archive, demand, ed25519, loads
from kerbline.bundle.root import Root
from kerbwire import lms, manifest, release
from tests.field import releases

JSON = "bundle.json"
COSE = "manifest.cose"
APPROVAL = "bundle.ed25519"
IMAGE = b"\xe9" + bytes(99)
FLIPS = 400
Members = dict[str, bytes]


@cache
def old() -> bytes:
    """The release before."""
    return releases.signed(sequence=6, files=releases.with_files({"kerbnode/sun.mpy": b"M" * 300}))


@cache
def good() -> bytes:
    """A release with all that one can have."""
    earlier = loads(old(), "old", releases.key().root)
    made = releases.following(earlier, image=IMAGE, expires_s=900_000_000)
    return releases.key().signed(made)


def members() -> Members:
    return archive.unpacked(good(), "good")


def sealed(changed: Members) -> bytes:
    """With the SHA-256 of its members and an Ed25519 signature that fits."""
    told = json.loads(changed[JSON])
    told["members"] = {
        name: sha256(content).hexdigest()
        for name, content in changed.items()
        if name not in (JSON, APPROVAL)
    }
    return approved(changed, json.dumps(told, indent=1, sort_keys=True).encode() + b"\n")


def approved(changed: Members, told: bytes) -> bytes:
    """With that bundle.json, signed by the owner of Ed25519 alone."""
    key = releases.key()
    approval = key.root.fingerprint + ed25519.sign(told, key.private)
    return archive.packed({**changed, JSON: told, APPROVAL: approval})


def put(name: str, content: bytes | None) -> bytes:
    """One member is another one, or is not there; nothing else fits it."""
    changed = members()
    if content is None:
        del changed[name]
    else:
        changed[name] = content
    return archive.packed(changed)


def resealed(name: str, content: bytes | None) -> bytes:
    """As `put`, by the owner of Ed25519."""
    changed = archive.unpacked(put(name, content), "changed")
    return sealed(changed)


def retold(**changes: object) -> bytes:
    """Another bundle.json, by the owner of Ed25519."""
    told = {**json.loads(members()[JSON]), **changes}
    return approved(members(), json.dumps(told, indent=1, sort_keys=True).encode() + b"\n")


def reworded(before: bytes, after: bytes) -> bytes:
    """Other bytes in bundle.json, by the owner of Ed25519."""
    told = members()[JSON]
    assert before in told
    return approved(members(), told.replace(before, after, 1))


def flipped(data: bytes, at: int, bit: int = 1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= bit
    return bytes(changed)


def signature(change: Callable[[bytes], bytes], *, whole: bool = False) -> bytes:
    """Another HSS signature over the same manifest, sealed by the owner of Ed25519."""
    plain, signed = release.split(members()[COSE])
    changed = change(signed)
    cose = release.joined(plain, changed)
    if whole:
        assert len(changed) == lms.SIGNATURE_BYTES
    return resealed(COSE, cose)


def tar(change: Callable[[tarfile.TarInfo], None], format_: int = tarfile.USTAR_FORMAT) -> bytes:
    """Packed by another program, the second member changed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as made:
        for index, (name, content) in enumerate(sorted(members().items())):
            about = tarfile.TarInfo(name)
            about.size = len(content)
            if index == 1:
                change(about)
            made.addfile(about, io.BytesIO(content))
    return out.getvalue()


def attribute(**values: object) -> bytes:
    def change(about: tarfile.TarInfo) -> None:
        for name, value in values.items():
            setattr(about, name, value)

    return tar(change)


def inserted(name: str, content: bytes, behind: str) -> bytes:
    """The archive with a member more, at a place of our choice."""
    out = b""
    for each, data in sorted(members().items()):
        out += archive.packed({each: data})[:-1024]
        if each == behind:
            out += archive.packed({name: content})[:-1024]
    return out + bytes(1024)


def header_of(name: str) -> int:
    at = 0
    for each, content in sorted(members().items()):
        if each == name:
            return at
        at += 512 + len(content) + -len(content) % 512
    raise KeyError(name)


def with_header(name: str, at: int, value: bytes) -> bytes:
    """Other bytes in a member's header, whose sum fits."""
    data = bytearray(good())
    start = header_of(name)
    data[start + at : start + at + len(value)] = value
    data[start + 148 : start + 156] = b" " * 8
    data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    return bytes(data)


def of_maker(**changes: object) -> bytes:
    """Both signatures fit: the maker's program was wrong. Changes are of the manifest."""
    changed = members()
    plain = manifest.decode(release.split(changed[COSE])[0])
    for name, value in changes.items():
        setattr(plain, name, value)
    data = manifest.encoded(plain)
    changed[COSE] = releases.key().manifest(data)
    told = json.loads(changed[JSON])
    told["sequence"] = plain.sequence
    told["build"] = manifest.build_id(data).hex()
    told["objects"] = {name: digest.hex() for name, _, digest in plain.entries}
    changed[JSON] = json.dumps(told, indent=1, sort_keys=True).encode() + b"\n"
    return sealed(changed)


def an_object(index: int = 0) -> str:
    return [name for name in sorted(members()) if name.startswith("objects/")][index]


def wrong_sizes() -> bytes:
    entries = manifest.decode(release.split(members()[COSE])[0]).entries
    return of_maker(entries=tuple((name, size + 1, digest) for name, size, digest in entries))


def swapped() -> bytes:
    changed = members()
    one, two = an_object(0), an_object(1)
    changed[one], changed[two] = changed[two], changed[one]
    return sealed(changed)


def renamed_object() -> bytes:
    return resealed("objects/" + "0" * 32, members()[an_object()])


def both_manifests() -> bytes:
    return resealed("manifest.kbm", release.split(members()[COSE])[0])


def garbage_manifest() -> bytes:
    return resealed(COSE, releases.key().manifest(b"KBM1 and no more"))


def without_signature() -> bytes:
    return archive.packed({n: c for n, c in members().items() if n != APPROVAL})


def under_our_name() -> bytes:
    """Signed by somebody else who calls himself as our root."""
    theirs = archive.unpacked(releases.signed(by="x"), "theirs")
    approval = releases.key().root.fingerprint + theirs[APPROVAL][8:]
    return archive.packed({**theirs, APPROVAL: approval})


def bomb() -> bytes:
    """A bundle within gzip: it would inflate to more than it is."""
    return gzip.compress(bytes(8 << 20) + good(), mtime=0)


def other_alg() -> bytes:
    return resealed(COSE, members()[COSE].replace(b"\xa1\x01\x38\x2d", b"\xa1\x01\x38\x2e", 1))


def by_stranger(plain_of: Callable[[], bytes] = lambda: release.split(members()[COSE])[0]) -> bytes:
    return resealed(COSE, releases.key("x").manifest(plain_of()))


def ordered_badly() -> bytes:
    parts = [archive.packed({n: c})[:-1024] for n, c in sorted(members().items())]
    return b"".join([*parts[1:], parts[0]]) + bytes(1024)


def parts_name() -> str:
    return next(name for name in members() if name.startswith("parts/"))


def old_cose() -> bytes:
    return archive.unpacked(old(), "old")[COSE]


def next_root() -> list[str]:
    root = releases.stranger()
    return [root.ed25519.hex(), root.hss.hex()]


def other_parts(**changes: object) -> bytes:
    patches = json.loads(members()[JSON])["patches"]
    return retold(patches=[{**patches[0], **changes}])


def other_stream(change: Callable[[bytes], bytes]) -> bytes:
    """Parts that say they are for this build, and aren't what they should be."""
    changed, name = members(), parts_name()
    changed[name] = changed[name][:12] + change(changed[name][12:])
    told = json.loads(changed[JSON])
    told["patches"][0]["size"] = len(changed[name])
    told["patches"][0]["sha256"] = sha256(changed[name]).hexdigest()
    changed[JSON] = json.dumps(told, indent=1, sort_keys=True).encode() + b"\n"
    return sealed(changed)


def raw(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -10)
    return deflate.compress(data) + deflate.flush()


@dataclass(frozen=True)
class Case:
    """One thing that somebody may do, and the reason that names it."""

    what: str
    reason: str
    made: Callable[[], bytes]


CASES = [
    # the archive
    Case("an empty file", "not-a-bundle", lambda: b""),
    Case("some other file", "not-a-bundle", lambda: b"#!/bin/sh\n" * 100),
    Case("a bomb of gzip", "not-a-bundle", bomb),
    Case("cut in half", "truncated", lambda: good()[: len(good()) // 2]),
    Case("cut at a header", "truncated", lambda: good()[: header_of("sbom.cdx.json")]),
    Case("its end cut off", "truncated", lambda: good()[:-512]),
    Case("a byte more", "trailing", lambda: good() + b"\0"),
    Case("an archive behind it", "trailing", lambda: good() + old()),
    Case("something between its end's blocks", "trailing", lambda: flipped(good(), -1)),
    Case("more than any bundle", "too-large", lambda: with_header(JSON, 124, b"77777777777\0")),
    Case("a member of 300 kB", "too-large", lambda: with_header("start/boot.py", 128, b"1111111")),
    Case("a bit in a header", "header", lambda: flipped(good(), header_of(COSE) + 3)),
    Case("no magic in a header", "header", lambda: with_header(COSE, 257, b"vstar")),
    Case("a size that is no number", "header", lambda: with_header(COSE, 124, b"zzzzzzzzzzz\0")),
    Case("something in a gap", "padding", lambda: flipped(good(), header_of(COSE) - 1)),
    Case("a time", "metadata", lambda: attribute(mtime=1_700_000_000)),
    Case("an owner", "metadata", lambda: attribute(uid=1000)),
    Case("an owner's name", "metadata", lambda: attribute(uname="root")),
    Case("a mode", "metadata", lambda: attribute(mode=0o4755)),
    Case("a size in other digits", "metadata", lambda: with_header(COSE, 135, b" ")),
    Case("a symbolic link", "member-type", lambda: with_header("start/boot.py", 156, b"2/etc")),
    Case("a hard link", "member-type", lambda: with_header("start/boot.py", 156, b"1main.py")),
    Case("a device", "member-type", lambda: with_header("start/boot.py", 156, b"3")),
    Case("a folder", "member-type", lambda: with_header("start/boot.py", 156, b"5")),
    Case("a pax header", "member-type", lambda: with_header("start/boot.py", 156, b"x")),
    Case("a path upwards", "member-name", lambda: with_header("start/boot.py", 0, b"../..")),
    Case("a path from the root", "member-name", lambda: with_header("start/boot.py", 0, b"/")),
    Case("a path within", "member-name", lambda: with_header("start/boot.py", 5, b"/../x/")),
    Case("a path by its prefix", "member-name", lambda: with_header(COSE, 345, b"/etc")),
    Case("another order", "member-order", ordered_badly),
    Case("a member twice", "member-twice", lambda: inserted(COSE, b"other", COSE)),
    Case("a member more", "member-unknown", lambda: put("start/run.py", b"evil")),
    Case("a member of no kind", "member-unknown", lambda: with_header("image.bin", 0, b"lmage")),
    Case("a member less", "member-missing", lambda: put("start/boot.py", None)),
    Case("no bundle.json", "member-missing", lambda: put(JSON, None)),
    # bundle.json
    Case("no JSON", "json", lambda: approved(members(), b"{")),
    Case("JSON without bottom", "json", lambda: approved(members(), b"[" * 100_000)),
    Case("a number without end", "json", lambda: approved(members(), b"9" * 100_000)),
    Case("a list for all", "json", lambda: approved(members(), b"[]\n")),
    Case("a key more", "json", lambda: retold(more=1)),
    Case("a text for a number", "json", lambda: retold(sequence="7")),
    Case("true for a number", "json", lambda: retold(sequence=True)),
    Case("a path for a hash", "json", lambda: retold(objects={"kerbnode/app.mpy": "../../x"})),
    Case("a key twice", "json-twice", lambda: reworded(b"{\n", b'{\n "sequence": 9,\n')),
    Case("another layout", "json-form", lambda: reworded(b"{\n", b"{ \n")),
    Case("a later format", "format", lambda: retold(format=2)),
    # signatures
    Case("not signed", "unsigned", releases.unsigned),
    Case("its approval gone", "unsigned", without_signature),
    Case("signed by others", "wrong-root", lambda: releases.signed(by="x")),
    Case("signed by others in our name", "ed25519", under_our_name),
    Case(
        "Ed25519 alone is wrong", "ed25519", lambda: put(APPROVAL, flipped(members()[APPROVAL], 9))
    ),
    Case("Ed25519 is cut", "ed25519", lambda: put(APPROVAL, members()[APPROVAL][:-1])),
    Case("a bit in bundle.json", "ed25519", lambda: put(JSON, flipped(members()[JSON], 77))),
    Case("HSS alone is wrong", "hss", lambda: signature(lambda s: flipped(s, 700))),
    Case("HSS by others", "hss", by_stranger),
    Case("a bit in the manifest", "hss", lambda: resealed(COSE, flipped(members()[COSE], 60))),
    Case("the index of another", "hss", lambda: signature(lambda s: flipped(s, 7))),
    Case("no such index", "hss-index", lambda: signature(lambda s: flipped(s, 6, 8))),
    Case("two levels", "hss-type", lambda: signature(lambda s: flipped(s, 3))),
    Case("another LM-OTS type", "hss-type", lambda: signature(lambda s: flipped(s, 11))),
    Case("another LMS type", "hss-type", lambda: signature(lambda s: flipped(s, 1263))),
    Case("HSS is cut", "cose", lambda: resealed(COSE, members()[COSE][:-24])),
    Case("bytes behind HSS", "cose", lambda: resealed(COSE, members()[COSE] + b"\0")),
    Case("another algorithm", "cose", other_alg),
    # what is inside
    Case(
        "the manifest is another",
        "manifest-changed",
        lambda: put(COSE, flipped(members()[COSE], 60)),
    ),
    Case("an object is another", "object-changed", lambda: put(an_object(), b"evil")),
    Case("the parts are others", "parts-changed", lambda: put(parts_name(), b"evil")),
    Case("main.py is another", "start-changed", lambda: put("start/main.py", b"evil")),
    Case("the image is another", "image-changed", lambda: put("image.bin", b"evil")),
    Case("the bill is another", "sbom-changed", lambda: put("sbom.cdx.json", b"{}\n")),
    Case("two manifests", "manifest", both_manifests),
    Case("no manifest in the manifest", "manifest", garbage_manifest),
    Case("bundle.json tells another board", "manifest-differs", lambda: retold(board="sim")),
    Case("bundle.json tells a sequence", "manifest-differs", lambda: retold(sequence=9)),
    Case("bundle.json never expires", "manifest-differs", lambda: retold(expires_s=0)),
    Case(
        "bundle.json tells a next root", "manifest-differs", lambda: retold(next_root=next_root())
    ),
    Case("bundle.json tells a commit", "manifest-differs", lambda: retold(commit="0" * 40)),
    Case("bundle.json tells a version", "manifest-differs", lambda: retold(version="9.9.9")),
    Case("bundle.json tells a build", "manifest-differs", lambda: retold(build="0" * 16)),
    Case("bundle.json tells no objects", "manifest-differs", lambda: retold(objects={})),
    Case("the manifest of before", "manifest-differs", lambda: resealed(COSE, old_cose())),
    Case("two objects swapped", "object-swapped", swapped),
    Case("an object less", "object-missing", lambda: resealed(an_object(), None)),
    Case("an object more", "object-unknown", renamed_object),
    Case("the manifest tells other sizes", "object-size", wrong_sizes),
    Case("parts from another build", "parts", lambda: other_parts(from_build="0" * 16)),
    Case("parts of another size", "parts", lambda: other_parts(size=7)),
    Case("parts of another hash", "parts", lambda: other_parts(sha256="0" * 64)),
    Case("parts of another name", "parts", lambda: other_parts(file="parts/" + "0" * 16)),
    Case("parts with a key more", "json", lambda: other_parts(more=1)),
    Case("parts that nobody names", "parts", lambda: retold(patches=[])),
    Case("parts to another build", "parts", lambda: of_maker(sequence=8)),
    Case("a bomb in the parts", "parts", lambda: other_stream(lambda _: raw(bytes(64 << 20)))),
    Case("parts that are cut", "parts", lambda: other_stream(lambda stream: stream[:-3])),
    Case("bytes behind the parts", "parts", lambda: other_stream(lambda stream: stream + b"x")),
    Case("parts that are no stream", "parts", lambda: other_stream(lambda _: b"\xff" * 40)),
    Case("another image in the manifest", "image", lambda: of_maker(image=(100, bytes(16)))),
    Case("no image in the manifest", "image", lambda: of_maker(image=None)),
]


def test_what_nobody_touched_is_taken() -> None:
    bundle = loads(good(), "good", releases.key().root)
    assert bundle.verified and bundle.about.sequence == 7
    assert bundle.root == releases.key().root.fingerprint


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_each_kind_is_named(case: Case) -> None:
    with pytest.raises(BundleFault) as told:
        loads(case.made(), "street.kerb", releases.key().root)
    assert told.value.reason == case.reason, told.value
    text = str(told.value)
    assert text.startswith("street.kerb: ") and f"[{case.reason}]" in text
    assert text.endswith(REASONS[case.reason]) and text.isprintable()


DEMANDS = [
    ("board", {"board": "water-meter-esp32"}),
    ("sequence", {"at_least": 8}),
    ("expired", {"now_s": 900_000_000}),
]


def asked(**wanted: Any) -> Bundle:
    bundle = loads(good(), "good", releases.key().root)
    demand(bundle, "street.kerb", **wanted)
    return bundle


@pytest.mark.parametrize(("reason", "wanted"), DEMANDS, ids=[reason for reason, _ in DEMANDS])
def test_what_is_not_wanted_is_named(reason: str, wanted: dict[str, Any]) -> None:
    with pytest.raises(BundleFault) as told:
        asked(**wanted)
    assert told.value.reason == reason


def test_what_is_wanted_is_taken() -> None:
    assert asked(board=releases.BOARD, at_least=7, now_s=899_999_999).about.sequence == 7


def test_every_reason_has_its_case() -> None:
    """Those of files and of release.pub have theirs in test_bundle.py."""
    shown = {case.reason for case in CASES} | {reason for reason, _ in DEMANDS}
    assert shown | {"unreadable", "root"} == set(REASONS)
    assert len(shown) >= 30


def test_no_bit_can_be_flipped() -> None:
    chance = random.Random(20261122)
    data, root = good(), releases.key().root
    for _ in range(FLIPS):
        at, bit = chance.randrange(len(data)), 1 << chance.randrange(8)
        with pytest.raises(BundleFault):
            loads(flipped(data, at, bit), "flipped", root)


def test_no_byte_can_be_cut_out_or_put_in() -> None:
    chance = random.Random(8554)
    data, root = good(), releases.key().root
    for _ in range(FLIPS):
        start = chance.randrange(len(data))
        end = min(len(data), start + chance.randrange(600))
        put_in = chance.randbytes(chance.choice((0, 1, 512, end - start)))
        changed = data[:start] + put_in + data[end:]
        if changed != data:
            with pytest.raises(BundleFault):
                loads(changed, "cut", root)


def test_hss_alone_protects_every_bit_of_the_manifest() -> None:
    """Whoever has the Ed25519 key alone, say by a quantum computer, releases nothing."""
    chance = random.Random(8778)
    cose, root = members()[COSE], releases.key().root
    for _ in range(FLIPS // 4):
        at, bit = chance.randrange(len(cose)), 1 << chance.randrange(8)
        with pytest.raises(BundleFault) as told:
            loads(resealed(COSE, flipped(cose, at, bit)), "flipped", root)
        assert told.value.reason in ("hss", "hss-type", "hss-index", "cose")


def test_without_a_root_whole_is_all_that_is_asked() -> None:
    """Whoever changes a bundle and its sums is found by a root alone; nothing else may get by."""
    chance = random.Random(1)
    data = good()
    for _ in range(FLIPS):
        changed = flipped(data, chance.randrange(len(data)), 1 << chance.randrange(8))
        try:
            bundle = loads(changed, "flipped", None)
        except BundleFault:
            continue
        assert not bundle.verified
        differs = [n for n, c in bundle.members.items() if c != members()[n]]
        assert differs in ([JSON], [APPROVAL])


def test_a_root_that_is_no_point_signs_nothing() -> None:
    """Not every 32 bytes are a public key (RFC 8032, 5.1.3)."""
    root = Root(b"\xff" * 32, releases.key().root.hss)
    data = archive.unpacked(good(), "good")
    approval = root.fingerprint + data[APPROVAL][8:]
    with pytest.raises(BundleFault, match="ed25519"):
        loads(archive.packed({**data, APPROVAL: approval}), "here", root)
