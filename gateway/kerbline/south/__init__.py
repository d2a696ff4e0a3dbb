"""Everything below the gateway: the sessions with our nodes, and the devices that stand already."""
