"""A simulated I2C bus: chips by their addresses, and an OSError where none acknowledges."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Chip(Protocol):
        """One chip; None or False from it is no acknowledge."""

        def write(self, data: bytes) -> bool: ...
        def read(self, count: int) -> "bytes | None": ...


ENODEV = 19


class Bus:
    """`absent`: nobody acknowledges; `stuck`: nobody drives the data line, all bits are ones."""

    def __init__(self, chips: "dict[int, Chip]"):
        self.absent = False
        self.stuck = False
        self._chips = chips

    def writeto(self, address: int, data: "bytes | bytearray") -> int:
        """One transfer; how many bytes were acknowledged."""
        if not self._chip(address).write(bytes(data)):
            raise OSError(ENODEV)
        return len(data)

    def readfrom_into(self, address: int, buffer: bytearray) -> None:
        """One transfer that fills the buffer."""
        data = self._chip(address).read(len(buffer))
        if data is None:
            raise OSError(ENODEV)
        buffer[:] = b"\xff" * len(buffer) if self.stuck else data

    def writeto_mem(self, address: int, register: int, data: "bytes | bytearray") -> None:
        """A register's number and its content in one transfer."""
        self.writeto(address, bytes([register]) + data)

    def readfrom_mem_into(self, address: int, register: int, buffer: bytearray) -> None:
        """A register's number, a repeated start, its content."""
        self.writeto(address, bytes([register]))
        self.readfrom_into(address, buffer)

    def _chip(self, address: int) -> "Chip":
        if self.absent or address not in self._chips:
            raise OSError(ENODEV)
        return self._chips[address]
