"""A board on the bench: its REPL (mpremote), its ROM loader (esptool) and its port's USB socket.

`loader` and `usb` are imported by those who need them; esptool takes its time.
"""

from kerbline.boardtools.repl import PATIENCE_S as PATIENCE_S
from kerbline.boardtools.repl import BoardFault as BoardFault
from kerbline.boardtools.repl import NoRepl as NoRepl
from kerbline.boardtools.repl import Repl as Repl
from kerbline.boardtools.repl import chunks as chunks
from kerbline.boardtools.repl import connected as connected
from kerbline.boardtools.repl import literal as literal
