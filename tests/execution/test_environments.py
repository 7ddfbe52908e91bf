"""The Python that a local step runs with: exactly the versions that were resolved, on every machine."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aml_provider.execution.environments import UNUSED_SECONDS, interpreter_for, is_as_fingerprinted, resolve
from aml_provider.reuse.environments import local_identity
from aml_provider.reuse.fingerprint import Fingerprint
from aml_provider.reuse.locks import EnvironmentLocks
from aml_provider.runs.errors import StepError
from aml_provider.spec.models import EnvironmentSpec, PythonSpec
from aml_provider.storage.digest_cache import DigestCache
from tests.resolving import make_index, only, silent, wants
from tests.wheels import Index, make_wheel, serving, sha256


@pytest.fixture
def locks(tmp_path: Path) -> EnvironmentLocks:
    (tmp_path / "project").mkdir()
    return EnvironmentLocks(tmp_path / "store", tmp_path / "project")


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return make_index(tmp_path / "index")


def installed(python: str) -> dict[str, str]:
    """What a step finds that runs with this Python."""
    code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def built(
    environment: EnvironmentSpec, locks: EnvironmentLocks, folder: Path, say: Callable[[str], None] = silent
) -> dict[str, str]:
    """What a step finds in its environment."""
    with interpreter_for(environment, locks, folder, say) as python:
        assert Path(python).is_relative_to(folder)
        return installed(python)


# --- as it is ---------------------------------------------------------------------------------------------------


def test_without_packages_it_is_the_workers_own(locks: EnvironmentLocks, tmp_path: Path) -> None:
    for environment in (
        None,
        EnvironmentSpec(name="e"),
        EnvironmentSpec(name="e", python=PythonSpec(user_managed=True)),
    ):
        with interpreter_for(environment, locks, tmp_path / "state", pytest.fail) as python:
            assert python == sys.executable
        assert not resolve(environment, locks, pytest.fail)
    assert not (tmp_path / "state").exists()
    assert locks.all() == []


def test_an_interpreter_that_does_not_exist(locks: EnvironmentLocks, tmp_path: Path) -> None:
    environment = EnvironmentSpec(name="e", python=PythonSpec(user_managed=True, interpreter="/nowhere/python"))
    with (
        pytest.raises(StepError, match="'/nowhere/python' does not exist on this worker"),
        interpreter_for(environment, locks, tmp_path, silent),
    ):
        pytest.fail("there is no such Python")


# --- resolved once, built everywhere ----------------------------------------------------------------------------


def test_two_machines_install_the_same_although_the_index_has_changed(
    locks: EnvironmentLocks, index: Path, tmp_path: Path
) -> None:
    environment = wants("needy", options=only(index))
    said: list[str] = []
    assert built(environment, locks, tmp_path / "machine", said.append) == {"needy": "0.1", "tiny": "1.0"}
    assert said == [
        "resolving the packages of the Python environment 'train': needy",
        "building the Python environment 'train': needy==0.1, tiny==1.0",
    ]
    make_wheel(index, "tiny", "1.1")
    make_wheel(index, "needy", "0.2", "tiny>=1", "missing")
    other = EnvironmentLocks(tmp_path / "store", tmp_path / "project")
    assert built(environment, other, tmp_path / "other", said.append) == {"needy": "0.1", "tiny": "1.0"}
    assert said[2:] == ["building the Python environment 'train': needy==0.1, tiny==1.0"]
    # On each it is built once.
    for folder in ("machine", "other"):
        built(environment, locks, tmp_path / folder, pytest.fail)


def test_packages_of_the_real_index(locks: EnvironmentLocks, tmp_path: Path) -> None:
    environment = wants("six", conda_packages=("conda-forge::toml=0.10", "python", "pip"))
    found = built(environment, locks, tmp_path / "state")
    assert set(found) == {"six", "toml"}
    assert found["toml"].startswith("0.10.")
    assert local_identity(environment, locks).identity["packages"] == found


def test_after_a_refresh_the_new_versions_are_installed_and_running_steps_keep_the_old(
    locks: EnvironmentLocks, index: Path, tmp_path: Path
) -> None:
    environment = wants("tiny", options=only(index))
    with interpreter_for(environment, locks, tmp_path / "state", silent) as python:
        make_wheel(index, "tiny", "1.1")
        (kept,) = locks.all()
        locks.refresh(kept.key, silent)
        assert built(environment, locks, tmp_path / "state") == {"tiny": "1.1"}
        assert installed(python) == {"tiny": "1.0"}


def test_environments_of_the_same_versions_share_one(locks: EnvironmentLocks, index: Path, tmp_path: Path) -> None:
    for packages in (("tiny",), ("tiny==1.0",), ("Tiny>=1",)):
        built(wants(*packages, options=only(index)), locks, tmp_path / "state")
    assert len(list((tmp_path / "state").glob("*/bin/python"))) == 1
    built(wants("tiny", options=(*only(index), "--only-binary tiny")), locks, tmp_path / "state")
    assert len(list((tmp_path / "state").glob("*/bin/python"))) == 2


def test_what_was_left_half_built_is_built_again(locks: EnvironmentLocks, index: Path, tmp_path: Path) -> None:
    environment = wants("tiny", options=only(index))
    with interpreter_for(environment, locks, tmp_path / "state", silent) as python:
        target = Path(python).parents[1]
    (target / ".complete").unlink()
    for file in target.rglob("tiny*"):
        if file.is_file():
            file.unlink()
    said: list[str] = []
    assert built(environment, locks, tmp_path / "state", said.append) == {"tiny": "1.0"}
    assert len(said) == 1


def test_what_cannot_be_built_is_told_and_tried_again(locks: EnvironmentLocks, index: Path, tmp_path: Path) -> None:
    environment = wants("tiny", options=only(index))
    assert resolve(environment, locks, silent)
    (index / "tiny-1.0-py3-none-any.whl").rename(tmp_path / "aside")
    with pytest.raises(StepError, match=r"'train' could not be built \(uv pip install\)"):
        built(environment, locks, tmp_path / "state")
    (tmp_path / "aside").rename(index / "tiny-1.0-py3-none-any.whl")
    assert built(environment, locks, tmp_path / "state") == {"tiny": "1.0"}


def _build(folder: str, index: str, queue: Any) -> None:
    said: list[str] = []
    locks = EnvironmentLocks(Path(folder) / "store")
    queue.put((built(wants("needy", options=only(Path(index))), locks, Path(folder) / "state", said.append), said))


def test_two_steps_that_start_at_once_build_one_environment(index: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_build, args=(str(tmp_path), str(index), queue)) for _ in range(3)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert [packages for packages, _ in results] == [{"needy": "0.1", "tiny": "1.0"}] * 3
    assert sum(sentence.startswith("building") for _, said in results for sentence in said) == 1
    assert len(EnvironmentLocks(tmp_path / "store").all()) == 1


# --- resolving without building ---------------------------------------------------------------------------------


def test_packages_are_resolved_when_their_versions_have_to_be_known(
    locks: EnvironmentLocks, index: Path, tmp_path: Path
) -> None:
    environment = wants("tiny", options=only(index))
    assert not local_identity(environment, locks).known
    assert resolve(environment, locks, silent)
    assert local_identity(environment, locks).known
    assert not resolve(environment, locks, pytest.fail)
    make_wheel(index, "tiny", "1.1")
    assert built(environment, locks, tmp_path / "state") == {"tiny": "1.0"}


def test_a_refresh_while_a_step_starts_is_noticed(locks: EnvironmentLocks, index: Path, tmp_path: Path) -> None:
    cache = DigestCache(tmp_path / "cache")
    environment = wants("tiny", options=only(index))
    resolve(environment, locks, silent)
    made = Fingerprint("0" * 64, {"environment": local_identity(environment, locks).identity})
    assert is_as_fingerprinted(made, environment, locks, cache)
    make_wheel(index, "tiny", "1.1")
    (kept,) = locks.all()
    locks.refresh(kept.key, silent)
    assert not is_as_fingerprinted(made, environment, locks, cache)
    # Where the owner of a compute target answers for what is on it, packages say nothing.
    declared = Fingerprint("0" * 64, {"environment": {"kind": "declared", "name": "lab-2026"}})
    assert is_as_fingerprinted(declared, environment, locks, cache)


# --- hashes, addresses, passwords -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "tiny==1.0 --hash=sha256:{sha}",
        "tiny @ file://{wheel} --hash=sha256:{sha}",
        "tiny @ file://{wheel}#sha256={sha}",
    ],
)
def test_hashes_of_the_author_are_checked(locks: EnvironmentLocks, index: Path, tmp_path: Path, written: str) -> None:
    wheel = index / "tiny-1.0-py3-none-any.whl"
    right = wants(written.format(wheel=wheel, sha=sha256(wheel)), options=only(index))
    assert built(right, locks, tmp_path / "state") == {"tiny": "1.0"}
    wrong = wants(written.format(wheel=wheel, sha="0" * 64), options=only(index))
    with pytest.raises(StepError, match="Hash mismatch"):
        built(wrong, locks, tmp_path / "state")


def test_where_every_package_must_have_a_hash(locks: EnvironmentLocks, index: Path, tmp_path: Path) -> None:
    lines = [
        f"{name}=={version} --hash=sha256:{sha256(index / f'{name}-{version}-py3-none-any.whl')}"
        for name, version in (("tiny", "1.0"), ("needy", "0.1"))
    ]
    environment = wants(*lines, options=(*only(index), "--require-hashes"))
    assert built(environment, locks, tmp_path / "state") == {"needy": "0.1", "tiny": "1.0"}


def test_files_beside_the_pipeline_file(locks: EnvironmentLocks, index: Path, tmp_path: Path) -> None:
    make_wheel(index, "tiny", "2.0")
    project = tmp_path / "project"
    (project / "limits.txt").write_text("tiny<2\n")
    (project / "mine").mkdir()
    (project / "mine" / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "0.1"\n')
    limited = wants("needy", options=("--no-index", "--find-links ../index", "-c limits.txt"))
    assert built(limited, locks, tmp_path / "state") == {"needy": "0.1", "tiny": "1.0"}
    for environment in (wants("./mine"), wants("six", options=("-e ./mine",))):
        assert built(environment, locks, tmp_path / "state")["mine"] == "0.1"


def test_passwords_reach_the_index_and_nobody_else(
    locks: EnvironmentLocks,
    index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []
    with serving(Index({"ann": "s3cret-one", "bob": "s3cret-two"}, {"ann": index, "bob": index})) as private:

        def asked(user: str, password: str | None = None) -> EnvironmentSpec:
            address = private.url(user, password)
            return wants(
                "needy", f"tiny @ {address}/files/tiny-1.0-py3-none-any.whl", options=(f"--index-url {address}/simple",)
            )

        for machine, environment in (("one", asked("ann")), ("two", asked("bob"))):
            # Each machine has its own cache; ports come again, and uv remembers what an address had.
            monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / f"cache-{machine}"))
            assert built(environment, locks, tmp_path / machine, said.append) == {"needy": "0.1", "tiny": "1.0"}
        assert {user for user, _ in private.asked} == {"ann", "bob"}
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache-three"))
        with pytest.raises(StepError) as problem:
            built(asked("bob", "s3cret-old"), locks, tmp_path / "three", said.append)
    # The second machine used what the first had resolved.
    assert [sentence.partition(" ")[0] for sentence in said] == ["resolving", "building", "building", "building"]
    printed = capfd.readouterr()
    assert "s3cret" not in "".join([*said, str(problem.value), caplog.text, printed.out, printed.err])
    for kept in (tmp_path / "store").rglob("*"):
        assert kept.is_dir() or b"s3cret" not in kept.read_bytes()


# --- what nobody uses any more ----------------------------------------------------------------------------------


def age(target: Path) -> None:
    """Make an environment one that no step has started with for long."""
    then = (target / ".complete").stat().st_mtime - UNUSED_SECONDS - 60
    os.utime(target / ".complete", (then, then))


def test_environments_that_nobody_uses_any_more_go(locks: EnvironmentLocks, index: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    for version in ("1.1", "1.2", "1.3"):
        make_wheel(index, "tiny", version)
    (state / "notes").mkdir(parents=True)
    targets = {}
    for version in ("1.0", "1.1"):
        with interpreter_for(wants(f"tiny=={version}", options=only(index)), locks, state, silent) as python:
            targets[version] = Path(python).parents[1]
    age(targets["1.0"])
    age(targets["1.1"])
    # A step that has been running for that long still needs its own.
    with interpreter_for(wants("tiny==1.0", options=only(index)), locks, state, silent) as python:
        age(targets["1.0"])
        built(wants("tiny==1.2", options=only(index)), locks, state)
        assert installed(python) == {"tiny": "1.0"}
    assert not targets["1.1"].exists()
    assert (state / "notes").is_dir()
    built(wants("tiny==1.3", options=only(index)), locks, state)
    assert not targets["1.0"].exists()
    # Whoever needs it again gets it again.
    assert built(wants("tiny==1.0", options=only(index)), locks, state) == {"tiny": "1.0"}


def test_starting_with_an_environment_keeps_it(locks: EnvironmentLocks, index: Path, tmp_path: Path) -> None:
    make_wheel(index, "tiny", "1.1")
    with interpreter_for(wants("tiny==1.0", options=only(index)), locks, tmp_path / "state", silent) as python:
        age(Path(python).parents[1])
    built(wants("tiny==1.0", options=only(index)), locks, tmp_path / "state")
    built(wants("tiny==1.1", options=only(index)), locks, tmp_path / "state")
    assert Path(python).exists()
