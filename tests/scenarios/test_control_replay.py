"""The street's local twin: with the config that ran it finds what was, with another one not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kerbline.cli import app
from tests import light_recorded

RECORDED = ("2026-12-18T14:00", "2026-12-18T17:10")
SPAN = ("2026-12-18T15:10", "2026-12-18T16:50")  # dusk is in it


def at_ms(text: str) -> int:
    """Of a UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an evening is recorded."""
    found = tmp_path_factory.mktemp("street")
    light_recorded.record(found, at_ms(RECORDED[0]), at_ms(RECORDED[1]))
    return found


def replayed(folder: Path, **given: object) -> dict[str, Any]:
    """What the twin says of the span under another config."""
    light_recorded.config(folder, "other.toml", **given)
    asked = ["--config", str(folder / "other.toml"), "--from", SPAN[0], "--to", SPAN[1], "--json"]
    told = CliRunner().invoke(app, ["control", "replay", *asked], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    found: dict[str, Any] = json.loads(told.output)
    return found


def test_the_config_that_ran_finds_what_was(folder: Path) -> None:
    found = replayed(folder)
    print(json.dumps(found, indent=1))
    would, did = found["would_have_been"], found["did"]
    assert found["known_share"] == 1
    assert did["energy_kwh"] > 0.1
    assert would["energy_kwh"] == pytest.approx(did["energy_kwh"], rel=0.02)
    assert did["raised"] > 100
    assert would["raised"] == pytest.approx(did["raised"], abs=2)
    assert would["let_go"] == pytest.approx(did["let_go"], abs=2)
    assert would["alarms"] == did["alarms"] == {"rule-warm": 1}
    assert found["reports_alike"] >= 0.9 * found["reports"] > 20
