"""The small city of docs/operate/city.md is run as the page says; what arrives is what it shows."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from kerbline.assets import registry
from kerbline.assets.kept import read
from kerbline.config import load
from kerbline.demo.stage import free_port, text, until
from kerbline.model import Key, Reading
from kerbline.north.ngsi_ld.forms import Form
from kerbline.north.ngsi_ld.models import changes, city_of
from kerbline.sim import children
from kerbline.sim.ngsi_ld import Standin
from tools.trees import ROOT

FOLDER = ROOT / "docs" / "operate"
PAGE = (FOLDER / "city.md").read_text(encoding="utf-8")
LONG_S = 300.0  # a dozen processes begin
SHOWN = {
    entity["id"]: entity
    for block in re.findall(r"^```json\n(.*?)^```", PAGE, re.M | re.S)
    for entity in [json.loads(block)]
}
LISTED = set(re.findall(r"^(urn:\S+)$", PAGE, re.M))
LAMP = "urn:ngsi-ld:Streetlight:sjoestad:lamp-1"
GROUP = "urn:ngsi-ld:StreetlightGroup:sjoestad:quay"
PORTS = {"ngsi": "1026", "modbus": "5020", "udp": "5683"}


def placed(folder: Path, ports: dict[str, str]) -> Path:
    """A copy of the example, on these ports; its config."""
    shutil.copytree(FOLDER / "city", folder / "city")
    config = folder / "city" / "gateway.toml"
    said = config.read_text(encoding="utf-8")
    for name, port in PORTS.items():
        assert said.count(f":{port}") == 1
        said = said.replace(f":{port}", f":{ports[name]}")
    config.write_text(said, encoding="utf-8")
    return config


async def said_by(*words: str | Path) -> str:
    """What `kerbline` says to these words; it has to end well."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kerbline", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def played(folder: Path) -> dict[str, dict[str, Any]]:
    """Run it until a lamp has reported; the entities at the broker."""
    broker = Standin()
    await broker.start()
    ports = {"ngsi": broker.url.rpartition(":")[2], "modbus": str(free_port())}
    config = placed(folder, ports | {"udp": str(free_port())})
    running: list[children.Child] = []

    async def start(log: str, words: Sequence[str | Path]) -> Path:
        path = folder / log
        running.append(await children.start([sys.executable, *words], path))
        return path

    try:
        kerbline = ("-m", "kerbline")
        serving = ("sim", "modbus", "lighting-cabinet", "--port", ports["modbus"])
        await start("cabinet.log", [*kerbline, *serving])
        street = await start("street.log", [config.parent / "street.py", config])
        await until(lambda: "nodes on" in text(street), "street.py", LONG_S)
        assert "good; 10 nodes" in await said_by("check", config)
        imported = await said_by("assets", "import", config, config.parent / "assets.csv")
        assert imported.splitlines()[0] in PAGE
        log = await start("gateway.log", [*kerbline, "run", config])
        now = broker.entities.now
        whole = lambda: set(now) >= LISTED and set(SHOWN[LAMP]) <= set(now[LAMP])  # noqa: E731
        await until(whole, f"the city ({log})", LONG_S)
        assert await running.pop().end() == 0
        assert "entries held back" in PAGE
        assert not [name for name in now if "home" in name or "wm-" in name]
        return dict(now)
    finally:
        for child in running:
            await child.kill()
        await broker.stop()


def bare(attribute: Any) -> Any:
    """An attribute without what differs in each run: when it was measured, and how much."""
    if not isinstance(attribute, dict) or "observedAt" not in attribute:
        return attribute
    return attribute | {"observedAt": "", "status": "", "value": type(attribute["value"])}


def bared(entity: dict[str, Any]) -> dict[str, Any]:
    return {name: bare(each) for name, each in entity.items() if name != "@context"}


def test_the_small_city_runs_and_what_arrives_is_what_is_shown(tmp_path: Path) -> None:
    now = asyncio.run(played(tmp_path))
    alerts = {name for name in now if ":Alert:" in name}  # of a machine that stands still
    assert set(now) - alerts == LISTED
    assert bared(now[LAMP]) == bared(SHOWN[LAMP])
    assert now[GROUP] == SHOWN[GROUP]


def test_the_sum_that_is_shown_is_what_such_an_hour_becomes(tmp_path: Path) -> None:
    config = load(with_keys(placed(tmp_path, PORTS)))
    known = registry.empty(config)
    known.take(read(config.gateway.state_dir))
    (shown,) = [each for each in SHOWN.values() if each["type"] == "KeyPerformanceIndicator"]
    values = {"consumed_l": shown["kpiValue"]["value"], "households": 6}
    values |= {"completeness_pct": 100, "late_hours": 0}
    end_ms = 3_600_000 * 497_000
    key = Key(config.gateway.id, 1, 1)
    hour = Reading(key, "sjoestad-1", "zone_water", end_ms, 0, values)
    made = [
        json.loads(orjson.dumps(Form().entity(change)))
        for change in changes(hour, city_of(config, known))
    ]
    (same,) = [each for each in made if each["id"] == shown["id"]]
    assert bared(same) == bared(shown)


def with_keys(config: Path) -> Path:
    """The nodes' keys are there, as street.py makes them."""
    for name in re.findall(r'^key_file = "(.*)"', config.read_text(encoding="utf-8"), re.M):
        path = config.parent / name
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o600)
        path.write_text("00" * 16)
    return config


def test_the_ports_of_the_page_are_the_configs(tmp_path: Path) -> None:
    placed(tmp_path, PORTS)
    assert f"on port {PORTS['ngsi']}" in PAGE
    assert f"--port {PORTS['modbus']} " in PAGE
    assert f"http://127.0.0.1:{PORTS['ngsi']}/ngsi-ld" in PAGE


def test_the_topics_of_an_agent_are_those_of_its_own_page() -> None:
    page = (FOLDER / "iota.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(/[^`]+)`, from the \w+ \| `([^`]+)` \|$", PAGE, re.M)
    assert [row for row in rows if row[0] in page and row[1] in page] == rows
    assert len(rows) == 3


def test_the_section_with_tls_is_a_good_one(tmp_path: Path) -> None:
    (section,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)
    section, _, tls = section.partition("[ngsi_ld.tls]")
    assert re.findall(r"^(\w+) = ", tls, re.M) == ["ca"]
    config = with_keys(placed(tmp_path, PORTS))
    secret = config.parent / "client.secret"
    secret.touch(mode=0o600)
    secret.write_text("secret\n")
    said = config.read_text(encoding="utf-8")
    ours = re.compile(r"^\[\[ngsi_ld\]\]\n(?:\w.*\n)+", re.M)
    assert ours.search(said)
    config.write_text(ours.sub(section, said), encoding="utf-8")
    (broker,) = load(config).brokers
    assert broker.tenant == "sjoestad"
    assert broker.oauth2 is not None
