"""One transaction at a time on an open Modbus line, RTU or TCP framing; when to ask is not its
business.

Framing and messages are pymodbus's; none of its types leave this module.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Literal

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from kerbline.errors import KerblineError
from kerbline.ports import Port

Framing = Literal["rtu", "tcp"]

MAX_PENDING_BYTES = 1_024  # four of the longest frames; more is a babbling line
CHARACTER_BITS = 11  # Modbus over serial line V1.02, 2.5.1
SILENCE_CHARACTERS = 3.5
SHORTEST_SILENCE_S = 0.00175  # above 19,200 baud, the same clause
ILLEGAL_ADDRESS = 2
GATEWAY_TARGET_SILENT = 11
EXCEPTIONS = {
    1: "illegal_function",
    ILLEGAL_ADDRESS: "illegal_address",
    3: "illegal_value",
    4: "device_failure",
    5: "acknowledge",
    6: "busy",
    8: "memory_parity",
    10: "gateway_path",
    GATEWAY_TARGET_SILENT: "no_answer",
}


class BusFault(KerblineError):
    """A request without a good answer; `code` says how, and is the quality flag of its values."""

    code = "bus"


class NoAnswer(BusFault):
    """Nothing came in time."""

    code = "no_answer"


class Garbled(BusFault):
    """Something came in time, but no answer to the request."""

    code = "garbled"


class Refused(BusFault):
    """The unit answered with an exception (Modbus Application Protocol V1.1b3, 7)."""

    def __init__(self, exception: int) -> None:
        super().__init__(f"exception {exception}")
        self.exception = exception
        self.code = EXCEPTIONS.get(exception, "refused")


class Bus:
    """An open line and what has to be remembered between two transactions on it."""

    __slots__ = ("_ended_at", "_framer", "_framing", "_pending", "_port", "_silence_s", "_tid")

    def __init__(self, port: Port, framing: Framing, baud: int) -> None:
        logging.getLogger("pymodbus").setLevel(
            logging.CRITICAL
        )  # faults are counted, not told twice
        decoder = DecodePDU(is_server=False)
        self._port = port
        self._framing = framing
        self._framer = FramerRTU(decoder) if framing == "rtu" else FramerSocket(decoder)
        self._silence_s = max(SHORTEST_SILENCE_S, SILENCE_CHARACTERS * CHARACTER_BITS / baud)
        self._pending = bytearray()
        self._ended_at = 0.0
        self._tid = 0

    async def read(
        self, unit: int, table: str, address: int, count: int, timeout_s: float
    ) -> Sequence[int]:
        """The words of input or holding registers; raises BusFault or PortLost."""
        kind = ReadInputRegistersRequest if table == "input" else ReadHoldingRegistersRequest
        self._tid = self._tid % 0xFFFF + 1
        request = kind(address=address, count=count, dev_id=unit, transaction_id=self._tid)
        if self._framing == "rtu":
            await self._silence()
            self._pending.clear()
            self._port.discard()  # a late answer has no name that would tell it from ours
        heard = len(self._pending)
        self._port.write(self._framer.buildFrame(request))
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    heard += await self._hear()
                    answer = self._answer(request)
                    if answer is not None:
                        break
        except TimeoutError:
            raise (Garbled if heard else NoAnswer)(f"unit {unit}") from None
        finally:
            self._ended_at = asyncio.get_running_loop().time()
        if answer.isError():
            raise Refused(answer.exception_code)
        return answer.registers

    async def _silence(self) -> None:
        rest = self._ended_at + self._silence_s - asyncio.get_running_loop().time()
        if rest > 0:
            await asyncio.sleep(rest)

    async def _hear(self) -> int:
        data = await self._port.read()
        self._pending += data
        if len(self._pending) > MAX_PENDING_BYTES:
            self._pending.clear()
            raise Garbled("more bytes than an answer has")
        return len(data)

    def _answer(self, request: ModbusPDU) -> ModbusPDU | None:
        """The answer to `request` if it has come whole; what is for others is passed over."""
        if self._framing == "tcp":
            return self._next_tcp(request)
        for start in _starts(self._pending, request):
            _, pdu = self._framer.handleFrame(bytes(self._pending[start:]), request.dev_id, 0)
            if pdu is not None and _answers(request, pdu):
                return pdu
        return None

    def _next_tcp(self, request: ModbusPDU) -> ModbusPDU | None:
        used = len(self._pending)
        while used and self._pending:
            try:
                used, pdu = self._framer.handleFrame(
                    bytes(self._pending), request.dev_id, request.transaction_id
                )
            except ModbusException as error:
                self._pending.clear()
                raise Garbled(str(error)) from None
            del self._pending[:used]
            if pdu is not None and _answers(request, pdu):
                return pdu
        return None


def _starts(pending: bytearray, request: ModbusPDU) -> Iterator[int]:
    """Where an RTU answer to `request` may begin: after noise the library's framer finds none."""
    unit, function = request.dev_id, request.function_code
    for head in (bytes((unit, function, 2 * request.count)), bytes((unit, function | 0x80))):
        start = pending.find(head)
        while start >= 0:
            yield start
            start = pending.find(head, start + 1)


def _answers(request: ModbusPDU, pdu: ModbusPDU) -> bool:
    if pdu.isError():
        return pdu.function_code == request.function_code | 0x80
    return pdu.function_code == request.function_code and len(pdu.registers) == request.count
