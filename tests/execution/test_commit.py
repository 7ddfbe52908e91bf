"""Publishing what an attempt wrote: all of it or nothing, also when the worker dies in the middle of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aml_provider.execution import data
from aml_provider.execution.commit import commit_failure, commit_success, record_problem
from aml_provider.execution.lifecycle import close_records, record_end
from aml_provider.execution.outcome import conclude
from aml_provider.reuse.claims import Claims, Lease
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.runs.errors import StepError, StepFailedError, StepInterruptedError
from aml_provider.runs.layout import AttemptFolder, write_json
from aml_provider.spec.models import DataMode, PipelineSpec, PythonScript, Step, StepOutput, SubmitOptions
from aml_provider.workspace.discovery import load_workspace
from tests import stores

OWN = "azureml/{run-id}/{output-name}"
REPORT = {"report_version": 1, "attempt": 1, "exit_code": 0, "error": None, "started": 100.0, "ended": 102.5}


class Killed(BaseException):
    """The worker dies here."""


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., StepRun]:
    """A step run whose step has these outputs."""

    def step_run(*outputs: StepOutput, blobs: str = "blobs") -> StepRun:
        (tmp_path / "workspace.yaml").write_text(
            "name: lab\ncompute: {tiny: {memory: 512Mi, timeout_seconds: 9}}\n"
            f"datastores: {{web: {{url: https://example.com/data}}, blobs: {{url: '{blobs}', conn_id: my_s3}}}}\n"
        )
        step = Step(
            key="train",
            name="train it",
            type="PythonScriptStep",
            action=PythonScript(script="t.py"),
            outputs=outputs,
            compute_target="tiny",
        )
        spec = PipelineSpec(
            workspace="lab", default_datastore="workspaceblobstore", steps=(step,), submit=SubmitOptions(experiment="e")
        )
        binding = PipelineBinding(spec, tmp_path, load_workspace(tmp_path / "workspace.yaml"))
        return StepRun(binding, step, "e", "manual__1", {}, lambda key: {})

    return step_run


def output(name: str, destination: str = OWN, **more: Any) -> StepOutput:
    return StepOutput(name=name, datastore="workspaceblobstore", destination=destination, **more)


def attempt_of(run: StepRun, number: int = 1, **files: str) -> AttemptFolder:
    """An attempt whose script wrote these files: ``output__file=content``."""
    attempt = run.folder.attempt(number)
    attempt.path.mkdir(parents=True)
    for o in run.step.outputs:
        data.place_output(run, attempt, o, in_place=True)
    for place, content in files.items():
        name, _, file = place.partition("__")
        (wanted,) = [o for o in run.step.outputs if o.name == name]
        target = data.staged_path(run, attempt, wanted) / file if file else data.staged_path(run, attempt, wanted)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    return attempt


def root(run: StepRun) -> Path:
    path = run.binding.workspace.datastore("workspaceblobstore").local_root
    assert path is not None
    return path


def published(run: StepRun) -> dict[str, str]:
    """What readers of the datastore see."""
    files = [p for p in root(run).rglob("*") if p.is_file() and ".aml" not in p.relative_to(root(run)).parts]
    return {p.relative_to(root(run)).as_posix().replace(run.step_run_id, "ID"): p.read_text() for p in files}


def staged(run: StepRun) -> list[Path]:
    return list((root(run) / ".aml" / "staging").glob("*"))


def test_a_good_attempt_is_published_and_leaves_nothing_staged(make: Callable[..., StepRun]) -> None:
    run = make(output("model"), output("table", directory=True), output("never"))
    places = commit_success(run, attempt_of(run, model="m", table__a="1", table__b="2"), REPORT)
    assert published(run) == {"azureml/ID/model": "m", "azureml/ID/table/a": "1", "azureml/ID/table/b": "2"}
    assert places["model"].path == f"azureml/{run.step_run_id}/model"
    assert staged(run) == []
    result = run.folder.result()
    assert result is not None
    assert (result["state"], result["seconds"], result["error"]) == ("Finished", 2.5, None)


@pytest.mark.parametrize("renames", range(4))
def test_a_worker_that_dies_between_renames_can_do_it_again(
    make: Callable[..., StepRun], monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    run = make(output("one"), output("two", directory=True), output("three"))
    attempt = attempt_of(run, one="1", two__a="2", three="3")
    # An earlier attempt of this step run, since cleared, had published too.
    (root(run) / f"azureml/{run.step_run_id}/two").mkdir(parents=True)
    (root(run) / f"azureml/{run.step_run_id}/one").write_text("old")
    (root(run) / f"azureml/{run.step_run_id}/two/old").write_text("old")
    left = renames
    real = os.rename

    def rename(a: Any, b: Any) -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        real(a, b)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(Killed):
        commit_success(run, attempt, REPORT)
    assert run.folder.result() is None
    monkeypatch.undo()
    commit_success(run, attempt, REPORT)
    commit_success(run, attempt, REPORT)
    assert published(run) == {"azureml/ID/one": "1", "azureml/ID/two/a": "2", "azureml/ID/three": "3"}
    assert staged(run) == []


def test_what_a_failed_attempt_wrote_is_never_seen(make: Callable[..., StepRun]) -> None:
    run = make(output("model"), output("table", destination="shared", directory=True))
    commit_failure(run, attempt_of(run, model="half", table__a="half"), None, "step 'train it' failed: why.")
    assert published(run) == {}
    assert staged(run) == []
    assert (run.folder.result() or {})["error"] == "step 'train it' failed: why."


def test_a_shared_destination_gets_files_and_loses_none(make: Callable[..., StepRun]) -> None:
    shared = output("table", destination="shared", directory=True, mode=DataMode.UPLOAD)
    run = make(shared)
    (root(run) / "shared").mkdir(parents=True)
    (root(run) / "shared/old").write_text("old")
    commit_success(run, attempt_of(run, table__new="new"), REPORT)
    assert published(run) == {"shared/old": "old", "shared/new": "new"}
    with pytest.raises(StepError, match=r"'train it', output 'table': old exists already .*overwrite=True"):
        commit_success(run, attempt_of(run, 2, table__old="x", table__other="y"), REPORT)
    assert published(run) == {"shared/old": "old", "shared/new": "new"}


@pytest.mark.parametrize("there", [False, True], ids=["first", "beside others"])
def test_links_and_empty_folders_come_to_a_shared_destination(make: Callable[..., StepRun], there: bool) -> None:
    run = make(output("table", destination="shared", directory=True))
    if there:
        (root(run) / "shared").mkdir(parents=True)
        (root(run) / "shared/old").write_text("old")
    attempt = attempt_of(run, table__epoch_1="w")
    wrote = data.staged_path(run, attempt, run.step.outputs[0])
    (wrote / "deep/empty").mkdir(parents=True)
    (wrote / "deep/kept").write_text("kept")
    for link, leads in {"latest": "deep", "deep/best": "../epoch_1", "nowhere": "none", "itself": "itself"}.items():
        (wrote / link).symlink_to(leads)
    commit_success(run, attempt, REPORT)
    found = root(run) / "shared"
    assert {p.relative_to(found).as_posix() for p in found.rglob("*")} - {"old"} == {
        "deep",
        "deep/best",
        "deep/empty",
        "deep/kept",
        "epoch_1",
        "itself",
        "latest",
        "nowhere",
    }
    assert (os.readlink(found / "latest"), (found / "deep/best").read_text()) == ("deep", "w")
    # Once more, as after a crash.
    commit_success(run, attempt_of(run, 2, table__more="m"), REPORT)
    assert (found / "latest/kept").read_text() == "kept"


@pytest.mark.parametrize(
    ("wrote", "there", "says"),
    [
        ("model", "model/in/it", "it wrote a file 'model', and there is a folder of that name already in .*shared"),
        (
            "model/in/it",
            "model",
            "it wrote a folder 'model', and there is a file or link of that name already in .*shared",
        ),
        ("model/in/it", "", "it wrote a folder 'shared', and there is a file or link of that name already in"),
    ],
)
def test_what_no_attempt_could_publish_fails_the_step_before_anything_is_moved(
    make: Callable[..., StepRun], wrote: str, there: str, says: str
) -> None:
    """Not an accident of this attempt: a script that takes hours is not run three times for it."""
    run = make(output("table", destination="shared", directory=True))
    old = root(run) / "shared" / there
    old.parent.mkdir(parents=True)
    old.write_text("old")
    attempt = attempt_of(run, **{f"table__{wrote}": "new", "table__a": "a"})
    with pytest.raises(StepError, match=f"'train it', output 'table': {says}.*with {{run-id}} in it"):
        commit_success(run, attempt, REPORT)
    assert published(run) == {f"shared/{there}".rstrip("/"): "old"}


def test_nothing_is_written_through_a_link_that_is_there(make: Callable[..., StepRun], tmp_path: Path) -> None:
    """It leads to what another run has written, or out of the datastore."""
    run = make(output("table", destination="shared", directory=True))
    (root(run) / "shared/v1").mkdir(parents=True)
    (root(run) / "shared/v1/model").write_text("v1")
    (root(run) / "shared/latest").symlink_to("v1")
    with pytest.raises(StepError, match="it wrote a folder 'latest', and there is a file or link of that name"):
        commit_success(run, attempt_of(run, **{"table__latest/model": "new"}), REPORT)
    assert (root(run) / "shared/v1/model").read_text() == "v1"
    # The place itself may be on another disk.
    (root(run) / "shared").rename(tmp_path / "disk")
    (root(run) / "shared").symlink_to(tmp_path / "disk")
    commit_success(run, attempt_of(run, 2, table__more="m"), REPORT)
    assert (tmp_path / "disk/more").read_text() == "m"


def test_only_files_that_match_are_kept(make: Callable[..., StepRun]) -> None:
    run = make(output("table", directory=True, source_globs=("*.csv",)))
    commit_success(run, attempt_of(run, **{"table__a.csv": "1", "table__b.log": "2"}), REPORT)
    assert published(run) == {"azureml/ID/table/a.csv": "1"}


# --- judging ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (
            {"exit_code": 3, "error": "The command ended with exit code 3."},
            "failed: the command ended with exit code 3.",
        ),
        ({"exit_code": 124, "timed_out": True}, "its timeout of 9 s"),
        ({"exit_code": 137, "oom_killed": True}, "more memory than the limit of 512 MiB of compute target 'tiny'"),
        ({"exit_code": 137, "signal": 9}, "killed by signal 9 (perhaps the machine ran out of memory)"),
    ],
)
def test_a_reported_failure_is_a_sentence_and_the_log_only_in_details(
    make: Callable[..., StepRun], report: dict[str, Any], told: str
) -> None:
    run = make()
    attempt = attempt_of(run)
    attempt.log.parent.mkdir()
    attempt.log.write_text("last words\n")
    write_json(attempt.path / "report.json", {**REPORT, **report})
    with pytest.raises(StepFailedError) as failure:
        conclude(run, attempt, "its process ended")
    assert told in failure.value.sentence
    assert "'train it'" in failure.value.sentence
    assert "last words" not in failure.value.sentence
    assert "last words" in str(failure.value)
    assert (run.folder.result() or {})["error"] == failure.value.sentence


def test_an_end_without_a_report_is_not_done_and_may_be_tried_again(make: Callable[..., StepRun]) -> None:
    run = make(output("model"))
    attempt = attempt_of(run, model="complete?")
    with pytest.raises(StepInterruptedError, match="its container ended with exit code 0, before the step reported"):
        conclude(run, attempt, "its container ended with exit code 0")
    assert published(run) == {}
    record_problem(run, 1, "gone", final=False)
    assert (run.folder.result() or {})["state"] == "Interrupted"
    # Not thrown away: the attempt may be running still, for all we know.
    assert staged(run) != []


def test_a_kernel_that_kills_the_runtime_too_is_memory_all_the_same(make: Callable[..., StepRun]) -> None:
    run = make()
    with pytest.raises(StepFailedError, match="more memory than the limit of 512 MiB"):
        conclude(run, attempt_of(run), "its container ended with exit code 137", memory_ran_out=True)


def test_a_datastore_that_refuses_an_output_is_the_one_that_is_named(make: Callable[..., StepRun]) -> None:
    run = make(StepOutput(name="model", datastore="web", destination=OWN))
    attempt = attempt_of(run, model__weights="1")
    with pytest.raises(StepInterruptedError) as caught:
        commit_success(run, attempt, REPORT)
    said = str(caught.value)
    assert said.startswith("step 'train it': datastore 'web' (https://example.com/data)")
    assert said.endswith(". See to it and run the step again.")
    assert ".." not in said
    assert "workspaceblobstore" not in said


@pytest.mark.stores
def test_what_was_computed_waits_for_a_datastore_that_is_away_just_then(
    make: Callable[..., StepRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stores.place("s3", tmp_path, monkeypatch) as blobs, stores.away(monkeypatch) as back:
        run = make(StepOutput(name="model", datastore="blobs", destination="kept/model"), blobs=blobs.url)
        attempt = attempt_of(run, model="hours of work")
        write_json(attempt.path / "report.json", {**REPORT, "outputs": {"model": {"exists": True}}})
        with ThreadPoolExecutor(1) as worker:
            ended = worker.submit(conclude, run, attempt, "its process ended")
            # Its client asks six times before it gives up.
            with back(14):
                assert ended.result(120)["model"].path == "kept/model"
        assert blobs.read("kept/model") == b"hours of work"
        assert (run.folder.result() or {})["state"] == "Finished"


def test_links_that_lead_back_up_are_not_followed_in_a_copy(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a").write_text("a")
    (tmp_path / "in" / "deep" / "up").symlink_to("..")
    (tmp_path / "in" / "self").symlink_to(".")
    (tmp_path / "in" / "other").symlink_to("deep")
    (tmp_path / "in" / "nowhere").symlink_to("gone")
    data.copy(tmp_path / "in", tmp_path / "out")
    copied = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*"))
    assert copied == ["deep", "deep/a", "other", "other/a"]


@pytest.mark.parametrize("begun", [0, 1])
def test_the_end_of_a_run_disturbs_no_step_that_a_person_has_cleared_since(
    make: Callable[..., StepRun], begun: int
) -> None:
    """What MLflow is told takes seconds: meanwhile the step has begun anew, be it one that was reused."""
    run = make(output("model"))
    if begun:
        attempt_of(run, 1, model="of an attempt that nobody has ended")
    ending = record_end(run.binding, run.dag_id, run.run_id, {run.step.key: "failed" if begun else "skipped"})
    again = attempt_of(run, begun + 1, model="m")
    lease = Claims.of(run.binding.store).acquire("0" * 64, owner=run.step_run_id, step="train", pipeline_run_id="r")
    assert isinstance(lease, Lease)
    close_records(run.binding, run.dag_id, run.run_id, ending)
    assert Claims.of(run.binding.store).look("0" * 64) == lease.claim
    commit_success(run, again, REPORT)
    assert published(run) == {"azureml/ID/model": "m"}


def test_the_end_of_a_run_removes_what_is_left_of_it(make: Callable[..., StepRun]) -> None:
    run = make(output("model"))
    attempt_of(run, 1, model="1")
    attempt_of(run, 2, model="2")
    ending = record_end(run.binding, run.dag_id, run.run_id, {run.step.key: "failed"})
    close_records(run.binding, run.dag_id, run.run_id, ending)
    assert staged(run) == []
