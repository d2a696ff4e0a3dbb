"""Manifests: what is written is read, and found where it lies; nothing else is taken."""

from kerbwire import manifest
from kerbwire.errors import LocalError, RemoteError
from kerbwire.limits import BUILD_BYTES, MANIFEST_BYTES, MANIFEST_NAME_BYTES, ROOT_BYTES
from kerbwire.manifest import Manifest

NAMES = ("build.json", "kerbnode/app.mpy", "kerbnode/hal/esp32.mpy", "kerbwire/node.mpy")


def made() -> Manifest:
    """One with all there may be."""
    known = Manifest(7, (0, 2, 1), "streetlight-esp32")
    known.expires_s = 900_000_000
    known.commit = b"\x01\x02\x03\x04"
    known.next_root = bytes(range(ROOT_BYTES))
    known.image = (1_500_000, manifest.digest(b"image"))
    known.entries = tuple(
        [(name, 1000 + at, manifest.digest(name.encode())) for at, name in enumerate(NAMES)]
    )
    return known


def _refused(data: bytes) -> bool:
    try:
        manifest.decode(data)
    except RemoteError as fault:
        return fault.code == "manifest"
    return False


def test_what_is_written_is_read() -> None:
    for root in (b"", bytes(ROOT_BYTES)):
        for image in (None, (5, manifest.digest(b"i"))):
            for entries in (made().entries, ()):
                wanted = made()
                wanted.next_root, wanted.image, wanted.entries = root, image, entries
                got = manifest.decode(manifest.encoded(wanted))
                for name in ("sequence", "expires_s", "version", "commit", "board"):
                    assert getattr(got, name) == getattr(wanted, name), name
                assert (got.next_root, got.image, got.entries) == (root, image, entries)


def test_entries_are_written_in_order() -> None:
    turned = made()
    turned.entries = tuple(reversed(turned.entries))
    assert manifest.encoded(turned) == manifest.encoded(made())


def test_the_build_is_named_by_the_bytes() -> None:
    data = manifest.encoded(made())
    assert manifest.build_id(data) == manifest.digest(data)[:BUILD_BYTES]


def test_objects_are_told_where_they_lie() -> None:
    bare = Manifest(1, (0, 0, 0), "")
    bare.entries = made().entries
    for known in (made(), bare, Manifest(1, (0, 0, 0), "b")):
        told = list(manifest.objects(manifest.encoded(known)))
        assert told == [(size, digest) for _, size, digest in known.entries]


def test_each_cut_is_refused() -> None:
    data = manifest.encoded(made())
    assert not _refused(data)
    for end in range(len(data)):
        assert _refused(data[:end]), end
    assert _refused(data + b"\0")


def test_each_changed_byte_is_refused_or_read_as_written() -> None:
    """Whatever is taken is what `encoded` makes: nothing has two forms."""
    data = manifest.encoded(made())
    for at in range(len(data)):
        for change in (1, 0x80, 0xFF):
            other = data[:at] + bytes((data[at] ^ change,)) + data[at + 1 :]
            if not _refused(other):
                assert manifest.encoded(manifest.decode(other)) == other, (at, change)


def test_bad_names_are_refused() -> None:
    whole = manifest.digest(b"")
    parts = ("", "/a", "a/", "a//b", "..", "../a", "a/../b", ".", "a/./b")
    for name in parts + ("a\\b", "a b", "\x7f"):
        known = made()
        known.entries = ((name, 1, whole),)
        try:
            manifest.encoded(known)
            raise AssertionError(name)
        except LocalError as fault:
            assert fault.code == "manifest"
    for entries in (
        (("a", 1, whole), ("a", 2, whole)),
        (("a", 0, whole),),
        (("a", 1 << 24, whole),),
        (("a", 1, whole[:15]),),
        (("a" * (MANIFEST_NAME_BYTES + 1), 1, whole),),
        tuple([("%04d" % each, 1, whole) for each in range(MANIFEST_BYTES // 24)]),
    ):
        known = made()
        known.entries = entries
        try:
            manifest.encoded(known)
            raise AssertionError(entries[:2])
        except LocalError as fault:
            assert fault.code == "manifest"
    known.entries = (("a" * MANIFEST_NAME_BYTES, 1, whole),)
    assert not _refused(manifest.encoded(known))
