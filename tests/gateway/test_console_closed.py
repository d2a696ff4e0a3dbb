"""No Ctrl-C, wherever in main.py or boot.py it comes, leaves a release node at a prompt.

A chip notes a Ctrl-C in its interrupt and raises it at the interpreter's next look at what is
pending, which is at a jump. `micropython.schedule` has its callback called at that very look: the
callback stands for the exception, and tells where it would have been raised.
"""

import ast
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kerbline import boards
from kerbline.firmware import build, kept

# A chip on which kbd_intr is one call, as C is: what it says goes into `told`.
CHIP = """
import json
import sys
from micropython import schedule
told = []
marks = []
rings = []
def ring(number):
    rings.append((len(marks), len(told)))
class Reset(BaseException):
    pass
class Micropython:
    kbd_intr = staticmethod(lambda char: told.append((char, len(marks))))
class NVS:
    def __init__(self, name):
        pass
    def get_blob(self, name, room):
        text = BLOBS.get(name)
        if text is None:
            raise OSError(-0x1102, "ESP_ERR_NVS_NOT_FOUND")
        room[:len(text)] = text
        return len(text)
class Esp32:
    pass
Esp32.NVS = NVS
class Machine:
    @staticmethod
    def reset():
        raise Reset
class Time:
    sleep = staticmethod(lambda seconds: None)
class App:
    @staticmethod
    def main():
        return App.run
    @staticmethod
    def run():
        raise ValueError("broken")
class Kerbnode:
    start = App
class Choice:
    main = staticmethod(lambda: None)
for name, fake in (("micropython", Micropython), ("esp32", Esp32), ("machine", Machine),
                   ("time", Time), ("choice", Choice), ("kerbnode", Kerbnode),
                   ("kerbnode.start", App)):
    sys.modules[name] = fake
BLOBS = {"key": b"k" * 20, "settings": b'{"build": "release"}'}
"""
RUN = """
for text in TEXTS:
    ended = ""
    del told[:], marks[:], rings[:]
    code = compile(text, "main.py", "exec")
    try:
        exec(code, {"__name__": "__main__", "press": schedule, "ring": ring, "mark": marks.append})
    except BaseException as error:
        ended = type(error).__name__
    print(json.dumps({"told": told, "marks": marks, "rings": rings, "ended": ended}))
"""
CLOSED = -1
CARELESS = "import micropython\nx = micropython\nif x:\n    micropython.kbd_intr(-1)\n"
UNGUARDED = "import micropython\nmicropython.kbd_intr(-1)\nfor _ in range(2):\n    pass\n"


class Marked(ast.NodeTransformer):
    """Each statement says its number as it begins; before number `only` a Ctrl-C comes."""

    def __init__(self, only: int) -> None:
        self.guarded: list[bool] = []  # by number: is the statement in a try's body?
        self._only = only
        self._in_try = False

    def bodies(self, node: ast.AST, names: tuple[str, ...], *, in_try: bool) -> None:
        before, self._in_try = self._in_try, in_try
        for name in names:
            held = getattr(node, name, None)
            if isinstance(held, list) and held and isinstance(held[0], ast.stmt):
                setattr(node, name, [new for old in held for new in self._with(old)])
        self._in_try = before

    def _with(self, statement: ast.stmt) -> list[ast.stmt]:
        number = len(self.guarded)
        self.guarded.append(self._in_try)
        self.visit(statement)
        text = f"mark({number})" + ("\npress(ring, 0)" if number == self._only else "")
        return [*ast.parse(text).body, statement]

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Try):
            self.bodies(node, ("body",), in_try=True)
            for handler in node.handlers:
                self.bodies(handler, ("body",), in_try=self._in_try)
        elif isinstance(node, ast.FunctionDef):
            self.bodies(node, ("body",), in_try=False)
        else:
            self.bodies(node, ("body", "orelse"), in_try=self._in_try)
        return node


def marked(text: str, only: int) -> tuple[str, list[bool]]:
    tree = ast.parse(text)
    marker = Marked(only)
    marker.visit(tree)
    return ast.unparse(ast.fix_missing_locations(tree)), marker.guarded


def ran(folder: Path, micropython: Path, texts: list[str], blobs: str = "") -> list[dict[str, Any]]:
    """What each text told, and the exception that left it."""
    script = folder / "chip.py"
    script.write_text(f"{CHIP}{blobs}\nTEXTS = {texts!r}\n{RUN}")
    command = [str(micropython), "-X", "heapsize=16M", str(script)]
    done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]


def escapes(folder: Path, micropython: Path, text: str) -> list[str]:
    """Where a Ctrl-C would end the text, or find the console still open."""
    guarded = marked(text, -1)[1]
    numbers = range(len(guarded))
    found = []
    lives = ran(folder, micropython, [marked(text, number)[0] for number in numbers])
    for number, life in zip(numbers, lives, strict=True):
        if number not in life["marks"]:
            continue
        at = life["marks"].index(number)
        said = [char for char, when in life["told"] if when <= at]
        if said and said[-1] == CLOSED:
            continue  # the chip notes none
        if not life["rings"]:
            found.append(f"{number}: left behind for whatever runs next")
            continue
        marks, told = life["rings"][0]
        if not told or life["told"][told - 1][0] != CLOSED:
            found.append(f"{number}: raised while the console is open")
        elif not guarded[life["marks"][marks - 1]]:
            found.append(f"{number}: raised outside a try")
    return found


@pytest.fixture(scope="module")
def starts() -> dict[str, str]:
    """boot.py and main.py as a board gets them."""
    file = boards.find("streetlight-esp32")
    firmware = build.build(build.of_board(boards.load(file), str(file)), keep=kept.folder())
    return {
        "boot.py": firmware.starts["boot.py"].decode(),
        "main.py": firmware.starts["main.py"].decode(),
    }


@pytest.mark.parametrize("name", ["boot.py", "main.py"])
def test_a_ctrl_c_is_raised_only_where_it_is_caught_and_the_console_closed(
    starts: dict[str, str], tmp_path: Path, micropython: Path, name: str
) -> None:
    assert escapes(tmp_path, micropython, starts[name]) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [(CARELESS, "while the console is open"), (UNGUARDED, "outside a try")],
)
def test_a_careless_start_is_found(
    tmp_path: Path, micropython: Path, text: str, fault: str
) -> None:
    assert fault in " ".join(escapes(tmp_path, micropython, text))


def test_what_is_raised_there_is_caught(
    starts: dict[str, str], tmp_path: Path, micropython: Path
) -> None:
    """And a release node whose app fails restarts, with it or without."""
    main, boot = starts["main.py"], starts["boot.py"]
    texts = [main, *(text.replace("pass", "raise KeyboardInterrupt", 2) for text in (main, boot))]
    assert "raise" in texts[2]
    lives = ran(tmp_path, micropython, texts)
    assert [life["ended"] for life in lives] == ["Reset", "Reset", ""]
    assert all(life["told"][-1][0] == CLOSED for life in lives)


def test_only_a_chip_without_a_key_opens_its_console(
    starts: dict[str, str], tmp_path: Path, micropython: Path
) -> None:
    """Settings that are gone open nothing: a last good copy of them may be in use."""
    for blobs, ended in (
        ('del BLOBS["settings"]\nBLOBS["settings_was"] = b"x"', "Reset"),
        ("def broken(*_):\n    raise OSError(-0x1105)\nNVS.get_blob = broken", "Reset"),
        ('BLOBS["settings"] = b\'{"build": "debug"}\'', ""),
        ("BLOBS = {}", ""),
    ):
        (life,) = ran(tmp_path, micropython, [starts["main.py"]], blobs)
        opened = 3 in [char for char, _ in life["told"]]
        assert (life["ended"], opened) == (ended, not ended), blobs
