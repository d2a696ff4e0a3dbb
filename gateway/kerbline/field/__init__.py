"""A technician's work at the node: what is done on the spot, with a cable."""
