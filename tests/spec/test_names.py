"""Keys are what Airflow and file systems accept, and every step gets its own."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.spec.errors import PipelineError
from aml_provider.spec.names import MAX_KEY, RESERVED_KEYS, check_data_name, legal_key, unique_keys

LEGAL = re.compile(r"[A-Za-z0-9_.-]{1,250}")


@given(st.lists(st.one_of(st.text(), st.sampled_from(["prep", "prep_2", "reuse", "..", "a" * 300]))))
def test_keys_are_legal_unique_and_the_same_every_time(names: list[str]) -> None:
    keys = unique_keys(names)
    assert len(set(keys)) == len(keys) == len(names)
    assert all(LEGAL.fullmatch(key) and not key.startswith(".") and ".." not in key for key in keys)
    assert not set(keys) & RESERVED_KEYS
    assert keys == unique_keys(names)


@given(st.lists(st.from_regex(r"[A-Za-z0-9_-](\.?[A-Za-z0-9_-]){0,20}", fullmatch=True), unique=True))
def test_a_legal_name_that_occurs_once_is_its_own_key(names: list[str]) -> None:
    names = [name for name in names if name not in RESERVED_KEYS]
    assert unique_keys(names) == names


def test_equal_names_are_numbered_around_names_that_look_numbered() -> None:
    assert unique_keys(["train", "train", "train_2", "train"]) == ["train", "train_3", "train_2", "train_4"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Prepare data", "Prepare_data"),
        ("größe", "gr_e"),
        ("..", "step"),
        ("../../etc", "_._etc"),
        ("", "step"),
        ("a" * 300, "a" * MAX_KEY),
        ("train.py", "train.py"),
        ("a..b...", "a.b."),
    ],
)
def test_names_made_legal(name: str, key: str) -> None:
    assert legal_key(name) == key


def test_the_names_of_our_own_tasks_are_taken() -> None:
    assert unique_keys(["reuse", "pipeline_end"]) == ["reuse_2", "pipeline_end_2"]


@pytest.mark.parametrize("name", ["", "a-b", "a b", "ä", None, 3])
def test_a_data_name_becomes_an_environment_variable(name: object) -> None:
    with pytest.raises(PipelineError, match="letters, digits and underscores"):
        check_data_name(name, "PipelineData")
