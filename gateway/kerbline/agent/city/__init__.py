"""The city: the sinks it is told through, and the ways its orders come."""
