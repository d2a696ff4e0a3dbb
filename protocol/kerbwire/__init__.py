"""kerbwire: the sealed protocol between a street node and its gateway, one code for both interpreters."""
