"""What the parts of ``Run`` share: which run it is, and how its events are recorded and read back."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Protocol

    class Store(Protocol):
        """Where a run's reports go, and where they are read back."""

        def append(self, event: dict[str, Any]) -> None: ...

        def events(self) -> Iterator[dict[str, Any]]: ...

        def put(self, name: str, source: Any) -> None: ...

        def find(self, name: str) -> str | None: ...

        def names(self) -> list[str]: ...


class RunBase:
    """A run's place in the journal.

    Events of the step's own run carry ``"child": null``, those of a child run its id. What a script reports to
    ``run.parent`` is recorded by the step too, with ``"to": "pipeline"``.
    """

    _store: Store
    _child: str | None
    _to_pipeline: bool = False

    def _record(self, event: dict[str, Any]) -> None:
        target = {"to": "pipeline"} if self._to_pipeline else {}
        self._store.append({**event, "child": self._child, **target})

    def _recorded(self, *types: str) -> Iterator[dict[str, Any]]:
        """This run's own events of the given types, in the order they were recorded."""
        for event in self._store.events():
            own = event.get("child") == self._child and (event.get("to") == "pipeline") == self._to_pipeline
            if own and event["type"] in types:
                yield event
