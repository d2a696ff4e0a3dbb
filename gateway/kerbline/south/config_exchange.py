"""How one node gets its CONFIG: it is sent in a session, and the node's answer is remembered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from kerbline.south.arrivals import Noted
from kerbline.south.node_config import RULE, NodeConfig
from kerbwire import messages as m
from kerbwire.gateway import GatewaySession

LAST_VERSION = (1 << 32) - 1  # a node that states this one takes no newer one

log = logging.getLogger("kerbline.south")


class ConfigExchange:
    """Sends what `NodeConfig` has due."""

    __slots__ = ("_changed", "_config", "_firmware", "_node_id", "_session", "_version")

    def __init__(
        self, node_id: str, config: NodeConfig, session: GatewaySession, changed: Callable[[], None]
    ) -> None:
        """`changed` is called when there is something to send."""
        self._node_id = node_id
        self._config = config
        self._session = session
        self._changed = changed
        self._firmware: int | None = None  # None while there was no session
        self._version = 0  # that the node has, as far as it told

    def begin(self, info: m.Info) -> Iterator[Noted]:
        """A session: the node states the version that it has, and gets a newer one."""
        if self._firmware not in (None, info.firmware):
            self._config.reflashed()
        self._firmware = info.firmware
        yield from self.answered(info.config_version, m.OK)
        self._send()

    def ask(self, values: dict[int, int | bytes]) -> None:
        """More than its [[node]] names: sent if it is another CONFIG than the node has."""
        self._config.ask(values)
        if self._firmware is not None and self._session.up:
            self._send()

    def answered(self, version: int, code: int) -> Iterator[Noted]:
        """The node has that version, or refuses it."""
        if code != m.OK:
            name = m.RESULT_NAMES.get(code, f"code_{code}")
            log.warning("node %s: does not take its config: %s", self._node_id, name)
            if self._config.refused(version) and code == m.UNSUPPORTED:
                log.warning("node %s: gets what older firmware takes of it", self._node_id)
                self._send()
            return
        self._version = version
        if (body := self._config.taken(version)) is not None:
            log.info("node %s: configured, version %d", self._node_id, version)
            yield Noted(RULE, self._node_id, body)

    def _send(self) -> None:
        due = self._config.due(self._version)
        if due is not None and due[0] <= LAST_VERSION:
            self._session.send_config(*due)
            self._changed()
