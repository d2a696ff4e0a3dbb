"""protocol/wire.md, messages.cddl and the vectors say what the code does."""

import re

from kerbwire import limits
from kerbwire import messages as m
from tools import states, vectors
from tools.trees import ROOT

TEXT = (ROOT / "protocol" / "wire.md").read_text()
CDDL = (ROOT / "protocol" / "messages.cddl").read_text()
SOURCES = [file.read_text() for file in sorted((ROOT / "protocol" / "kerbwire").glob("*.py"))]
TESTS = "".join(file.read_text() for file in sorted((ROOT / "tests" / "wire").glob("test_*.py")))
NAMED = {name: value for name, value in vars(limits).items() if name.isupper()}


def test_the_vectors_are_what_their_generator_makes() -> None:
    for name, text in vectors.contents().items():
        assert (vectors.FOLDER / f"{name}.json").read_text() == text, name


def test_the_diagrams_are_made_from_the_table() -> None:
    for role, _ in states.ROLES:
        assert states.diagram(role) in TEXT


def test_the_table_of_limits_is_limits_py() -> None:
    rows = re.findall(r"^\| ([A-Z_]+) \| ([0-9,]+) \| .+ \|$", TEXT, re.M)
    assert {name: int(value.replace(",", "")) for name, value in rows} == NAMED


def test_each_limit_is_exercised_by_a_test() -> None:
    assert [name for name in NAMED if not re.search(rf"\b{name}\b", TESTS)] == []


def test_the_table_of_faults_is_what_the_code_tells() -> None:
    calls = [call for text in SOURCES for call in re.findall(r"RemoteError\((.+)\)", text)]
    raised = {code for call in calls for code in re.findall(r'"(\w+)"', call)}
    section = TEXT.split("## 10. Faults")[1].split("## 11.")[0]
    told = {code for row in re.findall(r"^\| (`.+?) \|", section, re.M) for code in row.split(", ")}
    assert {code.strip("`") for code in told} == raised | {"cobs"}


def test_the_cddl_has_every_message_and_no_other() -> None:
    numbers = {int(number) for number in re.findall(r"= \[(\d+)\b", CDDL)}
    sessions = {m.HELLO, m.WELCOME, m.HELLO_REQUEST, m.INFO, m.DISCOVER, m.CLAIM}
    records = {m.ANCHOR, m.REPORT, m.BATCH, m.EVENT, m.GAP}
    exchange = {m.POLL, m.COMMAND, m.CONFIG, m.DIAG, m.RESULT, m.IDLE, m.NEED_KEYFRAME, m.CALL}
    objects = {m.OFFER, m.WANT, m.BLOCK}
    assert numbers == sessions | records | exchange | objects
    names = set(re.findall(r"^([a-z0-9-]+) += ", CDDL, re.M))
    bodies = re.sub(r";.*|\"[^\"]*\"|\.size", "", CDDL)
    labels = set(re.findall(r"([a-z0-9-]+):", bodies))
    used = set(re.findall(r"\b[a-z][a-z0-9-]*\b", bodies)) - labels - {"int", "uint", "bstr"}
    assert used <= names


def test_every_code_stands_in_the_document() -> None:
    for table in (m.OP_NAMES, m.RESULT_NAMES, m.EVENT_NAMES, m.GAP_NAMES):
        for number in table:
            assert re.search(rf"\| [\d, ]*\b{number}\b[\d, ]* \|", TEXT), (table, number)
