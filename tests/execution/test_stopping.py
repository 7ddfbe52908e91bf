"""The closing task of a run waits for steps that Airflow calls ended and that are still being stopped."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from aml_provider.cli.inspect import collect
from aml_provider.execution import stopping
from aml_provider.execution.stopping import await_stopped, await_word, record_stopped
from aml_provider.runs.binding import PipelineBinding
from aml_provider.runs.layout import StepFolder

DAG, RUN = "stopping", "manual__1"
PIPELINE = """\
from azureml.core import Experiment, Workspace
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import CommandStep

ws = Workspace.from_config()
steps = [CommandStep(name=name, command="true", compute_target="local") for name in ("one", "other")]
Experiment(ws, "stopping").submit(Pipeline(ws, steps))
"""


@pytest.fixture
def binding(tmp_path: Path) -> PipelineBinding:
    """A pipeline of two steps."""
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    (tmp_path / "workspace.yaml").write_text("name: stopping\n")
    ((spec, source, workspace),) = collect(tmp_path / "pipeline.py")
    return PipelineBinding(spec, source.folder, workspace)


def begun(binding: PipelineBinding, number: int = 1) -> StepFolder:
    """The folder of a step whose attempt has shown that it lives."""
    step = binding.store.run(DAG, RUN).step("one")
    step.attempt(number).path.mkdir(parents=True)
    step.attempt(number).heartbeat.write_text("alive")
    return step


def say(step: StepFolder, attempt: int) -> None:
    step.result_file.write_text(json.dumps({"state": "Canceled", "attempt": attempt}))


def test_a_step_that_only_the_triggerer_followed_is_stopped_and_not_failed(
    binding: PipelineBinding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else is there to say so: its worker has gone when it was deferred."""
    monkeypatch.setattr(stopping, "HEARTBEAT_SECONDS", 30.0)
    step = begun(binding)
    told = threading.Timer(0.5, step.attempt(1).stopped.touch)
    told.start()
    stopped = await_word(binding, DAG, RUN, {"one", "other"})
    assert stopped == {"one"}
    record_stopped(binding, DAG, RUN, stopped)
    result = step.result() or {}
    assert (result["state"], result["error"], result["attempt"]) == ("Canceled", "stopped before it had ended", 1)
    # The next one is another.
    say(begun(binding, 2), 2)
    assert await_word(binding, DAG, RUN, {"one", "other"}) == set()


def test_a_step_of_which_nobody_says_anything_is_given_the_time_of_a_heartbeat(
    binding: PipelineBinding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "HEARTBEAT_SECONDS", 0.5)
    begun(binding)
    before = time.monotonic()
    assert await_word(binding, DAG, RUN, {"other"}) == set()
    assert time.monotonic() - before < 0.5
    assert await_word(binding, DAG, RUN, {"one", "other"}) == set()
    assert time.monotonic() - before >= 0.5


def test_nothing_is_waited_for_that_has_said_how_it_ended_or_never_began(binding: PipelineBinding) -> None:
    await_stopped(binding, DAG, RUN, {"one", "other"})
    say(begun(binding), 1)
    binding.store.run(DAG, RUN).step("other").attempt(1).path.mkdir(parents=True)
    await_stopped(binding, DAG, RUN, {"one", "other"})


def test_a_step_that_goes_on_beside_one_that_failed_is_not_waited_for(binding: PipelineBinding) -> None:
    begun(binding)
    before = time.monotonic()
    await_stopped(binding, DAG, RUN, {"other"})
    assert time.monotonic() - before < stopping.SILENT_SECONDS


def test_a_step_that_is_being_stopped_is_waited_for(binding: PipelineBinding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "SILENT_SECONDS", 1.0)
    say(begun(binding), 1)
    step, over = begun(binding, 2), threading.Event()

    def live() -> None:
        for beat in range(20):
            step.attempt(2).heartbeat.write_text(f"alive {beat}")
            time.sleep(0.1)
        over.set()
        say(step, 2)

    living = threading.Thread(target=live)
    living.start()
    await_stopped(binding, DAG, RUN, {"one", "other"})
    assert over.is_set()
    living.join()


def test_a_step_whose_machine_was_lost_is_waited_for_as_long_as_it_might_live(
    binding: PipelineBinding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "SILENT_SECONDS", 0.5)
    begun(binding)
    before = time.monotonic()
    await_stopped(binding, DAG, RUN, {"one", "other"})
    assert time.monotonic() - before >= 0.5


def test_a_step_that_does_not_end_holds_up_nothing_for_ever(
    binding: PipelineBinding, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stopping, "LONGEST_SECONDS", 0.5)
    step = begun(binding)
    await_stopped(binding, DAG, RUN, {"one", "other"})
    assert "not waited for any longer: 'one'" in caplog.text
    assert not step.result_file.exists()
