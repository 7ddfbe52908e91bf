"""Files are read as they are, whatever happens to them and to the process meanwhile."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.spec.errors import PipelineError
from aml_provider.storage.digests import content_of, file_digest, file_digests
from aml_provider.storage.hashing import FileStamp, hash_file, hash_files
from tests.storage.machine import forked, just_before, opened

MIB = 1 << 20


def filled(file: Path, size: int) -> Path:
    """A file whose content does not repeat."""
    pattern = blake3(b"content").digest(min(size, 3 * MIB + 1))
    file.write_bytes((pattern * (size // max(len(pattern), 1) + 1))[:size])
    return file


def test_an_empty_file_has_the_digest_that_b3sum_prints(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert file_digest(tmp_path / "empty") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


@pytest.mark.parametrize(
    "size", [1, 1024, 65_535, 65_536, 65_537, 4 * MIB - 1, 4 * MIB, 8 * MIB, 8 * MIB + 1, 17 * MIB]
)
def test_each_size_gives_the_digest_of_the_bytes(tmp_path: Path, size: int) -> None:
    file = filled(tmp_path / "data.bin", size)
    assert file_digest(file) == blake3(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("position", [0, 4 * MIB, 8 * MIB - 1, 8 * MIB, 9 * MIB - 1])
def test_one_byte_of_a_big_file_counts(tmp_path: Path, position: int) -> None:
    file = filled(tmp_path / "data.bin", 9 * MIB)
    before = file_digest(file)
    with open(file, "r+b") as handle:
        handle.seek(position)
        (byte,) = handle.read(1)
        handle.seek(position)
        handle.write(bytes([byte ^ 0x80]))
    assert file_digest(file) != before


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=200))
def test_many_files_keep_their_order(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("many")
    paths = [folder / str(number) for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    assert file_digests(paths) == [blake3(content).hexdigest() for content in contents]


@pytest.mark.parametrize("size", [0, 200 << 20], ids=["small", "big"])
@pytest.mark.parametrize("gone", [0, 100, 199])
def test_one_of_many_files_is_not_there(tmp_path: Path, gone: int, size: int) -> None:
    paths = [filled(tmp_path / str(number), number) for number in range(200)]
    paths[gone].unlink()
    with pytest.raises(FileNotFoundError, match=f"'{paths[gone]}'"):
        file_digests(paths)
    with pytest.raises(FileNotFoundError):
        list(hash_files([os.fsencode(path) for path in paths], total_bytes=size))


def test_one_of_many_files_cannot_be_read(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / str(number)).write_text("1")

    def replace() -> None:
        (tmp_path / "150").unlink()
        (tmp_path / "150").mkdir()

    with (
        just_before("open", tmp_path / "150", replace),
        pytest.raises(PipelineError, match=r"/150' is a folder, where only files can be data"),
    ):
        content_of(tmp_path)


def test_a_file_is_opened_once(tmp_path: Path) -> None:
    filled(tmp_path / "small", 100)
    filled(tmp_path / "big", 5 * MIB)
    with opened(tmp_path) as names:
        content_of(tmp_path)
    assert sorted(names) == ["big", "small"]


# --- changes meanwhile ------------------------------------------------------------------------------------------


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], None]], None]:
    """Has something done just before each time that a piece of a file is read."""

    def install(act: Callable[[int], None]) -> None:
        rounds = itertools.count()
        for name in ("read", "readv"):
            real = getattr(os, name)

            def read(*args: object, real: Callable[..., object] = real) -> object:
                number = next(rounds)
                assert number < 1000, "reading does not end"
                act(number)
                return real(*args)

            monkeypatch.setattr(os, name, read)

    return install


SIZES = pytest.mark.parametrize("size", [10, 5 * MIB])
Meanwhile = Callable[[Callable[[int], None]], None]


def rewrite(file: Path, *, position: int = 0) -> None:
    """Another byte, and no other size."""
    with open(file, "r+b", buffering=0) as handle:
        old = os.pread(handle.fileno(), 1, position)
        os.pwrite(handle.fileno(), bytes([old[0] ^ 1]), position)


def append(file: Path) -> None:
    with open(file, "ab") as handle:
        handle.write(b"x" * 100)


@SIZES
@pytest.mark.parametrize("change", [rewrite, append, lambda file: os.truncate(file, 5)])
def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, meanwhile: Meanwhile, size: int, change: Callable[[Path], None]
) -> None:
    file = filled(tmp_path / "data.bin", size)
    before = file_digest(file)
    # After the first piece: the beginning that was read is not in the file any more.
    meanwhile(lambda number: change(file) if number == 1 else None)
    assert file_digest(file) == blake3(file.read_bytes()).hexdigest() != before


@SIZES
@pytest.mark.parametrize("change", [rewrite, append])
def test_a_file_that_goes_on_changing_is_an_error(
    tmp_path: Path, meanwhile: Meanwhile, size: int, change: Callable[[Path], None]
) -> None:
    file = filled(tmp_path / "data.bin", size)
    meanwhile(lambda number: change(file))
    says = r"^file '.*/data\.bin' changes while it is read; wait until whatever writes it has ended, and try again\.$"
    with pytest.raises(PipelineError, match=says):
        file_digest(file)


def test_a_file_that_holds_more_than_it_says_is_refused() -> None:
    # What the system makes up at the moment when it is read has no content that could be read twice.
    assert os.stat("/proc/self/status").st_size == 0
    with pytest.raises(PipelineError, match="^file '/proc/self/status' changes while it is read"):
        file_digest(Path("/proc/self/status"))


def test_a_disk_that_fails_is_a_sentence(tmp_path: Path, meanwhile: Meanwhile) -> None:
    file = filled(tmp_path / "data.bin", 10)

    def fail(number: int) -> None:
        raise OSError(5, "Input/output error")

    meanwhile(fail)
    with pytest.raises(PipelineError, match=r"data\.bin' cannot be read: Input/output error"):
        file_digest(file)


def test_a_stamp_is_of_what_was_read(tmp_path: Path) -> None:
    file = filled(tmp_path / "data.bin", 10)
    replacement = filled(tmp_path / "other.bin", 20)
    with just_before("open", file, lambda: replacement.replace(file)):
        hashed = hash_file(os.fsencode(file))
    assert hashed.stamp == FileStamp.of(file.stat())
    assert (hashed.stamp.size, hashed.digest) == (20, blake3(file.read_bytes()).hexdigest())


# --- forked processes -------------------------------------------------------------------------------------------


def test_a_forked_process_reads_big_files_too(tmp_path: Path) -> None:
    file = filled(tmp_path / "data.bin", 12 * MIB)
    # Airflow forks a process for each task; threads that were there before are not there in it.
    before = file_digest(file)
    assert forked(lambda: file_digest(file)) == before
    assert forked(lambda: forked(lambda: file_digest(file))) == before
    assert file_digest(file) == before


def test_a_forked_process_reads_many_files_too(tmp_path: Path) -> None:
    for number in range(200):
        filled(tmp_path / str(number), number)
    before = content_of(tmp_path)
    assert forked(lambda: content_of(tmp_path)) == before


def test_a_process_forked_while_others_read(tmp_path: Path) -> None:
    file = filled(tmp_path / "data.bin", 12 * MIB)
    before = file_digest(file)
    seen: list[str] = []
    with opened(tmp_path) as names:
        thread = threading.Thread(target=lambda: seen.extend(file_digest(file) for _ in range(20)))
        thread.start()
        for _ in range(3):
            assert forked(lambda: file_digest(file)) == before
        thread.join()
    assert set(seen) == {before}
    assert len(names) >= 20
