"""A store on a file system that has no room for one more file; prints what it says.

Usage: full_disk_lock.py FOLDER, a file system with no free inode.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from kerbline.store import Store, StoreBlocked


def main(folder: Path) -> None:
    """Open it."""
    try:
        Store.open(folder / "kerbline.db").close()
        said = ""
    except StoreBlocked as error:
        said = str(error)
    print(json.dumps({"said": said}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
