"""The composition root: which asset, which concerns, and how they know each other.

Loaded at a boot alone, and gone again once all is made.
"""

import sys

from kerbnode import VERSION, loaded, settings, store
from kerbnode import board as wiring
from kerbnode.app import SAFE_AFTER, strapped
from kerbnode.link import Link
from kerbnode.records import Records
from kerbnode.sense import Sense
from kerbnode.supervisor import Supervisor
from kerbwire import messages as m
from kerbwire.limits import BUS
from kerbwire.node import GREETING_MODULES, NodeSession

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.app import Node
    from kerbnode.instruments import Instruments

FIRMWARE = VERSION[0] << 16 | VERSION[1] << 8 | VERSION[2]
FRESH = (1, 4, 6)  # reset causes that are nobody's failure: power-on, deep sleep, brown-out
BROWN_OUT = 6  # ours: the chip tells it, machine.reset_cause() does not
LINK_SILENCE_S = 20  # without a sign of life from a concern before the watchdog goes hungry
SENSE_SILENCE_S = 10
STORE_SILENCE_S = 30
# What a session loads when it needs it, by package.
ON_DEMAND = (
    ("kerbwire", ("batch", "config") + GREETING_MODULES),
    (
        "kerbnode",
        ("backlog", "checking", "diagnosis", "opening", "orders", "segments"),
    ),
)


def assemble(node: "Node", link_key: "tuple[int, bytes]") -> Supervisor:
    """Read what is durable, then give the node its session and its concerns."""
    from kerbnode import boots, identity, standing, uptake

    meet_names()
    board = node.board
    wanted = node.settings
    cause = board.reset_cause()
    counted = True
    if cause not in FRESH:
        node.failed, counted = boots.counted(board.nvs)
    boot_id = boots.next_boot_id(board.nvs, board.random, node.failed + 1)
    known, totals, readable = None, None, True
    try:
        known = identity.known(board.nvs, wanted)
        if known:
            uptake.load_commands(node.commands, board.nvs)
            totals = uptake.load_totals(board.nvs)
    except OSError:  # nothing is begun anew because it can't be read
        if node.failed < SAFE_AFTER:
            raise  # main.py starts again in 10 s, and the lamp is lit until then
        readable = False
    try:
        if known is None:
            raise OSError
        if not known:
            identity.settle(board.nvs, wanted, board.flash_path)
            uptake.load_commands(node.commands, board.nvs)
        node.journal.open()
    except OSError:
        node.journal.faults += 1  # another node's log that can't go is not this one's
    board.booted(boot_id, node.journal.epoch)
    node.instruments = wired(node, readable=readable, counted=counted)
    kept = totals
    pins = getattr(wiring, "SLEEP", ())
    rests = pins and wanted.build == "release" and hasattr(node.instruments, "take")
    rest = node.rest = board.rest(node, pins) if rests else None
    if rest is not None:
        totals = rest.totals(totals, bool(known))
    node.instruments.begin(wanted, totals)
    schema = node.instruments.asset.SCHEMA
    info = m.Info(schema.hash, boot_id, node.journal.epoch, FIRMWARE)
    info.schema = schema
    info.period_s = wanted.report_s
    info.config_version = wanted.config_version
    generation, key = link_key
    node_id = wanted.node_id.encode()
    framing = board.framing(wanted.link)
    if framing == BUS:
        from kerbwire.polled import PolledNode

        node.session = PolledNode(node_id, generation, key, info, board.random)
    else:
        node.session = NodeSession(node_id, generation, key, info, board.random, framing)
    node.records = Records(board, node.journal, boot_id, wanted.asset)
    wakes = (node.link_wake, node.store_wake)
    node.store = store.Store(board, node.journal, node.instruments, node.store_wake, kept)
    node.sense = Sense(
        board, node.clock, node.instruments, node.records, wakes, wanted.report_s, node.store
    )
    node.tell(m.EV_BOOT, cause)
    if cause == BROWN_OUT:
        node.tell(m.EV_BROWN_OUT, 0)
    if wanted.restored:
        node.tell(m.EV_SETTINGS, 2 if wanted.restored == "config" else 1)
    if node.failed >= SAFE_AFTER:
        node.tell(m.EV_SAFE_MODE, node.failed)
    standing.begin(node)
    node.tied = strapped(board)
    supervisor = Supervisor(board, node.look)
    supervisor.add(Link(node), LINK_SILENCE_S)
    supervisor.add(node.sense, SENSE_SILENCE_S)
    supervisor.add(node.store, STORE_SILENCE_S)
    if rest is not None:
        supervisor.add(rest, STORE_SILENCE_S)
    return supervisor


def meet_names() -> None:
    """Load what a session loads now and then, once and before it: its names stay.

    Names are kept in pools of growing size that are never given back. Made in a running session,
    such a pool takes the last long piece of the heap; made here, it stands behind nothing.
    """
    if sys.implementation.name != "micropython":
        return  # a host's memory has no pools
    for package, modules in ON_DEMAND:
        fresh = [name for name in modules if package + "." + name not in sys.modules]
        for name in fresh:
            try:
                __import__(package + "." + name)
            except ImportError:
                pass  # this board has none
            loaded.forget(package, (name,))
        loaded.forget(package, fresh)


def wired(node: "Node", *, readable: bool, counted: bool) -> "Instruments":
    """What this board has for the asset that the settings name.

    `readable`: NVS gave all of it; `counted`: the boots that failed too.
    """
    asset = node.settings.asset
    wire = getattr(wiring, asset, None)
    if wire is None:
        raise settings.SettingsError("asset")
    if node.failed >= SAFE_AFTER:
        from kerbnode import safe

        return safe.wired(node, asset, wire, readable=readable, counted=counted)
    made: Instruments = wire(node.board)
    return made
