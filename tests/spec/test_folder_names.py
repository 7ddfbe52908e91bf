"""Names as folders: whatever an author or Airflow calls a thing, it gets a folder of its own, inside its parent."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from aml_provider.spec.names import folder_name


@given(st.text(min_size=1, max_size=300))
def test_a_name_stays_inside_its_parent(name: str) -> None:
    """No name climbs out of the folder it is in, or is longer than a file system takes."""
    folder = folder_name(name)
    assert Path("/store", folder).resolve().parent == Path("/store")
    assert len(folder.encode()) <= 255


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_two_names_never_share_a_folder(one: str, other: str) -> None:
    """Run ids 'a:b' and 'a_b' look alike once made legal; their records must not mix."""
    assert (folder_name(one) == folder_name(other)) == (one == other)


def test_run_ids_that_differ_in_punctuation_are_kept_apart() -> None:
    """Airflow's own run ids hold colons and a plus sign."""
    assert folder_name("manual__a:b") != folder_name("manual__a_b")
    assert folder_name("run-1") == "run-1"
