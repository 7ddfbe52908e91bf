"""What a local step's environment is, and what counts as the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.reuse.environments import EnvironmentIdentity, local_identity
from aml_provider.reuse.interpreters import running
from aml_provider.reuse.locks import EnvironmentLocks
from aml_provider.runs.errors import StepError
from aml_provider.spec.models import EnvironmentSpec, PythonSpec
from tests.resolving import BASE, identity, lock, make_index, only, resolved, silent, wants
from tests.wheels import install, make_python, make_wheel, sha256, sites


@pytest.fixture
def locks(tmp_path: Path) -> EnvironmentLocks:
    (tmp_path / "project").mkdir()
    return EnvironmentLocks(tmp_path / "store", tmp_path / "project")


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return make_index(tmp_path / "index")


# --- what is the same environment -------------------------------------------------------------------------------


def test_names_order_case_and_passwords_make_no_other_environment(locks: EnvironmentLocks, index: Path) -> None:
    first = resolved(locks, wants("tiny>=1,<2", "needy", options=only(index)))
    for other in (
        wants("needy", "tiny>=1,<2", options=only(index), name="predict"),
        wants("Needy", "TINY <2, >= 1", options=only(index)),
        wants("needy", "needy", "tiny>=1,<2", options=only(index)),
        wants("needy", options=only(index), conda_packages=("conda-forge::tiny>=1,<2", "python=3.8")),
        wants("tiny>=1,<2", "needy", options=only(index), conda_channels=("conda-forge",)),
        wants("tiny>=1,<2", "needy", options=("--no-index", f"--find-links   {index}"), version=BASE.minor),
    ):
        assert identity(locks, other) == first
    assert len(locks.all()) == 1


def test_another_way_to_the_same_versions_is_the_same_environment(
    locks: EnvironmentLocks, index: Path, tmp_path: Path
) -> None:
    first = resolved(locks, wants("tiny", options=only(index)))
    assert resolved(locks, wants("tiny==1.0", options=only(index))) == first
    (tmp_path / "project" / "limits.txt").write_text("tiny<5\n")
    assert resolved(locks, wants("tiny", options=(*only(index), "-c limits.txt"))) == first


def test_versions_options_and_constraints_make_another_environment(
    locks: EnvironmentLocks, index: Path, tmp_path: Path
) -> None:
    make_wheel(index, "tiny", "1.1")
    limits = tmp_path / "project" / "limits.txt"
    limits.write_text("tiny<1.1\n")
    found = [
        resolved(locks, wants("tiny", options=only(index))),
        resolved(locks, wants("tiny==1.0", options=only(index))),
        resolved(locks, wants("tiny", "needy", options=only(index))),
        resolved(locks, wants("tiny", options=(*only(index), "--only-binary tiny"))),
        identity(locks, None),
    ]
    limited = wants("tiny", "needy", options=(*only(index), "-c limits.txt"))
    found.append(resolved(locks, limited))
    limits.write_text("tiny<=1.1\n")
    assert not local_identity(limited, locks).known
    assert resolved(locks, limited)["packages"]["tiny"] == "1.1"
    assert all(one != other for i, one in enumerate(found) for other in found[:i])


def other_python() -> Path | None:
    """A Python of another version on this machine."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [*map(Path, os.environ["PATH"].split(":")), *sorted(root.glob("versions/*/bin"))]
    names = [f"python3.{minor}" for minor in range(9, 15) if minor != sys.version_info.minor]
    for path in (folder / name for folder in folders for name in names):
        if path.is_file() and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            return path
    return None


@pytest.mark.skipif(other_python() is None, reason="there is only one Python on this machine")
def test_another_python_makes_another_environment(
    locks: EnvironmentLocks, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = other_python()
    assert path is not None
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    own = resolved(locks, wants("tiny", options=only(index)))
    other = resolved(locks, wants("tiny", options=only(index), version=path.name.removeprefix("python")))
    assert other["packages"] == own["packages"]
    assert other["python"] == running(str(path)).version != own["python"]


def test_a_python_that_is_not_there_is_noted(locks: EnvironmentLocks, index: Path) -> None:
    environment = wants("tiny", options=only(index), version="3.99")
    assert "Python 3.99 is not installed" in str(local_identity(environment, locks).note)
    lock(locks, environment)
    found = local_identity(environment, locks)
    assert found.identity["python"] == BASE.version
    assert "Python 3.99 is not installed" in str(found.note)


NAMES = st.sampled_from(["six", "toml", "ini-config", "zope.interface", "Flask", "requests[socks]"])


@given(st.lists(NAMES, min_size=1, unique=True).flatmap(lambda n: st.tuples(st.just(n), st.permutations(n))))
def test_the_same_packages_in_any_order_and_case_are_asked_for_once(both: tuple[list[str], list[str]]) -> None:
    names, shuffled = both
    locks = EnvironmentLocks(Path("/nowhere"))
    looks_different = wants(*(name.swapcase().replace("-", "_") for name in shuffled))
    assert locks.key(wants(*names).python, BASE) == locks.key(looks_different.python, BASE)
    assert locks.key(wants(*names, "one-more").python, BASE) != locks.key(wants(*names).python, BASE)


# --- content that can change under its name ---------------------------------------------------------------------


def unknown(found: EnvironmentIdentity) -> str:
    assert (found.known, found.identity) == (False, {})
    assert found.why is not None
    return found.why


@pytest.mark.parametrize("written", ["tiny @ file://{}", "file://{}"])
def test_a_file_without_a_hash_is_not_known(locks: EnvironmentLocks, index: Path, written: str) -> None:
    environment = wants(written.format(index / "tiny-1.0-py3-none-any.whl"))
    lock(locks, environment)
    assert "tiny-1.0-py3-none-any.whl', whose content can change while its name stays" in unknown(
        local_identity(environment, locks)
    )


@pytest.mark.parametrize("written", ["tiny @ file://{}#sha256={}", "tiny @ file://{} --hash=sha256:{}"])
def test_a_file_with_a_hash_is_known(locks: EnvironmentLocks, index: Path, written: str) -> None:
    wheel = index / "tiny-1.0-py3-none-any.whl"
    first = resolved(locks, wants(written.format(wheel, sha256(wheel))))
    make_wheel(index, "tiny", "1.0", content="x = 1")
    assert resolved(locks, wants(written.format(wheel, sha256(wheel)))) != first


@pytest.mark.parametrize(
    "environment", [wants("./mine"), wants("mine @ file:mine"), wants("six", options=("-e ./mine",))]
)
def test_a_package_beside_the_pipeline_file_is_not_known(
    locks: EnvironmentLocks, tmp_path: Path, environment: EnvironmentSpec
) -> None:
    (tmp_path / "project" / "mine").mkdir()
    (tmp_path / "project" / "mine" / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "0.1"\n')
    lock(locks, environment)
    assert "whose content can change while its name stays" in unknown(local_identity(environment, locks))


def test_the_same_path_beside_another_pipeline_file_is_another_package(tmp_path: Path) -> None:
    places = [EnvironmentLocks(tmp_path / "store", tmp_path / project) for project in ("one", "two")]
    for environment, same in (
        (wants("./mine"), False),
        (wants("six", options=("-e ./mine",)), False),
        (wants("six"), True),
    ):
        one, other = (locks.key(environment.python, BASE) for locks in places)
        assert (one == other) is same


def test_a_branch_is_resolved_to_a_commit_and_kept(locks: EnvironmentLocks, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
        done = subprocess.run(["git", *who, *arguments], cwd=repository, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    (repository / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "0.1"\n')
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    address = f"git+file://{repository}"
    environment = wants(f"mine @ {address}@main")
    first = resolved(locks, environment)
    assert first["packages"] == {"mine": f"{address}@{git('rev-parse', 'HEAD')}"}
    git("commit", "--quiet", "--allow-empty", "-m", "second")
    assert resolved(locks, environment) == first
    (kept,) = locks.all()
    locks.refresh(kept.key, silent)
    assert (
        identity(locks, environment)["packages"]
        == {"mine": f"{address}@{git('rev-parse', 'HEAD')}"}
        != first["packages"]
    )


def test_a_file_of_constraints_that_is_not_there(locks: EnvironmentLocks) -> None:
    environment = wants("six", options=("-c limits.txt",))
    why = "the file 'limits.txt' in the environment's pip options cannot be read"
    assert why in unknown(local_identity(environment, locks))
    with pytest.raises(StepError, match=why):
        lock(locks, environment)


# --- an interpreter as it is ------------------------------------------------------------------------------------


def managed(interpreter: str | Path) -> EnvironmentSpec:
    return EnvironmentSpec(name="mine", python=PythonSpec(user_managed=True, interpreter=str(interpreter)))


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return make_python(tmp_path / "venv")


def test_what_is_installed_in_a_users_own_interpreter_is_its_identity(
    locks: EnvironmentLocks, index: Path, python: Path
) -> None:
    empty = identity(locks, managed(python))
    assert empty["packages"] == {}
    install(python, "--no-index", "--find-links", index, "tiny")
    assert identity(locks, managed(python)) == {**empty, "packages": {"tiny": "1.0"}}
    make_wheel(index, "tiny", "1.1")
    install(python, "--no-index", "--find-links", index, "--upgrade", "tiny")
    assert identity(locks, managed(python)) == {**empty, "packages": {"tiny": "1.1"}}
    # Nothing is installed into it, so there is nothing to resolve.
    assert locks.all() == []


def test_two_interpreters_with_the_same_packages_are_the_same(
    locks: EnvironmentLocks, index: Path, python: Path, tmp_path: Path
) -> None:
    other = make_python(tmp_path / "elsewhere")
    for path in (python, other):
        install(path, "--no-index", "--find-links", index, "tiny")
    assert identity(locks, managed(python)) == identity(locks, managed(other))


def test_a_users_own_interpreter_with_code_that_changes_is_not_known(
    locks: EnvironmentLocks, python: Path, tmp_path: Path
) -> None:
    (tmp_path / "code").mkdir()
    (sites(python) / "team.pth").write_text(f"{tmp_path / 'code'}\n")
    why = unknown(local_identity(managed(python), locks))
    assert why.startswith(
        f"the Python at {python} has what team.pth adds from {tmp_path / 'code'}: its code can change"
    )
    assert "reuse_as" in why


def test_a_users_own_interpreter_that_is_not_there(locks: EnvironmentLocks) -> None:
    assert "'/nowhere/python' does not exist" in unknown(local_identity(managed("/nowhere/python"), locks))


def test_without_packages_it_is_the_workers_own(locks: EnvironmentLocks) -> None:
    found = [local_identity(e, locks) for e in (None, EnvironmentSpec(name="e"), managed("python"))]
    assert found[0] == found[1] == found[2]
    # Whatever else is being developed on this machine: this package is not what makes it unknown.
    assert "aml" not in str(found[0].why)
