"""The runners count honestly: a crash, an empty file and a run of nothing are faults."""

from pathlib import Path

import pytest

from tests import run_micropython
from tools.run_tests import Tally, read_junit

RUNNER = Path(run_micropython.__file__).with_name("device_runner.py")

JUNIT = """<testsuites><testsuite name="pytest">
<testcase classname="tests.a" name="test_good" time="0.1"/>
<testcase classname="tests.a" name="test_bad"><failure message="no">trace</failure></testcase>
<testcase classname="tests.b" name="test_broken"><error message="set-up">trace</error></testcase>
<testcase classname="tests.b" name="test_held"><skipped message="no --port given"/></testcase>
</testsuite></testsuites>"""


def outcome(tree: Path, micropython: Path, text: str) -> run_micropython.Outcome:
    (tree / "tests" / "wire").mkdir(parents=True)
    (tree / "tests" / "device_runner.py").write_text(RUNNER.read_text())
    file = tree / "tests" / "wire" / "test_planted.py"
    file.write_text(text)
    return run_micropython.run_file(micropython, file, root=tree)


@pytest.mark.parametrize(
    ("text", "passed", "failed", "told"),
    [
        ("def test_a():\n    assert True\ndef test_b():\n    pass\n", 2, 0, "PASS test_a"),
        ("def test_a():\n    assert 1 == 2\ndef test_b():\n    pass\n", 1, 1, "FAIL test_a"),
        ("def test_a():\n    return {}['x']\n", 0, 1, "KeyError"),
        ("def test_a():\n    bytearray(100_000_000)\n", 0, 1, "MemoryError"),
        ("import typing\n", 0, 1, "did not end"),
        ("import sys\ndef test_a():\n    sys.exit(0)\n", 0, 1, "did not end"),
        ("def check_a():\n    pass\n", 0, 1, "has no test"),
    ],
)
def test_device_runner_counts(
    tmp_path: Path, micropython: Path, text: str, passed: int, failed: int, told: str
) -> None:
    result = outcome(tmp_path, micropython, text)
    assert (result.passed, result.failed) == (passed, failed), result.output
    assert told in result.output


def test_junit_is_counted_with_each_reason(tmp_path: Path) -> None:
    report = tmp_path / "pytest.xml"
    report.write_text(JUNIT)
    tally = read_junit(report, "CPython")
    assert (tally.passed, tally.failed, tally.skipped) == (1, 2, 1)
    assert tally.skips == ("tests.b.test_held: no --port given",)


@pytest.mark.parametrize(
    ("tally", "sound"),
    [
        (Tally("CPython", 3, 0), True),
        (Tally("CPython", 3, 1), False),
        (Tally("CPython", 0, 0), False),
        (Tally("MicroPython", 0, 0, ("tests/wire: no wheel",)), True),
    ],
)
def test_run_of_nothing_is_unsound(tally: Tally, *, sound: bool) -> None:
    assert tally.sound is sound
