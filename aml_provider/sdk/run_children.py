"""Child runs, and runs that a program keeps itself: it says when they end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from aml_provider.sdk.backend import RunBackend, RunKind, RunState
from aml_provider.sdk.run_reporting import Reporting
from aml_provider.spec.errors import NotSupportedError

if TYPE_CHECKING:
    from aml_provider.sdk.experiment import Experiment


class RunChildren(Reporting):
    """v1's methods about child runs and about ending a run; mixed into ``Run``."""

    _experiment: Experiment
    _backend: RunBackend
    _key: str | None
    _parent: Any = None
    #: A folder whose files become the run's when it is completed.
    _outputs: Path | None = None
    _steps: Any

    @property
    def parent(self) -> Any:
        """The run that this one is part of."""
        return self._parent

    # --- child runs -----------------------------------------------------------------------------------------

    def child_run(self, name: str | None = None, run_id: str | None = None, outputs: Any = None) -> Any:
        """Start a child run: metrics, tags and files of a part of this program.

        :param run_id: its id; by default made from this run's id.
        :raises NotSupportedError: the run is a pipeline's or a step's, which has its own code.
        """
        self._refuse_unless_kept("child_run", "call child_run in the step's script")
        child_id = run_id or f"{self.id}_{os.urandom(4).hex()}"
        self._record({"type": "child_run", "id": child_id, "name": name or child_id, "status": "Running"})
        return self._child_handle(child_id)

    def create_children(
        self, count: int | None = None, tag_key: str | None = None, tag_values: Sequence[Any] | None = None
    ) -> list[Any]:
        """Start several child runs: ``count`` of them, or one for each of ``tag_values``, tagged with it.

        :raises UserErrorException: when neither or both are given.
        :raises NotSupportedError: the run is a pipeline's or a step's, which has its own code.
        """
        self._refuse_unless_kept("create_children", "call it in the step's script")
        return super().create_children(count, tag_key, tag_values)

    def get_children(
        self,
        recursive: bool = False,
        tags: Any = None,
        properties: Any = None,
        type: str | None = None,
        status: str | None = None,
        _rehydrate_runs: bool = True,
    ) -> Iterator[Any]:
        """The runs that are part of this one, in the order in which they began.

        :param recursive: and theirs.
        :param tags: only those with this tag, these tags, or these tags and values; ``properties`` likewise.
        """
        for run in self._all_children(recursive):
            if run._is_meant(tags, properties, type, status):
                yield run

    def _all_children(self, recursive: bool) -> Iterator[Any]:
        for identity in dict.fromkeys(str(event["id"]) for event in self._recorded("child_run")):
            child = self._child_handle(identity)
            yield child
            if recursive:
                yield from child.get_children(recursive=True)

    def _child_handle(self, identity: str) -> Any:
        from aml_provider.sdk.run import Run

        child = Run.__new__(Run)
        child._set(self._experiment, self._backend, self._key, identity)
        child._parent = self
        return child

    def _told_of_child(self) -> dict[str, Any]:
        """What was last said of this child run."""
        told = {"name": self._child, "status": "Running"}
        for event in self._parent._recorded("child_run"):
            if event["id"] == self._child:
                told = event
        return told

    def _child_name(self) -> str:
        return str(self._told_of_child()["name"])

    def _child_status(self) -> str:
        return str(self._told_of_child()["status"])

    def _child_span(self) -> tuple[float | None, float | None]:
        """When this child run began and ended; a run that only MLflow has does not say."""
        told = [event for event in self._parent._recorded("child_run") if event["id"] == self._child]
        ended = told[-1].get("time") if told and told[-1]["status"] != "Running" else None
        return told[0].get("time") if told else None, ended

    def _end_child(self, status: str) -> None:
        self._parent._record({"type": "child_run", "id": self._child, "name": self._child_name(), "status": status})

    # --- beginning and ending -------------------------------------------------------------------------------

    def start(self) -> None:
        """Mark the run as running, which it is.

        :raises NotSupportedError: Airflow starts the run.
        """
        self._refuse_unless_kept("start", "Airflow starts it when its turn comes")

    def complete(self, _set_status: bool = True) -> None:
        """Mark the run as completed; the files in its outputs folder are then the run's.

        :raises NotSupportedError: Airflow says how the run ends.
        """
        self._refuse_unless_kept("complete", "it is completed when its script ends")
        if self._outputs is not None and self._outputs.is_dir():
            kept = set(self.get_file_names())
            for file in sorted(path for path in self._outputs.rglob("*") if path.is_file()):
                name = f"outputs/{file.relative_to(self._outputs).as_posix()}"
                if name not in kept:
                    self.upload_file(name, str(file))
        if _set_status:
            self._end(RunState.FINISHED, "Completed")

    def fail(self, error_details: Any = None, error_code: Any = None, _set_status: bool = True) -> None:
        """Mark the run as failed.

        :raises NotSupportedError: Airflow says how the run ends.
        """
        self._refuse_unless_kept("fail", "stop it with cancel(), or let its script fail")
        if not _set_status:
            return
        message = "" if error_details is None else str(error_details)
        text = message if error_code is None else f"{error_code}: {message}"
        self._record({"type": "fail", "message": text})
        self._end(RunState.FAILED, "Failed")

    def _end(self, state: RunState, status: str) -> None:
        if self._child is not None:
            self._end_child(status)
        else:
            # Only an interactive run's backend has it; every other kind was refused.
            self._backend.end(state)  # type: ignore[attr-defined]

    def _refuse_unless_kept(self, call: str, instead: str) -> None:
        if self._child is None and self._backend.kind is not RunKind.INTERACTIVE:
            raise NotSupportedError(f"{type(self).__name__}.{call}: {self.id} is a run of Airflow: {instead}.")

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exception is None:
            self.complete()
        else:
            self.fail(error_details=f"{type(exception).__name__}: {exception}")
