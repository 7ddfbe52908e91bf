"""What a step reads from an object store comes to a machine once, and is always what is there."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aml_provider.spec.errors import PipelineError
from aml_provider.storage.stage_cache import StageCache
from tests.stores import Place

MEBIBYTE = 1 << 20


def staged(cache: StageCache, bucket: Place, path: str, target: Path, *, private: bool = False) -> Path:
    content = bucket.store.content(path)
    assert content is not None
    cache.bring(bucket.store, path, content, target, private=private)
    return target


def kept(cache: Path) -> list[Path]:
    """The kept copies."""
    return sorted(file.parent / "data" for file in cache.glob("??/*/entry.json"))


def test_a_folder_and_a_file_come_whole(bucket: Place, tmp_path: Path) -> None:
    for path, content in {"data/a.csv": b"1\n", "data/deep/b.csv": b"2\n", "data/empty": b"", "other": b"x"}.items():
        bucket.write(path, content)
    cache = StageCache(tmp_path / "staged", MEBIBYTE)
    folder = staged(cache, bucket, "data", tmp_path / "one")
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert found == {"a.csv": b"1\n", "deep/b.csv": b"2\n", "empty": b""}
    assert staged(cache, bucket, "data/a.csv", tmp_path / "two" / "a.csv").read_bytes() == b"1\n"


def test_what_is_there_already_is_linked_and_not_fetched_again(bucket: Place, tmp_path: Path) -> None:
    bucket.write("data/a.csv", b"1\n")
    cache = StageCache(tmp_path / "staged", MEBIBYTE)
    one = staged(cache, bucket, "data", tmp_path / "one")
    two = staged(cache, bucket, "data", tmp_path / "two")
    assert (one / "a.csv").stat().st_ino == (two / "a.csv").stat().st_ino
    own = staged(cache, bucket, "data", tmp_path / "own", private=True)
    assert (own / "a.csv").stat().st_ino != (one / "a.csv").stat().st_ino
    (own / "a.csv").write_bytes(b"changed by its step\n")
    assert (one / "a.csv").read_bytes() == b"1\n"


def test_an_object_that_was_overwritten_is_fetched_anew(bucket: Place, tmp_path: Path) -> None:
    cache = StageCache(tmp_path / "staged", MEBIBYTE)
    bucket.write("data/a.csv", b"old\n")
    staged(cache, bucket, "data", tmp_path / "one")
    bucket.write("data/a.csv", b"new\n")
    assert (staged(cache, bucket, "data", tmp_path / "two") / "a.csv").read_bytes() == b"new\n"
    assert (tmp_path / "one" / "a.csv").read_bytes() == b"old\n", "a step that runs keeps what it was given"


def test_a_step_that_writes_into_its_input_spoils_nothing_for_others(bucket: Place, tmp_path: Path) -> None:
    bucket.write("data/a.csv", b"right\n")
    cache = StageCache(tmp_path / "staged", MEBIBYTE)
    one = staged(cache, bucket, "data", tmp_path / "one")
    os.chmod(one / "a.csv", 0o644)
    (one / "a.csv").write_bytes(b"wrong\n")
    assert (staged(cache, bucket, "data", tmp_path / "two") / "a.csv").read_bytes() == b"right\n"


def test_a_half_fetched_or_damaged_entry_is_none(bucket: Place, tmp_path: Path) -> None:
    bucket.write("data/a.csv", b"right\n")
    cache = StageCache(tmp_path / "staged", MEBIBYTE)
    staged(cache, bucket, "data", tmp_path / "one")
    (data,) = kept(tmp_path / "staged")
    for number, entry in enumerate(["", "{}", '{"digest": "no", "bytes": 1}', "[" * 100]):
        (data.parent / "entry.json").write_text(entry)
        (data / "left over").touch()
        folder = staged(cache, bucket, "data", tmp_path / f"again {number}")
        assert [p.name for p in folder.iterdir()] == ["a.csv"]


def test_the_cache_stays_within_its_size_and_steps_keep_what_they_have(bucket: Place, tmp_path: Path) -> None:
    cache = StageCache(tmp_path / "staged", 2500)
    for name in "abc":
        bucket.write(f"{name}/data", name.encode() * 1000)
    for name in "aba":
        staged(cache, bucket, name, tmp_path / f"step {name} {len(list(tmp_path.iterdir()))}")
    staged(cache, bucket, "c", tmp_path / "step c")
    left = {next(iter(p.iterdir())).read_bytes()[:1] for p in kept(tmp_path / "staged")}
    assert left == {b"a", b"c"}, "what was used longest ago has gone"
    steps = list(tmp_path.glob("step b *"))
    assert [(p / "data").read_bytes() for p in steps] == [b"b" * 1000]


def test_many_steps_at_once_get_the_same(bucket: Place, tmp_path: Path) -> None:
    for number in range(20):
        bucket.write(f"data/{number}", str(number).encode())

    def one(number: int) -> dict[str, bytes]:
        folder = staged(StageCache(tmp_path / "staged", MEBIBYTE), bucket, "data", tmp_path / f"step {number}")
        return {p.name: p.read_bytes() for p in folder.iterdir()}

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, range(8)))
    assert found == [{str(n): str(n).encode() for n in range(20)}] * 8
    assert len(kept(tmp_path / "staged")) == 1


def test_what_goes_on_changing_is_a_sentence(bucket: Place, tmp_path: Path) -> None:
    bucket.write("data/a.csv", b"1\n")
    content = bucket.store.content("data")
    assert content is not None
    bucket.write("data/a.csv", b"2\n")
    with pytest.raises(PipelineError, match="'data' in datastore 'blobs' changes while it is fetched"):
        StageCache(tmp_path / "staged", MEBIBYTE).bring(bucket.store, "data", content, tmp_path / "one")
    assert kept(tmp_path / "staged") == []
    assert not (tmp_path / "one").exists()
