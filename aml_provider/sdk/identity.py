"""What makes several Python objects the same data of the pipeline."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aml_provider.sdk.steps.base import PipelineStep


class Identity:
    """One piece of data that a step produces; ``as_upload()`` and the like give new objects with the same identity.

    Steps enter themselves here when they are made, in the author's order: that is how a pipeline is found from its
    last step.

    :param name: the author's name, ``None`` when there is none (the builder gives one by place, not by chance).
    """

    __slots__ = ("mentions", "name", "producers")

    def __init__(self, name: str | None) -> None:
        self.name = name
        #: Steps that list it among their outputs.
        self.producers: list[PipelineStep] = []
        #: Steps that only have it in their arguments: the first is its producer unless another step declares it.
        self.mentions: list[PipelineStep] = []


def default_reference_name(datastore: str, path: str | None) -> str:
    """The name of a reference that its author did not name: made of its place, so that it is always the same."""
    text = f"{datastore}_{path or ''}"
    return re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")


def clean_path(path: object) -> str:
    """A path in a datastore, as a spec holds it; v1 takes a leading slash for the datastore's root."""
    text = "" if path is None else str(path).replace("\\", "/").lstrip("/")
    return "" if text == "." else text.removeprefix("./")
