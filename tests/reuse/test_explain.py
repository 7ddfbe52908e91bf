"""What is said about a step that runs: what differs from its nearest earlier result, each thing once."""

from __future__ import annotations

import copy
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aml_provider.reuse.canonical import canonical, digest
from aml_provider.reuse.changes import Change, changes_between, input_files
from aml_provider.reuse.contents import Contents
from aml_provider.reuse.explain import COMPARED, nearest, shared_folder_hint
from aml_provider.reuse.fingerprint import Fingerprint, Fingerprinter
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.ingredients import ingredients
from aml_provider.reuse.manifests import MAX_FILES, keep_input_manifests
from aml_provider.reuse.records import Record
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.spec.models import (
    Command,
    Concat,
    DataLocation,
    DataMode,
    DatastoreSource,
    InputRef,
    OutputRef,
    ParameterRef,
    PipelineSpec,
    PythonScript,
    Step,
    StepInput,
    StepOutput,
    SubmitOptions,
    Text,
)
from aml_provider.workspace.discovery import load_workspace

STORE = "workspaceblobstore"
TARGET = "name: lab\ncompute:\n  cpu: {reuse_as: python-3.11, environment: {MODE: fast}}\n"
DIGEST = re.compile(r"\b[0-9a-f]{12}\b")


class Lab:
    """A step, what it depends on, and an index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("workspace.yaml", TARGET)
        self.write("src/train.py", "print('training')\n")
        self.write("src/common.py", "LR = 0.1\n")
        self.write("src/run.sh", "true\n")
        self.write(f".aml/datastores/{STORE}/raw/1.csv", "1\n")
        self.write(f".aml/datastores/{STORE}/raw/2.csv", "2\n")
        self.index = ReuseIndex.of(folder / "index")
        self.parameters: dict[str, Any] = {"epochs": 3, "layers": 3}
        self.step = Step(
            key="train",
            name="train",
            type="PythonScriptStep",
            action=PythonScript(
                script="train.py",
                arguments=(
                    *(Text(value="--epochs"), ParameterRef(name="epochs")),
                    Concat(parts=(Text(value="--raw="), InputRef(name="raw"))),
                    *(Text(value="--model"), OutputRef(name="model")),
                ),
            ),
            source_directory="src",
            inputs=(StepInput(name="raw", source=DatastoreSource(location=DataLocation(datastore=STORE, path="raw"))),),
            outputs=(StepOutput(name="model", datastore=STORE, destination="azureml/{run-id}/model"),),
            compute_target="cpu",
        )

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    @property
    def run(self) -> StepRun:
        submit = SubmitOptions(experiment="houses")
        spec = PipelineSpec(workspace="lab", default_datastore=STORE, steps=(self.step,), submit=submit)
        binding = PipelineBinding(spec, self.folder, load_workspace(self.folder / "workspace.yaml"))
        return StepRun(binding, self.step, "", "", self.parameters, lambda key: {})

    def fingerprint(self) -> Fingerprint:
        run = self.run
        return Fingerprinter(run.binding, Contents(run.binding.workspace)).of(run)

    def arguments(self, *arguments: Any) -> None:
        self.step = self.step.model_copy(update={"action": PythonScript(script="train.py", arguments=arguments)})

    def record(self, fingerprint: Fingerprint, name: str = "train", created: float | None = None) -> Record:
        if fingerprint.parts["code"]:
            self.index.keep_manifest(fingerprint.parts["code"], list(fingerprint.files.items()))
        record = Record(
            fingerprint=fingerprint.key,
            parts={"key": fingerprint.parts, "details": fingerprint.details},
            step={"name": name, "type": "PythonScriptStep", "key": "train"},
            run={"pipeline_run_id": "houses-1"},
            started=0.0,
            ended=1.0,
            seconds=1.0,
            created=time.time() if created is None else created,
            outputs={},
        )
        return self.index.commit(record)

    def told(self, before: Record) -> list[str]:
        """What differs now, with # for digests."""
        return [DIGEST.sub("#", str(change)) for change in changes_between(before, self.fingerprint(), self.index)]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def updated(**values: Any) -> Callable[[Lab], None]:
    def change(lab: Lab) -> None:
        lab.step = lab.step.model_copy(update=values)

    return change


def written(path: str, text: str) -> Callable[[Lab], None]:
    return lambda lab: lab.write(path, text) and None


def executable(lab: Lab) -> None:
    os.chmod(lab.folder / "src" / "run.sh", 0o755)


def parameter(name: str, value: Any) -> Callable[[Lab], None]:
    return lambda lab: lab.parameters.update({name: value})


def argument(at: int, *words: Any) -> Callable[[Lab], None]:
    def change(lab: Lab) -> None:
        if isinstance(lab.step.action, PythonScript):
            before = lab.step.action.arguments
            lab.arguments(*before[:at], *words, *before[at + 1 :])

    return change


RAW = StepInput(name="raw", source=DatastoreSource(location=DataLocation(datastore=STORE, path="raw")))
MODEL = StepOutput(name="model", datastore=STORE, destination="azureml/{run-id}/model")

CHANGES: dict[str, tuple[Callable[[Lab], Any], list[str]]] = {
    "an edited file": (written("src/common.py", "LR = 0.2\n"), ["code common.py: # -> #"]),
    "a new file": (written("src/more.py", ""), ["code more.py: new, #"]),
    "a file that is gone": (lambda lab: (lab.folder / "src/common.py").unlink(), ["code common.py: gone, was #"]),
    "a renamed file": (
        lambda lab: (lab.folder / "src/common.py").rename(lab.folder / "src/shared.py"),
        ["code common.py: gone, was #", "code shared.py: new, #"],
    ),
    "a file made executable": (executable, ["code run.sh: # -> #+x"]),
    "a parameter": (parameter("epochs", 4), ["parameter epochs: 3 -> 4"]),
    "a parameter's type": (parameter("epochs", "3"), ["parameter epochs: 3 -> '3'"]),
    "a parameter's type alone": (parameter("epochs", 3.0), ["parameter epochs: 3 -> 3.0"]),
    "another parameter with the same value": (argument(1, ParameterRef(name="layers")), []),
    "a word": (argument(0, Text(value="--rounds")), ["command argument 1: '--epochs' -> '--rounds'"]),
    "a word inside a word": (
        argument(2, Concat(parts=(Text(value="--data="), InputRef(name="raw")))),
        ["command argument 3: '--raw=' + the path of input raw -> '--data=' + the path of input raw"],
    ),
    "a fixed value instead of a parameter": (argument(1, Text(value="3")), ["command argument 2: 3 -> '3'"]),
    "new words": (
        argument(4, OutputRef(name="model"), Text(value="--seed"), Text(value="7")),
        ["command argument 6: new, '--seed' '7'"],
    ),
    "words that are gone": (argument(0), ["command argument 1: gone, was '--epochs'"]),
    "another script": (
        updated(action=PythonScript(script="common.py", arguments=())),
        [
            "command script: 'train.py' -> 'common.py'",
            "command argument 1: gone, was '--epochs' 3 '--raw=' + the path of input raw '--model' t...",
        ],
    ),
    "a command instead of a script": (
        updated(action=Command(words=(Text(value="./run.sh"),))),
        ["command: 'python_script' -> 'command'"],
    ),
    "no code": (
        updated(source_directory=None),
        ["code common.py: gone, was #", "code run.sh: gone, was #", "code train.py: gone, was #"],
    ),
    "a new param": (updated(parameters={"rate": Text(value="0.1")}), ["params rate: new, '0.1'"]),
    "the environment": (
        written("workspace.yaml", TARGET.replace("3.11", "3.12")),
        ["environment name: 'python-3.11' -> 'python-3.12'"],
    ),
    "a variable": (written("workspace.yaml", TARGET.replace("fast", "slow")), ["variable MODE: changed"]),
    "a new variable": (written("workspace.yaml", TARGET.replace("MODE", "KIND: x, MODE")), ["variable KIND: new"]),
    "input data": (
        written(f".aml/datastores/{STORE}/raw/1.csv", "10\n"),
        ["input raw: tree # (mount) -> tree # (mount)"],
    ),
    "how an input is read": (
        updated(inputs=(RAW.model_copy(update={"mode": DataMode.DOWNLOAD}),)),
        ["input raw: tree # (mount) -> tree # (download)"],
    ),
    "where an input appears": (
        updated(inputs=(RAW.model_copy(update={"path_on_compute": "/data"}),)),
        ["input raw: changed"],
    ),
    "where an output goes": (
        updated(outputs=(MODEL.model_copy(update={"destination": "models/latest"}),)),
        [f"output model: {STORE}:azureml/{{run-id}}/model -> {STORE}:models/latest"],
    ),
    "a new output": (
        updated(outputs=(MODEL, StepOutput(name="log", datastore=STORE, destination="logs"))),
        [f"output log: new, {STORE}:logs"],
    ),
    "the step's version": (updated(version="2"), ["step version: new, '2'"]),
    "the step's type": (updated(type="CommandStep"), ["step type: 'PythonScriptStep' -> 'CommandStep'"]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_has_changed_is_told_and_nothing_else(lab: Lab, what: str) -> None:
    change, expected = CHANGES[what]
    before = lab.record(lab.fingerprint())
    assert lab.told(before) == []
    change(lab)
    assert (lab.fingerprint().key == before.fingerprint) is (expected == [])
    assert lab.told(before) == expected


def test_the_other_way_round_is_told_as_well(lab: Lab) -> None:
    before = lab.fingerprint()
    CHANGES["new words"][0](lab)
    CHANGES["a new variable"][0](lab)
    CHANGES["the step's version"][0](lab)
    later = lab.record(lab.fingerprint())
    told = [str(change) for change in changes_between(later, before, lab.index)]
    assert told == [
        "command argument 6: gone, was '--seed' '7'",
        "variable KIND: gone",
        "step version: gone, was '2'",
    ]


@pytest.mark.parametrize(
    "use",
    [
        lambda lab: lab.arguments(Concat(parts=(Text(value="--epochs="), ParameterRef(name="epochs")))),
        updated(parameters={"epochs": ParameterRef(name="epochs")}, action=PythonScript(script="train.py")),
        updated(runconfig_parameters={"NodeCount": ParameterRef(name="epochs")}),
    ],
)
def test_a_parameter_is_told_once_wherever_it_is_used(lab: Lab, use: Callable[[Lab], None]) -> None:
    use(lab)
    before = lab.record(lab.fingerprint())
    lab.parameters["epochs"] = 4
    assert lab.told(before) == ["parameter epochs: 3 -> 4"]


def test_another_parameter_with_another_value_is_told_where_it_stands(lab: Lab) -> None:
    before = lab.record(lab.fingerprint())
    lab.parameters["layers"] = 5
    argument(1, ParameterRef(name="layers"))(lab)
    assert lab.told(before) == ["command argument 2: 3 -> 5"]


def test_a_value_that_no_parameter_brought_is_told_beside_one_that_a_parameter_did(lab: Lab) -> None:
    lab.arguments(ParameterRef(name="epochs"), ParameterRef(name="epochs"))
    before = lab.record(lab.fingerprint())
    lab.parameters = {"epochs": 4, "layers": 5}
    lab.arguments(ParameterRef(name="epochs"), ParameterRef(name="layers"))
    assert lab.told(before) == ["parameter epochs: 3 -> 4", "command argument 2: 3 -> 5"]


def test_packages_are_told_one_by_one(lab: Lab) -> None:
    fingerprint = lab.fingerprint()
    old = {"kind": "python", "packages": {"numpy": "1.0", "pandas": "2.0", "old": "1"}}
    new = {"kind": "python", "packages": {"numpy": "1.1", "pandas": "2.0", "new": "3"}}
    before = lab.record(with_parts(fingerprint, environment=old))
    now = with_parts(fingerprint, environment=new)
    assert [str(c) for c in changes_between(before, now, lab.index)] == [
        "package new: new, 3",
        "package numpy: 1.0 -> 1.1",
        "package old: gone, was 1",
    ]


def with_parts(fingerprint: Fingerprint, **parts: Any) -> Fingerprint:
    changed = {**copy.deepcopy(fingerprint.parts), **parts}
    return replace(fingerprint, parts=changed, key=digest(changed))


def test_a_snapshot_whose_list_of_files_is_gone_is_said_to_be_another(lab: Lab) -> None:
    before = lab.record(lab.fingerprint())
    lab.write("src/common.py", "LR = 0.2\n")
    lab.index.store.delete(f"manifests/{before.parts['key']['code']}.json")
    assert lab.told(before) == ["code: another snapshot, whose list of files is gone -> this one"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.sets(st.sampled_from(sorted(set(CHANGES) - {"another parameter with the same value"})), max_size=4))
def test_of_several_changes_none_is_left_out(tmp_path_factory: pytest.TempPathFactory, chosen: set[str]) -> None:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    fingerprint = lab.fingerprint()
    before = lab.record(fingerprint)
    for what in sorted(chosen):
        if (lab.folder / "src/common.py").exists() or "file" not in what:
            CHANGES[what][0](lab)
    now = lab.fingerprint()
    changed = {part for part in now.parts if canonical(now.parts[part]) != canonical(fingerprint.parts[part])}
    words = {"command": {"command", "parameter"}, "environment": {"environment", "package"}}
    told = {change.part for change in changes_between(before, now, lab.index)}
    for part in changed:
        assert told & words.get(part, {part, part.rstrip("s")}), f"{part}: {told}"
    assert bool(told) is bool(changed)


# --- the nearest ------------------------------------------------------------------------------------------------


def test_the_nearest_result_differs_in_the_fewest_things(lab: Lab) -> None:
    lab.write("src/common.py", "far\n")
    lab.parameters = {"epochs": 30, "layers": 3}
    lab.record(lab.fingerprint(), created=300.0)
    lab.write("src/common.py", "near\n")
    near = lab.record(lab.fingerprint(), created=100.0)
    lab.parameters = {"epochs": 31, "layers": 3}
    found = nearest(lab.fingerprint(), "train", lab.index)
    assert found.record == near
    assert found.changes == (Change("parameter", "epochs", "30", "31"),)
    assert found.parts == ("parameter",)


def test_of_equally_near_results_the_newest_is_taken(lab: Lab) -> None:
    for epochs in (1, 3, 2):
        lab.parameters["epochs"] = epochs
        lab.record(lab.fingerprint(), created=100.0 * epochs)
    lab.parameters["epochs"] = 4
    found = nearest(lab.fingerprint(), "train", lab.index)
    assert [str(change) for change in found.changes] == ["parameter epochs: 3 -> 4"]
    then = nearest(lab.fingerprint(), "train", lab.index, before=250.0)
    assert [str(change) for change in then.changes] == ["parameter epochs: 2 -> 4"]


def test_a_result_is_not_compared_with_itself_or_with_other_steps(lab: Lab) -> None:
    fingerprint = lab.fingerprint()
    lab.record(fingerprint)
    lab.parameters["epochs"] = 4
    lab.record(lab.fingerprint(), name="another step")
    assert nearest(fingerprint, "train", lab.index).record is None
    assert nearest(fingerprint, "train", lab.index).changes == ()


def test_only_the_newest_results_are_compared(lab: Lab) -> None:
    lab.parameters["epochs"] = 0
    lab.record(lab.fingerprint(), created=1.0)
    lab.write("src/common.py", "another\n")
    for number in range(COMPARED):
        lab.parameters["epochs"] = 100 + number
        lab.record(lab.fingerprint(), created=100.0 + number)
    lab.write("src/common.py", "LR = 0.1\n")
    lab.parameters["epochs"] = 1
    assert len(nearest(lab.fingerprint(), "train", lab.index).changes) == 2


# --- files of inputs --------------------------------------------------------------------------------------------


def test_files_of_an_input_are_told_when_both_lists_are_known(lab: Lab) -> None:
    def contents() -> Contents:
        return Contents(lab.run.binding.workspace)

    fingerprint = lab.fingerprint()
    keep_input_manifests(lab.run, fingerprint.parts, lab.index, contents())
    before = lab.record(fingerprint)
    lab.write(f".aml/datastores/{STORE}/raw/1.csv", "10\n")
    lab.write(f".aml/datastores/{STORE}/raw/sub/3.csv", "3\n")
    now = lab.fingerprint()
    assert input_files(before, now.parts, lab.index, lambda name, digest: None) == []
    # Of a folder that has changed again, nothing is kept: the list would be another's.
    lab.write(f".aml/datastores/{STORE}/raw/4.csv", "4\n")
    keep_input_manifests(lab.run, now.parts, lab.index, contents())
    assert input_files(before, now.parts, lab.index, lambda name, digest: None) == []
    (lab.folder / f".aml/datastores/{STORE}/raw/4.csv").unlink()
    keep_input_manifests(lab.run, now.parts, lab.index, contents())
    found = input_files(before, now.parts, lab.index, lambda name, digest: None)
    assert [DIGEST.sub("#", str(change)) for change in found] == [
        "input file raw/1.csv: # -> #",
        "input file raw/sub/3.csv: new, #",
    ]


def test_of_a_very_big_folder_no_list_is_kept(lab: Lab) -> None:
    for number in range(MAX_FILES - 1):
        lab.write(f".aml/datastores/{STORE}/raw/many/{number}", "")
    fingerprint = lab.fingerprint()
    tree = fingerprint.parts["inputs"]["raw"][-1][-1]
    keep_input_manifests(lab.run, fingerprint.parts, lab.index, Contents(lab.run.binding.workspace))
    assert lab.index.manifest(tree) is None


# --- the cure ---------------------------------------------------------------------------------------------------

SCRIPT = {"command": ["python_script", "train.py", []]}
SHELL = {"command": ["command", [["text", "sh run.sh --fast"]]]}
OTHER = Change("code", "prep.py", "1", "2")


@pytest.mark.parametrize(
    ("directory", "parts", "changes", "others", "hinted"),
    [
        ("src", SCRIPT, [OTHER], 2, True),
        ("src", SCRIPT, [Change("code", "train.py", "1", "2"), OTHER], 1, True),
        ("src", SHELL, [OTHER], 1, True),
        ("src", SCRIPT, [Change("code", "train.py", "1", "2")], 2, False),
        ("src", SHELL, [Change("code", "run.sh", "1", "2")], 2, False),
        ("src", SCRIPT, [Change("parameter", "epochs", "1", "2")], 2, False),
        ("src", SCRIPT, [Change("code", "", "another snapshot", "this one")], 2, False),
        ("src", SCRIPT, [OTHER], 0, False),
        (None, SCRIPT, [OTHER], 2, False),
    ],
)
def test_the_shared_folder_is_named_only_where_it_is_the_reason(
    directory: str | None, parts: dict[str, Any], changes: list[Change], others: int, hinted: bool
) -> None:
    hint = shared_folder_hint("train", directory, parts, changes, others)
    assert (hint is not None) is hinted
    if hint is not None:
        assert hint.startswith(f"{others + 1} steps share source_directory 'src', and prep.py ")


def test_every_part_of_a_key_is_among_its_ingredients(lab: Lab) -> None:
    lab.step = lab.step.model_copy(
        update={
            "parameters": {"rate": Text(value="0.1")},
            "runconfig_parameters": {"NodeCount": ParameterRef(name="epochs")},
            "version": "2",
        }
    )
    fingerprint = lab.fingerprint()
    found = list(ingredients(fingerprint.parts, fingerprint.files))
    words = {"params": "params", "runconfig": "run configuration"}
    assert {i.part for i in found} == {words.get(p, p if p == "params" else p.rstrip("s")) for p in fingerprint.parts}
    shown = {(i.part, i.name): i.value for i in found}
    assert shown["code", "train.py"] == fingerprint.files["train.py"][:12]
    assert shown["command", "argument 2"] == "3"
    assert shown["command", "argument 3"] == "'--raw=' + the path of input raw"
    assert shown["run configuration", "NodeCount"] == "3"
    assert shown["output", "model"] == f"{STORE}:azureml/{{run-id}}/model (mount)"
    assert "fast" not in str(found)
