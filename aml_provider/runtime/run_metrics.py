"""The ``log*`` calls of ``Run`` and ``get_metrics``."""

from __future__ import annotations

import os

from .exceptions import UserErrorException
from .run_base import RunBase
from .values import check_name, columns, document, from_json, listing, scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class RunMetrics(RunBase):
    """Metrics. All values are checked and recorded before a call returns."""

    def log(self, name: str, value: Any, description: str = "", step: int | None = None) -> None:
        """Log a number or text; several calls with one name make a curve.

        :param step: the position on the curve's axis.
        :raises TypeError: naming the metric, when the value is neither number nor text.
        """
        check_name(name, "run.log")
        self._metric("scalar", name, scalar(name, value, "run.log"), description, step)

    def log_list(self, name: str, value: Any, description: str = "") -> None:
        """Log several numbers or texts at once."""
        check_name(name, "run.log_list")
        self._metric("list", name, listing(name, value, "run.log_list"), description)

    def log_row(self, name: str, description: str | None = None, **kwargs: Any) -> None:
        """Log one row of a table; the keyword arguments are its columns."""
        check_name(name, "run.log_row")
        if not kwargs:
            raise TypeError(f'run.log_row: metric "{name}" needs at least one column, as in log_row(name, x=1, y=2).')
        self._metric("row", name, columns(name, kwargs, "run.log_row"), description or "")

    def log_table(self, name: str, value: dict[str, Any], description: str = "") -> None:
        """Log a table: column name -> list of values."""
        check_name(name, "run.log_table")
        self._metric("table", name, columns(name, value, "run.log_table"), description)

    def log_confusion_matrix(self, name: str, value: Any, description: str = "") -> None:
        """Log a confusion matrix in Azure ML's JSON format (dict or text)."""
        self._document("confusion_matrix", name, value, description)

    def log_accuracy_table(self, name: str, value: Any, description: str = "") -> None:
        """Log an accuracy table in Azure ML's JSON format (dict or text)."""
        self._document("accuracy_table", name, value, description)

    def log_residuals(self, name: str, value: Any, description: str = "") -> None:
        """Log residuals in Azure ML's JSON format (dict or text)."""
        self._document("residuals", name, value, description)

    def log_predictions(self, name: str, value: Any, description: str = "") -> None:
        """Log predictions in Azure ML's JSON format (dict or text)."""
        self._document("predictions", name, value, description)

    def log_image(self, name: str, path: str | None = None, plot: Any = None, description: str = "") -> None:
        """Log an image: a file, or a plot (``matplotlib.pyplot`` or a figure: whatever has ``savefig``).

        The image becomes a file of the run; the metric's value is that file's name.
        """
        check_name(name, "run.log_image")
        if (path is None) == (plot is None):
            raise UserErrorException(f'run.log_image: give either path or plot for "{name}", not both and not neither.')
        if plot is not None:
            import io

            if not hasattr(plot, "savefig"):
                raise TypeError(f'run.log_image: the plot of "{name}" has no savefig method: {plot!r}.')
            buffer = io.BytesIO()
            plot.savefig(buffer, format="png")
            buffer.seek(0)
            artifact = self._image_name(name, ".png")
            self._store.put(artifact, buffer)
        else:
            if not os.path.isfile(str(path)):
                raise UserErrorException(f'run.log_image: the image of "{name}" does not exist: {path}.')
            artifact = self._image_name(name, os.path.splitext(str(path))[1])
            self._store.put(artifact, path)
        self._record({"type": "artifact", "name": artifact, "path": artifact})
        self._metric("image", name, artifact, description)

    def get_metrics(
        self, name: str | None = None, recursive: bool = False, run_type: Any = None, populate: bool = False
    ) -> dict[str, Any]:
        """What was logged so far: a single value, or a list when a name was logged several times; rows as columns.

        :param name: only this metric.
        :param recursive: of the child runs too; the result is then run id -> metrics.
        """
        if recursive:
            found: dict[str | None, dict[str, Any]] = {self._child: {}}
            within = {self._child}
            for event in self._store.events():
                if event.get("child") not in within or (event.get("to") == "pipeline") != self._to_pipeline:
                    continue
                if event["type"] == "child_run":
                    within.add(event["id"])
                elif event["type"] == "metric":
                    _add(found.setdefault(event.get("child"), {}), event, name)
            return {child or self._own_id(): metrics for child, metrics in found.items()}
        metrics: dict[str, Any] = {}
        for event in self._recorded("metric"):
            _add(metrics, event, name)
        return metrics

    def _own_id(self) -> str:
        raise NotImplementedError("Run says which run it is")

    def _metric(self, kind: str, name: str, value: Any, description: str, step: Any = None) -> None:
        if step is not None:
            number = scalar(name, step, "run.log")
            if isinstance(number, (bool, str)) or number != int(number):
                raise TypeError(f'run.log: the step of metric "{name}" must be a whole number, it is {step!r}.')
            step = int(number)
        self._record(
            {"type": "metric", "kind": kind, "name": name, "value": value, "step": step, "description": description}
        )

    def _document(self, kind: str, name: str, value: Any, description: str) -> None:
        call = f"run.log_{kind}"
        check_name(name, call)
        self._metric(kind, name, document(name, value, call, kind), description)

    def _image_name(self, name: str, suffix: str) -> str:
        """A free name for an image of this metric; characters that are special in paths become ``_``."""
        stem = "".join(letter if letter.isalnum() or letter in " -_." else "_" for letter in name)
        stem = stem.strip(". ") or "image"
        stem = f"{self._child}/{stem}" if self._child else stem
        number = 0
        while self._store.find(f"{stem}_{number}{suffix}" if number else f"{stem}{suffix}") is not None:
            number += 1
        return f"{stem}_{number}{suffix}" if number else f"{stem}{suffix}"


def _add(metrics: dict[str, Any], event: dict[str, Any], only: str | None) -> None:
    name, kind, value = event["name"], event["kind"], event["value"]
    if only is not None and name != only:
        return
    if kind in ("row", "table"):
        _add_columns(metrics, name, value)
    elif kind == "list":
        before = metrics.get(name, [])
        metrics[name] = (before if isinstance(before, list) else [before]) + [from_json(item) for item in value]
    else:
        value = from_json(value) if kind == "scalar" else value
        if name not in metrics:
            metrics[name] = value
        elif isinstance(metrics[name], list):
            metrics[name].append(value)
        else:
            metrics[name] = [metrics[name], value]


def _add_columns(metrics: dict[str, Any], name: str, table: dict[str, Any]) -> None:
    known = metrics.setdefault(name, {})
    if not isinstance(known, dict):
        known = metrics[name] = {"value": known}  # the name was used for a scalar before
    for column, content in table.items():
        items = [from_json(item) for item in content] if isinstance(content, list) else from_json(content)
        if column not in known:
            known[column] = items
        else:
            before = known[column] if isinstance(known[column], list) else [known[column]]
            known[column] = before + (items if isinstance(items, list) else [items])
