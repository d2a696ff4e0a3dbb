"""Three implementations of one signature agree: the node's, the vectors' and pyhsslms."""

from pyhsslms import pyhsslms

from kerbwire import release
from tools import second_release
from tools.vectors_updates import ABOUT, FILES, TREE


def test_what_pyhsslms_signs_is_taken() -> None:
    key = pyhsslms.HssPrivateKey(
        levels=1,
        lms_type=pyhsslms.lms_sha256_m24_h10,
        lmots_type=pyhsslms.lmots_sha256_n24_w4,
    )
    root = key.publicKey().serialize()
    for size in (0, 1, 23, 24, 255, 256, 4000):
        manifest = bytes(range(256)) * 16
        signature = key.sign(release.to_be_signed(manifest[:size]))
        assert release.verified(release.joined(manifest[:size], signature), root) == manifest[:size]


def test_what_the_vectors_sign_pyhsslms_takes() -> None:
    key = pyhsslms.HssPublicKey.deserialize(TREE.public)
    for leaf in (0, 1, 512, 1023):
        manifest = second_release.manifest(*ABOUT, FILES)
        whole, signature = release.split(second_release.signed(TREE, leaf, manifest))
        assert key.verify(release.to_be_signed(whole), signature)
        assert not key.verify(release.to_be_signed(whole) + b"\0", signature)
