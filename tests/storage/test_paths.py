"""Paths in a datastore have one spelling and never leave it."""

from __future__ import annotations

import fnmatch
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.spec.errors import PipelineError
from aml_provider.storage import normalized, store_for
from aml_provider.storage.paths import glob_regex, glob_root
from aml_provider.workspace.model import DatastoreConfig

names = st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..") and not name[1:].startswith(":")
)
parts = st.lists(st.one_of(names, st.sampled_from(["", ".", ".."])), max_size=8)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (None, ""),
        ("", ""),
        (".", ""),
        ("./", ""),
        ("a/b/", "a/b"),
        ("a//b", "a/b"),
        ("./a/./b", "a/b"),
        ("a\\b\\c.csv", "a/b/c.csv"),
        ("a/../b", "b"),
        ("a/b/../../c", "c"),
        ("größe/データ.csv", "größe/データ.csv"),
        ("a b/c%20d#e?", "a b/c%20d#e?"),
        ("..a/b..", "..a/b.."),
    ],
)
def test_one_spelling(written: str | None, meant: str) -> None:
    assert normalized(written, "store") == meant


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("..", "leads out of the datastore"),
        ("a/../../b", "leads out of the datastore"),
        ("a\\..\\..\\b", "leads out of the datastore"),
        ("/etc/passwd", "is absolute"),
        ("\\\\server\\share", "is absolute"),
        ("C:\\data", "is absolute"),
        ("c:/data", "is absolute"),
        ("a\0b", "NUL character"),
    ],
)
def test_what_is_refused_names_path_and_datastore(path: str, says: str) -> None:
    with pytest.raises(PipelineError, match=says) as caught:
        normalized(path, "myblobs")
    assert "'myblobs'" in str(caught.value)
    assert repr(path) in str(caught.value)


@given(parts, st.sampled_from(["/", "\\", "//", "/./"]))
def test_whatever_is_accepted_stays_inside_and_is_stable(segments: list[str], separator: str) -> None:
    path = separator.join(segments)
    try:
        result = normalized(path, "store")
    except PipelineError:
        return
    assert normalized(result, "store") == result
    assert ".." not in result.split("/")
    root = Path("/data/root")
    local = store_for(DatastoreConfig(url=str(root)), "store").local_path(path)
    assert local == root or root in local.parents


@given(parts)
def test_going_up_agrees_with_the_operating_system(segments: list[str]) -> None:
    depth, leaves = 0, False
    for segment in segments:
        depth += -1 if segment == ".." else 0 if segment in ("", ".") else 1
        leaves |= depth < 0
    path = "/".join(segments)
    if path.startswith("/"):
        return
    if leaves:
        with pytest.raises(PipelineError):
            normalized(path, "store")
    else:
        assert len([part for part in normalized(path, "store").split("/") if part]) == depth


@given(st.lists(names.filter(lambda name: not set(name) & set("*?[]")), min_size=1, max_size=5).map("/".join))
def test_globs_that_mean_everything_match_everything(path: str) -> None:
    assert glob_regex("**").fullmatch(path)
    assert glob_regex(f"**/{PurePosixPath(path).name}").fullmatch(path)
    assert glob_regex("/".join("*" for _ in path.split("/"))).fullmatch(path)
    assert not glob_regex("/".join("*" for _ in [*path.split("/"), ""])).fullmatch(path)


@given(
    st.text(st.sampled_from("ab*?."), min_size=1, max_size=6).filter(lambda text: "**" not in text),
    st.text(st.sampled_from("ab."), min_size=1, max_size=6),
)
def test_one_part_of_a_glob_is_what_shells_mean(pattern: str, name: str) -> None:
    assert bool(glob_regex(pattern).fullmatch(name)) == fnmatch.fnmatchcase(name, pattern)


def test_a_glob_is_listed_from_its_first_wildcard() -> None:
    assert glob_root("weather/2018/*/x.csv") == "weather/2018"
    assert glob_root("*.csv") == ""
