"""What a task awaits again and again, and no coroutine is made for it: about 100 bytes each time.

For MicroPython, where what is awaited need only be iterated.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator


class Awaited:
    """Is over when `sleeps` has not put the task to sleep once more."""

    def __init__(self) -> None:
        self._end = StopIteration()

    if TYPE_CHECKING:

        def sleeps(self) -> bool:
            """Put the running task to sleep, or say that there is nothing left to wait for."""

        def __await__(self) -> Generator[None, None, None]: ...

    def __iter__(self) -> "Awaited":
        return self

    def __next__(self) -> None:
        if not self.sleeps():
            self._end.__traceback__ = None  # or it would grow
            raise self._end
