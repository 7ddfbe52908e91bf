"""``Run.get_context()`` outside a step: log calls print, so that a script can be tried by hand."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from aml_provider.sdk.unavailable import PartOfV1


class OfflineRun(PartOfV1):
    """A run that nobody records."""

    NOT_BUILT: ClassVar[dict[str, str]] = dict.fromkeys(
        ("experiment", "upload_file", "upload_files", "upload_folder", "register_model", "download_file", "cancel"),
        "this code runs outside a step, so there is no recorded run",
    )

    def __init__(self) -> None:
        self.id = f"OfflineRun_{uuid.uuid4()}"
        self.name = self.id
        self.parent = None
        self.status = "Running"
        self.tags: dict[str, Any] = {}
        self.properties: dict[str, Any] = {}
        self.input_datasets: dict[str, Any] = {}
        self.output_datasets: dict[str, Any] = {}
        self._metrics: dict[str, Any] = {}

    def _note(self, name: str, value: Any) -> None:
        print(f"{name}: {value}")
        if name in self._metrics and isinstance(value, (int, float)):
            before = self._metrics[name]
            self._metrics[name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            self._metrics[name] = value

    def log(self, name: str, value: Any, description: str = "", step: int | None = None) -> None:
        """Print a number."""
        self._note(name, value)

    def log_list(self, name: str, value: Any, description: str = "") -> None:
        """Print a list."""
        self._note(name, list(value))

    def log_row(self, name: str, description: str | None = None, **kwargs: Any) -> None:
        """Print a row."""
        self._note(name, kwargs)

    def log_table(self, name: str, value: Any, description: str = "") -> None:
        """Print a table."""
        self._note(name, value)

    def log_image(self, name: str, path: str | None = None, plot: Any = None, description: str = "") -> None:
        """Print where the image is."""
        self._note(name, path if path is not None else "(a plot)")

    def log_confusion_matrix(self, name: str, value: Any, description: str = "") -> None:
        """Print a confusion matrix."""
        self._note(name, value)

    def log_accuracy_table(self, name: str, value: Any, description: str = "") -> None:
        """Print an accuracy table."""
        self._note(name, value)

    def log_residuals(self, name: str, value: Any, description: str = "") -> None:
        """Print residuals."""
        self._note(name, value)

    def log_predictions(self, name: str, value: Any, description: str = "") -> None:
        """Print predictions."""
        self._note(name, value)

    def tag(self, key: str, value: Any = None) -> None:
        """Set a tag."""
        self.tags[key] = value

    def set_tags(self, tags: dict[str, Any]) -> None:
        """Set tags."""
        self.tags.update(tags)

    def get_tags(self) -> dict[str, Any]:
        """The tags."""
        return dict(self.tags)

    def remove_tags(self, tags: Any) -> None:
        """Remove tags."""
        for key in tags:
            self.tags.pop(key, None)

    def add_properties(self, properties: dict[str, Any]) -> None:
        """Set properties."""
        self.properties.update(properties)

    def get_properties(self) -> dict[str, Any]:
        """The properties."""
        return dict(self.properties)

    def get_metrics(
        self, name: str | None = None, recursive: bool = False, run_type: Any = None, populate: bool = False
    ) -> dict[str, Any]:
        """What was logged."""
        if name is None:
            return dict(self._metrics)
        return {name: self._metrics[name]} if name in self._metrics else {}

    def get_status(self) -> str:
        """The state."""
        return self.status

    def child_run(self, name: str | None = None, run_id: str | None = None, outputs: Any = None) -> OfflineRun:
        """Another offline run."""
        child = OfflineRun()
        child.name = name or child.id
        return child

    def complete(self) -> None:
        """End the run."""
        self.status = "Completed"

    def fail(self, error_details: Any = None, error_code: Any = None) -> None:
        """End the run as failed."""
        self.status = "Failed"
        print(f"Run failed: {error_details}")

    def flush(self, timeout_seconds: float = 300) -> None:
        """Everything is printed already."""

    def __enter__(self) -> OfflineRun:
        return self

    def __exit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        self.status = "Completed" if exc_type is None else "Failed"

    def __repr__(self) -> str:
        return f"Run(Experiment: (offline), Id: {self.id})"
