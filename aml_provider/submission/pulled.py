"""What steps have given, asked of Airflow: for a program that does not see the run's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote

from aml_provider.sdk.backend import OutputInfo, ReusedInfo, RunState, StepInfo
from aml_provider.spec.names import HEAD_KEY, METRICS_XCOM
from aml_provider.submission.api import AirflowApi, NotFoundError

_OUTPUTS_XCOM = "return_value"
V = TypeVar("V")


class PulledResults:
    """The XComs of one run's tasks.

    :param path: the run's, in the REST API.
    """

    def __init__(self, api: AirflowApi, path: str) -> None:
        self._api, self._path = api, path
        self._skipped: dict[str, Any] | None = None

    def completed(self, step: StepInfo) -> StepInfo:
        """The step with its outputs and metrics, which are asked for when somebody looks at them."""
        if step.state is RunState.SKIPPED and self._outputs(step.key) is not None:
            # As in Azure ML, where a reused step shows what its earlier run shows.
            told = ReusedInfo("", "", 0.0, "the log of the reuse task in Airflow says whose")
            step = replace(step, state=RunState.FINISHED, reused=told)
        if step.state is not RunState.FINISHED:
            return step
        return replace(
            step,
            outputs=Late(lambda: _places(self._outputs(step.key) or {})),
            metrics=Late(lambda: self._pull(step.key, METRICS_XCOM) or {}),
        )

    def _outputs(self, key: str) -> Any:
        if self._skipped is None:
            # The head task gives the outputs of those that it has skipped.
            self._skipped = self._pull(HEAD_KEY, _OUTPUTS_XCOM) or {}
        return self._skipped[key] if key in self._skipped else self._pull(key, _OUTPUTS_XCOM)

    def _pull(self, key: str, name: str) -> Any:
        try:
            return self._api.get(f"{self._path}/taskInstances/{quote(key)}/xcomEntries/{name}")["value"]
        except NotFoundError:
            return None


def _places(value: Mapping[str, Any]) -> dict[str, OutputInfo]:
    return {name: OutputInfo(str(place["datastore"]), str(place["path"])) for name, place in value.items()}


class Late(Mapping[str, V]):
    """A mapping that is loaded when it is first looked at."""

    def __init__(self, load: Callable[[], Mapping[str, V]]) -> None:
        self._load = load
        self._loaded: Mapping[str, V] | None = None

    @property
    def _content(self) -> Mapping[str, V]:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def __getitem__(self, key: str) -> V:
        return self._content[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)
