"""Brings one body to the broker, and says what became of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping

from kerbline.counters import Counters
from kerbline.north.ngsi_ld.answers import (
    Again,
    Held,
    Plain,
    Unauthorized,
    Verdict,
    date_s,
    judged,
    retry_after_s,
)
from kerbline.north.ngsi_ld.client import Client, NoAnswer
from kerbline.north.ngsi_ld.token import NoToken, Tokens

SAID_AGAIN_S = 600.0  # a trouble that lasts is a line in ten minutes
SLOW_FOR_S = 600.0  # after an answer that took half of the time-out, or a proxy's that gave up
SAID = 32  # troubles that are told apart
_log = logging.getLogger(__name__)


class Courier:
    """For both lanes of one sink; `connected` tells how the last request went."""

    def __init__(
        self,
        name: str,
        client: Client,
        tokens: Tokens,
        headers: Mapping[str, str],
        utc_ms: Callable[[], int],
        counters: Counters,
    ) -> None:
        """`headers` go with each request: the tenant's."""
        self.connected = False
        self._answered_s = self._slow_s = -SLOW_FOR_S  # when last, and when not in good time
        self._name = name
        self._client = client
        self._tokens = tokens
        self._headers = headers
        self._utc_ms = utc_ms
        self._counters = counters
        self._away = True  # until a connection was made
        self._said: dict[str, float] = {}
        self._ahead_s: float | None = None  # the broker's UTC, of the loop's time

    async def send(
        self, path: str, body: bytes, headers: Mapping[str, str], names: Collection[str]
    ) -> Verdict:
        """One request, and a second one where the first showed a token or a form that is not taken.

        Unauthorized and Plain never come back: they are Held when the second one fails, too.
        """
        verdict: Verdict = Held("")
        began_s = asyncio.get_running_loop().time()
        for _ in range(2):
            try:
                token = await self._tokens.get()
                verdict = await self._once(path, body, headers, names, token)
            except NoAnswer as error:
                self._away = not error.sent
                verdict = Again(str(error), pending=error.pending and self._is_slow(began_s))
                break
            except NoToken as error:
                self._away = False
                verdict = Again(str(error), retry_after_s(error.headers, self._now_s()))
                break
            if isinstance(verdict, Unauthorized):
                self._tokens.refused(token)
            elif isinstance(verdict, Plain) and self._client.compress:
                self._client.compress = False
                _log.warning("%s: takes no gzip: bodies go plain", self._name)
            else:
                break
        if isinstance(verdict, Unauthorized | Plain):
            verdict = Held(verdict.reason)
        self._note(verdict)
        return verdict

    @property
    def linger_s(self) -> float:
        """So long a request may be taken after we gave it up: as long as we waited."""
        return self._client.timeout_s

    def _is_slow(self, since_s: float) -> bool:
        """May what it did not answer `since_s` be taken yet? Else the answer alone was lost.

        Where it answered others in good time, now and lately, it is not slow.
        """
        now_s = asyncio.get_running_loop().time()
        return self._answered_s < since_s or now_s - self._slow_s < SLOW_FOR_S

    async def reachable(self) -> bool:
        """Is there a connection to be had? Asked of the broker only while there was none."""
        if self._away:
            try:
                await self._client.reach()
            except NoAnswer as error:
                self._note(Again(str(error)))
                return False
            self._away = False
        return True

    async def close(self) -> None:
        """Let go of the connections."""
        self.connected = False
        await self._client.close()

    async def _once(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        names: Collection[str],
        token: str,
    ) -> Verdict:
        sent = {**self._headers, **headers}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        began_s = asyncio.get_running_loop().time()
        answer = await self._client.post(path, body, sent)
        self._answered_s = asyncio.get_running_loop().time()
        if answer.status == 504 or self._answered_s - began_s >= self.linger_s / 2:
            self._slow_s = self._answered_s
        said_s = date_s(answer.headers.get("date", ""))
        if said_s is not None:
            self._ahead_s = said_s - self._answered_s
        return judged(answer.status, answer.headers, answer.body, names, self._now_s())

    def _now_s(self) -> float:
        """UTC by the broker's clock where it told it, whatever becomes of ours."""
        if self._ahead_s is not None:
            return asyncio.get_running_loop().time() + self._ahead_s
        return self._utc_ms() / 1000

    def _note(self, verdict: Verdict) -> None:
        """Count and say what is not as it should be."""
        self.connected = not isinstance(verdict, Again | Held)
        if isinstance(verdict, Again | Held):
            self._counters.count("ngsi_ld.again" if isinstance(verdict, Again) else "ngsi_ld.held")
            self.say(verdict.reason)

    def say(self, reason: str, follows: str = "trying again") -> None:
        """What is the trouble, and what follows; the same is not said all the time."""
        now_s, known = asyncio.get_running_loop().time(), reason[:40] + follows[-20:]
        last_s = self._said.get(known)
        if last_s is None or now_s - last_s >= SAID_AGAIN_S:
            if len(self._said) >= SAID:
                self._said.clear()
            self._said[known] = now_s
            _log.warning("%s: %s; %s", self._name, reason, follows)
