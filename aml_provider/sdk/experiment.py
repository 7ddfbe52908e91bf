"""v1 ``Experiment``: the name that runs are recorded under, and the place to submit to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from aml_provider.sdk.build.pipeline import Draft, build, options
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.life import Life, current_collector, current_life, is_program
from aml_provider.sdk.null import NULL
from aml_provider.sdk.pipeline import Pipeline
from aml_provider.sdk.plain import plain_errors
from aml_provider.sdk.script_run_config import ScriptRunConfig
from aml_provider.sdk.source import calling_source
from aml_provider.sdk.submission import ask, remember, submit, submitted
from aml_provider.sdk.unavailable import PartOfV1
from aml_provider.spec.errors import NotSupportedError
from aml_provider.spec.models import SubmitOptions

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace

PIPELINE_OPTIONS = (
    "pipeline_parameters",
    "continue_on_step_failure",
    "regenerate_outputs",
    "parent_run_id",
    "credential_passthrough",
)


class ViewType:
    """Which experiments to list; none is ever archived here."""

    ActiveOnly = "ActiveOnly"
    All = "All"
    ArchivedOnly = "ArchivedOnly"


class Experiment(PartOfV1):
    """An experiment. It need not be created: the first run makes it.

    :param name: any text; v1's rules about letters do not apply.
    """

    NOT_BUILT: ClassVar[dict[str, str]] = {
        "archive": "archive the experiment in MLflow",
        "reactivate": "restore the experiment in MLflow",
        "remove_tags": "edit the experiment's tags in MLflow",
        "refresh": "nothing is cached",
        "start_logging": "log with MLflow, or inside a step with Run.get_context()",
        "archived_time": "look at the experiment in MLflow",
    }

    def __init__(self, workspace: Workspace, name: str, **kwargs: Any) -> None:
        if not isinstance(name, str) or not name.strip():
            raise UserErrorException(f"Experiment: the name is {name!r}, but must be text that is not empty.")
        self._workspace = workspace
        self._name = name

    @property
    def workspace(self) -> Workspace:
        """The workspace."""
        return self._workspace

    @property
    def workspace_object(self) -> Workspace:
        """The workspace."""
        return self._workspace

    @property
    def name(self) -> str:
        """The name."""
        return self._name

    @property
    def id(self) -> str:
        """The name: experiments have no other id here."""
        return self._name

    @property
    def portal_url(self) -> str:
        """Where MLflow keeps the experiment."""
        return self._workspace.get_mlflow_tracking_uri()

    def get_portal_url(self) -> str:
        """Where MLflow keeps the experiment."""
        return self.portal_url

    @property
    def tags(self) -> dict[str, str]:
        """Tags set in this file; every run submitted afterwards gets them."""
        return dict(self._tags)

    @property
    def _tags(self) -> dict[str, str]:
        return self._workspace.shared.experiment_tags.setdefault(self._name, {})

    def tag(self, key: str, value: Any = None) -> None:
        """Set one tag."""
        self._tags[str(key)] = "" if value is None else str(value)

    def set_tags(self, tags: dict[str, Any]) -> None:
        """Set several tags."""
        for key, value in tags.items():
            self.tag(key, value)

    def __repr__(self) -> str:
        return f"Experiment(Name: {self._name}, Workspace: {self._workspace.name})"

    # --- submitting -----------------------------------------------------------------------------------------

    @plain_errors
    def submit(self, config: Any, tags: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        """Submit a pipeline or a ``ScriptRunConfig``.

        :param tags: tags of the run.
        :param kwargs: for a pipeline: ``pipeline_parameters``, ``continue_on_step_failure``, ``regenerate_outputs``;
            ``parent_run_id`` and ``credential_passthrough`` are accepted without effect.
        :raises UserErrorException: an unknown keyword, or something that cannot be submitted.
        :return: the run; a null object while the file is only read.
        """
        if isinstance(config, Pipeline):
            return self._submit_pipeline(config, tags, kwargs)
        if isinstance(config, ScriptRunConfig):
            return self._submit_script(config, tags, kwargs)
        if config is NULL:
            return NULL  # a published pipeline, in a file that is only read
        raise UserErrorException(
            f"Experiment.submit: {config!r} cannot be submitted; pass a Pipeline or a ScriptRunConfig."
        )

    def _submit_pipeline(self, pipeline: Pipeline, tags: Any, kwargs: dict[str, Any]) -> Any:
        _only_known(kwargs, PIPELINE_OPTIONS, "a pipeline")
        submitted_options = options(
            self._name,
            kwargs.get("pipeline_parameters"),
            kwargs.get("continue_on_step_failure"),
            kwargs.get("regenerate_outputs"),
            {**self._tags, **(tags or {})},
        )
        backend = self._run(pipeline._draft, submitted_options, pipeline.workspace)
        if backend is None:
            return NULL
        # After the null case: a parse, which Airflow repeats for every task, needs nothing of what follows runs.
        from aml_provider.sdk.pipeline_run import PipelineRun

        return PipelineRun.of(self, backend)

    def _submit_script(self, config: ScriptRunConfig, tags: Any, kwargs: dict[str, Any]) -> Any:
        from aml_provider.sdk.script_run import ScriptRun, step_of

        _only_known(kwargs, (), "a ScriptRunConfig")
        draft = build(self._workspace, [step_of(config)], source=calling_source())
        backend = self._run(draft, options(self._name, tags={**self._tags, **(tags or {})}), self._workspace)
        return NULL if backend is None else ScriptRun.of(self, backend)

    def _run(self, draft: Draft, submit_options: SubmitOptions, workspace: Workspace) -> Any:
        """The run, ``None`` while the file is only read."""
        spec = draft.submitted(submit_options)
        life = current_life()
        collector = current_collector()
        if life is Life.COLLECT and collector is not None:
            collector.found.append((spec, draft.source, workspace.loaded))
            return None
        backend = submit(spec, draft.source, workspace.loaded)
        if life is Life.PARSE:
            return None
        remember(backend, spec)
        return backend

    # --- runs -----------------------------------------------------------------------------------------------

    def get_runs(
        self, type: str | None = None, tags: Any = None, properties: Any = None, include_children: bool = False
    ) -> Iterator[Any]:
        """The experiment's runs, the newest first; none while the file is only read.

        :param tags: only runs with this tag, these tags, or these tags and values.
        :raises NotSupportedError: ``properties`` is given; runs have none that could be asked for.
        """
        from aml_provider.sdk.pipeline_run import PipelineRun

        if not is_program():
            return
        if properties:
            raise NotSupportedError("Experiment.get_runs: properties is not supported; use tags.")
        for backend in _runs(self._workspace, self._name):
            run = PipelineRun.of(self, backend)
            if type not in (None, run.type) or not _has_tags(run, tags):
                continue
            yield run
            if include_children:
                yield from run.get_children()

    @staticmethod
    def list(
        workspace: Workspace,
        experiment_name: str | None = None,
        view_type: Any = ViewType.ActiveOnly,
        tags: Any = None,
    ) -> Any:
        """Experiments that have runs; none while the file is only read."""
        if not is_program():
            return []
        names = dict.fromkeys(name for name, _ in submitted(workspace.name))
        with suppress(NotSupportedError):  # then those of this process are what is known
            names.update(dict.fromkeys(ask("list_experiments", workspace.loaded)))
        return [Experiment(workspace, name) for name in names if experiment_name in (None, name)]

    @staticmethod
    def delete(workspace: Workspace, experiment_id: str) -> None:
        """Not possible from here.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError(f"Delete experiment {experiment_id!r} in MLflow.")

    @staticmethod
    def from_directory(path: str, auth: Any = None) -> Any:
        """Not possible: folders are not tied to experiments.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError("Experiment.from_directory is not supported; use Experiment(workspace, name).")

    @classmethod
    def get_docs_url(cls) -> str:
        """Where the class is described."""
        return "docs/"


def _runs(workspace: Workspace, experiment: str) -> list[Any]:
    found = [run for _, run in submitted(workspace.name, experiment)]
    try:
        earlier = ask("list_runs", workspace.loaded, experiment)
    except NotSupportedError:
        earlier = []  # then those of this process are what is known
    known = {run.pipeline_run_id for run in found}
    return [*found, *(run for run in earlier if run.pipeline_run_id not in known)]


def _has_tags(run: Any, tags: Any) -> bool:
    if not tags:
        return True
    have = run.get_tags()
    if isinstance(tags, dict):
        return all(have.get(key) == str(value) for key, value in tags.items())
    return all(key in have for key in ([tags] if isinstance(tags, str) else tags))


def _only_known(kwargs: dict[str, Any], known: tuple[str, ...], what: str) -> None:
    unknown = sorted(set(kwargs) - set(known))
    if unknown:
        raise UnknownKeyword(
            f"Experiment.submit: unknown keyword {unknown[0]!r} for {what}; known are {', '.join(known) or 'none'}."
        )


class UnknownKeyword(UserErrorException, ValueError):
    """A keyword that ``submit`` does not have; a ``ValueError``, as in v1."""
