"""What is to be made of a board, of options, profile and job; checked before it is touched."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from kerbline import boards
from kerbline.boards import Board
from kerbline.boardtools.loader import ChipFound
from kerbline.bundle import Root
from kerbline.config.reader import Reader
from kerbline.config.terms import Name, NodeId
from kerbline.errors import KerblineError
from kerbline.field import flash, flash_images
from kerbline.field import settings as node_settings
from kerbline.field.commission import job
from kerbline.field.commission.ledger import Chain
from kerbline.field.commission.places import Places
from kerbline.field.commission.site import NOTHING, Profile
from kerbline.field.commission.words import CommissionFault
from kerbline.field.flash_images import Cache, Stock
from kerbline.field.settings import NodeSettings
from kerbline.firmware import build
from kerbline.keys import gateway_key

LONGEST = 120  # characters of a place or a name
TAILS = (6, 8, 10, 12)  # hex digits of the MAC behind the prefix
NODE_ID_CHARACTERS = 16
_DEGREES = re.compile(r"\s*(-?\d{1,2}(?:\.\d+)?)\s*,\s*(-?\d{1,3}(?:\.\d+)?)\s*")
NO_KEY = "8f3a5c0d1e9b47662a10c5d7e8f90b13"  # for a check only; never written anywhere
NOTHING_ELSE: Mapping[str, object] = MappingProxyType({})
ASKED = {  # what may be asked for: the option, the profile's key, in words
    "technician": ("--technician", "technician", "who does this (technician)"),
    "asset": ("--asset", "", "the asset's id"),
    "location": ("--location", "", "where it stands (latitude, longitude or words)"),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What options and profile say; None: nothing."""

    port: str
    profile: Profile = NOTHING
    board: str | None = None
    asset: str | None = None
    location: str | None = None
    technician: str | None = None
    node: str | None = None
    replaces: str | None = None
    micropython: Path | None = None
    micropython_sha256: str | None = None
    bundle: Path | None = None
    root: Path | None = None
    gateway_key: Path | None = None
    gateway: Path | None = None
    gateway_line: str | None = None
    line: str | None = None
    again: bool = False
    dry_run: bool = False

    def given(self, name: str) -> Any:  # noqa: ANN401 - of the field's type
        """The option, else the profile's value, else None."""
        value = getattr(self, name)
        return getattr(self.profile.site, name, None) if value is None else value

    def lacking(self, facts: Mapping[str, object]) -> list[str]:
        """Which of ASKED nobody has told yet."""
        return [name for name in ASKED if self.given(name) is None and name not in facts]

    def with_answers(self, answers: Mapping[str, str]) -> Wish:
        """The same, and what was answered."""
        return replace(self, **answers)  # type: ignore[arg-type] # texts only


@dataclass(frozen=True, slots=True)
class Order:
    """Whole and checked; the node's id may be found later."""

    wish: Wish
    board: Board
    board_file: Path
    kind: str
    asset: str
    location: str
    technician: str
    gateway_public: bytes
    root: bytes
    micropython: Stock
    release: build.Firmware | None
    cache_folder: Path
    settings_table: Mapping[str, object] = field(repr=False)
    reader: Reader = field(repr=False)

    @property
    def position(self) -> tuple[float, float] | None:
        """Latitude and longitude of the place, where it tells them."""
        return degrees(self.location)

    def settings(
        self, node_id: str, key_hex: str, until_done: Mapping[str, object] = NOTHING_ELSE
    ) -> tuple[NodeSettings, Board]:
        """The node's settings with that id and key; `until_done` goes before the profile's own."""
        table = {**self.settings_table, "node_id": node_id, "key_hex": key_hex, "asset": self.kind}
        table |= until_done
        at = ("settings",) if self.wish.profile.reader else ()
        return node_settings.checked(self.reader.afresh(), table, self.board, at)


def made(wish: Wish, facts: Mapping[str, Any], there: ChipFound) -> Order:
    """Raises KerblineError for what is missing or can't be; `facts` are the job's."""
    told = _told(wish, facts)
    file, board = _board(wish, facts, there)
    table = dict(wish.profile.settings)
    table.setdefault("link", _only_link(board))
    place = degrees(told["location"])
    if place is not None:
        table["position"] = list(place)
    cache_folder = _cache_folder()
    release, root = _release(wish, board, board.chip.name)
    order = Order(
        wish=wish,
        board=board,
        board_file=file,
        kind=wish.profile.site.kind or board.about.assets[0],
        asset=told["asset"],
        location=told["location"],
        technician=told["technician"],
        gateway_public=_gateway_public(wish),
        root=root,
        micropython=_stock(wish, board.chip.name, Cache(cache_folder)),
        release=release,
        cache_folder=cache_folder,
        settings_table=table,
        reader=wish.profile.reader or Reader("options", Path(), {(): 0}),
    )
    order.settings(wish.node or "n", NO_KEY)
    return order


def _told(wish: Wish, facts: Mapping[str, Any]) -> dict[str, str]:
    """What is ASKED, each as it may be; and the node's name may be one."""
    told: dict[str, str] = {}
    for name, (option, key, words) in ASKED.items():
        value = wish.given(name)
        value = facts.get(name) if value is None else value
        if value is None:
            also = key or "nothing of it"
            raise CommissionFault("missing", what=words, option=option, key=also)
        told[name] = _text(words, str(value))
    for what, term, shown in (("asset", Name, told["asset"]), ("node", NodeId, wish.node)):
        complaint = None if shown is None else get_args(term)[1].judge(shown)
        if complaint is not None:
            raise CommissionFault("name", what=what, shown=ascii(shown), remedy=complaint.remedy)
    return told


def _board(wish: Wish, facts: Mapping[str, Any], there: ChipFound) -> tuple[Path, Board]:
    """The file of the board class, which is for a chip as the one that is there."""
    name = wish.given("board") or facts.get("board")
    if not name:
        raise CommissionFault("missing", what="the board", option="--board", key="board")
    file = boards.find(name)
    board = boards.load(file)
    if board.chip.name not in flash_images.BOOT_OFFSETS:
        raise CommissionFault("simulated", board=board.name)
    if there.chip != board.chip.name:
        raise CommissionFault("wrong_chip", there=there.name, board=board.name)
    return file, board


def _release(wish: Wish, board: Board, chip: str) -> tuple[build.Firmware | None, bytes]:
    """A bundle as a build, and the root that the node is to trust; None: the tree is built."""
    bundle, root = wish.given("bundle"), wish.given("root")
    if bundle is not None and root is None:
        raise CommissionFault("missing", what="release.pub", option="--root", key="root")
    trusted = Root.load(root).hss if root is not None else b""
    return (flash.of_bundle(bundle, root, board.name, chip) if bundle else None), trusted


def _stock(wish: Wish, chip: str, cache: Cache) -> Stock:
    """MicroPython's image, of the file or the one that this chip had last."""
    path = wish.given("micropython")
    try:
        return flash_images.stock(path, chip, wish.given("micropython_sha256") or "", cache)
    except OSError as fault:
        raise CommissionFault("micropython", path=path, what=fault.strerror) from None


def _cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    base = environment.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "kerbline"


def degrees(location: str) -> tuple[float, float] | None:
    """`52.3731, 4.8922`: latitude and longitude; None for a place in words."""
    found = _DEGREES.fullmatch(location)
    place = (float(found[1]), float(found[2])) if found else None
    return place if place and abs(place[0]) <= 90 and abs(place[1]) <= 180 else None


def free_node_id(wish: Wish, mac: str, places: Places, chain: Chain) -> str:
    """The id given, or the prefix and as much of the MAC's end as makes it nobody else's."""
    if wish.node is not None:
        check_node(wish.node, mac, places, chain)
        return wish.node
    prefix, digits = wish.profile.site.prefix, mac.replace(":", "")
    for tail in TAILS:
        node_id = prefix + digits[-tail:]
        if len(node_id) <= NODE_ID_CHARACTERS and not _others(places, chain, "node", node_id, mac):
            return node_id
    raise CommissionFault("no_node_id", prefix=prefix)


def check_node(node: str, mac: str, places: Places, chain: Chain) -> None:
    """Raises CommissionFault where another board has that id."""
    for where, other in _others(places, chain, "node", node, mac):
        raise CommissionFault("node_taken", node=node, where=where, mac=other["mac"])


def check_asset(
    asset: str, mac: str, places: Places, chain: Chain, replaces: str | None = None
) -> None:
    """Raises CommissionFault where another board serves that asset, but the one it replaces."""
    for where, other in _others(places, chain, "asset", asset, mac):
        if other["node"] == replaces:
            continue
        raise CommissionFault(
            "asset_taken", asset=asset, node=other["node"], where=where, mac=other["mac"]
        )


def _others(
    places: Places, chain: Chain, key: str, value: str, mac: str
) -> list[tuple[str, Mapping[str, Any]]]:
    """Where another board has that: its newest record, or its job that is under way."""
    newest: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for record in chain.of("bound"):
        newest[record["mac"]] = f"record {record['n']}", record
    for there, facts in job.all_facts(places):
        if "node" in facts and there not in newest:
            newest[there] = "a job that is not done", {"asset": None, **facts, "mac": there}
    return [row for there, row in newest.items() if there != mac and row[1][key] == value]


def _text(words: str, value: str) -> str:
    value = value.strip()
    if not 1 <= len(value) <= LONGEST or not value.isprintable():
        raise CommissionFault("text", what=words, shown=ascii(value[:40]), most=LONGEST)
    return value


def _only_link(board: Board) -> str:
    """The link that most boards have, where the profile names none."""
    for name in ("uart", "rs485", "udp"):
        if getattr(board.links, name) is not None:
            return name
    return "uart"


def _gateway_public(wish: Wish) -> bytes:
    path = wish.given("gateway_key")
    if path is None:
        raise CommissionFault(
            "missing", what="the gateway's public key", option="--gateway-key", key="gateway_key"
        )
    try:
        return gateway_key.read_public(path.read_text("ascii"))
    except (OSError, UnicodeDecodeError) as fault:
        what = fault.strerror if isinstance(fault, OSError) else "no text"
        raise CommissionFault("gateway_key", path=path, what=what) from None
    except KerblineError as fault:
        what = str(fault).partition("; ")[0]  # our remedy is another one
        raise CommissionFault("gateway_key", path=path, what=what) from None
