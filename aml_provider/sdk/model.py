"""v1 ``Model``: a version of a registered model. The registry is MLflow's, of the workspace."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aml_provider.runs.models import ModelFacts, ModelVersion
from aml_provider.sdk import model_datasets, model_input
from aml_provider.sdk.exceptions import AzureMLException, ModelNotFoundException, WebserviceException
from aml_provider.sdk.life import is_program
from aml_provider.sdk.model_facts import checked_facts
from aml_provider.sdk.model_serving import NotServed
from aml_provider.sdk.null import NULL
from aml_provider.sdk.plain import plain_errors
from aml_provider.spec.errors import AmlError, NotSupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aml_provider.sdk.backend import RunBackend
    from aml_provider.sdk.experiment import Experiment
    from aml_provider.sdk.workspace import Workspace

#: Where ``get_model_path`` keeps what it downloads, in the current directory, as in Azure ML.
MODELS_DIR = "azureml-models"
_KEYS = ("name", "version")


class ModelMissing(WebserviceException, ModelNotFoundException):
    """No such model; authors catch the one or the other."""


class Model(NotServed):
    """A version of a registered model: ``Model(ws, name)`` is the newest one that matches.

    While a file is only read, the registry is not asked: each model is then a
    :class:`~aml_provider.sdk.null.NullObject`.

    :param id: ``name:version``.
    :param tags: such as ``['key', ['key2', 'value']]``; ``properties`` likewise.
    :param run_id: the run that made it.
    :raises WebserviceException: there is none (its text begins with ``ModelNotFound``), or neither name nor id.
    """

    class Framework:
        """Names of frameworks; any other text will do, too."""

        CUSTOM = "Custom"
        TENSORFLOW = "TensorFlow"
        SCIKITLEARN = "ScikitLearn"
        ONNX = "Onnx"
        TFKERAS = "TfKeras"

    def __new__(cls, workspace: Workspace, *args: Any, **kwargs: Any) -> Any:
        """What matches, or what stands for it while a file is only read."""
        return object.__new__(cls) if is_program() else NULL

    @plain_errors
    def __init__(
        self,
        workspace: Workspace,
        name: str | None = None,
        id: str | None = None,
        tags: Any = None,
        properties: Any = None,
        version: int | None = None,
        run_id: str | None = None,
        model_framework: str | None = None,
        expand: bool = True,
        **kwargs: Any,
    ) -> None:
        wanted, number = name, model_input.check_version(version, "Model")
        if id is not None:
            wanted, _, text = str(id).rpartition(":")
            if not wanted or not text.isdigit():
                raise WebserviceException(f"Model: {id!r} is no id of a model; ids look like 'digits:1'.")
            number = int(text)
        if not wanted:
            raise WebserviceException("Model: give a name, or an id such as 'digits:1'.")
        for model in Model.list(workspace, wanted, tags, properties, run_id, model_framework=model_framework):
            if number in (None, model.version):
                self._set(workspace, model._known)
                return
        filters = {"tags": tags, "properties": properties, "framework": model_framework, "run": run_id}
        said = "".join(f", {part} {value!r}" for part, value in filters.items() if value)
        text = wanted if number is None else f"{wanted}:{number}"
        there = [model.id for model in Model.list(workspace, wanted)]
        raise ModelMissing(
            f"ModelNotFound: workspace {workspace.name!r} has no model {text!r}{said}; "
            + (f"of this name it has {', '.join(there)}." if there else "Model.list(ws) shows which it has.")
        )

    def _set(self, workspace: Workspace, known: ModelVersion) -> None:
        facts = known.facts
        self._known = known
        self.workspace = workspace
        self.name = facts.name
        self.version = known.version
        self.id = f"{facts.name}:{known.version}"
        self.tags = dict(facts.tags)
        self.properties = dict(facts.properties)
        self.description = facts.description
        self.created_time = datetime.fromtimestamp(known.created, timezone.utc)
        self.created_by = None
        self.model_framework = facts.framework
        self.model_framework_version = facts.framework_version
        self.run_id = facts.run_id
        self.experiment_name = facts.experiment
        #: Where MLflow has its files.
        self.url = known.url
        self.mime_type = "application/x-python"
        self.unpack = False
        self.parent_id = None
        self.derived_model_ids = None
        self.resource_configuration = None

    @classmethod
    def of(cls, workspace: Workspace, known: ModelVersion) -> Model:
        """The model of what the registry says."""
        model: Model = object.__new__(cls)
        model._set(workspace, known)
        return model

    @property
    def run(self) -> Any:
        """The run that made it; ``None`` for files from elsewhere, and where the run's record is gone."""
        from aml_provider.sdk.run import Run

        try:
            return None if self.run_id is None else Run.get(self.workspace, self.run_id)
        except AmlError:
            return None

    @property
    def datasets(self) -> dict[str, Any]:
        """What datasets were to it -> the datasets."""
        return model_datasets.by_purpose(self.workspace, self._known.facts.datasets)

    @property
    def sample_input_dataset(self) -> Any:
        """The dataset that shows what it takes."""
        return model_datasets.dataset(self.workspace, self._known.facts.sample_input)

    @property
    def sample_output_dataset(self) -> Any:
        """The dataset that shows what it gives."""
        return model_datasets.dataset(self.workspace, self._known.facts.sample_output)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(workspace={self.workspace!r}, name={self.name}, id={self.id}, "
            f"version={self.version}, tags={self.tags}, properties={self.properties})"
        )

    # --- registering and finding ----------------------------------------------------------------------------

    @staticmethod
    @plain_errors
    def register(
        workspace: Workspace,
        model_path: str,
        model_name: str,
        tags: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
        description: str | None = None,
        datasets: Any = None,
        model_framework: str | None = None,
        model_framework_version: str | None = None,
        child_paths: list[str] | None = None,
        sample_input_dataset: Any = None,
        sample_output_dataset: Any = None,
        resource_configuration: Any = None,
    ) -> Any:
        """Register a file or folder of this machine as the next version of a model; its files go to MLflow.

        :param child_paths: only these files of the folder.
        :raises WebserviceException: there is no such path, or something else that is given cannot be.
        """
        if not is_program():
            return NULL
        facts = checked_facts(
            "Model.register", model_name, tags, properties, description, datasets, model_framework,
            model_framework_version, sample_input_dataset, sample_output_dataset, resource_configuration,
        )  # fmt: skip
        path, files = model_input.check_files(model_path, child_paths, model_name)
        print(f"Registering model {model_name}")
        return Model.of(workspace, _ask("register_model", workspace.loaded, facts, path, files))

    @staticmethod
    @plain_errors
    def list(
        workspace: Workspace,
        name: str | None = None,
        tags: Any = None,
        properties: Any = None,
        run_id: str | None = None,
        latest: bool = False,
        dataset_id: str | None = None,
        expand: bool = True,
        page_count: int = 255,
        model_framework: str | None = None,
    ) -> Any:
        """The registered models that match, the newest first.

        :param tags: such as ``['key', ['key2', 'value']]``; ``properties`` likewise.
        :param run_id: the run that made them.
        :param latest: of each name only the newest that matches.
        :param dataset_id: a dataset that they were registered with.
        :param expand: without effect; ``page_count`` likewise.
        """
        if not is_program():
            return NULL
        with_tags = model_input.check_filter("tags", tags, "Model")
        with_properties = model_input.check_filter("properties", properties, "Model")
        found: list[Model] = []
        seen: set[str] = set()
        for known in _ask("find_models", workspace.loaded, name):
            facts: ModelFacts = known.facts
            if (
                model_input.matches(facts.tags, with_tags)
                and model_input.matches(facts.properties, with_properties)
                and run_id in (None, facts.run_id)
                and model_framework in (None, facts.framework)
                and (dataset_id is None or dataset_id in [dataset for _, dataset in facts.datasets])
                and not (latest and facts.name in seen)
            ):
                found.append(Model.of(workspace, known))
                seen.add(facts.name)
        return found

    # --- files ----------------------------------------------------------------------------------------------

    @staticmethod
    @plain_errors
    def get_model_path(model_name: str, version: int | None = None, _workspace: Workspace | None = None) -> str:
        """The model's file or folder on this machine.

        With a workspace it is downloaded to ``azureml-models/NAME/VERSION``, and found there when it was asked for by
        its version before. Without one, it is looked for there, and under its name in the current directory.

        :raises ModelNotFoundException: there is none.
        """
        number = model_input.check_version(version, "Model.get_model_path")
        if not is_program():
            return str(NULL)
        if _workspace is None or number is not None:
            found = _downloaded(model_name, number)
            if found is not None:
                return found
        if _workspace is None:
            raise ModelMissing(
                f"Model.get_model_path: there is no model {model_name!r} in {MODELS_DIR!r} or in the current "
                "directory; pass _workspace=ws to download it."
            )
        model = Model(_workspace, model_name, version=number)
        return str(model.download(os.path.join(MODELS_DIR, model_name, str(model.version)), exist_ok=True))

    @plain_errors
    def download(self, target_dir: str = ".", exist_ok: bool = False, exists_ok: bool | None = None) -> str:
        """Copy the model's file or folder into a folder.

        :param exist_ok: replace files that are there. ``exists_ok`` is its older name.
        :raises WebserviceException: the file or folder is there.
        :return: its path.
        """
        replaced = exist_ok or bool(exists_ok)
        return str(_ask("download_model", self.workspace.loaded, self.name, self.version, Path(target_dir), replaced))

    # --- changing -------------------------------------------------------------------------------------------

    def _change(self, changed: Callable[[ModelFacts], ModelFacts]) -> None:
        self._set(self.workspace, _ask("change_model", self.workspace.loaded, self.name, self.version, changed))

    @plain_errors
    def update(
        self,
        tags: dict[str, Any] | None = None,
        description: str | None = None,
        sample_input_dataset: Any = None,
        sample_output_dataset: Any = None,
        resource_configuration: Any = None,
    ) -> None:
        """Replace what is given; the tags as a whole."""
        model_input.refuse_resources(resource_configuration, "Model.update")
        given: dict[str, Any] = {}
        if tags is not None:
            given["tags"] = model_input.check_texts("tags", tags, "Model.update")
        if description is not None:
            given["description"] = model_input.check_description(description, "Model.update")
        for part, dataset in (("sample_input", sample_input_dataset), ("sample_output", sample_output_dataset)):
            if dataset is not None:
                given[part] = model_datasets.check(dataset, "Model.update")
        self._change(lambda facts: replace(facts, **given))

    @plain_errors
    def update_tags_properties(
        self,
        add_tags: dict[str, Any] | None = None,
        remove_tags: Any = None,
        add_properties: dict[str, Any] | None = None,
    ) -> None:
        """Add and remove tags, add properties.

        :raises WebserviceException: a property is there: properties cannot be changed.
        """
        call = "Model.update_tags_properties"
        more = model_input.check_texts("tags", add_tags, call)
        properties = model_input.check_texts("properties", add_properties, call)
        gone = {remove_tags} if isinstance(remove_tags, str) else set(remove_tags or ())

        def changed(facts: ModelFacts) -> ModelFacts:
            there = sorted(properties.keys() & facts.properties.keys())
            if there:
                raise WebserviceException(
                    f"{call}: properties of a model cannot be changed, and {self.id} has {', '.join(there)} already; "
                    "use tags for what changes."
                )
            for missing in sorted(gone - facts.tags.keys() - more.keys()):
                print(f"Tag with key {missing} not found.")
            kept = {name: value for name, value in {**facts.tags, **more}.items() if name not in gone}
            return replace(facts, tags=kept, properties={**facts.properties, **properties})

        self._change(changed)

    @plain_errors
    def add_tags(self, tags: dict[str, Any]) -> None:
        """Add tags; those with these names are replaced."""
        self.update_tags_properties(add_tags=tags)

    @plain_errors
    def remove_tags(self, tags: Any) -> None:
        """Remove the tags with these names."""
        self.update_tags_properties(remove_tags=tags)

    @plain_errors
    def add_properties(self, properties: dict[str, Any]) -> None:
        """Add properties."""
        self.update_tags_properties(add_properties=properties)

    @plain_errors
    def add_dataset_references(self, datasets: Any) -> None:
        """Note what datasets are to the model.

        :param datasets: pairs of a purpose and a registered dataset.
        """
        more = model_datasets.check_pairs(datasets, "Model.add_dataset_references")
        self._change(lambda facts: replace(facts, datasets=(*facts.datasets, *more)))

    @plain_errors
    def delete(self) -> None:
        """Take this version out of the registry; its files stay with the run in MLflow that has them."""
        _ask("delete_model", self.workspace.loaded, self.name, self.version)

    # --- as data --------------------------------------------------------------------------------------------

    def serialize(self) -> dict[str, Any]:
        """The model as a dictionary, with v1's keys."""
        facts = self._known.facts
        datasets: dict[str, list[str]] = {}
        for purpose, dataset in facts.datasets:
            datasets.setdefault(purpose, []).append(dataset)
        return {
            "createdTime": self.created_time.isoformat(),
            "description": self.description,
            "id": self.id,
            "mimeType": self.mime_type,
            "name": self.name,
            "framework": self.model_framework,
            "frameworkVersion": self.model_framework_version,
            "tags": self.tags,
            "properties": self.properties,
            "unpack": self.unpack,
            "url": self.url,
            "version": self.version,
            "experimentName": self.experiment_name,
            "runId": self.run_id,
            "runDetails": str(self.run) if self.run_id else None,
            "datasets": datasets,
            "resourceConfiguration": None,
            "sampleInputDatasetId": facts.sample_input,
            "sampleOutputDatasetId": facts.sample_output,
        }

    @staticmethod
    @plain_errors
    def deserialize(workspace: Workspace, model_payload: dict[str, Any]) -> Any:
        """The registered model that :meth:`serialize` gave the dictionary of.

        :raises WebserviceException: it is no such dictionary, or the workspace has no such model.
        """
        missing = [key for key in _KEYS if key not in model_payload]
        if missing:
            raise WebserviceException(f"Model.deserialize: the payload has no {' and no '.join(missing)}.")
        return Model(workspace, model_payload["name"], version=model_payload["version"])


@plain_errors
def registered_from_run(
    experiment: Experiment,
    backend: RunBackend,
    step_key: str | None,
    model_name: str,
    model_path: str | None = None,
    tags: dict[str, Any] | None = None,
    properties: dict[str, Any] | None = None,
    model_framework: str | None = None,
    model_framework_version: str | None = None,
    description: str | None = None,
    datasets: Any = None,
    sample_input_dataset: Any = None,
    sample_output_dataset: Any = None,
    resource_configuration: Any = None,
) -> Model:
    """What ``Run.register_model`` does: register a file or folder of a run.

    :param step_key: the step whose run it is; ``None``: the pipeline run's own files.
    :param model_path: its name among the run's files; default: the model's name.
    :raises ModelPathNotFoundException: the run has no such file or folder.
    """
    facts = checked_facts(
        "run.register_model", model_name, tags, properties, description, datasets, model_framework,
        model_framework_version, sample_input_dataset, sample_output_dataset, resource_configuration,
    )  # fmt: skip
    path = os.path.normpath(os.fspath(model_path or model_name)).replace(os.sep, "/")
    if path.startswith(("/", "..")) or path == ".":
        raise WebserviceException(
            f"run.register_model: model_path is {model_path!r}, but must be the name of a file or folder of the run, "
            "such as 'outputs/model.pkl'."
        )
    workspace = experiment.workspace
    return Model.of(workspace, _ask("register_run_model", workspace.loaded, backend, step_key, facts, path))


def _ask(question: str, *arguments: Any) -> Any:
    """The registry's answer; what is wrong with it is what v1 raises."""
    from aml_provider.sdk.submission import ask

    try:
        return ask(question, *arguments)
    except (AzureMLException, NotSupportedError):
        raise
    except AmlError as error:
        raise WebserviceException(str(error)) from None


def _downloaded(name: str, version: int | None) -> str | None:
    """A model that is on this machine already."""
    folder = Path(MODELS_DIR, name)
    versions = [int(p.name) for p in folder.glob("*") if p.name.isdigit()] if version is None else [version]
    for number in sorted(versions, reverse=True):
        entries = [*(folder / str(number)).glob("*")]
        if len(entries) == 1:
            return str(entries[0])
    return name if version is None and os.path.exists(name) else None
