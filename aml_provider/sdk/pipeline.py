"""v1 ``Pipeline``: steps, checked and ready to be submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from aml_provider.sdk.build.pipeline import build, options
from aml_provider.sdk.life import Life, current_collector, current_life
from aml_provider.sdk.null import NULL
from aml_provider.sdk.plain import plain_errors
from aml_provider.sdk.source import calling_source
from aml_provider.sdk.unavailable import PartOfV1
from aml_provider.spec.errors import NotSupportedError, PipelineError

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace


class Pipeline(PartOfV1):
    """A pipeline. As in v1, it is built and checked when it is made; what is done to its steps later has no effect.

    :param steps: steps, lists of steps, ``StepSequence`` objects.
    :param default_datastore: where outputs go that name no datastore.
    :param default_source_directory: code of steps that name no ``source_directory``.
    :param resolve_closure: add the steps that the given ones depend on.
    :raises PipelineError: it cannot run as it is written; names the step and what to do.
    """

    NOT_BUILT: ClassVar[dict[str, str]] = {
        "service_endpoint": "there is no Azure service",
        "graph": "look at the DAG in Airflow, or at `aml spec FILE`",
    }

    @plain_errors
    def __init__(
        self,
        workspace: Workspace,
        steps: Any,
        description: str | None = None,
        default_datastore: Any = None,
        default_source_directory: str | None = None,
        resolve_closure: bool = True,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise PipelineError(f"Pipeline has no parameter {sorted(kwargs)[0]!r}.")
        self.workspace = workspace
        self.description = description
        self._draft = build(
            workspace,
            steps,
            source=calling_source(),
            description=description,
            default_datastore=default_datastore,
            default_source_directory=default_source_directory,
            resolve_closure=resolve_closure,
        )

    def validate(self) -> list[Any]:
        """The errors: always none, because a pipeline with errors cannot be made."""
        return []

    @plain_errors
    def submit(
        self,
        experiment_name: str,
        pipeline_parameters: dict[str, Any] | None = None,
        continue_on_step_failure: bool = False,
        regenerate_outputs: bool = False,
        parent_run_id: str | None = None,
        credential_passthrough: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Submit to an experiment.

        :param continue_on_step_failure: go on with steps that do not depend on a failed one.
        :param regenerate_outputs: run every step, even unchanged ones.
        :raises UnknownParameterError: a value for a parameter that the pipeline does not have.
        :raises ParameterError: a value of the wrong type.
        :return: the run; a null object while the file is only read.
        """
        from aml_provider.sdk.experiment import Experiment

        return Experiment(self.workspace, experiment_name).submit(
            self,
            pipeline_parameters=pipeline_parameters,
            continue_on_step_failure=continue_on_step_failure,
            regenerate_outputs=regenerate_outputs,
            parent_run_id=parent_run_id,
            credential_passthrough=credential_passthrough,
            **kwargs,
        )

    @plain_errors
    def publish(
        self,
        name: str | None = None,
        description: str | None = None,
        version: str | None = None,
        continue_on_step_failure: bool | None = None,
    ) -> Any:
        """Publishing is not there yet. While the file is only read nothing happens, so that its other pipelines work.

        :raises NotSupportedError: when the file runs as a program.
        """
        life = current_life()
        if life is Life.COLLECT:
            collector = current_collector()
            spec = self._draft.submitted(options(name or "published", None, continue_on_step_failure))
            if collector is not None:
                collector.found.append((spec, self._draft.source, self.workspace.loaded))
        if life is not Life.PROGRAM:
            return NULL
        raise NotSupportedError(
            "Pipeline.publish is not available in this version: submit the pipeline instead, "
            "Experiment(ws, name).submit(pipeline). In Airflow its DAG can then be triggered like any other."
        )

    @staticmethod
    def load_yaml(workspace: Workspace, filename: str) -> Any:
        """Pipelines as YAML files are not there.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError("Pipeline.load_yaml is not available in this version; write the pipeline in Python.")

    def __repr__(self) -> str:
        return f"Pipeline({len(self._draft.spec.steps)} steps)"
