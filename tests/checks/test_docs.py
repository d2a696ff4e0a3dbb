"""The documentation is held to the code: paths, names, commands and links that it gives exist."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from kerbline.cli import app
from tools.trees import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMED = re.compile(
    r"`((?:gateway|protocol|firmware|tests|hil_tests|tools)/[\w./]+\.py)(?::([\w.]+))?`"
)
FOLDERS = re.compile(r"`((?:gateway|protocol|firmware|tests|hil_tests|tools)/[\w/]+)/?`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
HEADING = re.compile(r"^#+ (.*)$", re.M)
MAKE = re.compile(r"(?:^|`)make ([a-z]+)", re.M)
KERBLINE = re.compile(r"(?:^|`)(?:\.venv/bin/)?kerbline ((?:--?\w+ )*)([a-z]+)([^`\n]*)", re.M)
SCRIPT = re.compile(r"\.venv/bin/python (?:-m )?(?!-)([^\s`]+)")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@cache
def names(path: Path) -> frozenset[str]:
    """All that a module defines: NAME, and CLASS.NAME for what stands in a class."""
    return frozenset(_names(ast.parse(path.read_text(encoding="utf-8")).body, ""))


def _names(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name
            case ast.ClassDef(name=name, body=inner):
                yield prefix + name
                yield from _names(inner, f"{prefix}{name}.")
            case ast.Assign(targets=targets):
                yield from (prefix + each.id for each in targets if isinstance(each, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name
            case ast.If(body=inner, orelse=other) | ast.Try(body=inner, orelse=other):
                yield from _names([*inner, *other], prefix)


def commands(text: str) -> str:
    """What stands in the shell's blocks of a page, and its prose with its inline code."""
    shell = "".join(body for kind, body in FENCE.findall(text) if kind == "sh")
    return shell + FENCE.sub("", text)


@each_page
def test_named_code_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    wrong = []
    for file, name in NAMED.findall(text):
        path = ROOT / file
        if not path.is_file() or (name and name not in names(path)):
            wrong.append(f"{file}:{name}")
    wrong += [folder for folder in FOLDERS.findall(text) if not (ROOT / folder).is_dir()]
    assert not wrong


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert not wrong


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make."""
    found = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


@each_page
def test_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    assert set(MAKE.findall(commands(page.read_text(encoding="utf-8")))) <= targets


@each_page
def test_commands_and_their_options_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    demo = [f"demo {given}" for given in re.findall(r'make demo ARGS="([^"]*)"', text)]
    lines = [f"{name} {rest}" for _, name, rest in KERBLINE.findall(commands(text))]
    for line in [*demo, *lines]:
        name, *words = line.split()
        command = app.get_command(click.Context(app), name)
        while isinstance(command, click.Group) and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert isinstance(command, click.Command), line
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


@each_page
def test_scripts_exist(page: Path) -> None:
    known = [(ROOT / folder) for folder in (".", "gateway", "protocol")]
    for script in SCRIPT.findall(commands(page.read_text(encoding="utf-8"))):
        if script == "pytest":
            continue
        file = script if script.endswith(".py") else script.replace(".", "/") + ".py"
        assert any((root / file).is_file() for root in known), script


def test_every_page_is_reached_from_the_readme() -> None:
    reached = {ROOT / "README.md"}
    waiting = list(reached)
    while waiting:
        page = waiting.pop()
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            target = (page.parent / link.partition("#")[0]).resolve()
            found = sorted(target.glob("*.md")) if target.is_dir() else [target]
            for each in found:
                if each.suffix == ".md" and each.is_file() and each not in reached:
                    reached.add(each)
                    waiting.append(each)
    assert not set(PAGES) - reached


def literals(path: Path) -> dict[str, int]:
    """The whole numbers that a module gives names to, plain or as a product."""
    found = {}
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int(value))):
                found[name] = value
    return found


def test_bounds_in_the_walk_are_the_codes() -> None:
    page = (ROOT / "docs" / "understand" / "walk.md").read_text(encoding="utf-8")
    compared = 0
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 6 or not (named := NAMED.findall(cells[4])):
            continue
        told = [int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", cells[2])]
        bounds = [literals(ROOT / file).get(name) for file, name in named]
        for given, bound in zip(told, bounds, strict=False):
            if bound is not None and f"{given} KiB" not in cells[2]:
                assert given == bound, line
                compared += 1
    assert compared > 15


def logged() -> Iterator[tuple[str, str]]:
    """Every text that the gateway logs above debug: its file and its longest fixed part."""
    for file in sorted((ROOT / "gateway").rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match call:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Name(id="log" | "_log"), attr="info" | "warning" | "error"
                    ),
                    args=[ast.Constant(value=str(text)), *_],
                ):
                    yield file.name, max(re.split(r"%[.\d]*[a-z]", text), key=len).strip(" :;,")


def test_every_log_line_is_explained() -> None:
    page = (ROOT / "docs" / "operate" / "log.md").read_text(encoding="utf-8")
    lines = list(logged())
    assert len(lines) > 15
    assert not [(file, text) for file, text in lines if text not in page]


# What a node meets alone: it has no log, and tells of updates by EVENT.
OF_NODES = ("node.py", "uplink.py", "manifest.py", "release.py", "lms.py", "parts.py")


def test_every_fault_of_the_wire_is_explained() -> None:
    page = (ROOT / "docs" / "operate" / "log.md").read_text(encoding="utf-8")
    source = "".join(
        file.read_text(encoding="utf-8")
        for file in (ROOT / "protocol" / "kerbwire").glob("*.py")
        if file.name not in OF_NODES
    )
    codes = set(re.findall(r'RemoteError\("(\w+)"', source)) | {"cobs", "long"}
    assert not [code for code in sorted(codes) if f"`nodes.{code}`" not in page]


def test_every_figure_of_the_report_is_defined() -> None:
    page = (ROOT / "docs" / "start" / "demo.md").read_text(encoding="utf-8")
    table = {name for row in re.findall(r"^\| (`.*?) \|", page, re.M) for name in row.split(", ")}
    (line,) = re.findall(r"^```json\n(.*?)^```", page, re.M | re.S)
    assert {f"`{name}`" for name in json.loads(line)} == table
    witness = (ROOT / "gateway/kerbline/demo/witness.py").read_text(encoding="utf-8")
    figures = set(re.findall(r'^            "(\w+)": ', witness, re.M))
    assert figures <= set(json.loads(line))


def test_the_service_unit_is_sound_and_hardened(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze: sudo apt-get install systemd")
    text = (ROOT / "docs" / "start" / "kerbline.service").read_text(encoding="utf-8")
    unit = tmp_path / "kerbline.service"
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", text, flags=re.M))
    for check in (["verify", "--man=no"], ["security", "--offline=yes", "--threshold=20"]):
        done = subprocess.run([program, *check, unit], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-400:] + done.stderr
