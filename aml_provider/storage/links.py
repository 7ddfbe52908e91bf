"""Links in folders that are seen elsewhere under another path."""

from __future__ import annotations

import os
from pathlib import Path


def lead_out(folder: Path) -> bool:
    """Whether something in a folder is reached by a link that means something else, or nothing, in another place.

    That is a link by an absolute path, and one to outside of the folder. A link to nowhere leads nowhere everywhere.
    """
    root = os.path.realpath(folder)
    waiting = [root] if os.path.isdir(root) else []
    while waiting:
        try:
            # Of what is no link, nothing is asked besides what the listing says: inputs may have a million files.
            with os.scandir(waiting.pop()) as entries:
                found = list(entries)
        except OSError:
            continue  # whoever reads it says so
        waiting += [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
        for path in [entry.path for entry in found if entry.is_symlink() and os.path.exists(entry.path)]:
            inside = (os.path.realpath(path) + os.sep).startswith(root.rstrip(os.sep) + os.sep)
            if not inside or os.path.isabs(os.readlink(path)):
                return True
    return False
