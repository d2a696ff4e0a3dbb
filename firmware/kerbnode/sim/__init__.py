"""What a simulated board is wired to: the line, the street around it, and one file a chip.

Nothing of it is ever installed on a device.
"""
