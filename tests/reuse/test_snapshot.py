"""Which files of a source directory a step gets, and how many are too many."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from aml_provider.reuse import snapshot
from aml_provider.runs.errors import StepError


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def names(root: Path) -> list[str]:
    return [f.relative for f in snapshot.source_files(root)]


def test_amlignore_wins_over_gitignore_which_counts_alone(tmp_path: Path) -> None:
    root = make(tmp_path, "train.py", "data/a.csv", "data/keep.csv", "notes.md", "deep/er/data/b.csv")
    (root / ".gitignore").write_text("*.md\n")
    assert names(root) == [".gitignore", "data/a.csv", "data/keep.csv", "deep/er/data/b.csv", "train.py"]
    (root / ".amlignore").write_text("# data stays at home\ndata/*\n!data/keep.csv\n")
    # An anchored pattern; what it re-includes; and .amlignore itself is of no use to a script.
    assert names(root) == [".gitignore", "data/keep.csv", "deep/er/data/b.csv", "notes.md", "train.py"]


def test_bookkeeping_never_belongs_to_it(tmp_path: Path) -> None:
    root = make(
        tmp_path, "a.py", ".git/HEAD", "__pycache__/a.pyc", "pkg/__pycache__/b.pyc", ".aml/x", ".venv/bin/python"
    )
    assert names(root) == ["a.py"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    root = make(tmp_path / "src", "a.py")
    make(tmp_path / "shared", "lib.py")
    (root / "shared").symlink_to(tmp_path / "shared")
    (root / "me").symlink_to(root)
    (root / "up").symlink_to(tmp_path)
    (root / "gone").symlink_to(tmp_path / "nowhere")
    assert names(root) == ["a.py", "shared/lib.py"]


def test_the_copy_keeps_content_and_rights(tmp_path: Path) -> None:
    root = make(tmp_path / "src", "run.sh", "pkg/größe.py")
    (root / "run.sh").chmod(0o755)
    snapshot.copy_snapshot("train", root, tmp_path / "copy")
    assert (tmp_path / "copy/pkg/größe.py").read_text() == "pkg/größe.py"
    assert os.access(tmp_path / "copy/run.sh", os.X_OK)


def test_too_many_bytes(tmp_path: Path) -> None:
    root = make(tmp_path, "train.py", "small.bin")
    with (root / "weights.bin").open("wb") as f:
        f.truncate(snapshot.MAX_BYTES)
    with pytest.raises(StepError) as told:
        snapshot.copy_snapshot("train", root, tmp_path / "copy")
    text = str(told.value)
    assert "'train'" in text
    assert "300 MB" in text
    assert text.index("weights.bin") < text.index("train.py")
    assert str(root / ".amlignore") in text
    assert not (tmp_path / "copy").exists()


def test_too_many_files_names_the_crowded_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MAX_FILES", 5)
    root = make(tmp_path, "train.py", *(f"cache/{n}.txt" for n in range(6)))
    with pytest.raises(StepError, match=r"cache/ \(6 files\)"):
        snapshot.check_size("train", root, snapshot.source_files(root))
    (root / ".amlignore").write_text("cache/\n")
    snapshot.check_size("train", root, snapshot.source_files(root))


def test_a_directory_that_is_not_on_this_worker(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="'train': source_directory .*nowhere does not exist on this worker"):
        snapshot.copy_snapshot("train", tmp_path / "nowhere", tmp_path / "copy")


@pytest.mark.parametrize(
    ("ignored", "include", "by"),
    [("", ["lib/*"], "`include: ['lib/*']` in the workspace file"), ("*.py\n", [], "the folder's .amlignore")],
)
def test_a_script_that_is_left_out_of_its_own_snapshot_is_named(
    tmp_path: Path, ignored: str, include: list[str], by: str
) -> None:
    root = tmp_path / "code"
    (root / "lib").mkdir(parents=True)
    (root / "lib/notes").write_text("1")
    (root / "train.py").write_text("1")
    (root / ".amlignore").write_text(ignored)
    with pytest.raises(StepError, match=f"step 'train': its own script './train.py' is left out .* by {re.escape(by)}"):
        snapshot.copy_snapshot("train", root, tmp_path / "copy", include, "./train.py")
