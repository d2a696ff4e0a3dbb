"""Leak detectors over arrays: pure functions of ordered steps, without a clock and without files.

They need numpy (the extra `analysis`), so nothing imports them but what uses them.
"""

WATER_BALANCE = "water_balance"  # the kind of a reading with a day's figures of a zone
