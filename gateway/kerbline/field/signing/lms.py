"""HSS/LMS private keys (RFC 8554) of one level, by pyhsslms; keeps no count of what it signed.

SHA-256/192 with W4 (SP 800-208): LMS_SHA256_M24_H10 has 1,024 signatures of 1,504 bytes. To sign
two messages with one index gives the private key away: `counter` is what prevents it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from kerbline.errors import KerblineError
from kerbline.field.signing.faults import SignerFault

IDENTIFIER_BYTES = 16
SEED_BYTES = 24
HEIGHT = 10  # of the trees that a node verifies
SMALL_HEIGHT = 5  # for rehearsals: no root has one


class NotInstalled(KerblineError):
    """pyhsslms is not there."""

    code = "signer"

    def __init__(self) -> None:
        super().__init__("pyhsslms is not installed: pip install 'kerbline[field]'")


@dataclass(frozen=True, slots=True)
class Secret:
    """What a tree is made from."""

    height: int
    identifier: bytes = field(repr=False)
    seed: bytes = field(repr=False)

    @classmethod
    def fresh(cls, height: int = HEIGHT) -> Secret:
        """From the system's chance."""
        return cls(height, secrets.token_bytes(IDENTIFIER_BYTES), secrets.token_bytes(SEED_BYTES))


class Tree:
    """A tree of one-time keys, whole in memory: 1,024 take about a second to make."""

    __slots__ = ("_prv", "public", "signatures")

    def __init__(self, secret: Secret) -> None:
        try:
            import pyhsslms.pyhsslms as hss
        except ImportError:
            raise NotInstalled from None
        types = {5: hss.lms_sha256_m24_h5, 10: hss.lms_sha256_m24_h10}
        kind, one_time = types[secret.height], hss.lmots_sha256_n24_w4
        self._prv = hss.LmsPrivateKey(kind, one_time, SEED=secret.seed, I=secret.identifier)
        self.signatures = 1 << secret.height
        # HSS with one level (RFC 8554, 6.1): the number of levels before the LMS public key.
        self.public: bytes = bytes(hss.HssPublicKey(self._prv.publicKey(), 1).serialize())

    def sign(self, message: bytes, index: int) -> bytes:
        """The HSS signature with that index, which nothing may ever be signed with again."""
        if not 0 <= index < self.signatures:
            raise SignerFault("the key", "used-up", f"has no index {index}", "use the next root")
        self._prv.q = index
        return bytes(4) + bytes(self._prv.sign(message))
