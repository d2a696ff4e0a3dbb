"""Leak detectors over arrays: pure functions of ordered steps, without a clock and without files.

They need numpy (the extra `analysis`), so nothing imports them but what uses them.
"""

WATER_BALANCE = "water_balance"  # the kind of a reading with a day's figures of a zone
FIGURES = (  # its values, some of which a day may lack
    *("input_l", "consumed_l", "losses_l", "losses_pct"),
    *("leakage_index", "least_flow_lph", "completeness_pct"),
)
BALANCE, INFLOW = "district_balance", "district_inflow"  # rules of districts, and of their meters:
METER_RULES = ("meter_leak", "meter_burst", "meter_backflow", "meter_stuck")
