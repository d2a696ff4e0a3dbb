"""A release's bill of materials: CycloneDX 1.6 (ECMA-424), each file with its SHA-256.

The same release makes the same bytes: its serial number comes from the build's id, and it names no
time (the field is optional; a commit says when).
"""

from __future__ import annotations

from kerbline.bundle.faults import PackFault
from kerbline.bundle.packing import Contents


def made(contents: Contents) -> bytes:
    """The bill of materials as JSON; raises PackFault where the library is not installed."""
    try:
        from kerbline.bundle import cyclonedx_bill
    except ImportError:
        raise PackFault(
            "cyclonedx-python-lib is not installed: pip install 'kerbline[field]'"
        ) from None
    return cyclonedx_bill.made(contents)
