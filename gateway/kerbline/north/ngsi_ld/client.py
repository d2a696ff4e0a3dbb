"""Requests to one NGSI-LD broker over HTTP: the only place that knows the library."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from kerbline.errors import KerblineError
from kerbline.north.tls import TlsFiles, plainly

MAX_ANSWER_BYTES = 1 << 20
CONNECTIONS = 9  # 6 of what is live, the history's, one for tokens, one of orders
IDLE_S = 30.0
WHOLE = 2  # times the time-out may a request take that goes on bit by bit
SYSTEM = TlsFiles(Path("this system's list; name it as ca"))  # where no tls section stands
GZIP_FROM_BYTES = 1_024  # less does not fill a packet


logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a request is not for an operator


class NoAnswer(KerblineError):
    """Nothing came back, so that nobody knows what was taken; the text says why.

    `sent` is False where nothing left: there was no connection. `pending`: it may be taken yet.
    """

    code = "no_answer"

    def __init__(self, reason: str, *, sent: bool = True, pending: bool = False) -> None:
        super().__init__(reason)
        self.sent = sent
        self.pending = pending


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; headers by small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Cookieless(httpx.AsyncHTTPTransport):
    """Nobody sets us a cookie: it would go to others, and one that is garbled would end us."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        response.headers.pop("set-cookie", None)
        return response


class Client:
    """Keeps its connections; a call that is cancelled closes its own."""

    def __init__(
        self, url: str, *, timeout_s: float, tls: TlsFiles | None = None, compress: bool = False
    ) -> None:
        """`url` up to what the standard's paths begin with; `compress`: bodies go as gzip."""
        self._url = url.rstrip("/")
        self._tls = tls
        self._answered = False  # by anybody, in this life
        self.timeout_s = timeout_s
        self._whole_s = WHOLE * timeout_s
        self.compress = compress
        self._http = httpx.AsyncClient(
            transport=_Cookieless(
                verify=_trust(tls) if url.startswith("https:") or tls else False,
                limits=httpx.Limits(
                    max_connections=CONNECTIONS,
                    max_keepalive_connections=CONNECTIONS,
                    keepalive_expiry=IDLE_S,
                ),
                trust_env=False,
            ),
            timeout=httpx.Timeout(timeout_s),
            headers={
                "User-Agent": "kerbline",
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # answers are short; one that unfolds may not be
            },
            trust_env=False,  # no proxy, no password of whoever started us
            follow_redirects=False,  # a token goes where the config says
        )

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body to a path of the broker, or to a whole address; raises NoAnswer."""
        return await self.ask("POST", path, body, headers)

    async def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The same by any method; an empty body is none."""
        sent = dict(headers)
        if self.compress and len(body) >= GZIP_FROM_BYTES:
            body = gzip.compress(body, 6, mtime=0)
            sent["Content-Encoding"] = "gzip"
        url = path if "://" in path else self._url + path
        try:
            async with (
                asyncio.timeout(self._whole_s),
                self._http.stream(method, url, content=body or None, headers=sent) as response,
            ):
                read = bytearray()
                async for part in response.aiter_raw():
                    read += part
                    if len(read) > MAX_ANSWER_BYTES:
                        raise NoAnswer("an answer of more than 1 MiB")
                self._answered = True
                return Answer(response.status_code, _plain(response.headers), bytes(read))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NoAnswer(self._reason(error, url), sent=False) from None
        except (TimeoutError, httpx.TimeoutException):
            raise NoAnswer("no answer in time", pending=True) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise NoAnswer(self._reason(error, url)) from None  # ValueError: of a header

    async def reach(self) -> None:
        """Connect, and no more; raises NoAnswer."""
        where = httpx.URL(self._url)
        port = where.port or (443 if where.scheme == "https" else 80)
        try:
            async with asyncio.timeout(self.timeout_s):
                _, writer = await asyncio.open_connection(where.host, port)
        except TimeoutError:
            raise NoAnswer("no connection in time", sent=False) from None
        except OSError as error:
            raise NoAnswer(_reason(error), sent=False) from None
        writer.close()

    def _reason(self, error: BaseException, url: str) -> str:
        """In words for who has to mend it, where it is of TLS."""
        where, text = httpx.URL(url), _reason(error)
        greeted = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        if where.scheme != "https" or (greeted and self._answered):
            return text
        # TLS 1.3 tells a client that its certificate is refused when all seems done, or hangs up.
        closed = greeted and "alert" not in text
        return plainly(text, where.host, self._tls or SYSTEM, closed=closed, often=443)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()


def _plain(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    cause = error.__cause__ or error.__context__
    if not text and cause is not None:  # the library's own errors may hide what happened
        return _reason(cause)
    return text[:200] or type(error).__name__


def _trust(tls: TlsFiles | None) -> ssl.SSLContext:
    """Whom to believe: the city's CA where one is named, else those of the system."""
    context = ssl.create_default_context(cafile=str(tls.ca) if tls else None)
    if tls and tls.cert:
        context.load_cert_chain(tls.cert, tls.key)
    return context
