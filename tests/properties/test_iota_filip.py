"""What is provisioned at an IoT Agent is read by FiLiP, FIWARE's own library, and loses nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from kerbline.north.iota.provision import devices, entities, services
from tests.gateway.test_iota import DUST, KEY, city, config
from tools.trees import ROOT

# FiLiP knows no group with a transport, and refuses this type that its own list has.
UNKNOWN = "transport"
GEO = "geo:json"


def test_filip_reads_groups_and_devices(filip: Path) -> None:
    of = city()
    found = entities(config(), of, DUST, everything=True)
    told: dict[str, Any] = {**services(KEY), **devices(found, of.registry, KEY)}
    for each in told["devices"]:
        placed = [one for one in each["static_attributes"] if one["type"] == GEO]
        assert all(one["value"]["type"] in ("Point", "LineString") for one in placed)
        each["static_attributes"] = [one for one in each["static_attributes"] if one not in placed]
    parsed = subprocess.run(
        [filip, ROOT / "tests" / "properties" / "iota_parse.py"],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    back = json.loads(parsed.stdout)
    assert len(back["devices"]) == len(told["devices"]) > 80
    assert back["devices"] == told["devices"]
    (group,) = told["services"]
    assert back["services"] == [{key: group[key] for key in group if key != UNKNOWN}]
