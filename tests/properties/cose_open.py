"""Opens COSE_Encrypt0 messages with pycose and with cwt, in an environment of their own.

Reads lines of JSON {"message", "key", "external"} in hexadecimal, writes for each a line with what
both libraries found: {"pycose", "cwt"}. cwt wants another cbor2 than our tests do.
"""

import json
import sys

from cwt import COSE, COSEKey  # type: ignore[import-not-found]
from pycose.keys import SymmetricKey  # type: ignore[import-not-found]
from pycose.messages import CoseMessage  # type: ignore[import-not-found]


def by_pycose(message: bytes, key: bytes, external: bytes) -> bytes:
    found = CoseMessage.decode(message)
    found.key = SymmetricKey(k=key)
    found.external_aad = external
    return bytes(found.decrypt())


def by_cwt(message: bytes, key: bytes, external: bytes) -> bytes:
    symmetric = COSEKey.from_symmetric_key(key, alg="AES-CCM-16-64-128")
    return bytes(COSE.new().decode(message, symmetric, external_aad=external))


def main() -> None:
    for line in sys.stdin:
        wanted = {name: bytes.fromhex(value) for name, value in json.loads(line).items()}
        print(json.dumps({"pycose": by_pycose(**wanted).hex(), "cwt": by_cwt(**wanted).hex()}))


if __name__ == "__main__":
    main()
