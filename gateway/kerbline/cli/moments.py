"""A time on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import click

END_MS = 253_370_764_800_000  # the year 9999; before 1970 there is none either


class Moment(click.ParamType[int]):
    """RFC 3339, or a part of it from the left; UTC where no zone is given. Gives ms since 1970."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        try:
            at = datetime.fromisoformat(str(value))
            found = round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
            if not 0 <= found < END_MS:
                raise ValueError
        except ValueError:
            self.fail(f"{value!r} is no time: write 2026-11-21 or 2026-11-21T06:00:00Z", param, ctx)
        return found
