"""What the chip tells whoever holds the board."""

import time


class Control:
    """The pipe to whoever holds the board."""

    def __init__(self, path: str):
        self._pipe = open(path, "wb", 0)

    def say(self, *what: object) -> None:
        """One line."""
        self._pipe.write((" ".join([str(word) for word in what]) + "\n").encode())

    def end(self, *what: object) -> None:
        """The last line: the power goes, nothing of ours runs on."""
        self.say(*what)
        while True:
            time.sleep(1)
