"""Links in folders that are seen elsewhere under another path."""

from __future__ import annotations

import os
from pathlib import Path


def lead_out(folder: Path) -> bool:
    """Whether something in a folder is reached by a link that means something else, or nothing, in another place.

    That is a link by an absolute path, and one to outside of the folder. A link to nowhere leads nowhere everywhere.
    """
    root = os.path.realpath(folder)
    for parent, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            if not os.path.islink(path) or not os.path.exists(path):
                continue
            inside = (os.path.realpath(path) + os.sep).startswith(root.rstrip(os.sep) + os.sep)
            if not inside or os.path.isabs(os.readlink(path)):
                return True
    return False
