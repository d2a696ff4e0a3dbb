"""Which build this is. A build of a board puts its own file in this place; this one is the tree."""

VERSION = (0, 1, 0)
COMMIT = b"\x00\x00\x00\x00"  # the commit's first four bytes; zeros where it is not known
BOARD = "sim"
WIRE = 3  # kerbwire.messages.MESSAGES_VERSION
