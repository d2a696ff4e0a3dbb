"""DALI's dimming curve, IEC 62386-102:2014, 9.3: each step of arc power is 2.8 % more light.

Level n of 1..254 is 10 ** ((n - 1) * 3 / 253 - 1) percent of the light, 0.1 % to 100 %.
"""

from math import exp, log

STEPS = 254
_STEEPNESS = 253 / 3 / log(10)


def arc_power(light: int) -> int:
    """The nearest of 1..254 for light in 1/1000; 0 is off."""
    return int(1.5 + _STEEPNESS * log(min(light, 1000))) if light > 0 else 0


def light(arc: int) -> int:
    """What an arc power gives, in 1/1000; no less than one when it is on."""
    return int(0.5 + exp((min(arc, STEPS) - 1) / _STEEPNESS)) if arc > 0 else 0
