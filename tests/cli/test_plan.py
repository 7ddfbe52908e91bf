"""``aml plan``: what a run would do, in a table and as JSON, without running anything."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aml_provider.reuse.index import ReuseIndex
from tests.cli import reused
from tests.cli.conftest import AML, Aml, Said, run_aml

TWO = (
    reused.PIPELINE
    + """
Experiment(ws, "audits").submit(Pipeline(ws, [steps[3]]))
"""
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose pipeline has run."""
    return reused.copied_project(tmp_path)


def planned(said: Said) -> dict[str, dict[str, Any]]:
    """The steps of the only pipeline by name."""
    assert said.code == 0, said.err
    (pipeline,) = json.loads(said.out)
    assert pipeline.keys() == {"experiment", "steps"}
    return {step["name"]: step for step in pipeline["steps"]}


def verdicts(said: Said) -> dict[str, str]:
    return {name: step["verdict"] for name, step in planned(said).items()}


def changes(step: dict[str, Any]) -> list[tuple[str, str]]:
    return [(change["part"], change["name"]) for change in step["changes"]]


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a folder but the digest cache."""
    files = [p for p in folder.rglob("*") if p.is_file() and (folder / ".aml" / "cache") not in p.parents]
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in files}


# --- what it says -----------------------------------------------------------------------------------------------


def test_when_nothing_has_changed_everything_is_reused(aml: Aml, project: Path) -> None:
    before = tree(project)
    said = aml(project, "plan", "pipeline.py")
    assert (said.code, said.err) == (0, "")
    header, *lines, summary = said.out.splitlines()
    assert header.split() == ["step", "verdict", "why"]
    assert [line.split()[:2] for line in lines] == [
        ["prep", "reuse"],
        ["train", "reuse"],
        ["report", "reuse"],
        ["audit", "run"],
    ]
    assert f"computed by run {reused.run_id()}, saves " in lines[0]
    assert lines[3].endswith("allow_reuse is False for it")
    assert summary.startswith("3 of 4 steps reused, saving ")
    assert summary.endswith(" s; 1 runs")
    assert tree(project) == before


def test_no_more_is_imported_than_a_plan_needs(project: Path) -> None:
    needless = {
        *("airflow", "asyncio", "docker", "fsspec", "httpx", "kubernetes", "mlflow", "pandas", "requests", "rich"),
        *("ssl", "sqlalchemy", "aml_provider.execution", "aml_provider.operators", "aml_provider.reuse.claims"),
        # Only a step that runs has differences.
        "aml_provider.reuse.explain",
    }
    code = """if True:
        import sys
        from aml_provider.cli.app import app
        app(standalone_mode=False)
        print(*sys.modules, sep="\\n")
    """
    done = subprocess.run(
        [sys.executable, "-c", code, "plan", "pipeline.py"], cwd=project, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.splitlines())
    assert "aml_provider.reuse.plan" in imported
    assert needless & imported == set()


def test_the_json_has_one_form_for_every_step(aml: Aml, project: Path) -> None:
    steps = planned(aml(project, "plan", "pipeline.py", "--json"))
    for step in steps.values():
        assert list(step) == [
            *("name", "key", "verdict", "reason", "fingerprint", "changes"),
            *("source_run", "saved_seconds", "outputs", "notes"),
        ]
    train, audit = steps["train"], steps["audit"]
    assert train["source_run"] == reused.run_id()
    assert train["saved_seconds"] > 0
    assert len(train["fingerprint"]) == 64
    place = train["outputs"]["model"]
    assert (project / ".aml/datastores" / place["datastore"] / place["path"]).read_text() == "a model"
    assert (audit["source_run"], audit["saved_seconds"], audit["outputs"]) == (None, None, {})


def test_before_the_first_run_nothing_can_be_reused(aml: Aml, tmp_path: Path) -> None:
    project = reused.new_project(tmp_path)
    said = aml(project, "plan", "pipeline.py")
    assert "prep    run      not computed before\n" in said.out
    assert "train   depends  depends on what 'prep' will write; reused if that and all else are as before\n" in said.out
    assert said.out.endswith("\n0 of 4 steps reused; 2 run, 2 depend\n")
    # Not even a place for results is made.
    assert not (project / ".aml/datastores/workspaceblobstore/.aml").exists()


def test_an_edited_script_runs_and_what_comes_behind_it_depends(aml: Aml, project: Path) -> None:
    (project / "reporting" / "report.py").write_text("print('another report')\n")
    said = aml(project, "plan", "pipeline.py", "--json")
    assert verdicts(said) == {"prep": "reuse", "train": "reuse", "report": "run", "audit": "run"}
    step = planned(said)["report"]
    assert changes(step) == [("code", "report.py")]
    (change,) = step["changes"]
    assert change["old"] != change["new"]
    said = aml(project, "plan", "pipeline.py")
    assert f"\n                   code report.py: {change['old']} -> {change['new']}\n" in said.out
    (project / "shared" / "prep.py").write_text("1 / 0\n")
    assert verdicts(aml(project, "plan", "pipeline.py", "--json")) == {
        "prep": "run",
        "train": "depends",
        "report": "depends",
        "audit": "run",
    }


def test_touched_and_copied_files_are_no_change(aml: Aml, project: Path, tmp_path: Path) -> None:
    for file in (project / "shared").iterdir():
        os.utime(file, (1, 1))
    moved = project.rename(tmp_path / "moved to another folder")
    assert list(verdicts(aml(moved, "plan", "pipeline.py", "--json")).values()) == ["reuse", "reuse", "reuse", "run"]


def test_changed_data_under_an_unchanged_path_is_seen(aml: Aml, project: Path) -> None:
    raw = project / ".aml/datastores/workspaceblobstore/raw/north.csv"
    stat = raw.stat()
    raw.write_text("n1\nn3\n")
    os.utime(raw, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    steps = planned(aml(project, "plan", "pipeline.py", "--json"))
    assert steps["prep"]["verdict"] == "run"
    assert changes(steps["prep"]) == [("input", "raw")]


def test_outputs_that_were_deleted_are_computed_again(aml: Aml, project: Path) -> None:
    steps = planned(aml(project, "plan", "pipeline.py", "--json"))
    place = steps["train"]["outputs"]["model"]
    (project / ".aml/datastores" / place["datastore"] / place["path"]).unlink()
    said = aml(project, "plan", "pipeline.py")
    assert "train   run      output 'model' of its earlier result is gone (workspaceblobstore:azureml/" in said.out
    # Nothing that it depends on has changed, so nothing is said to have, whatever other results there are.
    index = ReuseIndex.of(project / ".aml/datastores/workspaceblobstore/.aml/reuse")
    record = index.read(steps["train"]["fingerprint"])
    assert record is not None
    other = {"key": {**record.parts["key"], "step": {"type": "OtherStep", "version": None}}, "details": {}}
    index.commit(replace(record, fingerprint="0" * 64, parts=other))
    assert planned(aml(project, "plan", "pipeline.py", "--json"))["train"]["changes"] == []


def test_what_has_changed_is_told_in_five_lines_at_most(aml: Aml, project: Path) -> None:
    for number in range(7):
        (project / "shared" / f"more_{number}.py").write_text("")
    lines = aml(project, "plan", "pipeline.py").out.splitlines()
    told = lines[lines.index(next(line for line in lines if line.startswith("prep"))) + 1 :][:6]
    assert [line.split(":")[0].strip() for line in told] == [
        *(f"code more_{number}.py" for number in range(5)),
        "and 2 more",
    ]
    assert told[5].strip() == "and 2 more: aml explain pipeline.py prep"
    assert len(planned(aml(project, "plan", "pipeline.py", "--json"))["prep"]["changes"]) == 7


# --- what it is told --------------------------------------------------------------------------------------------


def test_a_parameter_of_another_value_reruns_who_uses_it(aml: Aml, project: Path) -> None:
    steps = planned(aml(project, "plan", "pipeline.py", "-p", "epochs=5", "--json"))
    assert steps["prep"]["verdict"] == "reuse"
    assert steps["train"]["changes"] == [{"part": "parameter", "name": "epochs", "old": "3", "new": "5"}]
    assert verdicts(aml(project, "plan", "pipeline.py", "-p", "epochs=3", "--json"))["train"] == "reuse"


def test_a_step_can_be_assumed_unchanged(aml: Aml, project: Path) -> None:
    (project / "shared" / "prep.py").write_text("print('only a message')\n")
    said = aml(project, "plan", "pipeline.py", "--assume-unchanged", "prep", "--assume-unchanged", "train", "--json")
    assert verdicts(said) == {"prep": "reuse", "train": "reuse", "report": "reuse", "audit": "run"}
    assert planned(said)["prep"]["reason"] == "assumed unchanged"
    assert planned(said)["prep"]["fingerprint"] is not None


def test_everything_can_be_made_to_run(aml: Aml, project: Path) -> None:
    said = aml(project, "plan", "pipeline.py", "--regenerate")
    assert said.out.count("this run regenerates all outputs") == 4
    assert said.out.endswith("\n0 of 4 steps reused; 4 run\n")


def test_several_pipelines_of_a_file_are_told_by_their_experiments(aml: Aml, project: Path) -> None:
    (project / "pipeline.py").write_text(TWO)
    said = aml(project, "plan", "pipeline.py")
    assert [line for line in said.out.splitlines() if line.startswith("experiment")] == [
        "experiment houses",
        "experiment audits",
    ]
    assert said.out.endswith("\n0 of 1 step reused; 1 runs\n")
    found = json.loads(aml(project, "plan", "pipeline.py", "--json").out)
    assert [(p["experiment"], len(p["steps"])) for p in found] == [("houses", 4), ("audits", 1)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.py"], ["there is no file nowhere.py"]),
        (["shared/prep.py"], ["shared/prep.py"]),
        (["silent.py"], ["submits no pipeline"]),
        (["pipeline.py", "-p", "epoch=4"], ["'epoch'", "this pipeline has epochs"]),
        (["pipeline.py", "-p", "epochs=many"], ["'epochs'", "integer", "'many'"]),
        (
            ["pipeline.py", "--assume-unchanged", "preparation"],
            ["'preparation'", "'prep', 'train', 'report', 'audit'"],
        ),
    ],
)
def test_wrong_input_is_told_in_a_sentence(aml: Aml, project: Path, arguments: list[str], told: list[str]) -> None:
    (project / "silent.py").write_text("x = 1\n")
    said = aml(project, "plan", *arguments)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("aml: ")
    assert said.is_plain() or arguments == ["shared/prep.py"]
    for words in told:
        assert words in said.err


# --- how it is shown --------------------------------------------------------------------------------------------


def test_behind_a_pipe_no_line_is_folded_or_cut(project: Path) -> None:
    plain = run_aml(project, "plan", "pipeline.py")
    narrow = run_aml(project, "plan", "pipeline.py", COLUMNS="30", TERM="xterm-256color")
    assert narrow.out == plain.out
    assert "\x1b" not in plain.out
    assert max(len(line) for line in plain.out.splitlines()) > 80


def test_on_a_terminal_long_reasons_are_folded_and_whole(project: Path) -> None:
    (project / "shared" / "prep.py").write_text("print('changed')\n")
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm"}
    program = subprocess.Popen(
        [AML, "plan", "pipeline.py"], cwd=project, env=environment, stdout=slave, stdin=slave, close_fds=True
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(master)
    assert program.wait(60) == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode().replace("\r", "")).splitlines()
    assert max(len(line) for line in lines) <= 60
    words = " ".join(" ".join(lines).split())
    assert "depends on what 'train' will write; reused if that and all else are as before" in words


def test_what_a_reader_should_know_is_noted(aml: Aml, project: Path) -> None:
    target = "name: lab\ncompute:\n  cpu: {kind: kubernetes, image: 'example.com/team/houses:latest'}\n"
    (project / "workspace.yaml").write_text(target + "reuse: {trusted_images: ['example.com/team/*']}\n")
    note = "image 'example.com/team/houses:latest' is taken by its name: the workspace file trusts it"
    said = aml(project, "plan", "pipeline.py")
    assert f"\n{' ' * 17}  note: {note}\n" in said.out
    assert planned(aml(project, "plan", "pipeline.py", "--json"))["prep"]["notes"] == [note]
    assert f"\nnote: {note}\n" in aml(project, "explain", "pipeline.py", "prep").out


def test_an_image_that_nobody_can_tell_the_content_of_is_said_to_be_the_reason(aml: Aml, project: Path) -> None:
    nowhere = f"unix://{project}/no.sock"
    target = f"{{kind: docker, image: 'localhost:1/houses:latest', docker_url: '{nowhere}'}}"
    (project / "workspace.yaml").write_text(f"name: lab\ncompute:\n  cpu: {target}\n")
    step = planned(aml(project, "plan", "pipeline.py", "--json"))["prep"]
    assert step["verdict"] == "run"
    assert step["fingerprint"] is None
    assert "'localhost:1/houses:latest' is known only by a tag" in step["reason"]
