"""What a step's result depends on: what counts always does, what does not never does, and nothing is left out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.datasets.selection import files_of
from aml_provider.reuse.canonical import canonical, digest
from aml_provider.reuse.contents import Contents
from aml_provider.reuse.errors import UnknownIngredientError
from aml_provider.reuse.fingerprint import Fingerprint, Fingerprinter
from aml_provider.reuse.locks import EnvironmentLocks
from aml_provider.reuse.plan import Planner, Verdict
from aml_provider.runs.binding import StepRun
from aml_provider.sdk.steps import command, python_script
from aml_provider.sdk.steps.base import PipelineStep, ScriptStep
from aml_provider.spec.models import (
    Concat,
    DataLocation,
    DatasetSource,
    DatastoreSource,
    EnvironmentSpec,
    InputRef,
    OutputRef,
    ParameterRef,
    ParameterSource,
    PipelineSpec,
    PythonScript,
    PythonSpec,
    Step,
    StepInput,
    StepOutput,
    SubmitOptions,
    TabularFormat,
    Text,
)
from tests.resolving import lock, make_index, only
from tests.wheels import make_wheel

from .driver import STORE, Project, new_folder
from .machines import as_somebody_else

IMAGE = f"python@sha256:{'a' * 64}"
WORKSPACE = f"""\
compute:
  cpu: {{kind: docker, image: "{IMAGE}"}}
  here: {{kind: local}}
datastores:
  other: {{url: data/other}}
"""

# A step with something in every field that an author can fill.
FULL: dict[str, Any] = {
    "key": "train",
    "name": "train",
    "type": "PythonScriptStep",
    "action": {
        "kind": "python_script",
        "script": "train.py",
        "arguments": [
            {"kind": "text", "value": "--rate"},
            {"kind": "parameter", "name": "rate"},
            {"kind": "concat", "parts": [{"kind": "text", "value": "--rows="}, {"kind": "input", "name": "rows"}]},
            {"kind": "output", "name": "model"},
        ],
    },
    "source_directory": "src",
    "parameters": {"depth": {"kind": "text", "value": "3"}, "nodes": {"kind": "parameter", "name": "nodes"}},
    "inputs": [
        {
            "name": "rows",
            "source": {
                "kind": "dataset",
                "locations": [{"datastore": STORE, "path": "raw"}],
                "dataset_type": "tabular",
                "tabular": {"format": "delimited"},
                "name": "houses",
                "version": 3,
            },
            "mode": "mount",
            "path_on_compute": "rows",
            "environment_variable": "ROWS",
            "is_dataset": True,
        }
    ],
    "outputs": [
        {
            "name": "model",
            "datastore": STORE,
            "destination": "azureml/{run-id}/{output-name}",
            "mode": "mount",
            "path_on_compute": "model",
            "environment_variable": "MODEL",
            "pipeline_output_name": "result",
            "registration": {"name": "model"},
        }
    ],
    "compute_target": "cpu",
    "environment": {
        "name": "training",
        "version": "1",
        "image": IMAGE,
        "dockerfile": "FROM x",
        "python": {
            "interpreter": "/opt/python",
            "version": "3.11",
            "pip_packages": ["six==1.0"],
            "pip_options": ["--pre"],
            "conda_packages": ["numpy=1.0"],
            "conda_channels": ["conda-forge"],
        },
        "variables": {"MODE": "fast"},
        "shm_size": "1g",
    },
    "after": [],
    "version": "1",
    "runconfig_parameters": {"NodeCount": {"kind": "parameter", "name": "nodes"}},
    "timeout_seconds": 60,
}

#: Field -> other values, each of which makes another result.
COUNTS: dict[str, list[Any]] = {
    "type": ["CommandStep"],
    "action.kind": [],  # in test_a_command_is_no_script
    "action.script": ["score.py", "./train.py"],
    "action.arguments": [[]],
    "action.arguments.0.value": ["--Rate", "--rate ", ""],
    "action.arguments.1.name": ["nodes"],
    "action.arguments.2.parts": [[{"kind": "input", "name": "rows"}]],
    "source_directory": [None, "src2"],
    "parameters": [{}, {"depth": {"kind": "text", "value": "3"}}],
    "parameters.depth.value": ["4", "3.0", ""],
    "parameters.nodes": [{"kind": "text", "value": "2"}],
    "inputs": [[]],
    "inputs.0.name": ["row"],
    "inputs.0.generated": [True],
    "inputs.0.source.dataset_type": ["file"],
    "inputs.0.source.tabular": [None],
    "inputs.0.mode": ["download", "direct"],
    "inputs.0.path_on_compute": [None, "/rows"],
    "inputs.0.environment_variable": [None, "ROW"],
    "inputs.0.is_dataset": [False],
    "outputs": [[]],
    "outputs.0.name": ["models"],
    "outputs.0.generated": [True],
    "outputs.0.datastore": ["other"],
    "outputs.0.destination": ["azureml/{run-id}/m", "models"],
    "outputs.0.directory": [True],
    "outputs.0.mode": ["upload"],
    "outputs.0.path_on_compute": [None, "/model"],
    "outputs.0.overwrite": [True],
    "outputs.0.source_globs": [["*.pkl"]],
    "outputs.0.environment_variable": [None, "MODELS"],
    "environment.image": [f"python@sha256:{'a' * 63}b"],
    "environment.dockerfile": [None, "FROM y"],
    "environment.python.user_managed": [True],
    "environment.python.interpreter": ["/opt/python3"],
    "environment.python.version": [None, "3.12"],
    "environment.python.pip_packages": [[], ["six==1.1"], ["six"], ["six==1.0", "toml"]],
    "environment.python.pip_options": [[], ["--no-index"]],
    "environment.python.conda_packages": [[], ["numpy=1.1"]],
    "environment.python.conda_channels": [[], ["defaults"]],
    "environment.variables": [{}, {"MODE": "slow"}, {"mode": "fast"}, {"MODE": "fast", "A": ""}],
    "version": [None, "2", "1.0"],
    "runconfig_parameters": [{}],
}
#: Field -> other values, which make no difference to the result.
DOES_NOT_COUNT: dict[str, list[Any]] = {
    "key": ["train_2"],
    "name": ["train again"],
    "inputs.0.source.locations": [[{"datastore": "other", "path": "elsewhere/rows"}]],
    "inputs.0.source.name": [None, "flats"],
    "inputs.0.source.version": [None, 4],
    "inputs.0.overwrite": [True],
    "outputs.0.pipeline_output_name": [None],
    "outputs.0.registration": [None, {"name": "x"}],
    "compute_target": ["bigger"],
    "environment.name": ["predicting"],
    "environment.version": [None, "2"],
    "environment.shm_size": [None, "2g"],
    "after": [["prep"]],
    "allow_reuse": [False],
    "timeout_seconds": [None, 61],
}


class Lab:
    """One step, what it depends on, and ways to change it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.step = Step.model_validate(FULL)
        self.parameters: dict[str, Any] = {"rate": 0.1, "nodes": 2}
        project.configure(WORKSPACE)
        for name in ("src/train.py", "src/score.py", "src/deep/common.py", "src2/train.py"):
            project.write(name, f"print({name!r})\n")
        for root in (project.store / "raw", project.folder / "data/other/elsewhere/rows"):
            root.mkdir(parents=True)
            (root / "1.csv").write_text("1,2\n")
            (root / "2.csv").write_text("3,4\n")

    def run(self, run_id: str = "monday", dag_id: str = "lab", experiment: str = "exp") -> StepRun:
        before = Step(key="prep", name="prep", type="CommandStep", action={"kind": "command", "words": []})
        spec = PipelineSpec(
            workspace="lab",
            default_datastore=STORE,
            steps=(before, self.step),
            submit=SubmitOptions(experiment=experiment),
        )
        return StepRun(self.project.bind(spec), self.step, dag_id, run_id, self.parameters, lambda key: {})

    def fingerprint(self, **run: str) -> Fingerprint:
        step_run = self.run(**run)
        return Fingerprinter(step_run.binding, Contents(step_run.binding.workspace)).of(step_run)

    @property
    def key(self) -> str:
        return self.fingerprint().key

    def with_field(self, path: str, value: Any) -> Step:
        """The full step with another value in one field."""
        fields = json.loads(json.dumps(FULL))
        *above, last = path.split(".")
        place = fields
        for part in above:
            place = place[int(part) if isinstance(place, list) else part]
        place[int(last) if isinstance(place, list) else last] = value
        _without_dangling(fields)
        return Step.model_validate(fields)

    def small(self, **more: Any) -> None:
        """Have a small step, which runs on this machine."""
        options: dict[str, Any] = {"action": PythonScript(script="train.py"), "source_directory": "src", **more}
        self.step = Step(key="train", name="train", type="PythonScriptStep", compute_target="here", **options)


def _without_dangling(fields: dict[str, Any]) -> None:
    """Arguments that stand for an input or output which is not there any more, or has another name, follow."""
    for kind in ("input", "output"):
        names = [item["name"] for item in fields[f"{kind}s"]]
        for argument in list(fields["action"]["arguments"]):
            for part in [argument, *argument.get("parts", ())]:
                if part["kind"] == kind:
                    if names:
                        part["name"] = names[0]
                    elif argument in fields["action"]["arguments"]:
                        fields["action"]["arguments"].remove(argument)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with new_folder() as folder:
        yield Lab(Project(folder / "project"))


@pytest.fixture(scope="module")
def one_lab() -> Iterator[Lab]:
    """For properties: each example leaves it as it was."""
    with new_folder() as folder:
        yield Lab(Project(folder / "project"))


# --- every field ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in COUNTS.items() for value in values])
def test_a_change_of_what_an_author_writes_is_another_result(lab: Lab, path: str, value: Any) -> None:
    before = lab.key
    lab.step = lab.with_field(path, value)
    assert lab.key != before


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path, values in DOES_NOT_COUNT.items() for value in values]
)
def test_names_places_and_limits_do_not_change_the_result(lab: Lab, path: str, value: Any) -> None:
    before = lab.key
    lab.project.configure(WORKSPACE.replace("compute:", f'compute:\n  bigger: {{kind: docker, image: "{IMAGE}"}}'))
    lab.step = lab.with_field(path, value)
    assert lab.key == before


def test_of_every_field_of_a_step_it_is_known_whether_it_counts() -> None:
    models = {"": Step, "inputs.0.": StepInput, "outputs.0.": StepOutput}
    models |= {"environment.": EnvironmentSpec, "environment.python.": PythonSpec}
    # What is made of other fields, which have lines of their own.
    parts = {"action", "inputs.0.source", "environment", "environment.python"}
    fields = {f"{prefix}{name}" for prefix, model in models.items() for name in model.model_fields} - parts
    assert fields - {*COUNTS, *DOES_NOT_COUNT} == set()


@given(one=st.builds(TabularFormat), other=st.builds(TabularFormat))
def test_every_setting_of_how_files_become_a_table_counts(
    one_lab: Lab, one: TabularFormat, other: TabularFormat
) -> None:
    keys = []
    for settings in (one, other):
        one_lab.step = one_lab.with_field("inputs.0.source.tabular", settings.model_dump(mode="json"))
        keys.append(one_lab.key)
    assert (keys[0] == keys[1]) == (one == other)


def test_a_command_is_no_script(lab: Lab) -> None:
    keys = []
    for action in (
        {"kind": "python_script", "script": "train.py"},
        {"kind": "command", "words": [{"kind": "text", "value": "train.py"}]},
        {"kind": "command", "words": [{"kind": "text", "value": "train.py "}]},
    ):
        lab.small(action=action)
        keys.append(lab.key)
    assert len(set(keys)) == 3


# --- values ---------------------------------------------------------------------------------------------------------


# Named, since Hypothesis parses the file of a lambda to show it, and Python 3.11 cannot always do that where it does.
def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from([0, 1, 0.0, 1.0, "0", "1", True, False, "True", "", None, "None"]),
    _nested,
    max_leaves=6,
)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of one type, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return bool(repr(one) == repr(other))


@given(one=VALUES, other=VALUES)
def test_values_are_spelled_alike_exactly_when_they_are_equal_and_of_one_type(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == same(one, other)
    assert (digest(one) == digest(other)) == same(one, other)


@given(st.dictionaries(st.text(), VALUES, min_size=2).flatmap(lambda d: st.tuples(st.just(d), st.permutations([*d]))))
def test_the_order_of_a_dictionary_does_not_count(both: tuple[dict[str, Any], list[str]]) -> None:
    value, order = both
    assert canonical({key: value[key] for key in order}) == canonical(value)


@pytest.mark.parametrize("key", [1, 1.0, True, None])
def test_keys_that_are_no_text_would_be_mistaken_for_text(key: Any) -> None:
    for value in ({key: 1}, [{"a": {key: 1}}], ({key: 1},)):
        with pytest.raises(TypeError):
            canonical(value)


@given(one=VALUES, other=VALUES)
def test_a_parameter_of_another_value_or_type_is_another_result(one_lab: Lab, one: Any, other: Any) -> None:
    one_lab.step = Step.model_validate(FULL)
    keys = []
    for value in (one, other):
        one_lab.parameters = {"rate": value, "nodes": 2}
        keys.append(one_lab.key)
    one_lab.parameters = {"rate": 0.1, "nodes": 2}
    assert (keys[0] == keys[1]) == same(one, other)


PARTS = st.one_of(
    st.builds(Text, value=st.text(max_size=3)),
    st.builds(ParameterRef, name=st.sampled_from(["rate", "nodes"])),
    st.builds(InputRef, name=st.just("rows")),
    st.builds(OutputRef, name=st.just("model")),
)
WORDS = st.lists(PARTS | st.builds(Concat, parts=st.lists(PARTS, max_size=3).map(tuple)), max_size=4)


@given(one=WORDS, other=WORDS)
def test_two_command_lines_are_the_same_only_when_every_word_is(one_lab: Lab, one: list[Any], other: list[Any]) -> None:
    keys = []
    for words in (one, other):
        full = Step.model_validate(FULL)
        one_lab.step = full.model_copy(update={"action": PythonScript(script="train.py", arguments=tuple(words))})
        keys.append(one_lab.key)
    assert (keys[0] == keys[1]) == (one == other)


def test_a_value_that_reaches_the_step_in_another_way_is_another_result(lab: Lab) -> None:
    keys = set()
    for word in ("--rate 1", "--rate", "1"):
        for where in ({"arguments": [word]}, {"params": {"x": word}}):
            words = tuple(Text(value=w) for w in where.get("arguments", ()))
            params = {name: Text(value=value) for name, value in where.get("params", {}).items()}
            lab.small(action=PythonScript(script="train.py", arguments=words), parameters=params)
            keys.add(lab.key)
    lab.small(action=PythonScript(script="train.py", arguments=(Text(value="--rate"), Text(value="1"))))
    keys.add(lab.key)
    assert len(keys) == 7


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=3), st.dictionaries(st.text(min_size=1), st.text()))
def test_any_other_environment_variable_is_another_result(
    one_lab: Lab, one: dict[str, str], other: dict[str, str]
) -> None:
    keys = []
    for variables in (one, other):
        one_lab.step = one_lab.with_field("environment.variables", variables)
        keys.append(one_lab.key)
    assert (keys[0] == keys[1]) == (one == other)


def test_variables_of_the_compute_target_count_and_the_steps_own_are_stronger(lab: Lab) -> None:
    before = lab.key
    with_variable = WORKSPACE.replace("cpu: {kind: docker,", "cpu: {kind: docker, environment: {%s},")
    lab.project.configure(with_variable % "MODE: slow")
    assert lab.key == before, "the step says itself what MODE is"
    lab.project.configure(with_variable % "THREADS: '4'")
    assert lab.key != before


def test_no_secret_of_an_environment_is_kept(lab: Lab) -> None:
    fields = json.loads(json.dumps(FULL))
    fields["environment"]["variables"] = {"PASSWORD": "hunter2"}
    fields["environment"]["python"]["pip_options"] = ["--extra-index-url https://me:hunter2@example.org/simple"]
    fields["environment"]["python"]["pip_packages"] = ["six @ https://example.org/six.whl?token=hunter2"]
    lab.step = Step.model_validate(fields)
    found = lab.fingerprint()
    assert "hunter2" not in json.dumps([found.parts, found.details])
    fields["environment"]["variables"] = {"PASSWORD": "hunter3"}
    lab.step = Step.model_validate(fields)
    assert lab.key != found.key


# --- code and data --------------------------------------------------------------------------------------------------


def flipped(content: bytes, place: int, bits: int) -> bytes:
    place %= len(content)
    return content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :]


@pytest.mark.parametrize("where", ["src/train.py", "src/deep/common.py", f".aml/datastores/{STORE}/raw/2.csv"])
@given(content=st.binary(min_size=1, max_size=64), place=st.integers(0, 63), bits=st.integers(1, 255))
def test_any_single_byte_of_code_or_data_counts(
    one_lab: Lab, where: str, content: bytes, place: int, bits: int
) -> None:
    one_lab.step = Step.model_validate(FULL)
    file = one_lab.project.folder / where
    keys = []
    for version in (content, flipped(content, place, bits), content[:-1], content + b"\0", content):
        file.write_bytes(version)
        keys.append(one_lab.key)
    assert len(set(keys)) == 4
    assert keys[0] == keys[-1]


def test_every_byte_of_a_big_file_counts(lab: Lab) -> None:
    size = 5 << 20  # read by several threads
    file = lab.project.data("raw/big.bin", bytes(size))
    keys = [lab.key]
    for place in (0, 1023, 1024, size // 2, size - 1):
        with file.open("r+b") as f:
            f.seek(place)
            f.write(b"\1")
        keys.append(lab.key)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("root", ["src", f".aml/datastores/{STORE}/raw"])
def test_names_of_files_count_and_so_do_new_and_missing_ones(lab: Lab, root: str) -> None:
    folder = lab.project.folder / root
    file = sorted(p for p in folder.rglob("*") if p.is_file())[0]
    keys = [lab.key]
    file.rename(file.with_name("x"))
    keys.append(lab.key)
    (folder / "y").write_text("")
    keys.append(lab.key)
    (folder / "y").rename(folder / "Y")
    keys.append(lab.key)
    (folder / "sub").mkdir()
    (folder / "Y").rename(folder / "sub/Y")
    keys.append(lab.key)
    assert len(set(keys)) == len(keys)


def test_two_files_that_exchange_their_contents_are_a_change(lab: Lab) -> None:
    raw = lab.project.store / "raw"
    before = lab.key
    (raw / "1.csv").rename(raw / "3")
    (raw / "2.csv").rename(raw / "1.csv")
    (raw / "3").rename(raw / "2.csv")
    assert lab.key != before


def test_the_executable_bit_of_code_counts_and_other_rights_do_not(lab: Lab) -> None:
    script = lab.project.folder / "src/train.py"
    script.chmod(0o644)
    before = lab.key
    script.chmod(0o600)
    assert lab.key == before
    script.chmod(0o755)
    assert lab.key != before


def test_line_endings_are_content(lab: Lab) -> None:
    keys = []
    for ending in ("\n", "\r\n"):
        lab.project.write("src/train.py", f"a = 1{ending}".encode())
        keys.append(lab.key)
    assert keys[0] != keys[1]


def test_an_empty_folder_counts_in_data_which_a_script_lists_and_not_in_code(lab: Lab) -> None:
    before = lab.key
    (lab.project.folder / "src/empty").mkdir()
    assert lab.key == before
    (lab.project.store / "raw/empty").mkdir()
    assert lab.key != before


@pytest.mark.parametrize(
    "file",
    [
        "src/__pycache__/train.cpython-311.pyc",
        "src/deep/__pycache__/common.pyc",
        "src/.git/HEAD",
        "src/deep/.git/index",
        "src/.venv/bin/python",
        "src/.aml/mlflow.db",
        "src/.ipynb_checkpoints/train.py",
        "src/notes.log",
        "src/data/huge.bin",
        "src/deep/er/data/huge.bin",
        "elsewhere.py",
    ],
)
def test_bookkeeping_and_ignored_files_do_not_count(lab: Lab, file: str) -> None:
    lab.project.write("src/.amlignore", "*.log\ndata/\n")
    before = lab.key
    lab.project.write(file, "1")
    assert lab.key == before
    lab.project.write(file, "2")
    assert lab.key == before


def test_what_is_ignored_no_longer_counts_again(lab: Lab) -> None:
    before = lab.key
    lab.project.write("src/notes.log", "1")
    lab.project.write("src/.amlignore", "*.log\n")
    assert lab.key == before
    lab.project.write("src/.amlignore", "")
    assert lab.key != before


def test_links_count_by_what_is_behind_them(lab: Lab) -> None:
    link = lab.project.folder / "src/linked.py"
    outside = lab.project.write("lib/real.py", "1")
    link.symlink_to(outside)
    linked = lab.key
    link.unlink()
    link.write_text("1")
    assert lab.key == linked
    link.unlink()
    link.symlink_to(outside)
    outside.write_text("2")
    assert lab.key != linked


@pytest.mark.parametrize("target", [".", "..", "../deep", "../../src/deep"])
def test_links_that_lead_round_in_a_circle_end(lab: Lab, target: str) -> None:
    before = lab.key
    (lab.project.folder / "src/deep/round").symlink_to(target)
    assert lab.key == before


def test_links_between_folders_that_lead_to_each_other_end(lab: Lab) -> None:
    lab.project.write("src/a/one.py", "")
    lab.project.write("src/b/two.py", "")
    (lab.project.folder / "src/a/b").symlink_to("../b")
    (lab.project.folder / "src/b/a").symlink_to("../a")
    found = lab.fingerprint()
    assert {"a/one.py", "b/two.py", "a/b/two.py", "b/a/one.py"} <= set(found.files)
    assert found.key == lab.key


def test_what_is_read_is_known_by_its_content_and_not_by_where_it_is_kept(lab: Lab) -> None:
    keys = []
    for source in (
        DatastoreSource(location=DataLocation(datastore=STORE, path="raw")),
        DatastoreSource(location=DataLocation(datastore=STORE, path="raw/")),
        DatastoreSource(location=DataLocation(datastore="other", path="elsewhere/rows")),
        ParameterSource(name="where"),
    ):
        lab.parameters["where"] = {"datastore": "other", "path": "elsewhere/rows"}
        lab.small(inputs=(StepInput(name="rows", source=source),))
        keys.append(lab.key)
    assert len(set(keys)) == 1
    lab.parameters["where"] = {"datastore": "other", "path": "elsewhere"}
    assert lab.key != keys[0]


def test_a_single_file_is_seen_under_its_name_and_is_no_folder_with_that_file(lab: Lab) -> None:
    lab.project.data("copy/1.csv", "1,2\n")
    lab.project.data("copy/one.csv", "1,2\n")
    lab.project.data("alone/1.csv", "1,2\n")
    found = {}
    for path in ("raw/1.csv", "copy/1.csv", "copy/one.csv", "alone"):
        place = DatastoreSource(location=DataLocation(datastore=STORE, path=path))
        lab.small(inputs=(StepInput(name="rows", source=place),))
        found[path] = lab.key
    assert found["raw/1.csv"] == found["copy/1.csv"]
    assert len(set(found.values())) == 3


def test_a_pattern_is_known_by_the_files_that_it_means_now(lab: Lab) -> None:
    lab.step = lab.with_field("inputs.0.source.locations", [{"datastore": STORE, "path": "raw/*.csv"}])
    keys = [lab.key]
    lab.project.data("raw/readme.md", "no table")
    assert lab.key == keys[0]
    lab.project.data("raw/3.csv", "5,6\n")
    keys.append(lab.key)
    lab.project.data("raw/3.csv", "5,7\n")
    keys.append(lab.key)
    assert len(set(keys)) == 3


def test_the_order_of_several_places_is_the_order_of_the_rows(lab: Lab) -> None:
    def key(*paths: str) -> str:
        places = [{"datastore": STORE, "path": path} for path in paths]
        lab.step = lab.with_field("inputs.0.source.locations", places)
        return lab.key

    lab.project.data("more/3.csv", "5,6\n")
    assert key("raw/1.csv", "raw/2.csv") == key("raw/1.csv", "raw/2.csv", "raw/1.csv") == key("raw/*.csv")
    assert key("raw/2.csv", "raw/1.csv") != key("raw/1.csv", "raw/2.csv")
    assert key("raw", "more") != key("more", "raw")
    assert key("raw/*.csv", "more/*.csv") != key("more/*.csv", "raw/*.csv")


PLACES = ("a", "a/x.csv", "a/y.csv", "a/*.csv", "b", "b/x.csv", "b/*.csv", "*/x.csv", "**/*.csv", "c", "c/z.csv")


@given(*[st.lists(st.sampled_from(PLACES), min_size=1, max_size=4)] * 2)
def test_two_datasets_of_one_key_have_the_same_files_in_the_same_order(
    one_lab: Lab, one: list[str], other: list[str]
) -> None:
    # One content under many names: what tells datasets apart is which of them there are, and where.
    for path in ("a/x.csv", "a/y.csv", "b/x.csv", "c/z.csv"):
        one_lab.project.data(path, "1,2\n" if path != "a/y.csv" else "3,4\n")
    keys, read = [], []
    for paths in (one, other):
        places = [{"datastore": STORE, "path": path} for path in paths]
        one_lab.step = one_lab.with_field("inputs.0.source.locations", places)
        contents = Contents(one_lab.run().binding.workspace)
        source = one_lab.step.inputs[0].source
        assert isinstance(source, DatasetSource)
        files = files_of(contents.store, source)
        read.append([(file.inner, (one_lab.project.store / file.path).read_bytes()) for file in files])
        keys.append(one_lab.key)
    assert keys[0] != keys[1] or read[0] == read[1]


# --- everywhere the same --------------------------------------------------------------------------------------------

EVERY_STEP = """\
from azureml.core import Dataset, Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.data.data_reference import DataReference
from azureml.pipeline.core import Pipeline, PipelineData, PipelineParameter
from azureml.pipeline.steps import CommandStep, DataTransferStep, PythonScriptStep

ws = Workspace.from_config()
store = ws.get_default_datastore()
config = RunConfiguration()
config.environment = Environment("mine")
config.environment.environment_variables = {"B": "2", "A": "1"}
rows = Dataset.File.from_files([(store, "raw/*.csv"), (store, "raw/1.csv")], validate=False)
files, port, unnamed = OutputFileDatasetConfig("files"), PipelineData("port"), OutputFileDatasetConfig()
rate = PipelineParameter("rate", 0.1)
shared = {"source_directory": "src", "compute_target": "here", "runconfig": config}
script = PythonScriptStep(
    "train.py", "script", ["--rate", rate, rows.as_mount(), files, unnamed], outputs=[port],
    params={"y": 2, "x": 1}, version="1", **shared,
)
command = CommandStep(
    ["sh", "run.sh", port, files.as_input(), unnamed.as_input("named")], "command", inputs=[port],
    outputs=[OutputFileDatasetConfig()], params={"y": rate, "x": 1}, **shared,
)
command.run_after(script)
alone = CommandStep("echo 1", name="alone", compute_target="here")
move = DataTransferStep("move", DataReference(store, "raw", "raw"), DataReference(store, "kept", "kept"), "here")
Experiment(ws, "everywhere").submit(Pipeline(ws, [alone, script, command, move]), tags={"b": "1", "a": "2"})
"""
TELL = """\
import json, sys
from pathlib import Path
from aml_provider.cli.inspect import collect
from aml_provider.reuse.plan import Planner
from aml_provider.runs.binding import PipelineBinding
((spec, source, workspace),) = collect(Path(sys.argv[1]))
plan = Planner(PipelineBinding(spec, source.folder, workspace), {p.name: p.default for p in spec.parameters}).plan()
keys = {key: d.fingerprint.key for key, d in plan.decisions.items() if d.fingerprint is not None}
print(json.dumps([spec.to_json(), keys]))
"""


def test_every_kind_of_step_is_the_same_for_every_user_on_every_host_and_in_every_folder(tmp_path: Path) -> None:
    first = Project(tmp_path / "home/ana/project", "compute: {here: {kind: local}}\n")
    first.write("pipeline.py", EVERY_STEP)
    first.write("src/train.py", "print('training')\n")
    first.write("src/run.sh", "cat $1\n")
    first.data("raw/1.csv", "1,2\n")
    second = tmp_path / "srv/build 7/checkout"
    shutil.copytree(first.folder, second)  # with other times
    for name in ("src/.git/HEAD", "src/__pycache__/train.pyc", ".git/HEAD", "pipeline.pyc"):
        (second / name).parent.mkdir(parents=True, exist_ok=True)
        (second / name).write_text("bookkeeping")
    os.utime(second / "src/train.py", (0, 0))
    ours = {k: v for k, v in os.environ.items() if k not in ("HOME", "USER", "LANG", "TZ")}
    processes = []
    for number, (folder, zone) in enumerate(((first.folder, "UTC"), (second, "Asia/Tokyo"))):
        who = f"user{number}"
        strange = {"HOME": str(tmp_path / who), "USER": who, "LOGNAME": who, "HOSTNAME": f"host{number}", "TZ": zone}
        strange |= {"LANG": ("C", "C.UTF-8")[number], "PYTHONHASHSEED": str(number), "AML_HOME": str(tmp_path / who)}
        root = Path(__file__).resolve().parents[2]
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", TELL, str(folder / "pipeline.py")],
                env=ours | strange | {"PYTHONPATH": str(root)},
                cwd=(tmp_path, folder)[number],
                stdout=subprocess.PIPE,
                text=True,
                umask=(0o022, 0o077)[number],
            )
        )
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert said[0] == said[1]
    spec, keys = json.loads(said[0])
    assert set(keys) == {"script", "alone", "move"}, "what comes behind one that runs is not known yet"
    assert {step["type"] for step in json.loads(spec)["steps"]} == _kinds(PipelineStep)


def _kinds(base: type[PipelineStep]) -> set[str]:
    """The types of all steps that there are."""
    assert {python_script, command}, "they are imported"
    found = {kind.STEP_TYPE for kind in base.__subclasses__() if kind is not ScriptStep}
    return found.union(*(_kinds(kind) for kind in base.__subclasses__()))


def test_runs_schedules_and_experiments_do_not_enter(lab: Lab) -> None:
    before = lab.key
    assert lab.fingerprint(run_id="scheduled__2031-01-01T00:00:00+00:00").key == before
    assert lab.fingerprint(dag_id="another", run_id="manual__x").key == before
    assert lab.fingerprint(experiment="another").key == before


def test_another_size_pool_or_limit_of_the_same_target_does_not_enter(lab: Lab) -> None:
    before = lab.key
    for more in ("vm_size: STANDARD_NC6", "pool: mine", "retries: 7", "timeout_seconds: 5", "gpus: 2", "memory: 1Gi"):
        lab.project.configure(WORKSPACE.replace("cpu: {kind: docker,", f"cpu: {{kind: docker, {more},"))
        assert lab.key == before, more


def test_a_touched_copied_and_moved_project_is_the_same(lab: Lab) -> None:
    before = lab.key
    for path in list(lab.project.folder.rglob("*")):
        if path.is_file() and path.name != "workspace.yaml":
            os.utime(path, (0, 1_000_000_000))
    assert lab.key == before
    lab.project.move(lab.project.folder.parent / "somewhere else/deep/inside")
    assert lab.key == before


# --- where it runs --------------------------------------------------------------------------------------------------


def test_targets_with_one_label_are_equal_and_what_a_step_asks_for_still_counts(lab: Lab) -> None:
    lab.project.configure(
        "compute:\n  local1: {kind: local, reuse_as: sklearn}\n  other: {kind: local, reuse_as: torch}\n"
        "  docker1: {kind: docker, image: any, reuse_as: sklearn}\n"
    )

    def key(target: str, **environment: Any) -> str:
        lab.small()
        asked = EnvironmentSpec(name="e", **environment) if environment else None
        lab.step = lab.step.model_copy(update={"compute_target": target, "environment": asked})
        return lab.key

    assert key("local1") == key("docker1") != key("other")
    pinned = {"python": PythonSpec(pip_packages=("six==1.0",))}
    assert key("local1", **pinned) == key("docker1", **pinned)
    differ = [{}, pinned, {"python": PythonSpec(pip_packages=("six==1.1",))}, {"image": "a:1"}, {"image": "a:2"}]
    assert len({key("local1", **asked) for asked in differ}) == len(differ)


def test_an_environment_that_asks_for_nothing_is_none(lab: Lab) -> None:
    for target in ("cpu", "here"):
        lab.small()
        lab.step = lab.step.model_copy(update={"compute_target": target})
        before = lab.key
        lab.step = lab.step.model_copy(update={"environment": EnvironmentSpec(name="empty")})
        assert lab.key == before


def test_a_local_process_and_an_image_are_never_known_to_be_equal(lab: Lab) -> None:
    lab.small()
    here = lab.key
    lab.step = lab.step.model_copy(update={"compute_target": "cpu"})
    assert lab.key != here


def test_another_version_of_a_package_is_another_result(lab: Lab) -> None:
    wheels = make_index(lab.project.folder / "wheels")
    make_wheel(wheels, "tiny", "1.1")
    keys = []
    for wanted in ("tiny==1.0", "tiny==1.1", "tiny"):
        environment = EnvironmentSpec(name="e", python=PythonSpec(pip_packages=(wanted,), pip_options=only(wheels)))
        lab.small(environment=environment)
        with pytest.raises(UnknownIngredientError, match="'e' have not been resolved to versions yet"):
            lab.fingerprint()
        lock(EnvironmentLocks.of(lab.run().binding), environment)
        keys.append(lab.key)
    assert keys[0] != keys[1]
    assert keys[1] == keys[2], "the versions that are installed count, not how they were asked for"


# --- one unknown ingredient -----------------------------------------------------------------------------------------

Spoil = Callable[[Lab], None]


def _no_data(lab: Lab) -> None:
    shutil.rmtree(lab.project.store / "raw")


def _pipe_in_the_data(lab: Lab) -> None:
    os.mkfifo(lab.project.store / "raw/pipe")


def _unreadable_data(lab: Lab) -> None:
    (lab.project.store / "raw/2.csv").chmod(0)


def _unreadable_folder_in_the_data(lab: Lab) -> None:
    lab.project.data("raw/secret/1.csv", "1").parent.chmod(0)


def _nothing_matches(lab: Lab) -> None:
    lab.step = lab.with_field("inputs.0.source.locations", [{"datastore": STORE, "path": "raw/*.parquet"}])


def _data_outside(lab: Lab) -> None:
    lab.step = lab.with_field("inputs.0.source.locations", [{"datastore": STORE, "path": "../../raw"}])


def _no_places(lab: Lab) -> None:
    lab.step = lab.with_field("inputs.0.source.locations", [])


def _unknown_datastore(lab: Lab) -> None:
    lab.step = lab.with_field("inputs.0.source.locations", [{"datastore": "lake", "path": "raw"}])


def _no_code(lab: Lab) -> None:
    shutil.rmtree(lab.project.folder / "src")


def _unreadable_code(lab: Lab) -> None:
    (lab.project.folder / "src/deep/common.py").chmod(0)


def _no_value(lab: Lab) -> None:
    del lab.parameters["nodes"]


def _no_place_in_a_parameter(lab: Lab) -> None:
    lab.parameters["rows"] = "raw"
    lab.step = lab.with_field("inputs.0.source", {"kind": "parameter", "name": "rows"})


def _latest_image(lab: Lab) -> None:
    # Nobody listens there.
    lab.project.configure(WORKSPACE.replace("kind: docker,", 'kind: docker, docker_url: "tcp://127.0.0.1:9",'))
    lab.step = lab.with_field("environment.image", "127.0.0.1:9/team/train:latest")


def _two_inputs_with_one_name(lab: Lab) -> None:
    lab.step = lab.with_field("inputs", [FULL["inputs"][0], {**FULL["inputs"][0], "mode": "download"}])


UNKNOWN: list[tuple[Spoil, str]] = [
    (_no_data, "input 'rows': there is nothing at 'raw' in datastore 'workspaceblobstore'"),
    (_pipe_in_the_data, "pipe"),
    (_unreadable_data, "2.csv"),
    (_unreadable_folder_in_the_data, "secret"),
    (_nothing_matches, r"nothing in datastore 'workspaceblobstore' matches 'raw/\*.parquet'"),
    (_data_outside, "leads out of the datastore"),
    (_no_places, "input 'rows' is no files"),
    (_unknown_datastore, "unknown datastore 'lake'"),
    (_no_code, "source_directory .*src does not exist here"),
    (_unreadable_code, "common.py"),
    (_no_value, "this run has no value for pipeline parameter 'nodes'"),
    (_no_place_in_a_parameter, "pipeline parameter 'rows' must be a dataset like .* or a data path"),
    (_latest_image, "image '127.0.0.1:9/team/train:latest' is known only by a tag"),
    (_two_inputs_with_one_name, "two of its inputs, or two of its outputs, have one name"),
]


@pytest.mark.parametrize(("spoil", "said"), UNKNOWN, ids=[spoil.__name__.strip("_") for spoil, _ in UNKNOWN])
def test_what_cannot_be_known_makes_no_key_and_the_plan_says_what_it_is(lab: Lab, spoil: Spoil, said: str) -> None:
    assert lab.key
    spoil(lab)
    for path in (lab.project.folder, *lab.project.folder.parents[:1]):
        path.chmod(0o755)
    run = lab.run()
    run.binding.store.reuse.mkdir(parents=True)
    # Root may read everything, and may import what is in its own folder.
    with as_somebody_else() if "unreadable" in spoil.__name__ else nullcontext():
        decision = Planner(run.binding, lab.parameters).plan().decisions["train"]
    assert decision.verdict is Verdict.RUN
    assert decision.fingerprint is None
    assert re.search(said, decision.reason), decision.reason
