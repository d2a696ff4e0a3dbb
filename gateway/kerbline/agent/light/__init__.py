"""Lamps: what rules, programs and the night ask of them, and a replay of it."""
