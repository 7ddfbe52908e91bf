"""Following a step: it never waits for MLflow, and never suffers from it."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from aml_provider.tracking.follower import Follower
from aml_provider.tracking.ledger import locked
from aml_provider.tracking.recorder import open_run

from .conftest import RunFolder, Store, scalar

ROOT = Path(__file__).resolve().parents[2]


def test_metrics_are_in_mlflow_while_the_step_runs(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    with Follower(folder.path, folder.uri):
        folder.attempt("train")
        folder.log("train", scalar("loss", 1))
        deadline = time.monotonic() + 10
        while store.step("train").data.metrics != {"loss": 1.0}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert store.step("train").info.status == "RUNNING"
        folder.log("train", scalar("loss", 2))
        folder.result("train")
        started = time.monotonic()
    assert time.monotonic() - started < 2
    assert store.points(store.step("train"), "loss") == [(0, 1.0), (1, 2.0)]
    assert store.step("train").info.status == "FINISHED"


def test_another_process_at_it_is_waited_for_only_shortly(folder: RunFolder) -> None:
    open_run(folder.describe("train").path, folder.uri)
    with locked(folder.path, 0):
        follower = Follower(folder.path).__enter__()
        time.sleep(0.2)
        started = time.monotonic()
        follower.stop()
        assert time.monotonic() - started < 2.5


def test_the_steps_own_error_is_what_comes_out(folder: RunFolder) -> None:
    open_run(folder.describe("train").path, folder.uri)
    with pytest.raises(ValueError, match="mine"), Follower(folder.path):
        raise ValueError("mine")


def test_a_dead_server_costs_a_step_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = RunFolder(tmp_path / "store/runs/digits/one", "http://127.0.0.1:9").describe("train")
    with caplog.at_level(logging.WARNING):
        started = time.monotonic()
        with Follower(folder.path, folder.uri):
            folder.attempt("train")
            time.sleep(2.5)
        assert time.monotonic() - started < 5
    assert caplog.text.count("cannot be used") == 1


def test_a_short_step_does_not_import_mlflow(folder: RunFolder) -> None:
    open_run(folder.describe("train").path, folder.uri)
    program = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        started = time.monotonic()
        from aml_provider.tracking.follower import Follower
        from aml_provider.tracking.recorder import open_run, reconcile, close_run
        assert time.monotonic() - started < 1
        with Follower(Path({str(folder.path)!r}), {folder.uri!r}):
            time.sleep(0.5)
            started = time.monotonic()
        assert time.monotonic() - started < 0.1
        assert "mlflow" not in sys.modules
        assert "sqlalchemy" not in sys.modules
    """)
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, timeout=60)


def test_a_long_step_is_followed_once_mlflow_is_loaded(folder: RunFolder, store: Store) -> None:
    open_run(folder.describe("train").path, folder.uri)
    folder.attempt("train")
    folder.log("train", scalar("loss", 1))
    program = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from aml_provider.tracking.follower import Follower
        with Follower(Path({str(folder.path)!r}), {folder.uri!r}):
            while not Path({str(folder.path / "seen")!r}).exists():
                time.sleep(0.1)
    """)
    step = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    deadline = time.monotonic() + 120
    while store.step("train").data.metrics != {"loss": 1.0}:
        assert step.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    (folder.path / "seen").touch()
    assert step.wait(60) == 0
