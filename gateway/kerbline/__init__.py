"""Kerbline: the gateway agent between street assets and the city's data platform."""
