"""Which links mean the same wherever their folder is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from aml_provider.storage.links import lead_out


@pytest.mark.parametrize(
    ("target", "out"),
    [
        ("b", False),
        ("sub", False),
        ("sub/../b", False),
        ("..", True),
        ("../folder-2/c", True),
        ("../folder/b", False),
        ("nowhere", False),
        ("{}/b", True),
        ("{}/nowhere", False),
    ],
)
@pytest.mark.parametrize("place", ["a", "sub/a"])
def test_a_link(tmp_path: Path, target: str, out: bool, place: str) -> None:
    folder = tmp_path / "folder"
    for file in ("folder/b", "folder/sub/b", "folder-2/c"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("1")
    up = "" if place == "a" or target.startswith("{}") or target == "b" else "../"
    (folder / place).symlink_to(up + target.format(folder))
    assert lead_out(folder) is out
    # The folder itself may be reached by a link.
    (tmp_path / "way").symlink_to(folder)
    assert lead_out(tmp_path / "way") is out
