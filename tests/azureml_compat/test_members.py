"""Every public member of the classes about runs works, or says in a sentence that it does not and what to do instead.

docs/members.md has the table; AML_WRITE_DOCS=1 writes it.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aml_provider.sdk.build.pipeline import options
from aml_provider.sdk.experiment import Experiment
from aml_provider.sdk.model import Model
from aml_provider.sdk.pipeline import Pipeline
from aml_provider.sdk.pipeline_run import PipelineRun
from aml_provider.sdk.script_run import ScriptRun
from aml_provider.sdk.step_run import StepRun
from aml_provider.sdk.steps.python_script import PythonScriptStep
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.errors import NotSupportedError
from tests.sdk.played import Played

ROOT = Path(__file__).parents[2]
FACTS = json.loads((ROOT / "tests" / "facts" / "surface.json").read_text())
PAGE = ROOT / "docs" / "members.md"
CLASSES = (
    ("azureml.core.run", "Run"),
    ("azureml.pipeline.core.run", "PipelineRun"),
    ("azureml.pipeline.core.run", "StepRun"),
    ("azureml.core.script_run", "ScriptRun"),
    ("azureml.core.experiment", "Experiment"),
    ("azureml.core.model", "Model"),
)
INTERNAL = ("DELIM", "identity", "WORKSPACE_FMT", "TID_FMT", "EXPERIMENT_NAME_PATH", "EXPERIMENT_ID_PATH")
SHOWN = ("id", "name", "display_name", "description", "type", "number", "parent", "status", "experiment")
PROPERTIES: dict[str, tuple[str, ...]] = {
    "Run": (*INTERNAL, "RUN_PATH", *SHOWN, "portal_url", "tags", "properties"),
    "Experiment": (*INTERNAL, "portal_url", "workspace", "workspace_object", "name", "id", "archived_time", "tags"),
    "Model": (),
}
PROPERTIES["StepRun"] = (*PROPERTIES["Run"], "pipeline_run_id")
#: How runs of Airflow go is not for a program to say; child runs of steps are begun in their scripts.
OF_AIRFLOW = {"start", "complete", "fail", "child_run", "create_children"}
HEAD = """\
# Runs, experiments and models, member by member

What programs find under v1's names outside steps. "works" means as in v1, or as [Runs](runs.md) and [Models](models.md)
say; the other members raise `NotSupportedError` with the sentence that stands here. In a step's script, `Run` has the
same members.

"""


def members(module: str, name: str) -> list[str]:
    fact = FACTS[module][name]
    return sorted(n for n in {*fact["methods"], *PROPERTIES.get(name, PROPERTIES["Run"])} if not n.startswith("_"))


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """One object of each class; nothing has run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workspace.yaml").write_text("name: lab\n")
    (tmp_path / "train.py").write_text("")
    ws = Workspace.from_config(str(tmp_path / "workspace.yaml"))
    experiment = Experiment(ws, "members")
    step = PythonScriptStep("train.py", name="train", compute_target="local", source_directory=str(tmp_path))
    backend = Played(Pipeline(ws, [step])._draft.submitted(options("members")))
    backend.pipeline_run_id = "members-1"
    model = object.__new__(Model)
    model.name = "digits"
    return {
        "Run": experiment.start_logging(outputs=False),
        "PipelineRun": PipelineRun.of(experiment, backend),
        "StepRun": StepRun.of_step(experiment, backend, backend.steps()[0]),
        "ScriptRun": ScriptRun.of(experiment, backend),
        "Experiment": experiment,
        "Model": model,
    }


def always(cls: type, name: str) -> bool:
    """Whether the member is there only to say that it is not."""
    if any(name in vars(base).get("NOT_BUILT", {}) for base in cls.__mro__):
        return True
    if cls.__name__ in ("PipelineRun", "StepRun", "ScriptRun") and name in OF_AIRFLOW:
        return True
    found = inspect.getattr_static(cls, name)
    doc = getattr(found, "__func__", found).__doc__ or ""
    return "NotSupportedError: always" in doc


class Given(str):
    """Stands for any argument."""

    name = "cpu-cluster"


def refusal(made: Any, name: str) -> str:
    """The sentence of a member that is there only to say that it is not."""
    try:
        member = getattr(made, name)
        given = inspect.signature(member).parameters.values()
        member(*(Given("x") for p in given if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD))
    except NotSupportedError as error:
        return str(error)
    raise AssertionError(f"{name} does not refuse")


def rows(objects: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for module, name in CLASSES:
        made = objects[name]
        for member in members(module, name):
            if always(type(made), member):
                yield name, member, refusal(made, member)
            else:
                assert hasattr(type(made), member), f"{name}.{member} is missing"
                yield name, member, "works"


def test_every_member_works_or_says_what_to_do_instead(objects: dict[str, Any]) -> None:
    found = [*rows(objects)]
    for name, member, how in found:
        assert how == "works" or len(how.split()) > 5, (name, member, how)
    text = HEAD
    for name in dict.fromkeys(name for name, _, _ in found):
        text += f"## {name}\n\n| member | |\n| --- | --- |\n"
        text += "".join(f"| `{member}` | {how} |\n" for owner, member, how in found if owner == name) + "\n"
    if os.environ.get("AML_WRITE_DOCS"):
        PAGE.write_text(text.rstrip() + "\n")
    assert PAGE.read_text() == text.rstrip() + "\n", "docs/members.md says something else: AML_WRITE_DOCS=1 writes it"
