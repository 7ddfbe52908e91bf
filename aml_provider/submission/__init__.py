"""Where ``submit`` leads: to a declared DAG while Airflow parses, to a run when the file is a program."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from aml_provider.sdk.life import Life, current_life

if TYPE_CHECKING:
    from aml_provider.sdk.backend import RunBackend
    from aml_provider.sdk.source import PipelineSource
    from aml_provider.spec.models import PipelineSpec
    from aml_provider.workspace.resolved import LoadedWorkspace


# Found in a module of their own when they are asked for: a parse needs none of them.
LATE = {
    "recorded": ("find_run", "list_experiments", "list_runs"),
    "connections": ("keep_connection",),
    "models": ("change_model", "delete_model", "download_model", "find_models", "register_model", "register_run_model"),
    "interactive": ("start_interactive",),
}
_started: list[RunBackend] = []


def __getattr__(name: str) -> Any:
    for module, names in LATE.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(name)


def started() -> tuple[RunBackend, ...]:
    """The runs that this process has started, in order."""
    return tuple(_started)


def submit(spec: PipelineSpec, source: PipelineSource, workspace: LoadedWorkspace) -> RunBackend | None:
    """Do what ``submit`` means in the life the pipeline file is living.

    :return: the run; ``None`` while Airflow parses, where there is none.
    """
    if current_life() is Life.PARSE:
        from aml_provider.submission.declare import declare

        declare(spec, source, workspace)
        return None
    from aml_provider.submission.names import next_dag_id
    from aml_provider.submission.overrides import apply_overrides

    spec = apply_overrides(spec)
    dag_id = next_dag_id(spec.submit.experiment, source)
    if workspace.file.airflow is not None:
        from aml_provider.submission.server import submit_to_server

        run: RunBackend = submit_to_server(spec, dag_id, source, workspace)
    else:
        from aml_provider.submission.embedded import start_embedded

        run = start_embedded(spec, dag_id, source, workspace)
    _started.append(run)
    return run
