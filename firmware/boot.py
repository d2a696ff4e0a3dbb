"""Runs first after a reset; everything starts in main.py, so that the REPL stays reachable."""
