"""Boards: every fault with line, key and remedy; the files that we carry; what is compiled."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerbline import boards
from kerbline.boards import CHIPS, LinkSettings, assembly, check_settings, sections
from kerbline.boards.chips import Pin
from kerbline.boards.drivers import DRIVERS, INSTRUMENTS, Driver, Instruments
from kerbline.boards.uses import Use
from kerbline.config import ConfigFault, Fault, document
from tools.trees import ROOT, imports

GOOD = """\
[board]
name = "street"
chip = "esp32"
module = "ESP32-WROOM-32E"
assets = ["streetlight"]
about = "A lamp"
[links.uart]
uart = 1
tx = 17
rx = 16
[links.rs485]
uart = 1
tx = 17
rx = 16
de = 4
[i2c.sensors]
number = 0
scl = 19
sda = 21
[instruments.dimmer]
driver = "pwm_led"
pin = 25
reset = {pull = "down", lit_by = "low"}
[instruments.power]
driver = "bl0942"
uart = 2
tx = 26
rx = 35
[instruments.light]
driver = "bh1750"
bus = "sensors"
[instruments.motion]
driver = "motion"
pin = 34
[instruments.thermometer]
driver = "tmp36"
pin = 33
[service]
strap = 18
[sleep]
wake = ["motion"]
[budget]
resident_mpy_bytes = 36_864
mpy_bytes = 81_920
heap_bytes = 76_800
flash_bytes = 2_097_152
"""


def read(folder: Path, text: str, name: str = "street") -> boards.Board:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return boards.load(path)


def faults(folder: Path, text: str) -> list[str]:
    """What `check` would print, without the folder."""
    with pytest.raises(ConfigFault) as raised:
        read(folder, text)
    return [str(fault).replace(f"{folder}/", "") for fault in raised.value.faults]


ROLES = ", ".join(INSTRUMENTS["streetlight"].roles)


def drivers_for(role: str) -> str:
    """The drivers that a remedy offers for a role."""
    return ", ".join(row.name for row in DRIVERS.values() if role in row.roles)


def bad() -> list[tuple[str, str, list[str]]]:
    """From boards_bad.txt: lines of GOOD, what they become, and every fault from its line on."""
    cases = []
    text = (Path(__file__).parent / "boards_bad.txt").read_text()
    for block in text.split("\n\n")[1:]:
        lines = block.splitlines()
        was, becomes = ("\n".join(e[2:] for e in lines if e.startswith(mark)) for mark in "-+")
        wanted = [line.replace("{ROLES}", ROLES) for line in lines if line[0] not in "-+"]
        for role in ("light", "pressure"):
            wanted = [line.replace(f"{{{role}}}", drivers_for(role)) for line in wanted]
        cases.append((was, becomes, wanted))
    return cases


BAD = bad()


def changed(text: str, good: str, bad: str) -> str:
    """With whole lines replaced, or one gone."""
    assert f"\n{good}\n" in text
    return text.replace(f"\n{good}\n", f"\n{bad}\n" if bad else "\n", 1)


@pytest.mark.parametrize(
    ("good", "bad", "wanted"), BAD, ids=[each[1] or f"without {each[0]}" for each in BAD]
)
def test_a_fault_names_line_key_and_remedy(
    tmp_path: Path, good: str, bad: str, wanted: list[str]
) -> None:
    found = faults(tmp_path, changed(GOOD, good, bad))
    assert found == [f"street.toml:{fault}" for fault in wanted]


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("pin = ", "pin = 9").replace("rx = ", "rx = 7").replace('"bh', '"bx')
    assert len(faults(tmp_path, text + "years = 4\n[spare]\n")) == 11


def test_a_good_board_is_typed(tmp_path: Path) -> None:
    board = read(tmp_path, GOOD)
    assert (board.name, board.chip.image) == ("street", "ESP32_GENERIC")
    assert board.links.rs485 is not None
    assert board.links.rs485.de == 4
    assert board.links.udp is None
    assert board.instruments["light"].values == {"bus": "sensors", "address": 0x23}
    assert board.budget.heap_bytes == 76_800
    assert len(board.wiring.pins()) == 13


def test_the_chips_own_pull_may_light_the_lamp(tmp_path: Path) -> None:
    text = GOOD.replace("pin = 25", "pin = 13").replace('pull = "down"', 'pull = "none"')
    assert read(tmp_path, text).instruments["dimmer"].values["pin"] == 13
    wrong = faults(tmp_path, text.replace('lit_by = "low"', 'lit_by = "high"'))
    assert wrong == [
        "street.toml:23: instruments.dimmer.reset: in reset the chip's own resistor holds GPIO13 "
        'low, and the lamp is lit by high; fit a resistor and write pull = "up"'
    ]


def test_two_chips_of_one_address_clash_and_one_chip_in_two_roles_does_not(tmp_path: Path) -> None:
    one = Driver("one", "One", "i2c", ("a", "b"), addresses=(0x44, 0x45))
    other = Driver("other", "Other", "i2c", ("c",), addresses=(0x45, 0x44))
    path = tmp_path / "air.toml"
    path.write_text(
        '[i2c.air]\nnumber = 0\nscl = 1\nsda = 2\n[instruments.a]\ndriver = "one"\nbus = "air"\n'
        '[instruments.b]\ndriver = "one"\nbus = "air"\n'
        '[instruments.c]\ndriver = "other"\nbus = "air"\naddress = 0x44\n'
    )
    reader, table = document.opened(path)
    reader.section(sections.File, table)
    drivers = {"a": one, "b": one, "c": other}
    instruments = table["instruments"]
    assert isinstance(instruments, dict)
    for role, driver in drivers.items():
        reader.section(sections.section(driver), instruments[role], ("instruments", role))
    reader.faults.clear()
    assembly.check(reader, drivers)
    (clash,) = [fault for fault in reader.faults if "address" in fault.problem]
    assert (clash.line, clash.key) == (14, "instruments.c.address")
    assert clash.problem == f'address 0x44 on "air" is taken by instruments.a ({path}:5)'


AIR = """\
[i2c.air]
number = 0
scl = 22
sda = 21
[converter.cells]
driver = "ads1115"
bus = "air"
address = 0x49
[instruments.power]
driver = "tmp36"
converter = "cells"
channel = 3
"""


def converted(tmp_path: Path, text: str) -> list[str]:
    """The faults of inputs behind a converter; tmp36 stands for any driver of one."""
    path = tmp_path / "air.toml"
    path.write_text(text)
    reader, table = document.opened(path)
    reader.section(sections.File, table)
    instruments = table["instruments"]
    assert isinstance(instruments, dict)
    for role, values in instruments.items():
        reader.section(sections.section(DRIVERS["tmp36"]), values, ("instruments", role))
    reader.faults.clear()
    assembly.check(reader, dict.fromkeys(instruments, DRIVERS["tmp36"]))
    found = [str(fault).replace(f"{path}:", "") for fault in reader.faults]
    return [each for each in found if "budget" not in each and "way to" not in each]


CHANNELS = [
    (
        "channel = 3",
        "channel = 4",
        "12: instruments.power.channel: ads1115 has no channel 4; write",
    ),
    ("channel = 3\n", "", "9: instruments.power.channel: is missing; write channel = ..."),
    ("channel = 3", "channel = 3\npin = 4", "13: instruments.power.pin: has a converter, too; lea"),
    ('"cells"', '"cell"', '11: instruments.power.converter: no converter is called "cell"; add [c'),
    ("0x49", "0x50", "8: converter.cells.address: the chip is never at 0x50; write one of 0x48, "),
    ('bus = "air"', 'bus = "gas"', '7: converter.cells.bus: no bus is called "gas"; write one of'),
    (
        "channel = 3\n",
        'channel = 3\n[instruments.light]\ndriver = "tmp36"\nconverter = "cells"\nchannel = 3\n',
        "16: instruments.light.channel: channel 3 is taken by instruments.power.channel (12); wr",
    ),
    (
        "[instruments.power]",
        '[converter.more]\ndriver = "ads1115"\nbus = "air"\naddress = 0x49\n[instruments.power]',
        '12: converter.more.address: address 0x49 on "air" is taken by converter.cells (5); write',
    ),
]


@pytest.mark.parametrize(("good", "bad", "wanted"), CHANNELS)
def test_a_converters_channels_are_judged(tmp_path: Path, good: str, bad: str, wanted: str) -> None:
    assert converted(tmp_path, AIR) == []
    assert any(each.startswith(wanted) for each in converted(tmp_path, AIR.replace(good, bad, 1)))


def test_a_converter_is_compiled_once_and_its_channels_handed_on(tmp_path: Path) -> None:
    table = '[converter.cells]\ndriver = "ads1115"\nbus = "sensors"\naddress = 0x4b\n'
    text = GOOD.replace("pin = 33", 'converter = "cells"\nchannel = 2') + table
    source = boards.source(read(tmp_path, text))
    assert "    cells_inputs = Ads1115(sensors_bus, address=0x4b)\n" in source
    assert "thermometer=Tmp36(cells_inputs.channel(2))," in source
    assert "from kerbnode.drivers.ads1115 import Ads1115\n" in source


# ---------------------------------------------------------------- any pins, any text


def judged(path: Path) -> tuple[Fault, ...]:
    """Every fault in the file; none in a good one."""
    try:
        boards.load(path)
    except ConfigFault as fault:
        return fault.faults
    return ()


PIN_KEYS = [
    *((f"instruments.{role}", "pin") for role in ("dimmer", "motion", "thermometer")),
    *(("instruments.power", key) for key in ("tx", "rx")),
    *(("i2c.sensors", key) for key in ("scl", "sda")),
    ("service", "strap"),
]


def with_pins(pins: list[int]) -> str:
    """GOOD without its links' pins changed, and those keys at these pins."""
    lines = GOOD.splitlines()
    table = ""
    wanted = dict(zip(PIN_KEYS, pins, strict=True))
    for number, line in enumerate(lines):
        if line.startswith("["):
            table = line.strip("[]")
        key = line.partition(" = ")[0]
        if (table, key) in wanted:
            lines[number] = f"{key} = {wanted[table, key]}"
    return "\n".join(lines)


@given(pins=st.lists(st.integers(0, 48), min_size=8, max_size=8))
def test_any_pins_are_judged_and_no_conflict_is_overlooked(
    tmp_path_factory: pytest.TempPathFactory, pins: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("pins", numbered=True)
    path = folder / "street.toml"
    path.write_text(with_pins(pins))
    every = [*pins, 17, 16, 4]
    chip = CHIPS["esp32"]
    found = list(judged(path))
    told = {fault.key: fault for fault in found}
    assert all(fault.line and fault.remedy for fault in found)
    barred = chip.flash | chip.console | chip.strapping.keys()
    seen = {17, 16, 4}
    for pin, (table, key) in zip(pins, PIN_KEYS, strict=True):
        if pin in barred:
            assert f"{table}.{key}" in told
        if pin in seen:  # said of one of the two
            assert [fault for fault in found if f"GPIO{pin} is taken by" in fault.problem]
        seen.add(pin)
    if found:
        return
    assert len(set(every)) == len(every)
    assert set(every) <= chip.modules["ESP32-WROOM-32E"]
    assert not {pins[0], pins[3], pins[5], pins[6]} & chip.input_only
    assert pins[2] in {*chip.adc1, *chip.adc2}
    assert pins[1] in chip.wake


VALUES = ["0", "-1", "true", '"x"', "[]", "{}", "1.5", "nan", "[[]]", '{driver = "relay"}', "1e400"]


@given(line=st.integers(0, GOOD.count("\n") - 1), value=st.sampled_from(VALUES))
def test_no_value_anywhere_gives_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, line: int, value: str
) -> None:
    lines = GOOD.splitlines()
    name = lines[line].partition(" = ")[0].strip("[]")
    root = name.partition(".")[0]
    if lines[line].startswith("["):  # a value where a table was: its keys go elsewhere
        lines.insert(0, f"{root} = {value}")
        lines = [each for each in lines if not each.startswith(f"[{root}")]
    else:
        lines[line] = f"{name} = {value}"
    path = tmp_path_factory.mktemp("values", numbered=True) / "street.toml"
    path.write_text("\n".join(lines))
    assert all(str(fault).count("\n") == 0 and fault.remedy for fault in judged(path))


# ---------------------------------------------------------------- a node's settings over its board


def settled(tmp_path: Path, text: str, board: boards.Board) -> boards.Board:
    """The board as those settings have it."""
    path = tmp_path / "S.toml"
    path.write_text(text)
    reader, table = document.opened(path)
    names = ("uart", "tx", "rx", "de")
    pins = {name: pin for name in names if isinstance(pin := table.get(name), int)}
    link, asset = str(table["link"]), str(table.get("asset", "streetlight"))
    return check_settings(board, LinkSettings(asset, link, **pins), reader)


def test_settings_override_the_boards_pins(tmp_path: Path) -> None:
    board = read(tmp_path, GOOD)
    own = settled(tmp_path, 'link = "rs485"', board)
    assert own.links.rs485 is not None
    assert (own.links.rs485.uart, own.links.rs485.tx, own.links.rs485.de) == (1, 17, 4)
    assert own.links.uart is None
    other = settled(tmp_path, 'link = "uart"\nuart = 1\ntx = 22\nrx = 23\nde = 4', board)
    assert 'LINKS: "dict[str, tuple[Pin, ...]]" = {"uart": (1, 22, 23, None)}' in boards.source(
        other
    )


def test_a_sensor_gets_the_uart_that_the_link_leaves(tmp_path: Path) -> None:
    board = settled(tmp_path, 'link = "uart"\nuart = 2', read(tmp_path, GOOD))
    text = boards.source(board)
    assert '{"uart": (2, 17, 16, None)}' in text
    assert "hal.serial(1, 26, 35, 4800)" in text


SETTINGS = [
    ('link = "uart"\ntx = 25', "S.toml:2: tx: GPIO25 is taken by instruments.dimmer.pin (street.t"),
    ('link = "uart"\ntx = 16', "street.toml:10: links.uart.rx: GPIO16 is taken by tx (S.toml:2);"),
    ('link = "rs485"\nde = 2', "S.toml:2: de: GPIO2 is a strapping pin: high at reset keeps the R"),
    ('link = "uart"\nrx = 9', "S.toml:2: rx: GPIO9 leads to the flash; write a free pin: 4, 13,"),
    ('link = "uart"\nuart = 0', "S.toml:2: uart: UART 0 is the console's: it has the REPL; write"),
    ('link = "uart"\nuart = 7', "S.toml:2: uart: esp32 has no UART 7; write 1 to 2"),
    (
        'link = "uart"\nasset = "water_meter"',
        "S.toml:2: asset: board street serves no water_meter; write one of streetlight, or take",
    ),
]


@pytest.mark.parametrize(("text", "wanted"), SETTINGS)
def test_settings_are_judged_as_the_board_is(tmp_path: Path, text: str, wanted: str) -> None:
    board = read(tmp_path, GOOD)
    for _ in range(2):  # nothing of the first time is left
        with pytest.raises(ConfigFault) as raised:
            settled(tmp_path, text, board)
        (fault,) = raised.value.faults
        assert str(fault).replace(f"{tmp_path}/", "").startswith(wanted)


def test_a_pin_that_is_offered_is_free(tmp_path: Path) -> None:
    """None that the board's instruments, bus or service pin have."""
    board = read(tmp_path, GOOD)
    with pytest.raises(ConfigFault) as raised:
        settled(tmp_path, 'link = "uart"\nrx = 9', board)
    _, _, offered = str(raised.value.faults[0]).partition("free pin: ")
    for pin in offered.split(", "):
        settled(tmp_path, f'link = "uart"\nrx = {pin}', board)


def test_wifi_needs_no_wiring_but_rules_adc2_out(tmp_path: Path) -> None:
    board = read(tmp_path, GOOD)
    assert settled(tmp_path, 'link = "udp"\nuart = 1\ntx = 25', board).links.udp is not None
    board = read(tmp_path, GOOD.replace("pin = 33", "pin = 27"))
    with pytest.raises(ConfigFault, match=r"S.toml:1: link: instruments.thermometer.pin \(.*:37\)"):
        settled(tmp_path, 'link = "udp"', board)


def test_a_link_that_the_board_lacks_needs_all_its_pins(tmp_path: Path) -> None:
    rs485 = "[links.rs485]\nuart = 1\ntx = 17\nrx = 16\nde = 4\n"
    board = read(tmp_path, GOOD.replace(rs485, ""))
    with pytest.raises(ConfigFault) as raised:
        settled(tmp_path, 'link = "rs485"\nuart = 1\ntx = 17', board)
    assert [fault.key for fault in raised.value.faults] == ["rx", "de"]
    whole = settled(tmp_path, 'link = "rs485"\nuart = 1\ntx = 17\nrx = 16\nde = 4', board)
    assert whole.links.rs485 is not None


# ---------------------------------------------------------------- what we carry


def test_three_nodes_on_four_chips_and_the_simulated_one() -> None:
    nodes = ("streetlight", "water-meter", "air-quality")
    chips = ("esp32", "esp32s3", "esp32c3", "esp32c6")
    assert boards.names() == sorted([*(f"{n}-{c}" for n in nodes for c in chips), "sim"])


@pytest.mark.parametrize("name", boards.names())
def test_a_carried_board_is_good_and_compiles_as_ruff_would_write_it(name: str) -> None:
    board = boards.load(boards.find(name))
    text = boards.source(board)
    assert text == boards.source(boards.load(boards.find(name)))
    for arguments in (["format", "--check"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", BOARD, "-"],
            input=text,
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


BOARD = ROOT / "firmware" / "kerbnode" / "board.py"


def test_the_trees_own_board_is_the_simulated_one() -> None:
    assert BOARD.read_text() == boards.source(boards.load(boards.find("sim")))


def kerbline(*words: str | Path) -> tuple[int, str, str]:
    """Exit status, output and errors of `kerbline boards`."""
    command = [sys.executable, "-m", "kerbline", "boards", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_the_command_lists_checks_and_shows(tmp_path: Path) -> None:
    status, listed, _ = kerbline("list")
    assert status == 0
    assert [line.split()[0] for line in listed.splitlines()] == boards.names()
    status, shown, _ = kerbline("show", "streetlight-esp32")
    assert (status, "image     ESP32_GENERIC, MicroPython 1.24 or later" in shown) == (0, True)
    assert "pin           25  pwm      instruments.dimmer" in shown
    assert kerbline("show", "sim", "--python")[1] == BOARD.read_text()
    bad = tmp_path / "street.toml"
    bad.write_text(GOOD.replace("pin = 25", "pin = 12"))
    status, good, faults = kerbline("check", "sim", bad, "nosuch")
    assert status == 2
    assert good.startswith("sim: good; host, ")
    assert faults.startswith(f"{bad}:22: instruments.dimmer.pin: GPIO12 is a strapping pin: ")
    assert "\nnosuch: no board is called so; write one of air-" in faults
    assert kerbline("show", bad)[0] == 2


class Chip:
    """Takes any call of a driver that wakes its chip, and answers 0."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: 0


class Pins:
    """A hal that notes which pins and UARTs it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Pin, ...]]] = []

    def __getattr__(self, bus: str) -> Any:
        def made(*values: Pin) -> Chip:
            self.asked.append((bus, values))
            return Chip()

        return made


@pytest.mark.parametrize("name", boards.names())
def test_what_is_compiled_asks_for_the_boards_pins(name: str) -> None:
    board = boards.load(boards.find(name))
    module: dict[str, Any] = {}
    exec(compile(boards.source(board), name, "exec"), module)
    pins = Pins()
    for asset in board.about.assets:
        module[asset](pins)
    asked: set[Pin] = set()
    for bus, values in pins.asked:
        asked.update(values[1:3] if bus in ("i2c", "serial") else values[:1])
    wired = [use.pin for use in board.wiring.fixed if isinstance(use, Use) and use.bus != "strap"]
    assert asked == set(wired)
    for link, uses in board.wiring.links.items():
        wanted = [use.pin if isinstance(use, Use) else use.number for use in uses]
        assert [value for value in module["LINKS"][link] if value is not None] == wanted


# ---------------------------------------------------------------- the tables and the firmware

HAL = {"Pwm": "pwm", "Output": "output", "Adc": "adc", "Latch": "latch", "Counter": "counter"}
HAL |= {"Input": "input", "Edges": "input", "I2c": "i2c", "Serial": "serial", "Channel": "channel"}
FOLDER = ROOT / "firmware" / "kerbnode"


def constructor(tree: ast.Module, kind: str) -> ast.arguments:
    """The parameters of a class's own __init__."""
    (found,) = [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == kind]
    (made,) = [
        each for each in found.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"
    ]
    return made.args


def bus_of(parameter: ast.arg) -> str:
    """The hal's bus by a parameter's type, "" for other types."""
    kind = parameter.annotation
    text = kind.value if isinstance(kind, ast.Constant) else ast.unparse(kind) if kind else ""
    return HAL.get(str(text), "")


def used(tree: ast.Module) -> set[str]:
    """Short names of what a file imports when it runs."""
    tree.body = [
        each
        for each in tree.body
        if not (isinstance(each, ast.If) and ast.unparse(each.test) == "TYPE_CHECKING")
    ]
    return {name.rpartition(".")[2] for name, _ in imports(tree)}


def driver_files() -> dict[str, ast.Module]:
    """Files with a driver: not those that drivers or the chip's own file are made of."""
    files = [*(FOLDER / "drivers").glob("*.py"), FOLDER / "hal" / "esp32.py"]
    parts = set().union(*(used(ast.parse(file.read_text())) for file in files))
    return {
        file.stem: ast.parse(file.read_text())
        for file in files[:-1]
        if file.stem not in {*parts, "__init__"}
    }


def test_each_driver_of_the_firmware_has_its_row_and_each_row_its_driver() -> None:
    assert set(driver_files()) == set(DRIVERS)


@pytest.mark.parametrize("row", DRIVERS.values(), ids=lambda r: r.name)
def test_a_drivers_row_is_its_constructor(row: Driver) -> None:
    given = constructor(driver_files()[row.name], row.kind)
    bus, *options = given.args[1:]
    assert bus_of(bus) == row.bus
    values = [None] * (len(options) - len(given.defaults)) + [
        ast.literal_eval(each) if not isinstance(each, ast.Name) else each.id
        for each in given.defaults
    ]
    found = dict(zip((each.arg for each in options), values, strict=True))
    for each in options:
        if "Callable" in ast.unparse(each):  # what a test hands in
            del found[each.arg]
    wanted: dict[str, object] = {option.name: option.default for option in row.options}
    if row.inverts:
        wanted[row.inverts] = row.inverts_default
    if row.bus == "i2c" and len(row.addresses) > 1:
        wanted["address"] = row.addresses[0]
    assert set(found) == set(wanted)
    constants = {
        target.id: statement.value.value
        for statement in driver_files()[row.name].body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    for name, value in found.items():
        assert constants.get(str(value), value) == wanted[name], name


@pytest.mark.parametrize("row", INSTRUMENTS.values(), ids=lambda row: row.asset)
def test_an_assets_roles_are_its_instruments_parameters(row: Instruments) -> None:
    tree = ast.parse((FOLDER / "instruments" / f"{row.module}.py").read_text())
    given = constructor(tree, row.kind)
    names = [each.arg for each in given.args[1:]]
    optional = names[len(names) - len(given.defaults) :]
    assert set(names) == set(row.roles)
    assert set(optional) == set(row.optional)


def test_every_role_has_a_driver() -> None:
    served = {role for row in DRIVERS.values() for role in row.roles}
    assert served >= {role for row in INSTRUMENTS.values() for role in row.roles}


@pytest.mark.parametrize(
    "chip", [chip for chip in CHIPS.values() if chip.real], ids=lambda c: c.name
)
def test_a_chips_facts_agree_with_each_other(chip: boards.Chip) -> None:
    special = [chip.flash, chip.usb, chip.console, frozenset(chip.strapping)]
    for number, pins in enumerate(special):
        assert pins <= chip.gpios
        assert not any(pins & other for other in special[:number])
    for module, pins in chip.modules.items():
        assert pins <= chip.gpios - chip.flash | {33, 34}, module
        assert chip.console <= pins
    assert {*chip.adc1, *chip.adc2, *chip.wake, *chip.input_only, *chip.pulls} <= chip.gpios
    assert not chip.adc1.keys() & chip.adc2.keys()


def test_what_a_board_is_moves_no_cursor(tmp_path: Path) -> None:
    file = tmp_path / "streetlight-esp32.toml"
    text = (ROOT / "boards" / "streetlight-esp32.toml").read_text()
    (line,) = [each for each in text.splitlines() if each.startswith("about = ")]
    file.write_text(text.replace(line, 'about = "a lamp\\u001b[2J\\nX \u00e9"'))
    status, shown, error = kerbline("show", str(file))
    assert status == 0, error
    assert "a lamp\\x1b[2J\\nX \u00e9" in shown and "\x1b" not in shown
