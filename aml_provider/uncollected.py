"""Making many objects that stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected(*, aging: bool = False) -> Iterator[None]:
    """No garbage collection inside.

    What building a pipeline or a plan makes it keeps, so a collection in it finds nothing; it only looks at everything
    that is there, again and again.

    :param aging: what is made counts as old at once, so that the collection that follows does not look at it either;
        for very many objects, because finding out whether that is safe takes a look at what the process has frozen.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if aging and not gc.get_freeze_count():
            # Both together move everything to the old objects. What somebody has frozen would become theirs, too.
            gc.freeze()
            gc.unfreeze()
        gc.enable()
