"""What of a campaign's bundle is offered to which node, and what is withdrawn again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from kerbline.bundle import Bundle
from kerbline.update.campaign import Campaign, Offer, Run
from kerbline.update.carrier import Carrier
from kerbline.update.states import UNDER_WAY
from kerbwire import messages as m


class Making(Protocol):
    """Makes the parts of a bundle that a node lacks which has none of its objects."""

    def __call__(self, bundle: Bundle) -> bytes: ...


class Bringing:
    """Brings the objects of one bundle at a time."""

    def __init__(
        self,
        carrier: Carrier,
        whole_parts: Making,
        waiting: Callable[[Callable[[], object]], Awaitable[object]],
    ) -> None:
        """`waiting` calls what may take long, in a thread or not."""
        self.bundle: Bundle | None = None
        self._carrier = carrier
        self._whole_parts = whole_parts
        self._whole = b""
        self._waiting = waiting
        self._given: set[str] = set()  # to whom something is offered

    def begin(self, bundle: Bundle) -> None:
        """This one from now on; what is offered of another one goes with the next withdrawal."""
        self.bundle, self._whole = bundle, b""

    def carried(self, node: str) -> None:
        """Nothing is offered to it any more: it has it."""
        self._given.discard(node)

    async def offer(self, campaign: Campaign, offer: Offer, now_ms: int) -> None:
        """The manifest, the image, or the parts that the node lacks."""
        bundle = self.bundle
        assert bundle is not None
        self._given.add(offer.node)
        if offer.image:
            if bundle.image is None:  # it wants what the manifest does not name
                why = "asks for an image that is none of it"
                campaign.hearing.again(offer.node, why, now_ms)
                return
            self._carrier.offer(offer.node, m.OBJECT_IMAGE, bundle.image)
            return
        if not offer.parts:
            self._carrier.offer(offer.node, m.OBJECT_UPDATE, bundle.signed_manifest)
            return
        build = campaign.hearing.running[offer.node].build
        parts = None if offer.whole else bundle.parts_from(build)
        if parts is None and not self._whole:
            made = await self._waiting(lambda: self._whole_parts(bundle))
            assert isinstance(made, bytes)
            self._whole = made
        self._carrier.offer(offer.node, m.OBJECT_PARTS, parts or self._whole)

    def withdraw(self, campaign: Campaign) -> None:
        """What is not to go now is offered no more; a node keeps what it has of it."""
        running = campaign.course.run is Run.RUNNING
        for node in [*self._given]:
            known = node in campaign.fleet
            if running and known and campaign.fleet[node].state in UNDER_WAY:
                continue
            self._carrier.drop(node)
            self._given.discard(node)
            campaign.hearing.offered.discard(node)
