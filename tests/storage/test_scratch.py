"""Folders for a while: they go with their process, and those of a killed one with the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from aml_provider.storage.scratch import scratch_folder

OWNER = """
import sys
from aml_provider.storage.scratch import scratch_folder

with scratch_folder("aml-test-") as folder:
    (folder / "big").write_text("x")
    print(folder, flush=True)
    sys.stdin.readline()
"""


def test_what_a_killed_process_left_is_removed_and_what_another_one_uses_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "aml-test-file").write_text("of somebody else")
    command = [sys.executable, "-c", OWNER]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner:
        left = Path(owner.stdout.readline().strip())
        # As if it had been made long ago.
        os.utime(left, (0, 0))
        with scratch_folder("aml-test-") as mine:
            assert left.is_dir()
            assert mine.parent == left.parent == tmp_path
        os.kill(owner.pid, signal.SIGKILL)
    with scratch_folder("aml-other-"):
        assert left.is_dir()
    with scratch_folder("aml-test-"):
        assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["aml-test-file"]


def test_a_folder_that_was_just_made_is_not_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "aml-test-new").mkdir()
    with scratch_folder("aml-test-"):
        assert (tmp_path / "aml-test-new").is_dir()
