"""The one table from what the log holds to entities of the city."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kerbline.model import Entry, Reading
from kerbline.north.ngsi_ld.change import Change
from kerbline.north.ngsi_ld.city import City
from kerbline.north.ngsi_ld.models import streetlight

READINGS: Mapping[str, Callable[[Reading, City], tuple[Change, ...]]] = {
    "streetlight": streetlight.reading,
}


def changes(entry: Entry, city: City) -> Sequence[Change]:
    """What an entry changes; nothing where no model has a place for it."""
    if isinstance(entry, Reading):
        model = READINGS.get(entry.kind)
        return () if model is None else model(entry, city)
    return ()
