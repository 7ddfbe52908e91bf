"""Several workers write one SQLite file at once, the first of them creating it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

from mlflow import MlflowClient

from .conftest import RunFolder, Store, scalar

ROOT = Path(__file__).resolve().parents[2]


def start(program: str) -> subprocess.Popen[bytes]:
    program = "import sys, time\nfrom pathlib import Path\nfrom aml_provider.tracking.recorder import *\n" + program
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, stderr=subprocess.PIPE)


def succeeded(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors.decode()


def test_four_pipeline_runs_make_one_new_database(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    folders = [RunFolder(tmp_path / f"store/runs/digits/r{n}", uri).describe("a", "b") for n in range(4)]
    succeeded([start(f"assert open_run(Path({str(f.path)!r}), {uri!r})") for f in folders])
    store = Store(MlflowClient(uri))
    assert len(store.runs()) == 4 * 3
    assert [e.name for e in store.client.search_experiments()].count("digits experiment") == 1


def test_one_pipeline_run_opened_by_four_processes(folder: RunFolder, store: Store) -> None:
    folder.describe("a", "b")
    succeeded([start(f"assert open_run(Path({str(folder.path)!r}), {folder.uri!r})") for _ in range(4)])
    assert len(store.runs()) == 3


def test_four_workers_follow_one_pipeline_run_while_its_steps_log(folder: RunFolder, store: Store) -> None:
    tasks = ["a", "b", "c", "d"]
    folder.describe(*tasks)
    for task in tasks:
        folder.attempt(task)
    workers = [
        start(f"""
end = time.time() + 8
while time.time() < end:
    assert reconcile(Path({str(folder.path)!r}), tracking_uri={folder.uri!r})
""")
        for _ in tasks
    ]
    count = 0
    while workers[0].poll() is None:
        for task in tasks:
            folder.log(task, scalar("loss", count), scalar("acc", 1 / (count + 1)))
        count += 1
        time.sleep(0.02)
    succeeded(workers)
    for task in tasks:
        folder.result(task)
    succeeded([start(f"assert close_run(Path({str(folder.path)!r}), 'Finished', {{}})") for _ in range(2)])
    assert count > 50
    assert len(store.runs()) == 5
    for task in tasks:
        assert store.points(store.step(task), "loss") == [(step, float(step)) for step in range(count)]
        assert store.step(task).info.status == "FINISHED"


def test_a_worker_killed_again_and_again_loses_and_doubles_nothing(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    folder.attempt("train")
    folder.log("train", *(scalar("loss", step % 7) for step in range(6000)))
    program = f"assert reconcile(Path({str(folder.path)!r}), tracking_uri={folder.uri!r})"
    for milliseconds in (2400, 2700, 3000):
        worker = start(program)
        time.sleep(milliseconds / 1000)
        worker.kill()
        worker.communicate()
    folder.result("train")
    succeeded([start(f"assert close_run(Path({str(folder.path)!r}), 'Finished', {{}})")])
    assert store.points(store.step("train"), "loss") == [(step, float(step % 7)) for step in range(6000)]
    assert len(store.runs()) == 2
