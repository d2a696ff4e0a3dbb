"""The technician's page has every message as the code says it, and output that it would give."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping

import pytest

from kerbline.field.commission import site
from kerbline.field.commission.run import BEGINS, DONE, END, FAILED, STANDS, WARNING, WOULD
from kerbline.field.commission.words import BEFORE, FAULTS, SAID, STEPS, WARNINGS, CommissionFault
from tools.trees import ROOT

PAGE = (ROOT / "docs" / "operate" / "technician.md").read_text(encoding="utf-8")
PLACE = re.compile(r"\{(\w+)\}")


def rows(messages: Mapping[str, str]) -> Iterator[str]:
    """As the page's tables have them: what is said, then what to do; what differs in capitals."""
    for code, text in messages.items():
        said, _, then = PLACE.sub(lambda found: found[1].upper(), text).partition("; ")
        yield f"| `{code}` | {said} | {then} |"


def test_every_message_stands_on_the_page_as_it_is_said() -> None:
    lines = PAGE.splitlines()
    for row in [*rows(WARNINGS), *rows(FAULTS)]:
        assert row in lines, f"write it on the page:\n{row}"
    known = {*WARNINGS, *FAULTS}
    ours = PAGE.split("## What it warns of")[1].split("## What the doctor says")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", ours, re.M)) == known


def test_every_fault_is_one_that_happens() -> None:
    room = ROOT / "gateway" / "kerbline" / "field" / "commission"
    texts = [path.read_text() for path in room.glob("*.py") if path.name != "words.py"]
    code = "".join([*texts, (ROOT / "gateway/kerbline/cli/commission.py").read_text()])
    assert not [each for each in [*FAULTS, *WARNINGS] if f'"{each}"' not in code]
    assert all("; " in text for text in FAULTS.values())  # the cause; what to do


@pytest.mark.parametrize("code", FAULTS)
def test_every_fault_can_be_made_and_says_what_to_do(code: str) -> None:
    values = {name: f"<{name}>" for name in PLACE.findall(FAULTS[code])}
    fault = CommissionFault(code, **values)
    assert fault.exit_status == (2 if code in BEFORE else 1)
    assert all(value in str(fault) for value in values.values())


def test_the_output_on_the_page_is_what_the_command_says() -> None:
    said = [*SAID.values(), *WARNINGS.values()]
    known = [re.compile(PLACE.sub(".+", re.escape(text).replace(r"\{", "{").replace(r"\}", "}")))
             for text in said]  # fmt: skip
    console = PAGE.split("```console\n")[1].split("```")[0].splitlines()
    told = [re.fullmatch(r"[✓·!■] (?:(\w*) +)?(.+)", line) for line in console[1:]]
    steps = [found[1] for found in told if found and found[1]]
    assert steps == list(STEPS)
    for found in told:
        assert found and any(each.fullmatch(found[2].strip()) for each in known), found


def test_the_profile_on_the_page_is_read() -> None:
    text = PAGE.split("```toml\n")[1].split("```")[0]
    table = tomllib.loads(text)
    others = re.search(r"Beside these: (.*?)\. The settings", PAGE, re.S)
    assert others
    named = set(table) | set(re.findall(r"`(\w+)`", others[1]))
    assert named == set(site.Site.__dataclass_fields__)


def test_the_states_on_the_page_are_the_codes() -> None:
    (listed,) = re.findall(r"`state` \(([^)]*)\)", PAGE)
    assert re.findall(r"`(\w+)`", listed) == [BEGINS, DONE, STANDS, WOULD, FAILED, WARNING, END]
