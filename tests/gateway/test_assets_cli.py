"""`kerbline assets` as an operator meets it, with a gateway that runs and without."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from kerbline.assets import kept
from kerbline.local_socket import ask
from tests.gateway.test_assets import config
from tests.gateway.test_cli import COMMAND, bare_cpu_s, kerbline, running

TABLE = "id,type,lat,lon,zone\nlamp-1,Streetlight,59.3,18.1,z-1\nmeter-1,,,,z-1\n"
LEAN = '[gateway]\nid = "gw-1"\nstate_dir = "state"\n[city]\nid = "sjoestad"\n'
LARGE = 10_000
IMPORT_TIMES = 16  # a bare interpreter: 2 s where that takes 0.12 s


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config(tmp_path)
    (tmp_path / "a.csv").write_text(TABLE)
    return tmp_path


def test_a_list_goes_in_and_is_shown_and_goes_out(folder: Path) -> None:
    made = kerbline("assets", "import", folder / "gateway.toml", folder / "a.csv")
    assert (made.returncode, made.stderr) == (0, "")
    first, second = made.stdout.splitlines()
    assert first == "2 new, 0 changed, 0 as they were; 2 in the list"
    assert second.startswith("gw-1 takes them up when it starts: no gateway runs here: ")

    shown = kerbline("assets", "show", folder / "gateway.toml", "lamp-1", "gas-1")
    assert [" ".join(line.split()) for line in shown.stdout.splitlines()] == [
        "id type name place group zone segment device readings",
        "lamp-1 Streetlight 59.300000 18.100000 z-1 node sl-0001 public",
        "gas-1 DeviceMeasurement main gas personal",
    ]
    (meter,) = json.loads(
        kerbline("assets", "show", folder / "gateway.toml", "meter-1", "--json").stdout
    )
    assert meter["urn"] == "urn:ngsi-ld:WaterConsumptionObserved:sjoestad:meter-1"
    assert (meter["readings"], meter["owner"], meter["listed"]) == (
        "personal",
        "Gatukontoret",
        True,
    )

    out = folder / "out.geojson"
    assert kerbline("assets", "export", folder / "gateway.toml", "--out", out).returncode == 0
    again = kerbline("assets", "import", folder / "gateway.toml", out, "--replace")
    assert again.stdout.startswith("0 new, 0 changed, 2 as they were; 2 in the list\n")
    told = kerbline("assets", "export", folder / "gateway.toml", "--format", "csv", "--all")
    assert [line.split(",")[0] for line in told.stdout.splitlines()] == [
        *("id", "lamp-1", "meter-1", "cabinet-1", "feeder-1", "gas-1"),
    ]
    assert told.stderr == "5 assets\n"


def test_after_a_swap_the_asset_is_what_it_was(folder: Path) -> None:
    path = folder / "gateway.toml"
    kerbline("assets", "import", path, folder / "a.csv")
    (before,) = json.loads(kerbline("assets", "show", path, "lamp-1", "--json").stdout)
    path.write_text(path.read_text().replace('"sl-0001"', '"sl-0999"'))
    (after,) = json.loads(kerbline("assets", "show", path, "lamp-1", "--json").stdout)
    assert after == before | {"device": "node sl-0999"}
    assert before["urn"] == "urn:ngsi-ld:Streetlight:sjoestad:lamp-1"


def test_a_list_with_a_fault_changes_nothing(folder: Path) -> None:
    kerbline("assets", "import", folder / "gateway.toml", folder / "a.csv")
    before = kept.read(folder / "state")
    (folder / "b.csv").write_text("id,zone\nlamp-1,z-2\nlamp-1,z 3\nlamp-2,z-1\n")
    for options in ([], ["--replace"], ["--dry-run"]):
        done = kerbline("assets", "import", folder / "gateway.toml", folder / "b.csv", *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f'{folder}/b.csv:3: zone: "z 3" is not of the right form; ')
        assert kept.read(folder / "state") == before


def test_a_dry_run_tells_and_changes_nothing(folder: Path) -> None:
    done = kerbline("assets", "import", folder / "gateway.toml", folder / "a.csv", "--dry-run")
    assert done.stdout == "2 new, 0 changed, 0 as they were; 2 in the list; nothing was changed\n"
    assert kept.read(folder / "state") == []


def test_a_list_comes_from_a_pipe_too(folder: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "assets", "import", str(folder / "gateway.toml"), "-"],
        input='[{"id": "lamp-1"}]',
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("1 new, ")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["import", "bare.toml", "a.csv"], 1, "bare.toml: assets belong to a city; add [city]"),
        (["import", "gateway.toml", "none.csv"], 1, "No such file or directory: none.csv"),
        (["import", "gateway.toml", "."], 1, ". is a folder; name a file"),
        (["export", "gateway.toml", "--out", "a.txt"], 2, "a.txt: name --format, or end the name"),
        (["export", "gateway.toml", "--out", "gateway.toml", "--format", "csv"], 1, "belongs to"),
        (["export", "gateway.toml", "--out", "state/assets.json"], 1, "belongs to the gateway"),
        (["export", "gateway.toml", "--out", "no/a.csv"], 1, "no is no folder; make it, or"),
        (["show", "gateway.toml", "lamp-9"], 1, "lamp-9 is neither in the list of assets nor in"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_line(
    folder: Path, words: list[str], status: int, said: str
) -> None:
    (folder / "bare.toml").write_text('[gateway]\nid = "gw-1"\nstate_dir = "state"\n')
    done = subprocess.run(
        [*COMMAND, "assets", *words], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == status
    assert said in done.stderr.splitlines()[-1]
    assert done.stdout == ""


def test_a_damaged_list_is_told_and_replaced(folder: Path) -> None:
    (folder / "state").mkdir(mode=0o700)
    (folder / "state" / "assets.json").write_text("damaged")
    for words in (["show"], ["export"]):
        done = kerbline("assets", *words, folder / "gateway.toml")
        assert done.returncode == 1
        assert done.stderr.endswith("assets.json: damaged; import the list again with --replace\n")
    done = kerbline("assets", "import", folder / "gateway.toml", folder / "a.csv")
    assert (done.returncode, done.stdout) == (1, "")
    checked = kerbline("check", folder / "gateway.toml")
    assert checked.returncode == 0
    assert "assets.json: damaged; import the list again with --replace" in checked.stderr
    done = kerbline("assets", "import", folder / "gateway.toml", folder / "a.csv", "--replace")
    assert done.returncode == 0
    assert len(kept.read(folder / "state")) == 2


def test_check_tells_what_config_and_list_lack_of_each_other(folder: Path) -> None:
    def warnings() -> list[str]:
        done = kerbline("check", folder / "gateway.toml")
        assert done.returncode == 0
        head = f"warning: {folder}/gateway.toml: "
        return [line.removeprefix(head) for line in done.stderr.splitlines()]

    held = (
        "held back as a home's may be, by what the devices measure: feeder-1, gas-1; "
        "say `privacy` public or personal in the list of assets"
    )
    assert warnings() == ["no asset was ever imported: `kerbline assets import`", held]
    (folder / "b.csv").write_text(
        "id,type\nlamp-1,AirQualityObserved\nmeter-1,DeviceMeasurement\nfeeder-1,\n"
        + "".join(f"far-{n},Streetlight\n" for n in range(10))
    )
    kerbline("assets", "import", folder / "gateway.toml", folder / "b.csv")
    assert warnings() == [
        "not in the list of assets: cabinet-1, gas-1",
        "lamp-1 is a AirQualityObserved in the list, and the config has a streetlight node at it",
        held,
        "in the list of assets and not in this config: "
        "far-0, far-1, far-2, far-3, far-4, far-5, far-6, far-7 and 2 more",
    ]
    (folder / "c.csv").write_text("id,type,zone\nmeter-1,WaterConsumptionObserved,\n")
    kerbline("assets", "import", folder / "gateway.toml", folder / "c.csv", "--replace")
    alone = "personal water meters without a zone, whose water is in no sum: meter-1"
    assert alone in warnings()
    (folder / "c.csv").write_text(
        "id,zone,privacy\nmeter-1,z-1,\nfeeder-1,,public\ngas-1,,personal\n"
    )
    kerbline("assets", "import", folder / "gateway.toml", folder / "c.csv")
    assert "zones of fewer than 5 households, of which no sum leaves: z-1" in warnings()
    assert not {alone, held} & set(warnings())


def test_a_running_gateway_takes_an_import_up(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(LEAN)
    (tmp_path / "a.csv").write_text(TABLE.replace("meter-1,,", "meter-1,Streetlight,"))
    with running(tmp_path / "gateway.toml"):
        socket = tmp_path / "state" / "status.sock"
        assert ask(socket, {"ask": "status"})["assets"]["listed"] == 0
        done = kerbline("assets", "import", tmp_path / "gateway.toml", tmp_path / "a.csv")
        assert done.stdout.splitlines()[1] == "gw-1 runs and has taken them up"
        assert ask(socket, {"ask": "status"})["assets"]["listed"] == 2
        told = kerbline("status", tmp_path / "gateway.toml").stdout
        assert "assets: 2 in the list" in told.splitlines()


def test_who_makes_a_public_meter_personal_is_told_to_restart_the_gateway(folder: Path) -> None:
    """What waits was judged as it came; until then the list alone holds back what comes."""

    def imported(privacy: str) -> subprocess.CompletedProcess[str]:
        (folder / "c.csv").write_text(f"id,privacy\nmeter-1,{privacy}\nlamp-1,{privacy}\n")
        return kerbline("assets", "import", folder / "gateway.toml", folder / "c.csv")

    path = folder / "gateway.toml"
    text = path.read_text().partition("[[modbus]]")[0]
    path.write_text(text.replace('kind = "water_meter"', 'kind = "air_quality"'))
    assert imported("public").returncode == 0
    with running(path):
        done = imported("personal")
        assert (done.returncode, done.stderr.splitlines()) == (
            0,
            [
                "note: meter-1 was public and is now personal",
                "note: lamp-1 was public and is now personal",
                "restart gw-1: what of lamp-1, meter-1 waits to be sent was taken while it was "
                "public, and still leaves",
            ],
        )
        assert imported("personal").stderr == ""
    assert "note: lamp-1 was personal and is now public" in imported("public").stderr


def test_a_gateway_that_began_without_a_city_has_to_begin_again(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(LEAN.split("[city]")[0])
    (tmp_path / "a.csv").write_text("id,type\nlamp-1,Streetlight\n")
    with running(tmp_path / "gateway.toml"):
        (tmp_path / "gateway.toml").write_text(LEAN)
        done = kerbline("assets", "import", tmp_path / "gateway.toml", tmp_path / "a.csv")
    assert done.returncode == 1
    assert done.stderr == (
        "gw-1 runs and did not take them up: its config had no [city] when it started; restart it\n"
    )
    assert len(kept.read(tmp_path / "state")) == 1


def test_a_gateway_without_its_list_serves_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(LEAN)
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "assets.json").write_text("damaged")
    with running(tmp_path / "gateway.toml"):
        told = kerbline("status", tmp_path / "gateway.toml").stdout
        assert "assets: THE LIST CAN'T BE READ; see the log, import it again" in told


def test_ten_thousand_assets_go_in_within_two_seconds(folder: Path) -> None:
    rows = (
        f"l-{n},Streetlight,Lamp {n},{59 + n / 1e5},{18 + n / 1e5},g-{n % 99},z-{n % 9}"
        for n in range(LARGE)
    )
    (folder / "a.csv").write_text("id,type,name,lat,lon,group,zone\n" + "\n".join(rows) + "\n")
    command = [*COMMAND, "assets", "import", str(folder / "gateway.toml"), str(folder / "a.csv")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.read().startswith("10,000 new")
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert used.ru_utime + used.ru_stime < IMPORT_TIMES * bare_cpu_s()
