"""Building the spec of a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aml_provider.sdk.build.arguments import arguments, step_parameters
from aml_provider.sdk.build.closure import Members, collect, ordered
from aml_provider.sdk.build.code import command_directory, script_directory
from aml_provider.sdk.build.data import Names, StepData, name_outputs
from aml_provider.sdk.build.environment import environment_spec, timeout_seconds
from aml_provider.sdk.build.parameters import Parameters, submitted_values
from aml_provider.sdk.parameter import PipelineParameter
from aml_provider.sdk.source import PipelineSource
from aml_provider.sdk.steps.base import PipelineStep, ScriptStep
from aml_provider.sdk.steps.command import CommandStep
from aml_provider.sdk.steps.data_transfer import DataTransferStep
from aml_provider.sdk.steps.python_script import PythonScriptStep
from aml_provider.spec.errors import NotSupportedError, PipelineError
from aml_provider.spec.models import (
    Action,
    Command,
    ComputeSpec,
    EnvironmentSpec,
    ParameterRef,
    PipelineSpec,
    PythonScript,
    Step,
    SubmitOptions,
    Transfer,
)
from aml_provider.spec.names import unique_keys
from aml_provider.uncollected import uncollected

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace


@dataclass(frozen=True)
class Draft:
    """A pipeline before it is submitted: everything but the submit options."""

    source: PipelineSource
    spec: PipelineSpec

    def submitted(self, options: SubmitOptions) -> PipelineSpec:
        """The spec of a submission; ``options.parameters`` are the author's values.

        :raises UnknownParameterError: a value for a parameter that no step uses.
        :raises ParameterError: a value of the wrong type.
        """
        values = submitted_values(self.spec.parameters, options.parameters)
        return self.spec.model_copy(update={"submit": options.model_copy(update={"parameters": values})})


def build(
    workspace: Workspace,
    steps: Any,
    *,
    source: PipelineSource,
    description: str | None = None,
    default_datastore: Any = None,
    default_source_directory: str | None = None,
    resolve_closure: bool = True,
) -> Draft:
    """Everything about a pipeline, checked.

    :raises PipelineError: it cannot run as it is written; names the step and what to do.
    """
    builder = _Builder(workspace, source, default_datastore, default_source_directory)
    with uncollected():
        return builder.build(steps, description, resolve_closure)


class _Builder:
    def __init__(
        self, workspace: Workspace, source: PipelineSource, default_datastore: Any, default_source_directory: str | None
    ) -> None:
        self._workspace = workspace
        self._source = source
        self._default_source_directory = default_source_directory
        self._datastore = _datastore_name(workspace, default_datastore)
        self._parameters = Parameters()
        self._provisioned: dict[str, ComputeSpec] = {}
        self._checked_targets: set[str] = set()
        #: Steps often share one run configuration: it is turned into spec data once.
        self._environments: dict[int, EnvironmentSpec | None] = {}
        #: And the same script: it is looked for once.
        self._directories: dict[tuple[Any, str], str] = {}

    def build(self, steps: Any, description: str | None, resolve_closure: bool) -> Draft:
        members = collect(steps, resolve_closure)
        order = ordered(members)
        names = Names(dict(zip(members.steps, unique_keys(s.name for s in members.steps), strict=True)))
        name_outputs(members.steps, members, names)
        made = tuple(self._step(step, members, names) for step in order)
        spec = PipelineSpec(
            workspace=self._workspace.name,
            description=description,
            default_datastore=self._datastore,
            parameters=self._parameters.all(),
            compute=tuple(self._provisioned[name] for name in sorted(self._provisioned)),
            steps=made,
            submit=SubmitOptions(experiment=""),
        )
        _check_datastores(spec, self._workspace)
        _check_pipeline_outputs(spec)
        return Draft(self._source, spec)

    def _step(self, step: PipelineStep, members: Members, names: Names) -> Step:
        if isinstance(step, DataTransferStep):
            return self._transfer(step, members, names)
        if not isinstance(step, ScriptStep):
            raise NotSupportedError(f"Step {step.name!r}: {type(step).__name__} cannot run in this version.")
        data = StepData(step, members, names, self._parameters, self._datastore)
        action, directory = self._action(step, data)
        return Step(
            key=names.keys[step],
            name=step.name,
            type=step.STEP_TYPE,
            action=action,
            source_directory=directory,
            parameters=step_parameters(step.params, step, self._parameters),
            inputs=tuple(data.inputs),
            outputs=tuple(data.outputs),
            compute_target=self._target(
                step, step.compute_target if step.compute_target is not None else step.runconfig.target
            ),
            environment=self._environment(step),
            after=tuple(names.keys[before] for before in members.after(step)),
            allow_reuse=bool(step.allow_reuse),
            version=None if step.version is None else str(step.version),
            runconfig_parameters=self._runconfig_parameters(step),
            timeout_seconds=timeout_seconds(step.runconfig),
        )

    def _transfer(self, step: DataTransferStep, members: Members, names: Names) -> Step:
        data = StepData(step, members, names, self._parameters, self._datastore)
        return Step(
            key=names.keys[step],
            name=step.name,
            type=step.STEP_TYPE,
            action=Transfer(source_type=step.source_reference_type, destination_type=step.destination_reference_type),
            inputs=tuple(data.inputs),
            outputs=tuple(data.outputs),
            compute_target=self._target(step, step.compute_target),
            after=tuple(names.keys[before] for before in members.after(step)),
            allow_reuse=bool(step.allow_reuse),
        )

    def _action(self, step: ScriptStep, data: StepData) -> tuple[Action, str | None]:
        words = arguments(step, data, self._parameters, expand=isinstance(step, PythonScriptStep))
        if isinstance(step, PythonScriptStep):
            script = step.script_name.replace("\\", "/").removeprefix("./")
            where = (step.source_directory, script)
            if where not in self._directories:
                found = script_directory(step, script, self._default_source_directory, self._source)
                self._directories[where] = found
            return PythonScript(script=script, arguments=words), self._directories[where]
        if isinstance(step, CommandStep):
            return Command(words=words), command_directory(step, self._default_source_directory, self._source)
        raise NotSupportedError(f"Step {step.name!r}: {type(step).__name__} cannot run in this version.")

    def _target(self, step: PipelineStep, target: Any) -> str:
        name = target if isinstance(target, str) else getattr(target, "name", None)
        if not isinstance(name, str) or not name:
            raise PipelineError(f"Step {step.name!r}: compute_target is {target!r}; pass a compute target or its name.")
        workspace = self._workspace if isinstance(target, str) else getattr(target, "workspace", self._workspace)
        provisioned = {**self._workspace.shared.provisioned, **workspace.shared.provisioned}
        if name not in self._checked_targets:
            try:
                self._workspace.loaded.compute(name, provisioned)
            except PipelineError as error:
                raise PipelineError(f"Step {step.name!r}: {error}") from None
            self._checked_targets.add(name)
        if name in provisioned and name not in self._workspace.loaded.file.compute:
            self._provisioned[name] = provisioned[name]
        return name

    def _environment(self, step: ScriptStep) -> EnvironmentSpec | None:
        key = id(step.runconfig)
        if key not in self._environments:
            self._environments[key] = environment_spec(step.name, step.runconfig, self._source)
        return self._environments[key]

    def _runconfig_parameters(self, step: ScriptStep) -> dict[str, ParameterRef]:
        made = {}
        for name, parameter in step.runconfig_pipeline_params.items():
            if not isinstance(parameter, PipelineParameter):
                raise PipelineError(
                    f"Step {step.name!r}: runconfig_pipeline_params[{name!r}] is {parameter!r}, "
                    "but must be a PipelineParameter."
                )
            self._parameters.use(parameter, step.name)
            made[str(name)] = ParameterRef(name=parameter.name)
        return made


def _datastore_name(workspace: Workspace, datastore: Any) -> str:
    if datastore is None:
        return workspace.default_datastore_name
    return str(getattr(datastore, "name", datastore))


def _check_datastores(spec: PipelineSpec, workspace: Workspace) -> None:
    known = workspace.loaded.datastores
    for step in spec.steps:
        for output in step.outputs:
            if output.datastore not in known:
                try:
                    workspace.loaded.datastore(output.datastore)
                except PipelineError as error:
                    raise PipelineError(f"Step {step.name!r}, output {output.name!r}: {error}") from None


def _check_pipeline_outputs(spec: PipelineSpec) -> None:
    users: dict[str, str] = {}
    for step in spec.steps:
        for output in step.outputs:
            name = output.pipeline_output_name
            if name is None:
                continue
            other = users.setdefault(name, step.name)
            if other != step.name:
                raise PipelineError(
                    f"Steps {other!r} and {step.name!r} both have a pipeline output named {name!r}; "
                    "give one of them another pipeline_output_name."
                )


def options(
    experiment: str,
    parameters: Mapping[str, Any] | None = None,
    continue_on_step_failure: bool | None = False,
    regenerate_outputs: bool | None = False,
    tags: Mapping[str, Any] | None = None,
    script: bool = False,
) -> SubmitOptions:
    """Submit options of what an author passed."""
    if parameters is not None and not isinstance(parameters, Mapping):
        raise PipelineError(
            f"pipeline_parameters is a {type(parameters).__name__}, but must be a dictionary of name -> value."
        )
    switches = {"continue_on_step_failure": continue_on_step_failure, "regenerate_outputs": regenerate_outputs}
    for name, value in switches.items():
        if value not in (True, False, None):
            raise PipelineError(f"{name} is {value!r}; give True or False.")
    return SubmitOptions(
        experiment=experiment,
        parameters=dict(parameters or {}),
        continue_on_step_failure=bool(continue_on_step_failure),
        regenerate_outputs=bool(regenerate_outputs),
        tags={str(k): "" if v is None else str(v) for k, v in (tags or {}).items()},
        script=script,
    )
