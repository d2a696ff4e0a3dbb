"""Nodes as a fleet: they join and go, are updated and served."""
