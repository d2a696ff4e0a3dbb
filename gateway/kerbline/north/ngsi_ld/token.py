"""Who we are to a broker: a token from a file, or one of OAuth 2.0 (RFC 6749, 4.4; RFC 6750)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlencode

import orjson

from kerbline.config.faults import Complaint
from kerbline.config.rules import read_secret
from kerbline.errors import KerblineError
from kerbline.north.ngsi_ld.client import Client

EARLY = 0.2  # of its life before its end a token is renewed, ahead of whoever's clock is wrong
LIFE_S = 300.0  # where the answer names none
LEAST_LIFE_S = 5.0


class NoToken(KerblineError):
    """There is no token to be had now; the text says why, and holds no secret.

    `headers` of an answer may say when there will be.
    """

    code = "no_token"

    def __init__(self, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.headers = headers or {}


class Tokens(Protocol):
    """Where a lane gets its token."""

    async def get(self) -> str:
        """A token, "" where none is wanted; raises NoToken, or NoAnswer of `client`."""

    def refused(self, token: str) -> None:
        """The broker does not take this one (any more): another one next time."""


class Anonymous:
    """The broker asks nobody who he is."""

    async def get(self) -> str:
        """None."""
        return ""

    def refused(self, token: str) -> None:
        """There is no other one."""


class FileToken:
    """A token that somebody wrote into a file; read again when it was refused."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = ""

    async def get(self) -> str:
        """The file's one line."""
        if not self._token:
            token = _secret(self._path)
            if not token.isascii() or not token.isprintable():
                raise NoToken(f"{self._path} holds no token; write its letters of ASCII in a line")
            self._token = token
        return self._token

    def refused(self, token: str) -> None:
        """Perhaps it was renewed meanwhile."""
        if token == self._token:
            self._token = ""


class ClientCredentials:
    """A token for a client's id and secret, renewed before it ends."""

    def __init__(
        self,
        client: Client,
        token_url: str,
        client_id: str,
        secret_file: Path,
        scope: str,
        now_s: Callable[[], float],
    ) -> None:
        """`now_s` is steady, as a loop's time."""
        self._client = client
        self._url = token_url
        self._id = client_id
        self._secret_file = secret_file
        self._scope = scope
        self._now_s = now_s
        self._token = ""
        self._until_s = 0.0
        self._asking = asyncio.Lock()

    async def get(self) -> str:
        """The present one, or a new one."""
        async with self._asking:
            if not self._token or self._now_s() >= self._until_s:
                await self._renew()
            return self._token

    def refused(self, token: str) -> None:
        """It was withdrawn, or the two clocks differ."""
        if token == self._token:
            self._token = ""

    async def _renew(self) -> None:
        form = {"grant_type": "client_credentials"}
        if self._scope:
            form["scope"] = self._scope
        who = f"{quote(self._id, safe='')}:{quote(_secret(self._secret_file), safe='')}"
        headers = {
            "Authorization": "Basic " + base64.b64encode(who.encode()).decode(),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        answer = await self._client.post(self._url, urlencode(form).encode(), headers)
        try:
            given = orjson.loads(answer.body)
            if answer.status != 200 or not isinstance(given, dict):
                raise ValueError
            token, life_s = given["access_token"], float(given.get("expires_in", LIFE_S))
            if not isinstance(token, str) or not token.isascii() or not token.isprintable():
                raise ValueError
        except (ValueError, TypeError, KeyError):
            said = _error(answer.body)
            reason = f"{self._url} gives no token: {answer.status} {said}".strip()
            raise NoToken(reason, answer.headers) from None
        self._token = token
        self._until_s = self._now_s() + max(life_s * (1 - EARLY), LEAST_LIFE_S)


def _secret(path: Path) -> str:
    found = read_secret(path)
    if isinstance(found, Complaint):
        raise NoToken(f"{found.problem}; {found.remedy}")
    if not found:
        raise NoToken(f"{path} is empty; write the secret into it")
    return found


def _error(body: bytes) -> str:
    """RFC 6749, 5.2: what the server says of it, never what was sent."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    found = given.get("error", "") if isinstance(given, dict) else ""
    return found[:60] if isinstance(found, str) and found.isprintable() else ""
