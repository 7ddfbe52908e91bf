"""Modules that somebody has put among an interpreter's packages by hand."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from aml_provider.reuse import loose_code as looked_at
from aml_provider.reuse.loose_code import loose_code
from aml_provider.storage.digest_cache import DigestCache
from tests.wheels import install, make_python, make_wheel, sites


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return make_python(tmp_path / "venv")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[DigestCache]:
    with DigestCache(tmp_path / "cache") as made:
        yield made


def test_packages_are_known_by_their_versions_and_what_is_beside_them_by_its_content(
    python: Path, tmp_path: Path, cache: DigestCache
) -> None:
    site = sites(python)
    install(python, make_wheel(tmp_path, "tiny", "1.0"))
    assert loose_code([str(site)], cache) == {}
    (site / "team").mkdir()
    for path, text in {
        "mine.py": "V = 1",
        "team/tools.py": "",
        "sitecustomize.py": "",
        "more.pth": "import os",
    }.items():
        (site / path).write_text(text)
    (site / "LICENSE").write_text("no code")
    before = loose_code([str(site)], cache)
    assert sorted(before) == ["mine.py", "more.pth", "sitecustomize.py", "team"]

    # In place, so that the folder itself does not change.
    with open(site / "mine.py", "r+", encoding="utf-8") as file:
        file.write("V = 2")
    (site / "team" / "__pycache__").mkdir()
    (site / "team" / "__pycache__" / "tools.pyc").write_text("compiled")
    after = loose_code([str(site)], cache)
    assert {name for name in before if before[name] != after[name]} == {"mine.py"}
    (site / "team" / "more.py").touch()
    assert loose_code([str(site)], cache)["team"] != after["team"]


def test_which_ones_they_are_is_kept_until_a_package_comes_or_goes(
    python: Path, tmp_path: Path, cache: DigestCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = sites(python)
    (site / "mine.py").write_text("V = 1")
    monkeypatch.setattr(looked_at, "_SETTLED_NS", 0)
    found = loose_code([str(site)], cache)
    monkeypatch.setattr(looked_at, "_looked_up", lambda site, stamp: pytest.fail("it was looked up again"))
    assert loose_code([str(site)], cache) == found == {"mine.py": found["mine.py"]}
    monkeypatch.undo()
    (site / "mine.py").unlink()
    assert loose_code([str(site)], cache) == {}
    cache.file.with_name(f"{cache.file.stem}-sites.json").write_text("damaged")
    assert loose_code([str(site)], cache) == {}


def test_of_two_of_one_name_the_one_that_is_imported_counts(tmp_path: Path) -> None:
    for folder, text in (("first", "V = 1"), ("second", "V = 2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(text)
    both, gone = [str(tmp_path / "first"), str(tmp_path / "second")], str(tmp_path / "gone")
    assert loose_code([*both, gone], None) == loose_code(both[:1], None) != loose_code(both[1:], None)


def test_packages_of_a_linux_distribution_which_have_no_list(tmp_path: Path) -> None:
    (tmp_path / "one-1.0.dist-info").mkdir()
    (tmp_path / "two-1.0.egg-info").mkdir()
    (tmp_path / "two-1.0.egg-info" / "top_level.txt").write_text("second\n_second\n")
    for name in ("one.py", "second", "_second.py", "third.py"):
        (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).touch()
    assert list(loose_code([str(tmp_path)], None)) == ["third.py"]


def test_nothing_of_this_python_is_loose_that_a_package_has() -> None:
    found = loose_code([sysconfig.get_path("purelib")], None)
    assert not {"pytest", "_pytest", "yaml", "PIL", "pkg_resources", "airflow"} & {*found}
