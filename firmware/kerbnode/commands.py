"""Which commands are carried out: each once, in time, never an old one again."""

from kerbwire import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.hal.board import Nvs

REMEMBERED = 16  # results kept for repeats
ID_BYTES = 5  # a CMD's id has 40 bits


class Commands:
    """Judges commands and remembers what became of them; carrying them out is the caller's."""

    __slots__ = ("_nvs", "_results", "highest")

    def __init__(self) -> None:
        self._nvs: Nvs | None = None
        self._results: list[tuple[int, int, int]] = []  # (id, code, value), oldest first
        self.highest = 0  # highest executed id

    def known(self, command_id: int) -> "tuple[int, int] | None":
        """The first result (code, value) of a repeated command, REPLAYED for a lower unknown id."""
        for known_id, code, value in self._results:
            if known_id == command_id:
                return code, value
        return (m.REPLAYED, 0) if command_id <= self.highest else None

    def refusal(self, expires_utc_s: int, utc_ms: "int | None") -> int:
        """NO_TIME or EXPIRED, or OK; `utc_ms` is None before this session's first offer."""
        if utc_ms is None:
            return m.NO_TIME
        return m.EXPIRED if utc_ms >= expires_utc_s * 1000 else m.OK

    def begin(self, command_id: int, op: int) -> int:
        """OK: the command is about to run, and never again. FAILED where flash can't say so."""
        highest = max(self.highest, command_id)
        if op not in m.IDEMPOTENT_OPS and self._nvs is not None:
            try:
                self._nvs.set("command", highest.to_bytes(ID_BYTES, "big"))
            except OSError:
                return m.FAILED
        self.highest = highest
        return m.OK

    def finish(self, command_id: int, code: int, value: int) -> None:
        """Remember the result; NO_TIME is none, since the same command may come again later."""
        if code != m.NO_TIME:
            self._results.append((command_id, code, value))
            if len(self._results) > REMEMBERED:
                self._results.pop(0)
