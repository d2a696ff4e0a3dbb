"""Northbound: what the city gets, and what it orders."""
