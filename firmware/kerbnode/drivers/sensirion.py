"""Words on I2C as Sensirion's sensors send them: two bytes, high one first, and a checksum."""


def crc8(data: "bytes | bytearray") -> int:
    """Polynomial 0x31, start 0xFF; zero over a word with its own."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc


def words(data: "bytes | bytearray") -> "list[int] | None":
    """The words of an answer, or None where a checksum is wrong."""
    found = []
    for at in range(0, len(data), 3):
        if crc8(data[at : at + 3]):
            return None
        found.append(data[at] << 8 | data[at + 1])
    return found
