"""Leaks of metered districts: what is heard, found, and told."""
