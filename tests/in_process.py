"""`kerbline` in this process: for tests of what a command does, where starting one is beside it."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from click.testing import CliRunner

from kerbline.cli import main


def kerbline(*words: object, environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit status, output and errors, as its own process would give them; nobody is at the keys."""
    before = sys.argv, sys.excepthook
    with CliRunner().isolation(env=environment) as (out, error, _):
        sys.argv = ["kerbline", *map(str, words)]
        try:
            main()
        except SystemExit as ended:
            status = ended.code
        finally:
            sys.argv, sys.excepthook = before
    assert isinstance(status, int)
    return status, out.getvalue().decode(), error.getvalue().decode()
