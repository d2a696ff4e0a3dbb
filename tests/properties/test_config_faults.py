"""However a config is mangled: it loads, or each of its faults is one short printable line."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from kerbline.config import ConfigFault, load

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "config.md"
LINES = re.sub(r" *#.*", "", PAGE.read_text().split("```toml\n")[1].split("```")[0]).split("\n")
VALUES = [
    *("1", "-1", "1e400", "nan", "true", "1979-05-27", "07:32:00", "9" * 400),
    *('""', '"x"', '"\\u0000\\u001b"', '"~x/y"', '"' + "y" * 5000 + '"'),
    *("[]", "[1]", '["lamp-1", "lamp-1"]', "[[[]]]", "{}", "{a = 1}", "{a = {b = [{}]}}"),
]
LONGEST_FAULT = 800


def mangled(random: Random) -> str:
    lines = list(LINES)
    for _ in range(random.randrange(1, 6)):
        at = random.randrange(len(lines))
        way = random.random()
        if way < 0.2:
            del lines[at]
        elif way < 0.4:
            lines.insert(at, random.choice(lines))
        elif "=" in lines[at]:
            lines[at] = lines[at].split("=")[0] + "= " + random.choice(VALUES)
        else:
            name = lines[at].strip("[]")
            lines[at] = random.choice([name, f"[{name}]", f"[[{name}]]"])
    return "\n".join(lines)


@given(st.randoms(use_true_random=False))
def test_a_mangled_config_is_told_in_lines(random: Random) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "street.toml"
        path.write_text(mangled(random))
        try:
            load(path)
        except ConfigFault as fault:
            said = [str(each) for each in fault.faults]
        else:
            said = []
    for line in said:
        assert line.isprintable()
        assert len(line) < LONGEST_FAULT
