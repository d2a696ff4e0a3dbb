"""A city's entities are read by FiLiP, FIWARE's own library for Python, and lose nothing by it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from kerbline.north.ngsi_ld.contexts import SUBJECTS
from kerbline.north.ngsi_ld.forms import Form
from kerbline.north.ngsi_ld.models import changes, standing
from tests.gateway.city_day import city, day
from tools.trees import ROOT

LIBRARY = "filip==0.8.1"


@pytest.fixture(scope="module")
def library() -> Path:
    """An interpreter that has it; it is installed once, from PyPI."""
    folder = ROOT / "build" / "filip"
    made = folder / ".made"
    if not made.exists() or made.read_text() != LIBRARY:
        python = str(folder / "bin" / "python")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [python, "-m", "pip", "install", "-q", "--retries=1", LIBRARY]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip("filip: PyPI could not be reached")
        made.write_text(LIBRARY)
    return folder / "bin" / "python"


def test_filip_reads_each_shape_of_a_days_entities(library: Path) -> None:
    here, form = city(), Form()
    shapes: dict[object, bytes] = {}
    for change in [*standing(here, personal=True), *(c for e in day() for c in changes(e, here))]:
        shape = {(name, each.quality, each.kind) for name, each in change.attributes.items()}
        shapes[change.type, frozenset(shape)] = orjson.dumps(form.entity(change))
    given = b"\n".join(shapes.values())
    done = subprocess.run(
        [str(library), str(ROOT / "tests" / "properties" / "ngsi_parse.py")],
        input=given,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    sent = [json.loads(line) for line in given.splitlines()]
    assert [json.loads(line) for line in done.stdout.splitlines()] == sent
    assert {entity["type"] for entity in sent} == set(SUBJECTS) - {"DeviceOperation"}
    assert len(sent) > 80
