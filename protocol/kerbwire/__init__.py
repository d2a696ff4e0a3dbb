"""kerbwire: the sealed protocol between a street node and its gateway, on both interpreters."""
