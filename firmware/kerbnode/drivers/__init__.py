"""One sensor or actuator a file; each speaks to the pins and buses that a hal hands it."""
