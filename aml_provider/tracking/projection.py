"""From journal events to MLflow: metrics, tags, child runs."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import names
from .journal import Event, number
from .ledger import Ledger, StepLedger

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

# Which run, of a step or of a program, a child run belongs to, however deep it is.
CHILD_OF_TAG = "aml.child_of"
# v1's words for how a child run ended.
CHILD_STATUS = {"Completed": "FINISHED", "Finished": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}

_REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST")
# The tags in which MLflow keeps a run's name and description.
_TEXTS = {"display_name": "mlflow.runName", "description": "mlflow.note.content"}
# What MLflow's databases can hold.
_LARGEST_STEP = 2**63
_log = logging.getLogger(__name__)


@dataclass
class _Batch:
    """What one MLflow run gets from a few events.

    :param tags: key -> value, ``None`` for a tag to delete; the last event wins.
    :param documents: artifact path -> content, for what is no number.
    """

    metrics: list[Metric] = field(default_factory=list)
    tags: dict[str, str | None] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)


class Projection:
    """Sends events of one step's journal to MLflow.

    Step numbers of points that have none come from counters in the ledger, so that sending the same events again
    after a crash gives the same points, which MLflow then keeps once.
    """

    def __init__(self, client: MlflowClient, ledger: Ledger, step: StepLedger) -> None:
        self._client = client
        self._ledger = ledger
        self._step = step
        self._batches: dict[str, _Batch] = {}

    def send(self, events: Sequence[Event], where: str) -> None:
        """Project the events; when this returns MLflow has them.

        An event that MLflow refuses is left out with a warning: it must not keep the later ones from arriving.

        :param where: step and attempt, for the warning.
        """
        from mlflow.exceptions import MlflowException

        before = copy.deepcopy((self._ledger.counts, self._ledger.names))
        try:
            self._send(events)
        except MlflowException as error:
            if error.error_code not in _REFUSED:
                raise
            if len(events) == 1:
                _log.warning("%s: MLflow refuses %.200r: %s", where, events[0], error.message)
                return
            # Again, one by one; what had arrived already counts once.
            self._ledger.counts, self._ledger.names = before
            for event in events:
                self.send([event], where)

    def _send(self, events: Sequence[Event]) -> None:
        self._batches.clear()
        for event in events:
            self._add(event)
        for run_id, batch in self._batches.items():
            self._flush(run_id, batch)

    def _add(self, event: Event) -> None:
        kind = event["type"]
        if kind == "child_run":
            self._child_run(event)
            return
        run_id = self._target(event)
        batch = self._batches.setdefault(run_id, _Batch())
        if kind == "metric":
            self._metric(run_id, batch, event)
        elif kind == "tag":
            batch.tags[names.key(str(event.get("key")))] = names.text(event.get("value") or "", names.MAX_TAG)
        elif kind == "property":
            tag = names.key(f"aml.property.{event.get('key')}")
            batch.tags[tag] = names.text(event.get("value") or "", names.MAX_TAG)
        elif kind in _TEXTS:
            batch.tags[_TEXTS[kind]] = names.text(event.get("value") or "", names.MAX_TAG)
        elif kind == "remove_tag":
            batch.tags[names.key(str(event.get("key")))] = None
        elif kind == "fail":
            batch.tags["aml.fail_message"] = names.text(str(event.get("message")), names.MAX_TAG)

    def _target(self, event: Event) -> str:
        """The MLflow run an event is about: the step's, a child's, or (``run.parent.log``) the pipeline's."""
        if event.get("to") and self._ledger.parent is not None:
            return self._ledger.parent
        child = event.get("child")
        return self._child(str(child)) if child else self._step.run_id

    # --- metrics --------------------------------------------------------------------------------------------

    def _metric(self, run_id: str, batch: _Batch, event: Event) -> None:
        name, kind, value = str(event.get("name")), event.get("kind"), event.get("value")
        if kind == "scalar":
            point = number(value)
            if point is None:
                batch.tags[names.key(f"aml.metric.{name}")] = names.text(value, names.MAX_TAG)
            else:
                self._point(run_id, batch, event, name, point)
        # Texts in lists and rows are in metrics.json, which a step gets when it ends.
        elif kind == "list" and isinstance(value, list):
            points = [point for item in value if (point := number(item)) is not None]
            if len(points) == len(value):
                for point in points:
                    self._point(run_id, batch, event, name, point)
        elif kind == "row" and isinstance(value, dict):
            for column, cell in value.items():
                point = number(cell)
                if point is not None:
                    self._point(run_id, batch, event, f"{name}/{column}", point)
        elif kind not in ("list", "row"):
            self._document(run_id, batch, name, event)

    def _point(self, run_id: str, batch: _Batch, event: Event, name: str, value: float) -> None:
        from mlflow.entities import Metric

        key = self._key(run_id, batch, name)
        counts = self._ledger.counts.setdefault(run_id, {})
        step = event.get("step")
        if not isinstance(step, int) or abs(step) >= _LARGEST_STEP:
            step = counts.get(key, 0)
        counts[key] = max(counts.get(key, 0), step) + 1
        batch.metrics.append(Metric(key, value, _milliseconds(event), step))

    def _document(self, run_id: str, batch: _Batch, name: str, event: Event) -> None:
        key = self._key(run_id, batch, name)
        counts = self._ledger.counts.setdefault(run_id, {})
        index = counts.get(f"{key}.json", 0)
        counts[f"{key}.json"] = index + 1
        file = f"metrics/{key}{f'-{index}' if index else ''}.json"
        batch.documents[file] = {part: event.get(part) for part in ("name", "kind", "description", "value")}

    def _key(self, run_id: str, batch: _Batch, name: str) -> str:
        key = names.key(name, self._ledger.names.setdefault(run_id, {}))
        if key != name:
            batch.tags[names.key(f"aml.metric_name.{key}")] = names.text(name, names.MAX_TAG)
        return key

    # --- child runs -----------------------------------------------------------------------------------------

    def _child(self, child: str, name: str | None = None, of: str | None = None) -> str:
        """The MLflow run of a v1 child run, made when first heard of.

        :param of: the child run that it is part of; default: the step's own run.
        """
        known = self._step.children.get(child)
        if known is not None:
            return known
        assert self._ledger.experiment_id is not None
        # One that was created just before a crash is found by its tags.
        found = self._client.search_runs(
            [self._ledger.experiment_id],
            f"tags.`aml.child_run_id` = {names.quoted(child)} and tags.`{CHILD_OF_TAG}` = '{self._step.run_id}'",
            max_results=1,
        )
        if found:
            run_id = found[0].info.run_id
        else:
            parent = self._child(of) if of else self._step.run_id
            tags = {"mlflow.parentRunId": parent, CHILD_OF_TAG: self._step.run_id, "aml.child_run_id": child}
            run_id = self._client.create_run(self._ledger.experiment_id, tags=tags, run_name=name or child).info.run_id
        self._step.children[child] = run_id
        return str(run_id)

    def _child_run(self, event: Event) -> None:
        run_id = self._child(str(event.get("id")), event.get("name"), event.get("child"))
        status = CHILD_STATUS.get(str(event.get("status")))
        if status is not None:
            # What was logged before it ended goes first.
            batch = self._batches.pop(run_id, None)
            if batch is not None:
                self._flush(run_id, batch)
            self._client.set_terminated(run_id, status, _milliseconds(event))

    # --- sending --------------------------------------------------------------------------------------------

    def _flush(self, run_id: str, batch: _Batch) -> None:
        for start in range(0, len(batch.metrics), names.METRICS_PER_BATCH):
            self._client.log_batch(run_id, metrics=batch.metrics[start : start + names.METRICS_PER_BATCH])
        set_tags(self._client, run_id, {key: value for key, value in batch.tags.items() if value is not None})
        for key in (key for key, value in batch.tags.items() if value is None):
            delete_tag(self._client, run_id, key)
        for file, content in batch.documents.items():
            self._client.log_dict(run_id, content, file)


@contextmanager
def tolerant(what: str) -> Iterator[None]:
    """What MLflow refuses becomes a warning: trying again would not help, and must not hold up the rest."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in _REFUSED:
            raise
        _log.warning("%s: MLflow refuses this: %s", what, error.message)


def set_tags(client: MlflowClient, run_id: str, tags: dict[str, str]) -> None:
    """Set any number of tags."""
    from mlflow.entities import RunTag

    entities = [RunTag(key, value) for key, value in tags.items()]
    for start in range(0, len(entities), names.TAGS_PER_BATCH):
        client.log_batch(run_id, tags=entities[start : start + names.TAGS_PER_BATCH])


def log_params(client: MlflowClient, run_id: str, params: dict[str, Any]) -> None:
    """Log any number of parameters."""
    from mlflow.entities import Param

    taken: dict[str, str] = {}
    entities = [Param(names.key(name, taken), names.text(value, names.MAX_PARAM)) for name, value in params.items()]
    for start in range(0, len(entities), names.PARAMS_PER_BATCH):
        client.log_batch(run_id, params=entities[start : start + names.PARAMS_PER_BATCH])


def delete_tag(client: MlflowClient, run_id: str, key: str) -> None:
    """Delete a tag that may be gone already."""
    if key in client.get_run(run_id).data.tags:
        client.delete_tag(run_id, key)


def _milliseconds(event: Event) -> int:
    return int(float(event.get("time") or time.time()) * 1000)
