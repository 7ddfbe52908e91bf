"""``Run.get_context()`` outside a step: what is reported is printed, so that a script can be tried by hand."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from aml_provider.runtime.store import OfflineStore
from aml_provider.sdk.run_reporting import Reporting
from aml_provider.sdk.unavailable import PartOfV1


class OfflineRun(Reporting, PartOfV1):
    """A run that nobody records."""

    NOT_BUILT: ClassVar[dict[str, str]] = dict.fromkeys(
        ("experiment", "cancel", "submit_child", "wait_for_completion"),
        "this code runs outside a step, so there is no recorded run",
    )

    def __init__(self, name: str | None = None, parent: OfflineRun | None = None) -> None:
        self._id = f"OfflineRun_{uuid.uuid4()}"
        self._name = name or self._id
        self._child = None if parent is None else self._id
        self._store = OfflineStore() if parent is None else parent._store
        self.parent = parent
        self._status = "Running"
        self.input_datasets: dict[str, Any] = {}
        self.output_datasets: dict[str, Any] = {}

    @property
    def id(self) -> str:
        """An id that begins with ``OfflineRun``."""
        return self._id

    @property
    def name(self) -> str:
        """The id, or a child run's name."""
        return self._name

    @property
    def status(self) -> str:
        """The state."""
        return self._status

    @property
    def type(self) -> str:
        """``OfflineRun``."""
        return "OfflineRun"

    def get_status(self) -> str:
        """The state."""
        return self._status

    def child_run(self, name: str | None = None, run_id: str | None = None, outputs: Any = None) -> OfflineRun:
        """Another offline run."""
        return OfflineRun(name, self)

    def start(self) -> None:
        """It runs already."""

    def complete(self, _set_status: bool = True) -> None:
        """End the run."""
        self._status = "Completed"

    def fail(self, error_details: Any = None, error_code: Any = None, _set_status: bool = True) -> None:
        """End the run as failed."""
        self._status = "Failed"
        print(f"Run failed: {error_details}")

    def flush(self, timeout_seconds: float = 300) -> None:
        """Everything is printed already."""

    def __enter__(self) -> OfflineRun:
        return self

    def __exit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        self._status = "Completed" if exc_type is None else "Failed"

    def __repr__(self) -> str:
        return f"Run(Experiment: (offline), Id: {self.id})"
