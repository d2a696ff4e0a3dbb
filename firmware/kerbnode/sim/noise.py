"""The noise that every real measurement has, the same in each run."""


class Noise:
    """Small whole numbers that do not repeat for long."""

    def __init__(self, seed: int = 1):
        self._state = seed

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1."""
        self._state = (self._state * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
        return (self._state >> 8) % limit
