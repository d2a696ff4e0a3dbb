"""Modbus devices of others on a shared bus: what to read, how to read it, and when."""
