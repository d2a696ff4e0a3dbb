"""The sealed protocol between a street node and its gateway, one code on both interpreters."""
