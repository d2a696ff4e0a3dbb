"""What an import makes of the list: what is new, what changes, and what a person should know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kerbline.assets import geography
from kerbline.assets.asset import IMPLIED, PERSONAL, PUBLIC, TYPES, Asset, personal
from kerbline.assets.faults import AssetsFault, Faults
from kerbline.assets.fields import Draft
from kerbline.assets.lists import MAX_ASSETS


@dataclass(frozen=True, slots=True)
class Merged:
    """The list after an import; `notes` tell what may not have been meant."""

    assets: tuple[Asset, ...]
    added: int
    changed: int
    same: int
    removed: int
    notes: tuple[str, ...]


def merged(
    before: Sequence[Asset], drafts: Sequence[Draft], kinds: Mapping[str, str], *, whole: bool
) -> Merged:
    """The list with the drafts in it, by id; `whole`: of the drafts alone.

    Raises AssetsFault where an asset's type is not known, or where the list would be too long.
    """
    faults = Faults()
    known = {each.id: each for each in before}
    found: dict[str, Asset] = {} if whole else dict(known)
    for draft in drafts:
        base = None if whole else known.get(draft.id)
        asset = draft.applied(base, IMPLIED.get(kinds.get(draft.id, ""), ""))
        if asset is None:
            remedy = f"write one of {', '.join(TYPES)}"
            faults.add(draft.where, "type", "is missing, and no device of the config says", remedy)
        else:
            found[draft.id] = asset
    faults.check()
    if MAX_ASSETS < len(found) > len(known):
        problem = f"{len(found):,} assets in the list, {MAX_ASSETS:,} at most"
        raise AssetsFault(f"{problem}; take this file for the whole list with --replace")
    if whole and known and not found:
        raise AssetsFault(f"an empty list would replace {len(known):,} assets; name the right file")
    given = [found[draft.id] for draft in drafts]
    fresh = [each for each in given if known.get(each.id) != each]
    added = sum(each.id not in known for each in fresh)
    removed = [each for each in known if each not in found]
    notes = [
        *(
            note
            for each in fresh
            if each.id in known
            for note in _changes(known[each.id], each, kinds.get(each.id, ""))
        ),
        *(
            f"{each} is in the config and no longer in the list"
            for each in removed
            if each in kinds
        ),
        *geography.doubts(fresh, list(found.values())),
    ]
    return Merged(
        tuple(found.values()),
        added,
        len(fresh) - added,
        len(given) - len(fresh),
        len(removed),
        tuple(notes),
    )


def _changes(before: Asset, after: Asset, kind: str) -> list[str]:
    notes = []
    if before.type != after.type:
        notes.append(
            f"{after.id} was a {before.type} and is now a {after.type}: the city sees a new entity"
        )
    was, now = (PERSONAL if personal(each, kind) else PUBLIC for each in (before, after))
    if was != now:
        notes.append(f"{after.id} was {was} and is now {now}")
    return notes
