"""Requests, answers and frames: the one place in south that knows pymodbus, whose types stay here.

Framers and messages are the library's. One thing is ours: the words of a read are taken from its
payload by one struct, 2 us for 100 registers where the library's loop takes 29.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest, ReadDeviceInformationResponse
from pymodbus.pdu.register_message import (
    MaskWriteRegisterRequest,
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    ReadWriteMultipleRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from kerbline.errors import KerblineError

EXCEPTION = 0x80  # the bit of a function code that says so
LONGEST_RTU_BYTES = 256  # Modbus over serial line V1.02, 2.3
LONGEST_MBAP_LENGTH = 254  # unit, function and 252 bytes (Modbus messaging on TCP/IP V1.0b, 3.1.2)
MBAP_BYTES = 7
RTU_OVERHEAD_BYTES = 3  # the unit before the payload, the checksum after it
ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3
GATEWAY_TARGET_SILENT = 11
EXCEPTIONS = {
    ILLEGAL_FUNCTION: "illegal_function",
    ILLEGAL_ADDRESS: "illegal_address",
    ILLEGAL_VALUE: "illegal_value",
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

    @property
    def by_gateway(self) -> bool:
        """Not the unit said so, but a gateway before it, which got no answer."""
        return self.exception == GATEWAY_TARGET_SILENT


class OutOfStep(KerblineError):
    """What comes over a TCP connection is not Modbus: only a new one helps."""

    code = "garbled"


class WrongRequest(KerblineError):
    """A request that the protocol does not allow; the text says why."""

    code = "wrong_request"


class Function(IntEnum):
    """The function codes that we ask for (Modbus Application Protocol V1.1b3, 6)."""

    READ_COILS = 1
    READ_DISCRETE_INPUTS = 2
    READ_HOLDING_REGISTERS = 3
    READ_INPUT_REGISTERS = 4
    WRITE_SINGLE_COIL = 5
    WRITE_SINGLE_REGISTER = 6
    WRITE_MULTIPLE_COILS = 15
    WRITE_MULTIPLE_REGISTERS = 16
    MASK_WRITE_REGISTER = 22
    READ_WRITE_MULTIPLE_REGISTERS = 23
    READ_DEVICE_IDENTIFICATION = 43


READS = {
    "coil": Function.READ_COILS,
    "discrete": Function.READ_DISCRETE_INPUTS,
    "holding": Function.READ_HOLDING_REGISTERS,
    "input": Function.READ_INPUT_REGISTERS,
}
ECHOED = (5, 6, 15, 16, 22)  # the answer says what was asked; these alone may go to all units
_BIT_READS = (Function.READ_COILS, Function.READ_DISCRETE_INPUTS)
_WORD_READS = (
    Function.READ_HOLDING_REGISTERS,
    Function.READ_INPUT_REGISTERS,
    Function.READ_WRITE_MULTIPLE_REGISTERS,
)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a unit; `words` is what is written, bits as 0 and 1.

    Function 22 has (and, or) in `words`; 23 writes them from `write_address` on; 43 has (read code,
    object) and no address.
    """

    unit: int
    function: int
    address: int
    count: int = 1
    words: tuple[int, ...] = ()
    write_address: int = 0


@dataclass(frozen=True, slots=True)
class Response:
    """The words of a read, bits as 0 and 1; the objects of a device identification (43/14)."""

    words: Sequence[int] = ()
    objects: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request, its payload, and how its good answer begins and how long it is.

    `size` is that of the payload in bytes, 0 where only the answer itself says it. Two requests
    to a unit whose answers begin the same can't be told apart by them.
    """

    request: Request
    payload: bytes
    head: bytes
    size: int

    @property
    def longest(self) -> int:
        """The most bytes that the answer's payload may have."""
        return self.size or LONGEST_RTU_BYTES - RTU_OVERHEAD_BYTES


def _read(kind: type[ModbusPDU]) -> Callable[[Request], ModbusPDU]:
    return lambda asked: kind(address=asked.address, count=asked.count)


_MESSAGES: dict[int, Callable[[Request], ModbusPDU]] = {
    Function.READ_COILS: _read(ReadCoilsRequest),
    Function.READ_DISCRETE_INPUTS: _read(ReadDiscreteInputsRequest),
    Function.READ_HOLDING_REGISTERS: _read(ReadHoldingRegistersRequest),
    Function.READ_INPUT_REGISTERS: _read(ReadInputRegistersRequest),
    Function.WRITE_SINGLE_COIL: lambda asked: WriteSingleCoilRequest(
        address=asked.address, bits=[bool(asked.words[0])]
    ),
    Function.WRITE_SINGLE_REGISTER: lambda asked: WriteSingleRegisterRequest(
        address=asked.address, registers=list(asked.words)
    ),
    Function.WRITE_MULTIPLE_COILS: lambda asked: WriteMultipleCoilsRequest(
        asked.address, [bool(bit) for bit in asked.words]
    ),
    Function.WRITE_MULTIPLE_REGISTERS: lambda asked: WriteMultipleRegistersRequest(
        address=asked.address, registers=list(asked.words)
    ),
    Function.MASK_WRITE_REGISTER: lambda asked: MaskWriteRegisterRequest(
        asked.address, *asked.words
    ),
    Function.READ_WRITE_MULTIPLE_REGISTERS: lambda asked: ReadWriteMultipleRegistersRequest(
        asked.address, asked.count, asked.write_address, asked.words
    ),
    Function.READ_DEVICE_IDENTIFICATION: lambda asked: ReadDeviceInformationRequest(*asked.words),
}


def wanted(request: Request) -> Wanted:
    """What goes out for a request and what is to come back; raises WrongRequest."""
    try:
        message = _MESSAGES[request.function](request)
        payload = bytes([request.function]) + message.encode()
    except (KeyError, IndexError, TypeError, ValueError, struct.error) as error:
        raise WrongRequest(f"function {request.function}: {error}") from None
    return Wanted(request, payload, *_answer_shape(request, payload))


def _answer_shape(request: Request, payload: bytes) -> tuple[bytes, int]:
    """How the good answer begins, and its length: data with a byte count, or an echo."""
    function = request.function
    if function in _BIT_READS or function in _WORD_READS:
        size = (request.count + 7) // 8 if function in _BIT_READS else 2 * request.count
        return bytes((function, size)), 2 + size
    if function == Function.READ_DEVICE_IDENTIFICATION:
        return payload[:2], 0
    echo = payload[:5] if function in (15, 16) else payload
    return echo, len(echo)


@lru_cache(maxsize=256)
def _words(count: int) -> struct.Struct:
    return struct.Struct(f">{count}H")


def response(asked: Wanted, payload: bytes) -> Response:
    """The answer that `payload` is to what was asked; raises Refused or Garbled."""
    function = asked.request.function
    if len(payload) == 2 and payload[0] == function | EXCEPTION:
        raise Refused(payload[1])
    if not payload.startswith(asked.head) or (asked.size and len(payload) != asked.size):
        raise Garbled("an answer to something else")
    if function in _WORD_READS:
        return Response(_words(asked.request.count).unpack_from(payload, 2))
    if function in _BIT_READS:
        bits = [byte >> bit & 1 for byte in payload[2:] for bit in range(8)]
        return Response(bits[: asked.request.count])
    if function == Function.READ_DEVICE_IDENTIFICATION:
        return Response(objects=_objects(payload))
    return Response(asked.request.words)


def _objects(payload: bytes) -> Mapping[int, bytes]:
    identification = ReadDeviceInformationResponse()
    try:
        identification.decode(payload[1:])
    except (IndexError, struct.error):
        raise Garbled("a device identification that ends too early") from None
    return {
        number: found[0] if isinstance(found, list) else found
        for number, found in identification.information.items()
    }


def requested(unit: int, payload: bytes) -> Request:
    """The request that a master's payload is; raises Refused with the exception to answer."""
    function = payload[0] if payload else 0
    if function not in _MESSAGES:
        raise Refused(ILLEGAL_FUNCTION)
    message = _SERVER.decode(payload)
    if message is None:
        raise Refused(ILLEGAL_VALUE)
    words: tuple[int, ...] = tuple(int(bit) for bit in message.bits) or tuple(message.registers)
    request = Request(unit, function, message.address, message.count or 1, words)
    match message:
        case MaskWriteRegisterRequest():
            words = (message.and_mask, message.or_mask)
            request = Request(unit, function, message.address, 1, words)
        case ReadWriteMultipleRegistersRequest():
            words, write_address = tuple(message.write_registers), message.write_address
            address, count = message.read_address, message.read_count
            request = Request(unit, function, address, count, words, write_address)
        case ReadDeviceInformationRequest():
            request = Request(unit, function, 0, 1, (message.read_code, message.object_id))
    try:
        if wanted(request).payload != payload:  # a byte count that does not fit, or bytes too many
            raise Refused(ILLEGAL_VALUE)
    except WrongRequest:
        raise Refused(ILLEGAL_VALUE) from None
    return request


def answered(request: Request, found: Response) -> bytes:
    """The payload that answers a master's request."""
    function, words = request.function, found.words
    if function in _WORD_READS:
        return bytes((function, 2 * len(words))) + _words(len(words)).pack(*words)
    if function in _BIT_READS:
        packed = sum(bool(bit) << at for at, bit in enumerate(words))
        size = (len(words) + 7) // 8
        return bytes((function, size)) + packed.to_bytes(size, "little")
    if function == Function.READ_DEVICE_IDENTIFICATION:
        told = ReadDeviceInformationResponse(request.words[0], dict(found.objects))
        return bytes([function]) + told.encode()
    return wanted(request).head


def refused(function: int, exception: int) -> bytes:
    """The payload that refuses a master's request."""
    return bytes((function & ~EXCEPTION | EXCEPTION, exception))


_CLIENT = DecodePDU(is_server=False)
_SERVER = DecodePDU(is_server=True)
_RTU = FramerRTU(_CLIENT)
_TCP = FramerSocket(_CLIENT)


def silence_library() -> None:
    """Faults are counted by us, not told a second time by the library's logger."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


def rtu_frame(unit: int, payload: bytes) -> bytes:
    """A payload as it goes over a serial line."""
    return _RTU.encode(payload, unit, 0)


def tcp_frame(tid: int, unit: int, payload: bytes) -> bytes:
    """A payload as it goes over a connection, under a transaction id."""
    return _TCP.encode(payload, unit, tid)


def tcp_frames(data: bytes) -> tuple[int, list[tuple[int, int, bytes]]]:
    """How many bytes of a stream are used, and its whole frames: transaction id, unit, payload.

    Raises OutOfStep.
    """
    frames: list[tuple[int, int, bytes]] = []
    used, view = 0, memoryview(data)
    while len(data) - used >= MBAP_BYTES + 1:
        size, unit, tid, payload = _TCP.decode(view[used:])  # type: ignore[arg-type]
        if not size:
            _check_mbap(view[used:])
            break
        if not payload or len(payload) >= LONGEST_MBAP_LENGTH:
            raise OutOfStep("no Modbus TCP")
        frames.append((tid, unit, bytes(payload)))
        used += size
    return used, frames


def _check_mbap(header: memoryview) -> None:
    """A frame that is not whole yet is plausible, or the stream is none of Modbus."""
    _, protocol, length = struct.unpack_from(">HHH", header)
    if protocol or not 2 <= length <= LONGEST_MBAP_LENGTH:
        raise OutOfStep("no Modbus TCP")


def whole_rtu(data: bytes) -> int:
    """The length of the good frame of a unit's answer that `data` begins with; 0: there is none."""
    if len(data) < FramerRTU.MIN_SIZE:
        return 0
    try:
        kind = _CLIENT.lookupPduClass(data)
        size = kind.calculateRtuFrameSize(data) if kind else 0
    except (ModbusException, IndexError, struct.error):
        return 0
    return size if size and _sound(data, 0, size) else 0


def rtu_answer(data: bytes, asked: Wanted, *, exceptions: bool = True) -> tuple[int, bytes]:
    """Where an answer to what was asked ends in `data`, and its payload; (0, b"") if there is none.

    It is looked for at every place: after noise the library's framer finds none, and one that
    belongs to another unit it takes with all that follows.
    """
    unit, function = asked.request.unit, asked.request.function
    sizes = [(bytes([unit]) + asked.head, asked.size)]
    if exceptions:
        sizes.append((bytes((unit, function | EXCEPTION)), len(refused(function, 0))))
    for head, size in sizes:
        start = data.find(head)
        while start >= 0:
            length = RTU_OVERHEAD_BYTES + size if size else whole_rtu(data[start:])
            if length and _sound(data, start, length):
                return start + length, data[start + 1 : start + length - 2]
            start = data.find(head, start + 1)
    return 0, b""


def _sound(data: bytes, start: int, size: int) -> bool:
    """A frame of `size` bytes is there whole, and its checksum fits."""
    end = start + size
    if len(data) < end:
        return False
    checksum = int.from_bytes(data[end - 2 : end], "big")
    return FramerRTU.check_CRC(data[start : end - 2], checksum)
