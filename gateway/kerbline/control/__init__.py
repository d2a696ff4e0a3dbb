"""Decisions of the gateway, pure: values in, values out; no I/O, no clock, no chance."""
