"""The commit of a pipeline's folder, with real repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from aml_provider.runs.git import git_properties


def git(folder: Path, *arguments: str) -> str:
    own = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *own, "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "train.py").write_text("print(1)\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_a_clean_commit(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://me:s3cret@example.org/team/code.git")
    commit = git(repository, "rev-parse", "HEAD")
    address = "https://example.org/team/code.git"
    assert git_properties(repository / "pipelines") == {
        "azureml.git.commit": commit,
        "azureml.git.branch": "main",
        "azureml.git.dirty": "False",
        "azureml.git.repository_uri": address,
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.branch": "main",
        "mlflow.source.git.repoURL": address,
    }


def test_a_change_in_the_folder_makes_it_dirty_and_one_beside_it_does_not(repository: Path) -> None:
    (repository / "notes.txt").write_text("x")
    assert git_properties(repository / "pipelines")["azureml.git.dirty"] == "False"
    (repository / "pipelines" / "train.py").write_text("print(2)\n")
    assert git_properties(repository / "pipelines")["azureml.git.dirty"] == "True"


@pytest.mark.parametrize(
    ("remote", "told"),
    [
        ("git@example.org:team/code.git", "git@example.org:team/code.git"),
        ("ssh://git@example.org:2222/team/code.git", "ssh://git@example.org:2222/team/code.git"),
        ("https://token@example.org/code?key=1", "https://example.org/code"),
        ("/srv/git/code.git", None),
        ("file:///srv/git/code.git", None),
    ],
)
def test_an_address_has_no_credentials_and_is_no_path(repository: Path, remote: str, told: str | None) -> None:
    git(repository, "remote", "add", "origin", remote)
    assert git_properties(repository).get("mlflow.source.git.repoURL") == told


def test_a_commit_without_a_branch_and_a_repository_without_a_commit(repository: Path, tmp_path: Path) -> None:
    git(repository, "checkout", "--detach")
    found = git_properties(repository)
    assert found["azureml.git.commit"] == git(repository, "rev-parse", "HEAD")
    assert "azureml.git.branch" not in found
    (tmp_path / "new").mkdir()
    git(tmp_path / "new", "init")
    assert git_properties(tmp_path / "new") == {"azureml.git.branch": "main", "mlflow.source.git.branch": "main"} | {
        "azureml.git.dirty": "False"
    }


def test_no_repository_and_no_git(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert git_properties(Path("/proc")) == {}
    assert git_properties(tmp_path / "absent") == {}
    # Another repository's hook may have started this.
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "absent"))
    assert git_properties(repository)["azureml.git.branch"] == "main"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_properties(repository) == {}
