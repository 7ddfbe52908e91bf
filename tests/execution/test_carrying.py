"""A step's files on their way through a store: sent, laid out and collected by the pod's program, and received."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from aml_provider.execution import data
from aml_provider.execution.carrying import PROGRAM, Carrier
from aml_provider.execution.commit import commit_success
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.runs.errors import StepError, StepInterruptedError
from aml_provider.runs.layout import AttemptFolder
from aml_provider.spec.models import PipelineSpec, PythonScript, Step, StepOutput, SubmitOptions
from aml_provider.workspace.discovery import load_workspace
from tests.stores import OBJECT_KINDS, Place, connection, place

WORKSPACE = """
name: lab
datastores: {blobs: {url: 'URL', conn_id: CONNECTION}}
compute:
  apart: {kind: kubernetes, shared_volume: false, staging_datastore: blobs}
  nowhere: {kind: kubernetes, shared_volume: false}
"""
REPORT = json.dumps({"report_version": 1, "attempt": 1, "exit_code": 0, "error": None, "started": 1.0, "ended": 2.0})
STORE = "workspaceblobstore"
OUTPUTS = (
    StepOutput(name="model", datastore=STORE, destination="out/{run-id}/{output-name}", directory=True),
    StepOutput(name="beside", datastore=STORE, destination="out/{run-id}/{output-name}", path_on_compute="made/here"),
    StepOutput(name="never", datastore=STORE, destination="out/{run-id}/{output-name}"),
)


@dataclass
class Away:
    """A step whose files travel, and the pod's volume on this machine."""

    run: StepRun
    bucket: Place
    volume: Path
    steps: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def attempt(self) -> AttemptFolder:
        return self.run.folder.attempt(1)

    @property
    def carrier(self) -> Carrier:
        return Carrier(self.run)

    def prepare(self) -> list[data.Mount]:
        """An attempt as the worker lays it out, two inputs of which are names of one kept file."""
        self.attempt.code.mkdir(parents=True)
        (self.attempt.code / "t.py").write_text("print()\n")
        self.attempt.inputs.mkdir()
        for name in ("one", "other"):
            os.link(self.attempt.code / "t.py", self.attempt.inputs / name)
        outputs = [data.place_output(self.run, self.attempt, o, in_place=False).mount for o in self.run.step.outputs]
        job = data.mount(self.run, STORE, self.attempt.path, str(data.JOB_INSIDE), read_only=False)
        return [job, *(m for m in outputs if m is not None)]

    def carry(self, direction: str, address: str) -> int:
        """The pod's program, in this machine's folder in the place of the pod's."""
        with urllib.request.urlopen(address) as answer:
            order = json.load(answer)
        (self.volume / "order.json").write_text(json.dumps({**order, "base": str(self.volume)}))
        (self.volume / "order").write_text((self.volume / "order.json").as_uri())
        known = {"AML_ORDER": str(self.volume / "order"), "AML_TERMINATION_LOG": str(self.volume / "word")}
        return subprocess.run(
            [sys.executable, "-ES", str(PROGRAM), direction], env={**os.environ, **known}, timeout=60, check=False
        ).returncode

    def step(self, script: str) -> None:
        held = 'exec 9>.life && : >.begun && exec /bin/sh -c "$0"'
        self.steps.append(subprocess.Popen(["/bin/sh", "-c", held, script], cwd=self.volume))

    def published(self) -> dict[str, str]:
        root = self.run.binding.workspace.folder_of(STORE)
        files = [p for p in root.rglob("*") if p.is_file() and ".aml" not in p.relative_to(root).parts]
        return {
            PurePosixPath(p.relative_to(root)).relative_to("out", self.run.step_run_id).as_posix(): p.read_text()
            for p in files
        }


def step_run(folder: Path, bucket: Place, target: str) -> StepRun:
    text = WORKSPACE.replace("URL", bucket.url).replace("CONNECTION", str(bucket.conn_id))
    (folder / "workspace.yaml").write_text(text)
    step = Step(
        key="train",
        name="train it",
        type="PythonScriptStep",
        action=PythonScript(script="t.py"),
        outputs=OUTPUTS,
        compute_target=target,
    )
    spec = PipelineSpec(workspace="lab", default_datastore=STORE, steps=(step,), submit=SubmitOptions(experiment="e"))
    binding = PipelineBinding(spec, folder, load_workspace(folder / "workspace.yaml"))
    return StepRun(binding, step, "e", "manual__1", {}, lambda key: {})


# Google's signs only for a service account, and the emulator knows none.
@pytest.fixture(params=OBJECT_KINDS[:2])
def away(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Away]:
    (tmp_path / "volume").mkdir()
    with place(request.param, tmp_path, monkeypatch) as bucket:
        made = Away(step_run(tmp_path, bucket, "apart"), bucket, tmp_path / "volume")
        yield made
        for step in made.steps:
            step.wait()


SCRIPT = (
    "echo m >outputs/model/model/m; ln -s m outputs/model/model/link; mkdir -p job/logs job/code/made;"
    f" echo b >job/code/made/here; echo said >job/logs/std_log.txt; echo '{REPORT}' >job/report.json"
)


def there_and_back(away: Away) -> None:
    sent = away.carrier.send(away.attempt, away.prepare(), (), 60, 3600)
    assert away.carry("in", sent.address) == 0
    away.step(SCRIPT)
    assert away.carry("out", sent.address) == 0


def test_what_the_pod_left_is_published_as_if_it_had_been_here(away: Away) -> None:
    there_and_back(away)
    assert (away.volume / "job/code/t.py").read_text() == "print()\n"
    assert (away.volume / "job/inputs/one").read_text() == (away.volume / "job/inputs/other").read_text() == "print()\n"
    assert away.attempt.report() is None
    assert away.carrier.receive(away.attempt)
    report = away.attempt.finished_report()
    assert report is not None
    assert away.attempt.log_tail() == "said"
    commit_success(away.run, away.attempt, report)
    assert away.published() == {"model/m": "m\n", "model/link": "m\n", "beside": "b\n"}
    away.carrier.clear()
    assert away.bucket.names() == []


def test_without_a_receipt_nothing_has_come(away: Away) -> None:
    sent = away.carrier.send(away.attempt, away.prepare(), (), 60, 3600)
    assert away.carry("in", sent.address) == 0
    assert not away.carrier.receive(away.attempt)
    assert away.attempt.report() is None


def test_receiving_again_after_a_crash_gives_the_same(away: Away) -> None:
    there_and_back(away)
    assert away.carrier.receive(away.attempt)
    (away.attempt.path / "report.json").unlink()
    shutil.rmtree(data.staging_folder(away.run, 1, OUTPUTS[0]))
    assert away.carrier.receive(away.attempt)
    assert (data.staged_path(away.run, away.attempt, OUTPUTS[0]) / "m").read_text() == "m\n"
    assert away.attempt.finished_report() is not None


@pytest.mark.parametrize("spoil", ["changed", "gone", "cut"])
def test_damage_is_seen_before_anything_counts(away: Away, spoil: str) -> None:
    there_and_back(away)
    part = f"{away.carrier.folder(1)}/output-0.0000"
    content = away.bucket.read(part)
    away.bucket.store.remove(part)
    if spoil != "gone":
        away.bucket.write(part, content[:-1] + b"x" if spoil == "changed" else content[:700])
    with pytest.raises(StepInterruptedError, match="step 'train it', output 'model', attempt 1: .* has been damaged"):
        away.carrier.receive(away.attempt)
    assert away.attempt.report() is None
    assert not away.carrier.receive(away.attempt), "the next try starts anew"


def test_new_addresses_do_what_the_old_ones_did(away: Away) -> None:
    sent = away.carrier.send(away.attempt, away.prepare(), (), 60, 3600)
    assert away.carry("in", sent.address) == 0
    away.step(SCRIPT)
    assert away.carry("out", away.carrier.renew(away.attempt)) == 0
    assert away.carrier.receive(away.attempt)


def test_an_address_tells_no_credentials_and_opens_nothing_else(away: Away) -> None:
    sent = away.carrier.send(away.attempt, away.prepare(), (), 60, 3600)
    known: dict[str, Any] = connection(away.bucket.kind)
    with urllib.request.urlopen(sent.address) as answer:
        order = answer.read().decode()
    if (
        away.bucket.kind == "azure"
    ):  # the test-bed's S3 has a password that every address there holds as the user's name
        assert known["password"] not in order + sent.address
        other = sent.address.replace("order.json", "bundle.tar")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(other)


def test_a_folder_carries_nothing(tmp_path: Path) -> None:
    run = step_run(tmp_path, Place("s3", "s3://bucket/x", "my_s3"), "nowhere")
    with pytest.raises(
        StepError, match="'nowhere' has no shared volume.*'workspaceblobstore' is a folder.*staging_data"
    ):
        Carrier(run).clear()
