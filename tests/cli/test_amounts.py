"""Amounts of time and data as people type and read them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.cli.amounts import bytes_of, seconds_of, size
from aml_provider.spec.errors import AmlError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("P30D", 30 * 86_400), ("PT12H", 43_200), ("P1DT6H", 108_000), ("PT90S", 90), ("PT0.5S", 0.5), ("P2W", 1_209_600)],
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert seconds_of(text, "--older-than") == seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [
        *(("0", 0), ("1000", 1000), ("12B", 12), ("500MB", 500_000_000), ("500M", 500_000_000)),
        *(("2GiB", 2 * 1024**3), ("2Gi", 2 * 1024**3), ("1.5kB", 1500), ("1.5KB", 1500), ("1TB", 10**12)),
    ],
)
def test_amounts_of_data(text: str, count: int) -> None:
    assert bytes_of(text, "--keep-bytes") == count


@given(st.text(max_size=8) | st.from_regex(r"-?P?T?[0-9.]{0,3}[kKMGTiBDHS]{0,2}", fullmatch=True))
def test_what_is_no_amount_is_told_with_the_option_and_an_example(text: str) -> None:
    for parse, example in ((seconds_of, "P30D"), (bytes_of, "500MB")):
        problem = problem_with(parse, text)
        if problem is not None:
            assert problem.startswith(f"--option {text!r} is no ")
            assert example in problem


def problem_with(parse: Callable[[str, str], float], text: str) -> str | None:
    try:
        assert parse(text, "--option") >= 0
    except AmlError as e:
        return str(e)
    return None


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1500, "1.5 kB"), (999_499, "999 kB"), (999_500, "1 MB")),
        *((10**9, "1 GB"), (10**12, "1 TB"), (2_345_000_000_000_000, "2345 TB")),
    ],
)
def test_sizes_in_words(count: int, text: str) -> None:
    assert size(count) == text


@given(st.integers(0, 10**15))
def test_a_size_in_words_is_near_the_size(count: int) -> None:
    number, unit = size(count).split()
    back = float(number) * {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
    assert abs(back - count) <= count * 0.006
