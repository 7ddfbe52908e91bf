"""Packages are resolved once for a workspace, and get newer when somebody asks for it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aml_provider.reuse.environments import local_identity
from aml_provider.reuse.locks import EnvironmentLocks
from aml_provider.runs.errors import StepError
from aml_provider.spec.errors import AmlError
from tests.resolving import BASE, identity, lock, make_index, only, resolved, silent, wants
from tests.wheels import Index, make_wheel, serving


@pytest.fixture
def locks(tmp_path: Path) -> EnvironmentLocks:
    (tmp_path / "project").mkdir()
    return EnvironmentLocks(tmp_path / "store", tmp_path / "project")


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return make_index(tmp_path / "index")


# --- resolved once ----------------------------------------------------------------------------------------------


def test_packages_of_the_real_index_are_resolved_once_for_all_machines(tmp_path: Path) -> None:
    said: list[str] = []
    environment = wants("six", "toml>=0.10")
    one, other = EnvironmentLocks(tmp_path), EnvironmentLocks(tmp_path)
    before = local_identity(environment, one)
    assert (before.known, before.identity) == (False, {})
    assert "packages of environment 'train' have not been resolved to versions yet" in str(before.why)
    made = one.lock(environment.python, BASE, said.append, "train")
    assert said == ["resolving the packages of the Python environment 'train': six, toml>=0.10"]
    assert other.lock(environment.python, BASE, pytest.fail, "train") == made
    assert identity(one, environment) == identity(other, environment)
    assert set(identity(other, environment)["packages"]) == {"six", "toml"}


def test_a_newer_version_changes_nothing_until_somebody_asks(locks: EnvironmentLocks, index: Path) -> None:
    environment = wants("needy", options=only(index))
    first = resolved(locks, environment)
    assert first["packages"] == {"needy": "0.1", "tiny": "1.0"}
    make_wheel(index, "tiny", "1.1")
    assert resolved(locks, environment) == first
    (kept,) = locks.all()
    newer = locks.refresh(kept.key, silent)
    assert newer.versions == {"needy": "0.1", "tiny": "1.1"}
    assert identity(locks, environment) == {**first, "packages": newer.versions}
    # A refresh that finds nothing newer makes nothing new.
    assert locks.refresh(kept.key, silent).digest == newer.digest != kept.digest


def test_a_failing_refresh_leaves_the_versions(locks: EnvironmentLocks, index: Path) -> None:
    environment = wants("needy", options=only(index))
    first = resolved(locks, environment)
    (index / "tiny-1.0-py3-none-any.whl").unlink()
    (kept,) = locks.all()
    with pytest.raises(StepError, match="'train' could not be built") as problem:
        locks.refresh(kept.key, silent)
    assert "tiny was not found" in str(problem.value)
    assert identity(locks, environment) == first


def test_packages_that_do_not_exist_are_told_in_uvs_words(locks: EnvironmentLocks, index: Path) -> None:
    with pytest.raises(StepError, match="'train' could not be built") as problem:
        lock(locks, wants("tiny>2", options=only(index)))
    assert "you require tiny>2" in str(problem.value)
    assert locks.all() == []


def test_what_is_forgotten_is_resolved_anew(locks: EnvironmentLocks, index: Path) -> None:
    environment = wants("tiny", options=only(index))
    kept = lock(locks, environment)
    make_wheel(index, "tiny", "1.1")
    assert locks.forget(kept.key)
    assert not locks.forget(kept.key)
    assert not local_identity(environment, locks).known
    assert resolved(locks, environment)["packages"] == {"tiny": "1.1"}


RESOLVE = """\
import json, sys
from pathlib import Path
from aml_provider.reuse.interpreters import running
from aml_provider.reuse.locks import EnvironmentLocks
from aml_provider.spec.models import PythonSpec
python = PythonSpec(pip_packages=("tiny",), pip_options=("--index-url " + sys.argv[2],))
made = EnvironmentLocks(Path(sys.argv[1])).lock(python, running(sys.executable), lambda _: None, "train")
print(json.dumps(made.versions))
"""


def test_two_machines_that_resolve_at_once_agree(tmp_path: Path) -> None:
    for user, version in (("ann", "1.0"), ("bob", "2.0")):
        make_wheel(tmp_path / user, "tiny", version)
    # Each gets its answer when both have asked: both are resolving, and each finds another version.
    both = threading.Barrier(2, timeout=60)
    index = Index({"ann": "a-secret", "bob": "b-secret"}, {u: tmp_path / u for u in ("ann", "bob")})
    index.before_listing = both.wait
    with serving(index):
        started = [
            subprocess.Popen(
                [sys.executable, "-c", RESOLVE, str(tmp_path / "store"), index.url(user) + "/simple"],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "UV_CACHE_DIR": str(tmp_path / f"cache-{user}")},
            )
            for user in ("ann", "bob")
        ]
        printed = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert {user for user, path in index.asked if path == "/simple/tiny/"} == {"ann", "bob"}
    (kept,) = EnvironmentLocks(tmp_path / "store").all()
    assert [json.loads(text) for text in printed] == [kept.versions] * 2


# --- damage -----------------------------------------------------------------------------------------------------


def test_a_damaged_file_is_no_resolved_environment(
    locks: EnvironmentLocks, index: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = lock(locks, wants("tiny", options=only(index)))
    file = tmp_path / "store" / f"{kept.key}.json"
    whole = file.read_bytes()
    assert locks.get(kept.key) == kept
    damaged = [whole[:length] for length in range(len(whole) - 1)]
    damaged += [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(len(whole))]
    accepted = 0
    for content in damaged:
        file.write_bytes(content)
        caplog.clear()
        found = locks.get(kept.key)
        if found is None:
            warning = f"the resolved environment {kept.key} cannot be used and is resolved anew"
            assert caplog.messages[0].startswith(warning)
        else:
            assert found == kept
            accepted += 1
    # The last digit of a time may be one too many to say anything.
    assert accepted <= 1


@pytest.mark.parametrize("content", [b"", b"[]", b'{"blake3": "", "lock": {}}', b"\xff\xfe", b'{"lock": 5}'])
def test_in_the_place_of_a_damaged_file_a_new_one_is_made(
    locks: EnvironmentLocks, index: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    environment = wants("tiny", options=only(index))
    kept = lock(locks, environment)
    (tmp_path / "store" / f"{kept.key}.json").write_bytes(content)
    assert not local_identity(environment, locks).known
    assert lock(locks, environment).versions == {"tiny": "1.0"}
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert identity(locks, environment)["packages"] == {"tiny": "1.0"}


def test_another_environments_file_is_not_taken_for_this_ones(locks: EnvironmentLocks, index: Path) -> None:
    one, other = lock(locks, wants("tiny", options=only(index))), lock(locks, wants("needy", options=only(index)))
    folder = index.parent / "store"
    shutil.copy(folder / f"{one.key}.json", folder / f"{other.key}.json")
    assert locks.get(other.key) is None
    assert [found.key for found in locks.all()] == [one.key]


# --- refreshing what is not all kept ----------------------------------------------------------------------------


def test_only_a_machine_of_the_same_kind_refreshes(locks: EnvironmentLocks, index: Path) -> None:
    python = wants("tiny", options=only(index)).python
    for base, sentence in (
        (replace(BASE, version="3.99.1"), "is for python 3.99, and this machine has"),
        (replace(BASE, platform="plan9-mips"), "is for platform plan9-mips, and this machine has"),
    ):
        kept = locks.lock(python, base, silent, "train")
        with pytest.raises(AmlError, match=sentence):
            locks.refresh(kept.key, silent)


def test_only_what_was_asked_can_be_refreshed(locks: EnvironmentLocks, index: Path) -> None:
    kept = lock(locks, wants("tiny", options=only(index)))
    with pytest.raises(AmlError, match="was resolved from other packages than these"):
        locks.refresh(kept.key, silent, wants("needy", options=only(index)).python)
    with pytest.raises(AmlError, match="no environment with the key '0123' has been resolved here"):
        locks.refresh("0123", silent)


@pytest.mark.parametrize("option", ["-c limits.txt", "--find-links ../index"])
def test_files_beside_the_pipeline_file_are_needed_again(
    locks: EnvironmentLocks, index: Path, tmp_path: Path, option: str
) -> None:
    make_wheel(index, "tiny", "2.0")
    (tmp_path / "project" / "limits.txt").write_text("tiny<2\n")
    environment = wants("tiny", options=(*only(index), option))
    kept = lock(locks, environment)
    assert kept.versions == {"tiny": "1.0" if option.startswith("-c") else "2.0"}
    with pytest.raises(AmlError, match="Refresh it through the pipeline file"):
        EnvironmentLocks(tmp_path / "store").refresh(kept.key, silent)
    assert locks.refresh(kept.key, silent, environment.python).digest == kept.digest


def test_settings_of_a_project_around_the_pipeline_file_decide_nothing(
    locks: EnvironmentLocks, index: Path, tmp_path: Path
) -> None:
    (tmp_path / "project" / "pyproject.toml").write_text("[tool.uv.pip]\ngenerate-hashes = true\nuniversal = true\n")
    assert lock(locks, wants("needy", options=only(index))).packages == ("needy==0.1", "tiny==1.0")


# --- passwords --------------------------------------------------------------------------------------------------


@pytest.fixture
def private(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index that wants a password."""
    # Ports come again, and uv remembers what an address had.
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with serving(Index({"ann": "s3cret-one", "bob": "s3cret-two"}, {"ann": index, "bob": index})) as served:
        yield served


def kept_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_passwords_are_used_and_kept_nowhere(
    locks: EnvironmentLocks, private: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []
    environment = wants(
        f"tiny @ {private.url('ann')}/files/tiny-1.0-py3-none-any.whl",
        "needy",
        options=(f"--index-url {private.url('ann')}/simple",),
    )
    kept = locks.lock(environment.python, BASE, said.append, "train")
    assert {user for user, _ in private.asked} == {"ann"}
    assert [line.partition(" @ ")[0] for line in kept.packages] == ["needy==0.1", "tiny"]
    told = "".join(said) + caplog.text + str(local_identity(environment, locks)) + repr(kept)
    assert "s3cret" not in told
    assert b"s3cret" not in kept_bytes(tmp_path / "store")
    # Somebody else's password, or a new one, asks for the same.
    theirs = wants("needy", options=(f"--index-url {private.url('bob')}/simple",))
    ours = wants("needy", options=(f"--index-url {private.url('ann')}/simple",))
    assert locks.key(theirs.python, BASE) == locks.key(ours.python, BASE)


def test_a_wrong_password_is_not_told_either(locks: EnvironmentLocks, private: Index) -> None:
    environment = wants("needy", options=(f"--index-url {private.url('ann', 's3cret-old')}/simple",))
    with pytest.raises(StepError, match="'train' could not be built") as problem:
        lock(locks, environment)
    assert "401" in str(problem.value)
    assert "s3cret" not in str(problem.value)


def test_with_passwords_a_refresh_needs_the_pipeline_file(locks: EnvironmentLocks, private: Index, index: Path) -> None:
    environment = wants("tiny", options=(f"--index-url {private.url('ann')}/simple",))
    kept = lock(locks, environment)
    make_wheel(index, "tiny", "1.1")
    with pytest.raises(AmlError, match="has passwords in its addresses"):
        locks.refresh(kept.key, silent)
    assert locks.refresh(kept.key, silent, environment.python).versions == {"tiny": "1.1"}


def test_names_of_variables_stand_for_passwords(
    locks: EnvironmentLocks, private: Index, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INDEX_USER", "bob")
    monkeypatch.setenv("INDEX_PASSWORD", "s3cret-two")
    address = f"http://${{INDEX_USER}}:${{INDEX_PASSWORD}}@127.0.0.1:{private.port}/simple"
    kept = lock(locks, wants("tiny", options=(f"--index-url {address}",)))
    make_wheel(index, "tiny", "1.1")
    assert locks.refresh(kept.key, silent).versions == {"tiny": "1.1"}
    assert "s3cret" not in repr(kept)
