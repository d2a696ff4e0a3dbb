"""Whose releases a gateway takes, while its nodes go over to the next root."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerbline.bundle import BundleFault
from kerbline.update.roots import Roots
from tests.field import releases


def test_a_bundle_of_others_names_both_roots() -> None:
    first, following = releases.key().root, releases.stranger()
    both = Roots(first, following)
    assert both.loads(releases.signed(), "good.kerb").root == first.fingerprint
    foreign = releases.signed(by="x")
    for roots, named in ((both, [first, following]), (Roots(first), [first])):
        with pytest.raises(BundleFault) as told:
            roots.loads(foreign, "x.kerb")
        assert told.value.reason == "wrong-root"
        assert all(str(root) in str(told.value) for root in named), told.value


def test_a_damaged_bundle_of_the_next_root_is_told_as_that() -> None:
    with pytest.raises(BundleFault) as told:
        Roots(releases.stranger(), releases.key().root).loads(releases.signed()[:-700], Path("x"))
    assert told.value.reason == "truncated"
