"""The calls of ``Run`` that ask Azure's service about other runs: inside a step there is none to ask."""

from __future__ import annotations

from .unavailable import unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_OTHER_RUNS = "look at runs from outside: through the PipelineRun that submit returned, in Airflow, or in MLflow."
_SECRET = "give the secret to the step as an environment variable."
_SNAPSHOT = "the step's code is the snapshot that the worker took of source_directory."
_CHILD = "make it a step of the pipeline; run.child_run() records metrics of a part of this script."


class RunCloud:
    """Every call raises :class:`~.exceptions.NotAvailableInStepError` with what to do instead."""

    @staticmethod
    def add_type_provider(runtype: str, run_factory: Any) -> NoReturn:
        raise unavailable("Run.add_type_provider()", _OTHER_RUNS)

    @staticmethod
    def list(
        experiment: Any,
        type: Any = None,
        tags: Any = None,
        properties: Any = None,
        status: Any = None,
        include_children: bool = False,
        _rehydrate_runs: bool = True,
    ) -> NoReturn:
        raise unavailable("Run.list()", _OTHER_RUNS)

    @staticmethod
    def list_by_compute(
        compute: Any, type: Any = None, tags: Any = None, properties: Any = None, status: Any = None
    ) -> NoReturn:
        raise unavailable("Run.list_by_compute()", _OTHER_RUNS)

    @staticmethod
    def get(workspace: Any, run_id: str) -> NoReturn:
        raise unavailable("Run.get()", _OTHER_RUNS)

    def get_secret(self, name: str) -> NoReturn:
        raise unavailable(f'run.get_secret("{name}")', _SECRET)

    def get_secrets(self, secrets: Any) -> NoReturn:
        raise unavailable("run.get_secrets()", _SECRET)

    def submit_child(self, config: Any, tags: Any = None, **kwargs: Any) -> NoReturn:
        raise unavailable("run.submit_child()", _CHILD)

    def wait_for_completion(
        self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True
    ) -> NoReturn:
        raise unavailable("run.wait_for_completion()", "a step cannot wait for its own run to end.")

    def clean(self) -> NoReturn:
        raise unavailable("run.clean()", _OTHER_RUNS)

    def get_all_logs(self, destination: str | None = None) -> NoReturn:
        raise unavailable("run.get_all_logs()", _OTHER_RUNS)

    def get_details_with_logs(self) -> NoReturn:
        raise unavailable("run.get_details_with_logs()", _OTHER_RUNS)

    def get_environment(self) -> NoReturn:
        raise unavailable("run.get_environment()", "the environment is the one the script runs in.")

    def take_snapshot(self, file_or_folder_path: str) -> NoReturn:
        raise unavailable("run.take_snapshot()", _SNAPSHOT)

    def restore_snapshot(self, snapshot_id: str | None = None, path: str | None = None) -> NoReturn:
        raise unavailable("run.restore_snapshot()", _SNAPSHOT)

    def get_snapshot_id(self) -> NoReturn:
        raise unavailable("run.get_snapshot_id()", _SNAPSHOT)
