"""The running gateway's registry of assets: read at the start, and again when it is asked to."""

from __future__ import annotations

import asyncio
import logging

from kerbline.agent.records import Records
from kerbline.agent.standing import Standing
from kerbline.assets import Registry, kept, registry
from kerbline.assets.kept import AssetsLost
from kerbline.config import Config
from kerbline.local_socket import Answer, Declined, Question
from kerbline.model import Finding, Severity

LOST = "assets_lost"  # the alarm of the gateway itself

log = logging.getLogger("kerbline.agent")


class Assets:
    """Keeps one `Registry` for the gateway's life; `reload` answers "assets"."""

    def __init__(self, config: Config) -> None:
        """`config` has a city."""
        self.registry: Registry = registry.empty(config)
        self._gateway = config.gateway.id
        self._folder = config.gateway.state_dir
        self._taken = asyncio.Event()

    def start(self) -> None:
        """Read the list; where it can't be read, serve without it and say so."""
        try:
            self.registry.take(kept.read(self._folder))
        except AssetsLost as error:
            self.registry.take((), lost=True)
            log.error("serving without the list of assets: %s", error)

    async def reload(self, _question: Question) -> Answer:
        """Take the list as it is now; what can't be read leaves the one in use."""
        try:
            assets = kept.read(self._folder)
        except AssetsLost as error:
            raise Declined(f"{error}; the list as it was is in use") from None
        known = self.registry
        open_before = [each.id for each in known.served() if not known.personal(each.id)]
        known.take(assets)
        self._taken.set()
        log.info("a list of %d assets is in use", len(assets))
        closed = sorted(filter(known.personal, open_before))
        if closed:
            log.warning("restart: what waits of %s still leaves as public", ", ".join(closed))
        return {"listed": len(assets), "personal_now": closed}

    async def watch(self, standing: Standing, records: Records) -> None:
        """A list that is lost is an alarm, until there is one again; for ever."""
        while True:
            lost = self.registry.lost
            if lost != (LOST in standing.names.get(self._gateway, ())):
                now_ms = records.now_ms()
                finding = Finding(self._gateway, LOST, lost, Severity.WARNING, now_ms)
                standing.note([finding])
                await records.found(finding)
            self._taken.clear()
            await self._taken.wait()

    def told(self) -> Answer:
        """For the status: how many are listed, and which of the config are not."""
        known = self.registry
        lacking = [each.id for each in known.served() if not known.listed(each.id)]
        return {"listed": known.size, "not_listed": lacking, "lost": known.lost}
