"""v1 ``Experiment``: the name that runs are recorded under, and the place to submit to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
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
from aml_provider.workspace.experiments import change_experiment, experiment_tags, read_experiment

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace

PIPELINE_OPTIONS = (
    "pipeline_parameters",
    "continue_on_step_failure",
    "regenerate_outputs",
    "parent_run_id",
    "credential_passthrough",
)


LOGGING_OPTIONS = ("name", "display_name", "tags", "outputs", "snapshot_directory")


class ViewType:
    """Which experiments to list."""

    ActiveOnly = "ActiveOnly"
    All = "All"
    ArchivedOnly = "ArchivedOnly"


class Experiment(PartOfV1):
    """An experiment. It need not be created: the first run makes it.

    :param name: any text; v1's rules about letters do not apply.
    """

    NOT_BUILT: ClassVar[dict[str, str]] = dict.fromkeys(
        ("identity", "DELIM", "WORKSPACE_FMT", "TID_FMT", "EXPERIMENT_NAME_PATH", "EXPERIMENT_ID_PATH"),
        "it is a detail of Azure ML's service",
    )

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

    # --- what is said about it ------------------------------------------------------------------------------

    def _say(self, change: Callable[[dict[str, Any]], None]) -> None:
        if is_program():
            change_experiment(self._workspace.loaded.state, self._name, change)

    @property
    def tags(self) -> dict[str, str]:
        """The experiment's tags; its runs have their own."""
        return experiment_tags(self._workspace.loaded.state, self._name)

    def tag(self, key: str, value: Any = None) -> None:
        """Set one tag."""
        self.set_tags({key: value})

    def set_tags(self, tags: dict[str, Any]) -> None:
        """Set several tags; other tags stay. MLflow's experiment gets them with its next run."""
        texts = {str(key): "" if value is None else str(value) for key, value in tags.items()}
        self._say(lambda said: said.setdefault("tags", {}).update(texts))

    def remove_tags(self, tags: Any) -> None:
        """Remove a tag, or several."""

        def change(said: dict[str, Any]) -> None:
            for key in [tags] if isinstance(tags, str) else tags:
                said.get("tags", {}).pop(str(key), None)

        self._say(change)

    @property
    def archived_time(self) -> Any:
        """When it was archived, in UTC; ``None``: it is not."""
        seconds = read_experiment(self._workspace.loaded.state, self._name).get("archived")
        return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)

    def archive(self) -> None:
        """Leave the experiment out of :meth:`list`, until :meth:`reactivate`. Its runs stay where they are."""
        self._say(lambda said: said.update(archived=time.time()))

    def reactivate(self, new_name: str | None = None) -> None:
        """Have :meth:`list` show the experiment again.

        :raises NotSupportedError: ``new_name`` is given: runs are recorded under the experiment's name.
        """
        if new_name is not None:
            raise NotSupportedError(
                f"Experiment.reactivate: an experiment cannot be renamed, since its runs are recorded under its name; "
                f"submit new runs to Experiment(workspace, {new_name!r})."
            )
        self._say(lambda said: said.pop("archived", None))

    def refresh(self) -> None:
        """Nothing is cached."""

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
            tags,
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
        backend = self._run(draft, options(self._name, tags=tags, script=True), self._workspace)
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

    @plain_errors
    def start_logging(self, *args: Any, **kwargs: Any) -> Any:
        """Start an interactive run: this program reports to it, and says when it ends.

        :param kwargs: ``name`` or ``display_name``; ``tags``; ``outputs``: a folder whose files become the run's when
            it is completed (default ``./outputs``; ``False``: none); ``snapshot_directory``: a folder of which a
            snapshot is kept (default: none).
        :raises UserErrorException: an unknown keyword.
        :return: the run, which is a context manager too; a null object while the file is only read.
        """
        from aml_provider.sdk.run import Run

        _only_known({**kwargs, **({"positional arguments": args} if args else {})}, LOGGING_OPTIONS, "start_logging")
        if not is_program():
            return NULL
        name = kwargs.get("display_name") or kwargs.get("name")
        tags = {str(k): "" if v is None else str(v) for k, v in (kwargs.get("tags") or {}).items()}
        datastore = self._workspace.default_datastore_name
        run = Run.of(self, ask("start_interactive", self._workspace.loaded, datastore, self._name, name, tags))
        outputs = kwargs.get("outputs")
        run._outputs = None if outputs is False else Path(outputs or "outputs").absolute()
        if kwargs.get("snapshot_directory"):
            run.take_snapshot(kwargs["snapshot_directory"])
        return run

    def get_runs(
        self, type: str | None = None, tags: Any = None, properties: Any = None, include_children: bool = False
    ) -> Iterator[Any]:
        """The experiment's runs, the newest first; none while the file is only read.

        :param type: only runs of this type, such as ``azureml.PipelineRun``.
        :param tags: only runs with this tag, these tags, or these tags and values; ``properties`` likewise.
        :param include_children: also step runs and child runs, each behind the run that it is part of.
        """
        from aml_provider.sdk.run_handles import handle

        if not is_program():
            return
        for backend in _runs(self._workspace, self._name):
            run = handle(self, backend)
            for one in (run, *(run.get_children(recursive=True) if include_children else ())):
                if one._is_meant(tags, properties, type):
                    yield one

    @staticmethod
    def list(
        workspace: Workspace,
        experiment_name: str | None = None,
        view_type: Any = ViewType.ActiveOnly,
        tags: Any = None,
    ) -> Any:
        """Experiments that have runs; none while the file is only read.

        :param view_type: archived ones too, or only those.
        :param tags: only experiments with this tag, these tags, or these tags and values.
        """
        from aml_provider.sdk.run_reporting import has

        if not is_program():
            return []
        names = dict.fromkeys(name for name, _ in submitted(workspace.name))
        with suppress(NotSupportedError):  # then those of this process are what is known
            names.update(dict.fromkeys(ask("list_experiments", workspace.loaded)))
        found = [Experiment(workspace, name) for name in names if experiment_name in (None, name)]
        return [e for e in found if _in_view(e, view_type) and has(e.tags, tags)]

    @staticmethod
    def delete(workspace: Workspace, experiment_id: str) -> None:
        """Not possible from here.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError(
            f"Experiment.delete: what {experiment_id!r} has computed may be in use; archive() hides it, `aml cache gc` "
            "removes its results, and MLflow deletes its records."
        )

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


def _in_view(experiment: Experiment, view_type: str) -> bool:
    archived = experiment.archived_time is not None
    return view_type == ViewType.All or archived == (view_type == ViewType.ArchivedOnly)


def _only_known(kwargs: dict[str, Any], known: tuple[str, ...], what: str) -> None:
    unknown = sorted(set(kwargs) - set(known))
    if unknown:
        call = what if what == "start_logging" else "submit"
        raise UnknownKeyword(
            f"Experiment.{call}: unknown keyword {unknown[0]!r} for {what}; known are {', '.join(known) or 'none'}."
        )


class UnknownKeyword(UserErrorException, ValueError):
    """A keyword that ``submit`` does not have; a ``ValueError``, as in v1."""
