"""Questions to engines, registries and clusters, which may not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import TypeVar

T = TypeVar("T")
# For all that has to be asked of one of them.
PATIENCE_SECONDS = 5.0


class NotToldError(Exception):
    """Nobody tells which image is behind a name; says why, as a part of a sentence."""


def within(ask: Callable[[], T], whom: str) -> T:
    """What ``ask`` gives, unless that takes too long: then nobody waits for it any more.

    A client's own time limits count each try and each packet, and none counts the look-up of a host's name. What
    ``ask`` needs to import is to be imported before: a busy machine takes long for that.

    :param whom: who is asked, for the message.
    :raises NotToldError: there is no answer in time.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(ask())
        except BaseException as problem:  # noqa: BLE001 - it is raised where the answer is waited for
            future.set_exception(problem)

    threading.Thread(target=work, name="aml-ask", daemon=True).start()
    try:
        return future.result(PATIENCE_SECONDS)
    except NotYet:
        if future.done():
            raise
        raise NotToldError(f"{whom} does not answer within {PATIENCE_SECONDS:g} s") from None


def root(error: BaseException) -> str:
    """What was wrong in the first place, in one line: clients wrap it several times."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    reason = getattr(error, "reason", None)
    text = str(reason if isinstance(reason, BaseException) else error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__
