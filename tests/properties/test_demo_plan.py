"""The demo's plan is sound however long it may last and however slow the machine starts."""

import json

from hypothesis import given
from hypothesis import strategies as st

from kerbline.clock import StreetTable
from kerbline.demo.plan import plan

START_MS = 1_795_302_232_889


@given(
    seconds=st.floats(15, 600),
    start_ms=st.integers(START_MS, START_MS + 86_400_000),
    lamps=st.integers(1, 6),
    boot_s=st.floats(1, 10),
)
def test_street_time_never_turns_back(
    seconds: float, start_ms: int, lamps: int, boot_s: float
) -> None:
    rows = plan(seconds, start_ms, lamps, boot_s).street.clock_rows()
    assert len(StreetTable.parse(json.dumps(rows)).rows) == len(rows)
