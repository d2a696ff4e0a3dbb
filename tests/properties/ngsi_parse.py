"""Parses JSON with a model of FiLiP, in an environment of its own: MODULE:MODEL as argument.

Reads lines of JSON, writes for each what FiLiP made of it, as JSON.
"""

import importlib
import sys


def main() -> None:
    module, _, name = sys.argv[1].partition(":")
    model = getattr(importlib.import_module(module), name)
    for line in sys.stdin:
        entity = model.model_validate_json(line)
        print(entity.model_dump_json(exclude_unset=True, by_alias=True))


if __name__ == "__main__":
    main()
