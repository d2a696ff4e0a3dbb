"""The gateway's own socket for whoever may read its state folder: a JSON question, its answer.

A Unix socket of mode 0600, so no port is open. One line each way, then it is closed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kerbline.errors import KerblineError

SOCKET_FILE = "status.sock"  # in the gateway's state folder
MAX_LINE_BYTES = 1 << 20  # of a question
MAX_ANSWER_BYTES = 1 << 24  # thousands of nodes and revoked keys
MAX_CLIENTS = 8
_PEER = struct.Struct("3i")  # pid, uid, gid
QUESTION_S = 5.0  # for a client to ask, and to take its answer

Question = Mapping[str, Any]
Answer = Mapping[str, Any]
Answering = Callable[[Question], Awaitable[Answer]]

log = logging.getLogger("kerbline.agent")


class NotServing(KerblineError):
    """No gateway answers at the socket; the text says where and what to do."""


class Declined(KerblineError):
    """What was asked can't be done; the text says why."""


async def serve(path: Path, answers: Mapping[str, Answering]) -> None:
    """Answer until cancelled; a question names its answer in "ask", and we who asks in "uid".

    Where no socket can be, say so.

    An answer raises Declined for what its asker has to mend.
    """
    clients = asyncio.Semaphore(MAX_CLIENTS)

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with clients, asyncio.timeout(QUESTION_S):
                line = await reader.readline()
            answer = await _answer(line, answers, _uid(writer))
            writer.write(json.dumps(answer).encode() + b"\n")
            async with asyncio.timeout(QUESTION_S):
                await writer.drain()
        except (TimeoutError, OSError, ValueError) as error:  # gone, silent, or far too long
            log.debug("a question at %s came to nothing: %s", path, error)
        finally:
            writer.close()

    try:
        listening = _listening(path)
    except OSError as error:  # a full disk, or a path longer than a socket's name may be
        log.warning("no status of this gateway to be asked: %s: %s", path, error)
        return
    try:
        async with await asyncio.start_unix_server(meet, sock=listening, limit=MAX_LINE_BYTES):
            await asyncio.get_running_loop().create_future()
    finally:
        _remove(path)


def ask(path: Path, question: Question, within_s: float = 10.0) -> Answer:
    """Ask the gateway that serves `path`; raises NotServing, or Declined with its reason."""
    end = time.monotonic() + within_s
    line = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(within_s)
            sock.connect(str(path))
            sock.sendall(json.dumps(question).encode() + b"\n")
            while not line.endswith(b"\n") and len(line) < MAX_ANSWER_BYTES:
                sock.settimeout(max(0.001, end - time.monotonic()))
                data = sock.recv(1 << 16)
                if not data:
                    break
                line += data
        if not line:
            raise NotServing(f"the gateway of {path} ended before it answered; `kerbline run`")
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise ValueError("no JSON object")
    except FileNotFoundError:
        raise NotServing(f"no gateway runs here: {path} is not there; `kerbline run`") from None
    except ConnectionRefusedError:
        raise NotServing(f"the gateway of {path} is gone; `kerbline run`") from None
    except (OSError, ValueError) as error:
        raise NotServing(f"no answer from the gateway at {path}: {error}") from None
    if "declined" in answer:
        raise Declined(str(answer["declined"]))
    return answer


async def _answer(line: bytes, answers: Mapping[str, Answering], uid: int) -> Answer:
    try:
        question = json.loads(line)
    except ValueError:
        return {"declined": "a question is one line of JSON"}
    if not isinstance(question, dict) or question.get("ask") not in answers:
        return {"declined": f'"ask" is one of {", ".join(answers)}'}
    try:
        return await answers[question["ask"]]({**question, "uid": uid})
    except Declined as error:
        return {"declined": str(error)}


def _uid(writer: asyncio.StreamWriter) -> int:
    """Of the process at the other end, by the kernel's word (unix(7)); -1 where it has none."""
    credentials = getattr(socket, "SO_PEERCRED", None)
    if credentials is None:
        return -1
    line = writer.get_extra_info("socket")
    told = line.getsockopt(socket.SOL_SOCKET, credentials, _PEER.size)
    return int(_PEER.unpack(told)[1])


def _listening(path: Path) -> socket.socket:
    """A socket at `path`, in the place of one that a killed gateway left."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        path.chmod(0o600)
    except OSError:
        sock.close()
        raise
    return sock


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
