"""``aml explain``: which file, value, package or input made a step run."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli import reused
from tests.cli.conftest import Aml, Said, make_project, run_aml

RAW = ".aml/datastores/workspaceblobstore/raw"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose pipeline has run."""
    return reused.copied_project(tmp_path)


def only(said: Said) -> dict[str, Any]:
    assert said.code == 0, said.err
    (found,) = json.loads(said.out)
    assert isinstance(found, dict)
    return found


def told(said: Said) -> list[str]:
    """The lines that say what has changed, without digests."""
    assert said.code == 0, said.err
    lines = [line.strip() for line in said.out.splitlines() if line.startswith("  ")]
    return [re.sub(r"\b[0-9a-f]{12}\b", "#", line) for line in lines]


# --- a file -----------------------------------------------------------------------------------------------------


def test_an_edited_script_is_named(aml: Aml, project: Path) -> None:
    (project / "reporting/report.py").write_text("print('another')\n")
    said = aml(project, "explain", "pipeline.py", "report")
    first, nearest, change = said.out.splitlines()
    assert first == "step 'report' of experiment 'houses': run: not computed before"
    assert re.fullmatch(
        rf"the nearest earlier result: [0-9a-f]{{12}} of run {reused.run_id()}, .* ago; what differs from it:", nearest
    )
    assert re.fullmatch(r"  code report\.py: ([0-9a-f]{12}) -> (?!\1)[0-9a-f]{12}", change)


def test_a_file_of_a_neighbour_in_a_shared_folder_is_named_with_its_cure(aml: Aml, project: Path) -> None:
    (project / "shared/train.py").write_text("print('trained differently')\n")
    said = aml(project, "explain", "pipeline.py", "prep")
    assert told(said) == ["code train.py: # -> #"]
    assert said.out.splitlines()[-1] == (
        "2 steps share source_directory 'shared', and train.py may be of use only to others of them; give step 'prep' "
        "its own files with `reuse: steps: prep: include: [prep.py, ...]` in workspace.yaml"
    )
    # Its own script is its own business.
    (project / "shared/train.py").write_text(reused.FILES["shared/train.py"])
    (project / "shared/prep.py").write_text("print('prepared differently')\n")
    assert only(aml(project, "explain", "pipeline.py", "prep", "--json"))["hint"] is None


def test_a_step_behind_one_that_runs_is_told_by_what_would_be_if_that_changed_nothing(aml: Aml, project: Path) -> None:
    (project / "shared/train.py").write_text("print('trained differently')\n")
    said = aml(project, "explain", "pipeline.py", "train")
    assert said.out.splitlines()[:2] == [
        (
            "step 'train' of experiment 'houses': depends: depends on what 'prep' will write; "
            "reused if that and all else are as before"
        ),
        "if 'prep' should write what was written last time, it runs all the same",
    ]
    assert told(said) == ["code train.py: # -> #"]
    said = aml(project, "explain", "pipeline.py", "report")
    assert "if 'train', 'prep' should write what was written last time, it is reused\n" in said.out


def test_changed_data_is_told_file_by_file(aml: Aml, project: Path) -> None:
    (project / RAW / "north.csv").write_text("other\n")
    (project / RAW / "south.csv").unlink()
    (project / RAW / "west").mkdir()
    (project / RAW / "west" / "1.csv").write_text("w1\n")
    assert told(aml(project, "explain", "pipeline.py", "prep")) == [
        "input raw: tree # (mount) -> tree # (mount)",
        "input file raw/north.csv: # -> #",
        "input file raw/south.csv: gone, was #",
        "input file raw/west/1.csv: new, #",
    ]


GATHERING = """\
from azureml.core import Dataset, Experiment, Workspace
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
store = ws.get_default_datastore()
sheets = Dataset.File.from_files((store, "raw/*.csv")).as_named_input("sheets").as_mount()
both = Dataset.File.from_files([(store, "raw"), (store, "notes")]).as_named_input("both").as_mount()
step = PythonScriptStep("look.py", name="look", source_directory="code", inputs=[sheets, both], compute_target="cpu")
Experiment(ws, "houses").submit(Pipeline(ws, [step]))
"""


def test_changed_data_of_a_pattern_and_of_several_places_is_told_by_names(aml: Aml, tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    files = {"raw/north.csv": "n", "raw/south.csv": "s", "raw/readme": "1", "notes/1.txt": "1"}
    data = {f".aml/datastores/workspaceblobstore/{name}": text for name, text in files.items()}
    reused.write(project, {"pipeline.py": GATHERING, "code/look.py": "print('looked')\n", **data})
    assert aml(project, "run", "pipeline.py").code == 0
    (project / RAW / "north.csv").write_text("other")
    assert told(aml(project, "explain", "pipeline.py", "look")) == [
        "input both: gathered # (mount) -> gathered # (mount)",
        "input sheets: gathered # (mount) -> gathered # (mount)",
        "input file both/raw: # -> #",
        "input file sheets/north.csv: # -> #",
    ]


def test_the_same_places_in_another_order_are_told(aml: Aml, tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    data = {f".aml/datastores/workspaceblobstore/{name}": "x" for name in ("raw/a.csv", "notes/1.txt")}
    reused.write(project, {"pipeline.py": GATHERING, "code/look.py": "print('looked')\n", **data})
    assert aml(project, "run", "pipeline.py").code == 0
    swapped = GATHERING.replace('(store, "raw"), (store, "notes")', '(store, "notes"), (store, "raw")')
    (project / "pipeline.py").write_text(swapped)
    assert told(aml(project, "explain", "pipeline.py", "look")) == ["input both, order of its files: changed"]


def test_a_parameter_is_told_by_its_name_and_once(aml: Aml, project: Path) -> None:
    assert told(aml(project, "explain", "pipeline.py", "train", "-p", "epochs=30")) == ["parameter epochs: 3 -> 30"]


def test_a_reused_step_says_whose_result_it_has(aml: Aml, project: Path) -> None:
    said = aml(project, "explain", "pipeline.py", "train")
    assert said.out.splitlines()[0] == ("step 'train' of experiment 'houses': reuse: nothing it depends on has changed")
    assert f"of run {reused.run_id()}, " in said.out.splitlines()[1]
    found = only(aml(project, "explain", "pipeline.py", "train", "--json"))
    assert found["nearest"]["run"] == reused.run_id()
    assert found["nearest"]["fingerprint"] == found["fingerprint"]


def test_everything_that_the_key_is_made_of_can_be_seen(aml: Aml, project: Path) -> None:
    workspace = "name: lab\ncompute:\n  cpu: {environment: {MY_TOKEN: a secret}}\n"
    (project / "workspace.yaml").write_text(workspace)
    said = aml(project, "explain", "pipeline.py", "prep", "--verbose")
    lines = [tuple(re.split(r"  +", line.strip())) for line in said.out.splitlines()]
    for line in (
        ("ingredient", "name", "value"),
        ("step", "type", "PythonScriptStep"),
        ("command", "script", "'prep.py'"),
        ("command", "argument 1", "the path of input raw"),
        ("environment", "platform"),
        ("package", "blake3"),
        ("code", "prep.py"),
        ("variable", "MY_TOKEN"),
        ("input", "raw"),
        ("output", "clean"),
    ):
        assert any(found[: len(line)] == line for found in lines), line
    assert "a secret" not in said.out
    assert ("variable MY_TOKEN: new",) in lines
    found = only(aml(project, "explain", "pipeline.py", "prep", "--json"))
    assert found["ingredients"].keys() >= {"code", "command", "environment", "inputs", "outputs", "step", "variables"}
    assert found["files"].keys() >= {"prep.py", "train.py"}
    assert "a secret" not in json.dumps(found)


def test_before_the_first_run_there_is_nothing_to_compare_with(aml: Aml, tmp_path: Path) -> None:
    said = aml(reused.new_project(tmp_path), "explain", "pipeline.py", "prep")
    assert said.out.splitlines()[1:] == ["there is no earlier result of a step of this name to compare it with"]


# --- a run ------------------------------------------------------------------------------------------------------


def test_the_steps_of_an_earlier_run_are_told_without_the_pipeline_file(aml: Aml, project: Path) -> None:
    (project / "pipeline.py").unlink()
    said = aml(project, "explain", reused.run_id())
    assert [line for line in said.out.splitlines() if line.startswith("step")] == [
        f"step 'prep' in run {reused.run_id()}: run: not computed before",
        f"step 'train' in run {reused.run_id()}: run: not computed before",
        f"step 'report' in run {reused.run_id()}: run: not computed before",
        f"step 'audit' in run {reused.run_id()}: run: allow_reuse is False for it",
    ]
    assert only(aml(project, "explain", reused.run_id(), "train", "--json"))["run"] == reused.run_id()


def test_a_run_can_be_named_as_airflow_names_it(aml: Aml, project: Path) -> None:
    (record,) = [json.loads(p.read_text()) for p in project.rglob("run.json")]
    said = aml(project, "explain", f"{record['dag_id']}/{record['run_id']}", "prep", "--verbose")
    assert said.out.startswith(f"step 'prep' in run {reused.run_id()}: run: ")
    assert "'prep.py'" in said.out
    assert aml(project, "explain", "latest", "prep", "--verbose").out == said.out


def test_the_cure_works_and_the_run_tells_why_it_ran(aml: Aml, tmp_path: Path) -> None:
    project = reused.copied_project(tmp_path)
    cured = "name: lab\ncompute:\n  cpu: {}\nreuse:\n  steps:\n    prep: {include: [prep.py]}\n"
    (project / "workspace.yaml").write_text(cured)
    (project / "shared/train.py").write_text("import pathlib, sys\npathlib.Path(sys.argv[5]).write_text('better')\n")
    said = run_aml(project, "run", "pipeline.py", "-p", "epochs=4", "--json")
    assert said.code == 0, said.err
    (second,) = {
        p for p in (r["pipeline_run_id"] for r in map(read, project.rglob("run.json"))) if p != reused.run_id()
    }

    # What differed when it ran is told, whatever the files are now.
    (project / "shared/train.py").write_text("print('something else again')\n")
    assert told(aml(project, "explain", second, "train")) == ["code train.py: # -> #", "parameter epochs: 3 -> 4"]
    assert told(aml(project, "explain", second, "prep")) == [
        # The include patterns are new: the file that they leave out has gone.
        "code train.py: gone, was #"
    ]
    steps = [only(aml(project, "explain", second, name, "--json")) for name in ("prep", "train", "report", "audit")]
    assert [step["verdict"] for step in steps] == ["run", "run", "run", "run"]

    # A result that came later is no earlier one.
    assert only(aml(project, "explain", reused.run_id(), "train", "--json"))["nearest"] is None

    # Now prep has files of its own, and what only train uses is no change of it.
    said = aml(project, "plan", "pipeline.py", "-p", "epochs=4", "--json")
    verdicts = {step["name"]: step["verdict"] for step in json.loads(said.out)[0]["steps"]}
    assert (verdicts["prep"], verdicts["train"]) == ("reuse", "run")

    # Without the results of that time, what was said then is still there.
    for key in (step["nearest"]["fingerprint"] for step in steps if step["nearest"]):
        assert aml(project, "cache", "forget", key).code == 0
    said = aml(project, "explain", second, "train")
    assert "the earlier results of that time are gone; what differed from the nearest of them:" in said.out
    assert told(said) == ["code train.py: # -> #", "parameter epochs: 3 -> 4"]


def read(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text())
    assert isinstance(value, dict)
    return value


# --- wrong input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pipeline.py", "preparation"], ["'preparation'", "'prep', 'train', 'report', 'audit'"]),
        (["pipeline.py"], ["say which step of pipeline.py", "'prep', 'train', 'report', 'audit'"]),
        (["nowhere.py", "prep"], ["there is no file nowhere.py"]),
        (["houses-000000000000"], ["'houses-000000000000'", "no record"]),
        (["houses/manual__2020"], ["'houses/manual__2020'", "no record"]),
        (["RUN", "preparation"], ["'preparation'", "'prep', 'train', 'report', 'audit'"]),
        (["RUN", "prep", "-p", "epochs=4"], ["-p goes with a pipeline file"]),
        (["pipeline.py", "prep", "-p", "epoch=4"], ["'epoch'"]),
    ],
)
def test_wrong_input_is_told_in_a_sentence(aml: Aml, project: Path, arguments: list[str], words: list[str]) -> None:
    said = aml(project, "explain", *(reused.run_id() if a == "RUN" else a for a in arguments))
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("aml: ")
    assert said.is_plain()
    assert len(said.err.splitlines()) == 1
    for word in words:
        assert word in said.err


def test_a_run_of_which_only_results_are_known_is_said_to_be_one(aml: Aml, project: Path) -> None:
    shutil.rmtree(project / ".aml/datastores/workspaceblobstore/.aml/runs")
    said = aml(project, "explain", reused.run_id(), "train")
    assert said.code == 1
    assert f"run '{reused.run_id()}' has left results here and no record of itself" in said.err
    assert "ran on another machine" in said.err
    key = said.err.partition("aml cache show ")[2][:12]
    assert aml(project, "cache", "show", key).code == 0
