"""What ``Run`` is called and labelled with: its name and description, tags that change, properties set once."""

from __future__ import annotations

from .exceptions import UserErrorException
from .job import Job
from .run_base import RunBase
from .values import as_texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence


class RunTags(RunBase):
    """Names and values are texts; a tag may have no value."""

    _job: Job | None

    @property
    def name(self) -> str:
        """The run's name."""
        raise NotImplementedError("Run says how it is called")

    @property
    def display_name(self) -> str:
        """The name shown; the run's name until somebody sets another."""
        return next((event["value"] for event in reversed([*self._recorded("display_name")])), self.name)

    @display_name.setter
    def display_name(self, display_name: str) -> None:
        self._record({"type": "display_name", "value": str(display_name)})

    @property
    def description(self) -> str | None:
        """A text about the run."""
        return next((event["value"] for event in reversed([*self._recorded("description")])), None)

    @description.setter
    def description(self, description: str) -> None:
        self._record({"type": "description", "value": str(description)})

    @property
    def tags(self) -> dict[str, str | None]:
        """The run's tags now."""
        return self.get_tags()

    @property
    def properties(self) -> dict[str, str | None]:
        """The run's properties now."""
        return self.get_properties()

    def tag(self, key: str, value: Any = None) -> None:
        """Set a tag, with or without a value."""
        self.set_tags({key: value})

    def set_tags(self, tags: dict[str, Any]) -> None:
        """Set several tags; other tags stay."""
        for key, value in as_texts(tags).items():
            self._record({"type": "tag", "key": key, "value": value})

    def get_tags(self) -> dict[str, str | None]:
        """The tags the run was submitted with and what was set since."""
        tags = as_texts(self._job.run.get("tags")) if self._job is not None and self._child is None else {}
        for event in self._recorded("tag", "remove_tag"):
            if event["type"] == "tag":
                tags[event["key"]] = event["value"]
            else:
                tags.pop(event["key"], None)
        return tags

    def remove_tags(self, tags: str | Sequence[str]) -> None:
        """Remove a tag, or several."""
        for key in [tags] if isinstance(tags, str) else tags:
            self._record({"type": "remove_tag", "key": str(key)})

    def add_properties(self, properties: dict[str, Any]) -> None:
        """Add properties, which cannot be changed afterwards.

        :raises UserErrorException: when a property has another value already.
        """
        known = self.get_properties()
        new = as_texts(properties)
        for key, value in new.items():
            if known.get(key, value) != value:
                raise UserErrorException(
                    f'The property "{key}" of the run is {known[key]!r} and cannot become {value!r}: '
                    "properties are set once; use a tag for what changes."
                )
        for key, value in new.items():
            self._record({"type": "property", "key": key, "value": value})

    def get_properties(self) -> dict[str, str | None]:
        """The properties added so far."""
        return {event["key"]: event["value"] for event in self._recorded("property")}
