"""The errors of kerbwire: one base, two leaves by who is at fault, each with a stable code."""


class WireError(Exception):
    """Base of all that kerbwire raises; `code` is stable and short."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class LocalError(WireError):
    """Our own caller asked for what the protocol does not allow."""


class RemoteError(WireError):
    """The peer sent what the protocol does not allow; the engine turns it into a FAULT event."""
