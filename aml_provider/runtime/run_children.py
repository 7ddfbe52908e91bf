"""Child runs of ``Run``, as far as they are the same inside steps and outside: several at once, and which are meant."""

from __future__ import annotations

from .exceptions import UserErrorException
from .run_tags import RunTags
from .values import as_texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence


class RunChildren(RunTags):
    """Who inherits it says how one child run is started."""

    @property
    def type(self) -> str | None:
        """The run's type, in v1's words."""
        raise NotImplementedError("Run says of what type it is")

    @property
    def status(self) -> str:
        """The run's state."""
        raise NotImplementedError("Run says how it is")

    def child_run(self, name: str | None = None, run_id: str | None = None, outputs: Any = None) -> Any:
        """Start a child run."""
        raise NotImplementedError("Run starts child runs")

    def create_children(
        self, count: int | None = None, tag_key: str | None = None, tag_values: Sequence[Any] | None = None
    ) -> list[Any]:
        """Start several child runs: ``count`` of them, or one for each of ``tag_values``, tagged with it.

        :raises UserErrorException: when neither or both are given.
        """
        by_tag = tag_key is not None and tag_values is not None
        if (count is None) != by_tag or (not by_tag and (tag_key is not None or tag_values is not None)):
            raise UserErrorException("run.create_children: give either count, or both tag_key and tag_values.")
        children = []
        for value in [None] * (count or 0) if tag_values is None else tag_values:
            child = self.child_run()
            if tag_key is not None:
                child.tag(tag_key, value)
            children.append(child)
        return children

    def _is_meant(self, tags: Any, properties: Any, type: Any = None, status: Any = None) -> bool:
        """Whether the run is one of those that a caller asks for."""
        return (
            type in (None, self.type)
            and status_is(self.status, status)
            and (not tags or has(self.get_tags(), tags))
            and (not properties or has(self.get_properties(), properties))
        )


def status_is(actual: str, wanted: str | None) -> bool:
    """Whether it is this status; v1 has two words for a run that went well."""
    return wanted is None or actual == wanted or {actual, wanted} == {"Completed", "Finished"}


def has(actual: Mapping[str, str | None], wanted: Any) -> bool:
    """Whether there is this name, these names, or these names with these values."""
    if not wanted:
        return True
    if isinstance(wanted, dict):
        return all(key in actual and actual[key] == value for key, value in as_texts(wanted).items())
    return all(key in actual for key in ([wanted] if isinstance(wanted, str) else wanted))
