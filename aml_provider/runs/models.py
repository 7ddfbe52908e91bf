"""What is kept of a registered model."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ModelFacts:
    """What a version of a model says of itself, in v1's words.

    :param tags: name -> value; ``properties`` likewise, but they never change.
    :param run_id: the v1 run (of a step or a pipeline) that made it; ``None`` for files from elsewhere.
    :param pipeline_run_id: the pipeline run that this run is part of.
    :param datasets: what a dataset was to it, such as ``training data``, and the dataset's id.
    :param sample_input: a dataset's id; ``sample_output`` likewise.
    """

    name: str
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    description: str | None = None
    framework: str | None = None
    framework_version: str | None = None
    run_id: str | None = None
    pipeline_run_id: str | None = None
    experiment: str | None = None
    datasets: tuple[tuple[str, str], ...] = ()
    sample_input: str | None = None
    sample_output: str | None = None


@dataclass(frozen=True)
class ModelVersion:
    """A registered model.

    :param created: in seconds since the epoch.
    :param url: where its files are.
    """

    facts: ModelFacts
    version: int
    created: float
    url: str
