"""NGSI-LD with Smart Data Models: what the city gets, and what it orders."""
