"""Signatures of releases: those of the vectors and of the RFC are taken, all else is refused."""

from binascii import unhexlify

from kerbwire import lms, manifest, release
from kerbwire.errors import RemoteError
from kerbwire.limits import MANIFEST_BYTES, ROOT_BYTES
from wire.vectors import load, unhexed

_VECTORS = load("updates")

# RFC 9858 appendix A.1: SHA-256/192 with H5 and W8. (Our own set has no example there.)
_RFC_KEY = unhexlify(
    "202122232425262728292a2b2c2d2e2f2c571450aed99cfb4f4ac285da14882796618314508b12d2"
)
_RFC_MESSAGE = b"Test message for SHA256-192\n"
_RFC_SIGNATURE = unhexlify(
    "0000000000000005000000080b5040a18c1b5cabcbc85b047402ec6294a30dd8da8fc3dae13b9f08"
    "75f09361dc77fcc4481ea463c073716249719193614b835b4694c059f12d3aedd34f3db93f3580fb"
    "88743b8b3d0648c0537b7a50e433d7ea9d6672fffc5f42770feab4f98eb3f3b23fd2061e4d0b38f8"
    "32860ae76673ad1a1a52a9005dcf1bfb56fe16ff723627612f9a48f790f3c47a67f870b81e919d99"
    "919c8db48168838cece0abfb683da48b9209868be8ec10c63d8bf80d36498dfc205dc45d0dd87057"
    "2d6d8f1d90177cf5137b8bbf7bcb67a46f86f26cfa5a44cbcaa4e18da099a98b0b3f96d5ac8ac375"
    "d8da2a7c248004ba11d7ac775b9218359cddab4cf8ccc6d54cb7e1b35a36ddc9265c087063d2fc67"
    "42a7177876476a324b03295bfed99f2eaf1f38970583c1b2b616aad0f31cd7a4b1bb0a51e477e94a"
    "01bbb4d6f8866e2528a159df3d6ce244d2b6518d1f0212285a3c2d4a927054a1e1620b5b02aab0c8"
    "c10ed48ae518ea73cba81fcfff88bff461dac51e7ab4ca75f47a6259d24820b9995792d139f61ae2"
    "a8186ae4e3c9bfe0af2cc717f424f41aa67f03faedb0665115f2067a46843a4cbbd297d5e83bc1aa"
    "fc18d1d03b3d894e8595a6526073f02ab0f08b99fd9eb208b59ff6317e5545e6f9ad5f9c183abd04"
    "3d5acd6eb2dd4da3f02dbc3167b468720a4b8b92ddfe7960998bb7a0ecf2a26a37598299413f7b2a"
    "ecd39a30cec527b4d9710c4473639022451f50d01c0457125da0fa4429c07dad859c846cbbd93ab5"
    "b91b01bc770b089cfede6f651e86dd7c15989c8b5321dea9ca608c71fd862323072b827cee7a7e28"
    "e4e2b999647233c3456944bb7aef9187c96b3f5b79fb98bc76c3574dd06f0e95685e5b3aef3a54c4"
    "155fe3ad817749629c30adbe897c4f4454c86c490000000ae9ca10eaa811b22ae07fb195e3590a33"
    "4ea64209942fbae338d19f152182c807d3c40b189d3fcbea942f44682439b191332d33ae0b761a2a"
    "8f984b56b2ac2fd4ab08223a69ed1f7719c7aa7e9eee96504b0e60c6bb5c942d695f0493eb25f80a"
    "5871cffd131d0e04ffe5065bc7875e82d34b40b69dd9f3c1"
)


def _root() -> bytes:
    return unhexed(_VECTORS["releases"]["root"])


def _refused(signed: bytes, root: bytes) -> bool:
    try:
        release.verified(signed, root)
    except RemoteError as fault:
        return fault.code == "signature"
    return False


def test_the_rfcs_example_leads_to_its_root() -> None:
    for cut in (0, 5, len(_RFC_MESSAGE)):
        parts = (_RFC_MESSAGE[:cut], _RFC_MESSAGE[cut:])
        assert lms.root(_RFC_KEY[:16], parts, _RFC_SIGNATURE, 24, 8, 5) == _RFC_KEY[16:]
    assert lms.root(_RFC_KEY[:16], (b"other",), _RFC_SIGNATURE, 24, 8, 5) != _RFC_KEY[16:]


def test_good_releases_are_taken() -> None:
    for case in _VECTORS["releases"]["good"]:
        data, signed = unhexed(case["manifest"]), unhexed(case["signed"])
        assert release.verified(signed, _root()) == data
        whole, signature = release.split(signed)
        assert whole == data and release.joined(whole, signature) == signed
        lms.verify(_root(), (release.to_be_signed(data),), signature)


def test_malformed_releases_are_refused() -> None:
    for case in _VECTORS["releases"]["malformed"]:
        assert _refused(unhexed(case["signed"]), _root()), case["name"]


def test_each_cut_and_each_byte_more_is_refused() -> None:
    good = unhexed(_VECTORS["releases"]["good"][0]["signed"])
    for end in range(0, len(good), 11):
        assert _refused(good[:end], _root()), end
    for more in (1, 3, 100, MANIFEST_BYTES):
        assert _refused(good + bytes(more), _root())


def test_each_part_of_it_counts() -> None:
    """One bit anywhere: in each chain and each step of the path, and between them."""
    good = unhexed(_VECTORS["releases"]["good"][0]["signed"])
    for at in range(0, len(good), 13):
        other = good[:at] + bytes((good[at] ^ 16,)) + good[at + 1 :]
        assert _refused(other, _root()), at


def test_a_root_that_is_none_takes_nothing() -> None:
    good = unhexed(_VECTORS["releases"]["good"][0]["signed"])
    assert len(_root()) == ROOT_BYTES == lms.PUBLIC_BYTES
    for root in (b"", bytes(ROOT_BYTES), _root()[:-1], _root() + b"\0", _root()[4:]):
        assert _refused(good, root)
    for at in range(ROOT_BYTES):
        root = _root()[:at] + bytes((_root()[at] ^ 1,)) + _root()[at + 1 :]
        assert _refused(good, root), at


def test_a_manifest_beyond_its_bound_is_refused_unread() -> None:
    signed = release.joined(bytes(MANIFEST_BYTES + 1), bytes(lms.SIGNATURE_BYTES))
    assert _refused(signed, _root())
    whole, _ = release.split(release.joined(bytes(MANIFEST_BYTES), bytes(lms.SIGNATURE_BYTES)))
    assert whole == bytes(MANIFEST_BYTES)


def test_manifests_of_the_vectors_are_read() -> None:
    for case in _VECTORS["manifests"]["good"]:
        data = unhexed(case["manifest"])
        read = manifest.decode(data)
        assert manifest.encoded(read) == data
        assert set(case["files"]) <= {name for name, _, _ in read.entries}
    assert {len(unhexed(case["manifest"])) for case in _VECTORS["manifests"]["good"]} >= {8192}


def test_manifests_that_are_none_are_refused() -> None:
    for case in _VECTORS["manifests"]["malformed"]:
        try:
            manifest.decode(unhexed(case["manifest"]))
            raise AssertionError(case["name"])
        except RemoteError as fault:
            assert fault.code == "manifest"
