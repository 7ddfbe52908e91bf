"""Steps that go wrong while they run, on the machine itself: what ``aml run`` says, and what is left."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import AML, Said, make_project, pipeline, run_aml

WORKSPACE = """
name: lab
compute:
  cpu: {}
  hasty: {timeout_seconds: 2}
"""

FAILURES = """\
def data(name, path):
    return Dataset.File.from_files((store, path), validate=False).as_named_input(name).as_mount()

bad = Environment("bad")
bad.python.conda_dependencies = CondaDependencies.create(pip_packages=["aml-provider-no-such-package==1.0"])
with_bad = RunConfiguration()
with_bad.environment = bad

features = PipelineData("features", datastore=store)
forgets = script(name="forgets", arguments=[features], outputs=[features])
submit(
    script("exits.py", name="exits"),
    script("raises.py", name="raises"),
    script("sleeps.py", name="too slow", compute_target="hasty"),
    script("lists.py", name="no folder", arguments=[data("raw", "no/such/folder")]),
    script("lists.py", name="no match", arguments=[data("tables", "tables/*.csv")]),
    script(name="no package", runconfig=with_bad),
    forgets,
    script("lists.py", name="reads", arguments=[features], inputs=[features]),
    script(name="fine"),
    continue_on_step_failure=True,
)
"""

#: step -> what its error must name
ERRORS = {
    "exits": ["exit code 3"],
    "raises": ["exit code 1"],
    "too slow": ["its timeout of 2 s", "timeout_seconds", "'hasty'"],
    "no folder": ["'raw'", "'no/such/folder'", "'workspaceblobstore'", "Upload the data"],
    "no match": ["'tables'", "'tables/*.csv'", "Upload the data"],
    "no package": ["'bad'", "aml-provider-no-such-package"],
    "reads": ["'features'", "'forgets' finished", "nothing at"],
}


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """One run in which every step fails in a way of its own, and one does not."""
    project = make_project(tmp_path_factory.mktemp("failures") / "p", WORKSPACE)
    return project, run_aml(project, "run", pipeline(project, FAILURES), "--json")


def test_every_failure_has_a_sentence_of_its_own(failures: tuple[Path, Said]) -> None:
    _, said = failures
    assert said.code == 1
    assert said.results[0]["state"] == "Failed"
    steps = said.steps()
    for name, named in ERRORS.items():
        assert steps[name]["state"] == "Failed", name
        error = steps[name]["error"]
        for word in [repr(name), *named] if name != "no package" else named:
            assert word in error, (name, error)
        assert "std_log.txt" not in error
        # What is printed is the same sentence, once, in place of a reference to some log.
        assert said.err.count(error[1:]) == 1, name


def test_a_script_that_fails_shows_the_end_of_its_log_once(failures: tuple[Path, Said]) -> None:
    _, said = failures
    assert said.err.count("the third column is missing") == 1
    assert said.err.count("ValueError: no such column: age") == 1
    assert "/aml_provider/" not in said.err


def test_the_other_steps_go_on_when_they_may(failures: tuple[Path, Said]) -> None:
    _, said = failures
    steps = said.steps()
    assert (steps["fine"]["state"], steps["forgets"]["state"]) == ("Finished", "Finished")


def test_nothing_half_written_is_left(failures: tuple[Path, Said]) -> None:
    project, _ = failures
    store = project / ".aml" / "datastores" / "workspaceblobstore"
    assert list((store / ".aml" / "staging").glob("*")) == []
    assert not (store / "azureml").exists()


EXACT = """\
WEIRD = ["{{ ds }}", "$HOME", "`id`", "it's \\"quoted\\"", "two\\nlines", "", " blank ", "größe ✓", "\\\\n",
         "{% raw %}", "*"]
values = [PipelineParameter("yes", True), PipelineParameter("rate", 2.0), PipelineParameter("count", 7),
          PipelineParameter("text", "it's {{ x }}\\n$HOME")]
environment = Environment("mine")
environment.environment_variables = {"MY_TEXT": "{{ ds }} $HOME 'q'\\nnext"}
run_config = RunConfiguration()
run_config.environment = environment
submit(
    script("tells.py", name="größe / ✓ a b", arguments=WEIRD + values, runconfig=run_config),
    CommandStep(name="größe / ✓ a b", command=["python", "tells.py", values[3], values[0], "'$HOME {{ ds }}'"],
                source_directory="src", compute_target="cpu"),
    pipeline_parameters={"count": 8},
)
bad = script("exits.py", name="bad")
after = script(name="after")
after.run_after(bad)
submit(bad, after).wait_for_completion(raise_on_error=False)
raise RuntimeError("my own mistake")
"""


def test_what_the_author_wrote_reaches_the_script_byte_by_byte(tmp_path: Path) -> None:
    """Two pipelines in one file: the first is not waited for, the second stops at a failure, then the file fails."""
    project = make_project(tmp_path / "p")
    said = run_aml(project, "run", pipeline(project, EXACT), "--json")
    first, second = said.results
    assert said.code == 1
    assert (first["state"], first["dag_id"]) == ("Finished", "wrong")
    assert (second["state"], second["dag_id"]) == ("Failed", "wrong_2")
    assert [s["name"] for s in first["steps"]] == ["größe / ✓ a b"] * 2
    assert {s["name"]: s["state"] for s in second["steps"]} == {"bad": "Failed", "after": "Skipped"}
    assert "Step 'bad' failed: the command ended with exit code 3" in said.err
    assert "RuntimeError: my own mistake" in said.err
    assert "/aml_provider/" not in said.err

    run = project / ".aml/datastores/workspaceblobstore/.aml/runs/wrong"
    told = [json.loads(log.read_text()) for log in sorted(run.glob("*/steps/*/attempts/1/logs/std_log.txt"))]
    told.sort(key=lambda t: -len(t["arguments"]))
    weird = ["{{ ds }}", "$HOME", "`id`", 'it\'s "quoted"', "two\nlines", "", " blank ", "größe ✓", "\\n", "{% raw %}"]
    text = "it's {{ x }}\n$HOME"
    assert told[0]["arguments"] == [*weird, "*", "True", "2.0", "8", text]
    assert told[0]["variables"] == {"MY_TEXT": "{{ ds }} $HOME 'q'\nnext"}
    assert told[1]["arguments"] == [text, "True", "$HOME {{ ds }}"]
    assert {t["experiment"] for t in told} == {"wrong"}
    assert {t["workspace"] for t in told} == {"lab"}
    assert len({t["parent"] for t in told}) == 1
    assert len({t["id"] for t in told}) == 2


@pytest.mark.parametrize("waits", [True, False], ids=["in wait_for_completion", "after the file"])
def test_ctrl_c_stops_the_run(tmp_path: Path, waits: bool) -> None:
    import mlflow

    project = make_project(tmp_path / "p")
    code = 'slow = script("sleeps.py", name="slow")\nafter = script(name="after")\nafter.run_after(slow)\n'
    file = pipeline(project, code + "run = submit(slow, after)\n" + "run.wait_for_completion()\n" * waits)
    running = subprocess.Popen(
        [str(AML), "run", str(file), "--json"], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    log = ".aml/datastores/workspaceblobstore/.aml/runs/wrong/*/steps/slow/attempts/1/logs/std_log.txt"
    deadline = time.monotonic() + 60
    while not any(p.read_text() for p in project.glob(log)):
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    said = Said(running.returncode, out, err)
    assert said.code == 130, err
    assert "stopping run" in err
    assert said.is_plain(), err
    assert said.results[0]["state"] == "Canceled"
    assert {s["state"] for s in said.steps().values()} <= {"Canceled", "Failed", "Skipped"}
    assert not _processes_of(project)
    mlflow.set_tracking_uri(f"sqlite:///{project / '.aml' / 'mlflow.db'}")
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert len(runs) == 3
    assert {run.info.status for run in runs} <= {"KILLED", "FAILED"}


def _processes_of(project: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(project) in command:
            found.append(command)
    return found
