"""Parses NGSI-LD entities with FiLiP, in an environment of its own.

Reads lines of JSON, writes for each what FiLiP made of it, as JSON.
"""

import sys

from filip.models.ngsi_ld.context import ContextLDEntity  # type: ignore[import-not-found]


def main() -> None:
    for line in sys.stdin:
        entity = ContextLDEntity.model_validate_json(line)
        print(entity.model_dump_json(exclude_unset=True, by_alias=True))


if __name__ == "__main__":
    main()
