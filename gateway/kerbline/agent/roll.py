"""Whom sections of control name, and who of them is there, as nodes join and go.

The loops have those that are there and of the right kind; the others are awaited, or left out, and
told either way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from kerbline.agent.light.loops import Loops, plan
from kerbline.config import Config, Node
from kerbline.config.awaited import Awaited, Misfit, awaited, misfits, named

log = logging.getLogger("kerbline.control")


class Roll:
    """The assets that control names."""

    def __init__(self, config: Config, kinds: Mapping[str, str], loops: Loops) -> None:
        """`config` with the nodes that joined; `kinds`: what each asset is now, devices' too."""
        self._config = config
        self._kinds = kinds
        self._loops = loops
        self._named = tuple(named(config))
        self._awaited: dict[str, Awaited] = {}
        self._misfits: dict[tuple[str, str], Misfit] = {}
        self._call()
        for each in self._awaited.values():
            log.info("%s", each)

    def serve(self, nodes: Iterable[Node]) -> None:
        """These are there from now on."""
        before = self._awaited
        self._loops.serve(plan(replace(self._config, nodes=tuple(nodes))))
        self._call()
        left_out = {each.asset for each in self._misfits.values()}
        for asset in before.keys() - self._awaited.keys() - left_out:
            log.info("%s takes part: %s", asset, ", ".join(before[asset].where))
        for asset in self._awaited.keys() - before.keys():
            where = ", ".join(self._awaited[asset].where)
            log.warning("%s has no node any more: left out of %s", asset, where)

    def of(self, asset: str) -> dict[str, Any]:
        """Where an asset takes part, and where it can't."""
        wrong = [each for each in self._misfits.values() if each.asset == asset]
        without = {section for each in wrong for section in each.where}
        sections = dict.fromkeys(each.where for each in self._named if each.asset == asset)
        return {
            "part_of": [section for section in sections if section not in without],
            "left_out": [str(each) for each in wrong],
        }

    def told(self) -> dict[str, Any]:
        """For the status."""
        return {
            "awaited": [asdict(each) for each in self._awaited.values()],
            "misfits": [asdict(each) for each in self._misfits.values()],
        }

    def _call(self) -> None:
        self._awaited = {each.asset: each for each in awaited(self._named, self._kinds)}
        found = {(each.asset, each.wanted): each for each in misfits(self._named, self._kinds)}
        for key in found.keys() - self._misfits.keys():
            log.warning("%s", found[key])
        self._misfits = found
