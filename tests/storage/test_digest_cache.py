"""What a machine has read before it does not read again, and whatever is wrong with that, no digest is."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aml_provider.storage.digest_cache import DigestCache
from aml_provider.storage.digests import Content, content_of, file_digest
from tests.reuse.machines import Warnings, as_somebody_else, fill, until
from tests.storage.machine import forked, in_processes, killed_at, opened, public_folder, working

NAMES = ["a.csv", "b.csv", "sub/c.csv", "sub/deep/d.csv", "sub/ü.csv"]


def plant(tree: Path, content: str) -> Path:
    for name in NAMES:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(f"{content} {name}")
    return tree


def settled(*trees: Path) -> None:
    """Wait until the files are so old that their digests may be kept."""
    newest = max(path.stat().st_ctime_ns for tree in trees for path in [tree, *tree.rglob("*")])
    until(lambda: time.time_ns() - newest > 2_100_000_000, "the files are two seconds old")


@pytest.fixture(scope="module")
def old_trees() -> Iterator[Iterator[Path]]:
    """Folders that nothing has been written to for a while; all tests wait for them once."""
    with public_folder() as above:
        trees = [plant(above / str(number), f"tree {number}") for number in range(100)]
        settled(*trees)
        yield iter(trees)


@pytest.fixture
def tree(old_trees: Iterator[Path]) -> Path:
    """A folder that nothing has been written to for a while."""
    return next(old_trees)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder that a cache is in."""
    return tmp_path / "state/cache"


def look(tree: Path, home: Path) -> Content:
    """As a plan does: with a cache that is opened for it."""
    with DigestCache(home) as cache:
        return content_of(tree, cache)


def read_again(tree: Path, home: Path) -> list[str]:
    """Look, and say which files were read for it."""
    with opened(tree) as names:
        look(tree, home)
    return sorted(names)


def database(home: Path) -> Path:
    (file,) = home.glob("digests-*.db")
    return file


# --- what is not read again -------------------------------------------------------------------------------------


def test_an_unchanged_folder_is_read_once(tree: Path, home: Path) -> None:
    plain = content_of(tree)
    assert read_again(tree, home) == NAMES
    assert read_again(tree, home) == []
    assert look(tree, home) == plain
    assert forked(lambda: read_again(tree, home)) == []


def test_one_cache_knows_at_once_what_it_has_read(tree: Path, home: Path) -> None:
    with DigestCache(home) as cache:
        content_of(tree, cache)
        with opened(tree) as names:
            assert content_of(tree, cache) == content_of(tree / ".", cache)
            file_digest(tree / "a.csv", cache)
        assert names == []
        assert not list(home.glob("digests-*")) or read_again(tree, home) == NAMES
        cache.flush()
        assert read_again(tree, home) == []


def test_a_single_file_and_its_folder_share_what_is_known(tree: Path, home: Path) -> None:
    with DigestCache(home) as cache:
        file_digest(tree / "sub/c.csv", cache)
    assert read_again(tree, home) == ["a.csv", "b.csv", "sub/deep/d.csv", "sub/ü.csv"]
    with DigestCache(home) as cache, opened(tree) as names:
        content_of(tree / "a.csv", cache)
    assert names == []


def test_another_folder_of_the_same_content_is_read(old_trees: Iterator[Path], home: Path) -> None:
    one, other = next(old_trees), next(old_trees)
    assert look(one, home) != look(other, home)
    assert read_again(one, home) == read_again(other, home) == []


def test_only_what_has_changed_is_read(tree: Path, home: Path) -> None:
    look(tree, home)
    (tree / "b.csv").write_text("changed")
    os.utime(tree / "sub/c.csv")
    assert read_again(tree, home) == ["b.csv", "sub/c.csv"]
    assert look(tree, home) == content_of(tree)


def test_files_come_and_go(tree: Path, home: Path) -> None:
    look(tree, home)
    (tree / "sub/c.csv").unlink()
    (tree / "sub/e.csv").write_text("new")
    assert read_again(tree, home) == ["sub/e.csv"]
    assert look(tree, home) == content_of(tree)


# --- what is read again -----------------------------------------------------------------------------------------


def test_a_rewritten_file_with_its_old_size_and_time_is_seen(tree: Path, home: Path) -> None:
    before = look(tree, home)
    file = tree / "a.csv"
    status = file.stat()
    file.write_text("x" * status.st_size)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = file.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (status.st_size, status.st_mtime_ns, status.st_ino)
    assert look(tree, home) == content_of(tree) != before


def test_a_file_that_took_the_place_of_another_is_seen(tree: Path, home: Path) -> None:
    before = look(tree, home)
    file, other = tree / "a.csv", tree / "other"
    other.write_text("x" * file.stat().st_size)
    shutil.copystat(file, other)
    other.replace(file)
    assert look(tree, home) == content_of(tree) != before


def test_two_files_that_have_changed_places_are_seen(tree: Path, home: Path) -> None:
    # Their names have the same length, so only inode and ctime tell them apart.
    before = look(tree, home)
    (tree / "a.csv").rename(tree / "c")
    (tree / "b.csv").rename(tree / "a.csv")
    (tree / "c").rename(tree / "b.csv")
    assert look(tree, home) == content_of(tree) != before


@pytest.fixture(scope="module")
def twins() -> Iterator[tuple[Path, Path]]:
    """Two files that differ in nothing but what is in them, and in their inode."""
    with public_folder() as above:
        for number in range(1000):
            one, other = above / f"{number}-1/a.csv", above / f"{number}-2/a.csv"
            for file in (one, other):
                file.parent.mkdir()
            # The file system's clock ticks some hundred times a second, as long as nobody looks at the file's time.
            for file in (one, other):
                descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
                os.write(descriptor, file.parent.name[-1].encode())
                os.close(descriptor)
            if stamps(one) == stamps(other):
                settled(above)
                yield one.parent, other.parent
                return
        pytest.skip("the file system's clock is so fine that no two files have one time")


def stamps(file: Path) -> tuple[int, int]:
    return file.stat().st_mtime_ns, file.stat().st_ctime_ns


def test_a_folder_that_only_its_inodes_tell_from_another(twins: tuple[Path, Path], tmp_path: Path, home: Path) -> None:
    one, other = (Path(shutil.move(twin, tmp_path)) for twin in twins)
    place = tmp_path / "data"
    one.rename(place)
    before = look(place, home)
    place.rename(one)
    other.rename(place)
    assert stamps(place / "a.csv") == stamps(one / "a.csv")
    assert look(place, home) == content_of(place) != before


def test_another_folder_at_the_same_place_is_seen(old_trees: Iterator[Path], tmp_path: Path, home: Path) -> None:
    one, other, place = next(old_trees), next(old_trees), tmp_path / "data"
    one.rename(place)
    before = look(place, home)
    place.rename(one)
    other.rename(place)
    assert look(place, home) == content_of(place) != before


def test_a_link_that_was_turned_is_seen(old_trees: Iterator[Path], tmp_path: Path, home: Path) -> None:
    for target in [next(old_trees), next(old_trees)]:
        (tmp_path / "data").unlink(missing_ok=True)
        (tmp_path / "data").symlink_to(target)
        assert look(tmp_path / "data", home) == content_of(target)


def test_a_file_that_was_just_written_is_not_kept(tmp_path: Path, home: Path) -> None:
    tree = plant(tmp_path / "tree", "new")
    # A program that writes again at once may leave the same size and times.
    assert read_again(tree, home) == NAMES
    assert read_again(tree, home) == NAMES
    settled(tree)
    assert read_again(tree, home) == NAMES
    assert read_again(tree, home) == []


def test_a_file_that_is_rewritten_all_the_time_is_never_wrong(tmp_path: Path, home: Path) -> None:
    tree = plant(tmp_path / "tree", "new")
    file = tree / "a.csv"
    status = file.stat()
    seen = []
    with DigestCache(home) as cache:
        for number in range(300):
            file.write_text(f"{number:>{status.st_size}}")
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
            seen.append(file_digest(file, cache))
    assert len(set(seen)) == 300


# --- what is wrong with the file --------------------------------------------------------------------------------


@pytest.fixture
def kept(home: Path, old_trees: Iterator[Path]) -> tuple[list[Path], Path, bytes]:
    """Two folders, the cache that knows them and others, and the bytes of its file."""
    trees = [next(old_trees) for _ in range(5)]
    with DigestCache(home) as cache:
        for tree in trees:
            content_of(tree, cache)
    return trees[:2], home, database(home).read_bytes()


def expect_sound(trees: list[Path], home: Path, truth: list[Content]) -> None:
    """Whatever was there: the digests are right, and soon nothing is read for them."""
    # Twice: what was damaged may be noticed only with the second folder, and takes the first one with it.
    assert [look(tree, home) for tree in trees * 2] == truth * 2
    assert [read_again(tree, home) for tree in trees] == [[], []]


def test_a_database_that_was_cut_off(kept: tuple[list[Path], Path, bytes]) -> None:
    trees, home, sound = kept
    truth = [content_of(tree) for tree in trees]
    file = database(home)
    assert len(sound) >= 8192
    for length in [*range(0, 120, 7), *range(120, len(sound), 509), *range(4096, len(sound), 4096), len(sound) - 1]:
        file.write_bytes(sound[:length])
        expect_sound(trees, home, truth)


def test_a_database_with_a_wrong_byte(kept: tuple[list[Path], Path, bytes]) -> None:
    trees, home, sound = kept
    truth = [content_of(tree) for tree in trees]
    file = database(home)
    body = sound.index(b"a.csv")
    for position in [*range(0, 110, 3), *range(110, len(sound), 211), *range(body, body + 80, 5)]:
        file.write_bytes(sound[:position] + bytes([sound[position] ^ 0xFF]) + sound[position + 1 :])
        expect_sound(trees, home, truth)


def test_a_database_whose_pages_are_mixed_up(kept: tuple[list[Path], Path, bytes]) -> None:
    trees, home, sound = kept
    truth = [content_of(tree) for tree in trees]
    pages = [sound[at : at + 4096] for at in range(0, len(sound), 4096)]
    for number in range(1, len(pages)):
        for wrong in (bytes(4096), os.urandom(4096), pages[number - 1], pages[-1]):
            database(home).write_bytes(b"".join([*pages[:number], wrong, *pages[number + 1 :]]))
            expect_sound(trees, home, truth)


def test_what_a_dead_process_had_begun_to_write(kept: tuple[list[Path], Path, bytes]) -> None:
    trees, home, _ = kept
    truth = [content_of(tree) for tree in trees]
    file = database(home)

    def die() -> None:
        rows = sqlite3.connect(file, isolation_level=None)
        rows.execute("PRAGMA cache_size = 1")
        rows.execute("BEGIN IMMEDIATE")
        rows.execute("UPDATE folders_1 SET body = zeroblob(9000)")
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(AssertionError, match="ended with -9"):
        forked(die)
    journal = file.with_name(file.name + "-journal")
    half, sound = file.read_bytes(), journal.read_bytes()
    assert [read_again(tree, home) for tree in trees] == [[], []]
    assert not journal.exists()
    for length in [0, 5, *range(31, len(sound), 499)]:
        for damaged in (sound[:length], sound[:length] + os.urandom(40) + sound[length + 40 :]):
            file.write_bytes(half)
            journal.write_bytes(damaged)
            expect_sound(trees, home, truth)


@pytest.mark.parametrize("content", [b"", b"no database at all", b"SQLite format 3\0", bytes(9000)])
def test_something_else_where_the_database_should_be(tree: Path, home: Path, content: bytes) -> None:
    look(tree, home)
    database(home).write_bytes(content)
    assert read_again(tree, home) == NAMES
    assert read_again(tree, home) == []


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE folders_1 (something TEXT)",
        "CREATE TABLE folders_1 (id INTEGER PRIMARY KEY, used TEXT, body TEXT)",
        "CREATE VIEW folders_1 AS SELECT 1 AS id, 2 AS used, 3 AS body",
        "CREATE TABLE folders_2 (id INTEGER PRIMARY KEY, new TEXT)",
    ],
)
def test_a_database_of_another_version(tree: Path, home: Path, schema: str) -> None:
    look(tree, home)
    file = database(home)
    file.unlink()
    with sqlite3.connect(file) as other:
        other.execute(schema)
    other.close()
    assert look(tree, home) == content_of(tree)
    assert read_again(tree, home) == []


@pytest.mark.parametrize("value", ["'text'", "NULL", "x''", "x'00'", "zeroblob(200)", "12"])
def test_rows_that_somebody_has_changed(tree: Path, home: Path, value: str) -> None:
    look(tree, home)
    with sqlite3.connect(database(home)) as other:
        other.execute("CREATE TABLE copy (id INTEGER PRIMARY KEY, used, body)")
        other.execute("INSERT INTO copy SELECT id, used, body FROM folders_1")
        other.execute("DROP TABLE folders_1")
        other.execute("ALTER TABLE copy RENAME TO folders_1")
        other.execute(f"UPDATE folders_1 SET body = {value}")
    other.close()
    assert look(tree, home) == content_of(tree)
    assert read_again(tree, home) == []


def test_rows_that_belong_to_other_folders(old_trees: Iterator[Path], home: Path) -> None:
    one, other = next(old_trees), next(old_trees)
    look(one, home)
    look(other, home)
    with sqlite3.connect(database(home)) as rows:
        ids = [row[0] for row in rows.execute("SELECT id FROM folders_1 ORDER BY id")]
        bodies = [row[0] for row in rows.execute("SELECT body FROM folders_1 ORDER BY id")]
        turned = [*bodies[1:], bodies[0]]
        rows.executemany("UPDATE folders_1 SET body = ? WHERE id = ?", zip(turned, ids, strict=True))
    rows.close()
    assert look(one, home) == content_of(one)
    assert look(other, home) == content_of(other)


def test_damage_is_told_once(tree: Path, home: Path, warnings: Warnings) -> None:
    look(tree, home)
    assert warnings() == []
    database(home).write_bytes(b"no database at all")
    look(tree, home)
    (said,) = warnings()
    assert said == f"digest cache {database(home)} is damaged (file is not a database); it is made anew"


def test_a_database_that_goes_away_meanwhile(tree: Path, home: Path) -> None:
    with DigestCache(home) as cache:
        content_of(tree, cache)
        cache.flush()
        shutil.rmtree(home)
        (tree / "a.csv").write_text("changed")
        assert content_of(tree, cache) == content_of(tree)
    assert look(tree, home) == content_of(tree)


# --- what is wrong with the place -------------------------------------------------------------------------------


@pytest.mark.parametrize("in_the_way", ["state", "state/cache"])
def test_a_file_where_the_folder_should_be(tree: Path, tmp_path: Path, in_the_way: str, warnings: Warnings) -> None:
    (tmp_path / in_the_way).parent.mkdir(exist_ok=True)
    (tmp_path / in_the_way).write_text("in the way")
    with DigestCache(tmp_path / "state/cache") as cache:
        assert content_of(tree, cache) == content_of(tree)
        assert content_of(tree, cache) == content_of(tree)
    (said,) = warnings()
    assert "files are read again each time" in said


def test_a_folder_where_the_file_should_be(tree: Path, home: Path, warnings: Warnings) -> None:
    look(tree, home)
    file = database(home)
    file.unlink()
    file.mkdir()
    assert look(tree, home) == content_of(tree)
    assert len(warnings()) == 1


@pytest.mark.parametrize("known", [False, True])
def test_a_folder_that_may_not_be_written(tree: Path, known: bool, warnings: Warnings) -> None:
    with public_folder() as home:
        if known:
            look(tree, home)
        home.chmod(0o555)
        with as_somebody_else():
            assert look(tree, home) == look(tree, home) == content_of(tree)
        home.chmod(0o755)
        # Each of the two that looked has said it once, unless there was nothing to write.
        assert len(warnings()) <= 2


def test_a_disk_that_is_full(tree: Path, small_disk: Path, warnings: Warnings) -> None:
    filler = fill(small_disk)
    assert look(tree, small_disk / "cache") == content_of(tree)
    assert [said.endswith("files are read again each time") for said in warnings()] == [True]
    filler.unlink()
    look(tree, small_disk / "cache")
    assert warnings() == []
    assert read_again(tree, small_disk / "cache") == []


def test_a_disk_that_fills_up(old_trees: Iterator[Path], small_disk: Path) -> None:
    one, other = next(old_trees), next(old_trees)
    with DigestCache(small_disk) as cache:
        content_of(one, cache)
        cache.flush()
        filler = fill(small_disk)
        assert content_of(other, cache) == content_of(other)
    filler.unlink()
    assert read_again(one, small_disk) == []
    assert look(other, small_disk) == content_of(other)


# --- several at once --------------------------------------------------------------------------------------------


def test_processes_share_it(old_trees: Iterator[Path], home: Path) -> None:
    trees = [next(old_trees) for _ in range(4)]
    truth = [content_of(tree) for tree in trees]

    def work(start: int) -> Callable[[], list[Content]]:
        order = trees[start:] + trees[:start]

        def several() -> list[Content]:
            found = [look(tree, home) for _ in range(5) for tree in order]
            return found[-start:] + found[:-start] if start else found

        return several

    assert all(found == truth * 5 for found in in_processes([work(number % 4) for number in range(6)]))
    assert [read_again(tree, home) for tree in trees] == [[]] * 4


def test_processes_that_find_it_damaged_make_it_anew_together(tree: Path, home: Path) -> None:
    look(tree, home)
    truth = content_of(tree)
    for _ in range(5):
        database(home).write_bytes(os.urandom(5000))
        assert in_processes([lambda: look(tree, home)] * 5) == [truth] * 5
    assert look(tree, home) == truth
    assert read_again(tree, home) == []


def test_somebody_who_breaks_it_all_the_time(tree: Path, home: Path) -> None:
    look(tree, home)
    truth = content_of(tree)
    file = database(home)

    def spoil() -> None:
        for path in home.glob("digests-*"):
            path.write_bytes(os.urandom(50))
        file.unlink(missing_ok=True)

    with working(spoil):
        assert [look(tree, home) for _ in range(30)] == [truth] * 30
    for path in home.glob("digests-*"):
        path.unlink()
    look(tree, home)
    assert read_again(tree, home) == []


def test_somebody_who_holds_it_for_long(old_trees: Iterator[Path], home: Path, warnings: Warnings) -> None:
    one, other = next(old_trees), next(old_trees)
    look(one, home)
    with sqlite3.connect(database(home)) as rows:
        rows.execute("BEGIN EXCLUSIVE")
        # Nobody waits for long, and what is there is left alone.
        assert look(other, home) == content_of(other)
        rows.execute("COMMIT")
    rows.close()
    (said,) = warnings()
    assert said.endswith("cannot be used: database is locked; files are read again each time")
    assert read_again(one, home) == []


def test_threads_share_one_object(old_trees: Iterator[Path], home: Path) -> None:
    trees = [next(old_trees) for _ in range(4)]
    found: list[list[Content]] = []
    with DigestCache(home) as cache:

        def several() -> None:
            mine = []
            for _ in range(10):
                mine += [content_of(tree, cache) for tree in trees]
                cache.flush()
            found.append(mine)

        threads = [threading.Thread(target=several) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [[content_of(tree) for tree in trees] * 10] * 6


def test_a_forked_process_goes_on_with_it(old_trees: Iterator[Path], home: Path) -> None:
    one, other, third = next(old_trees), next(old_trees), next(old_trees)

    def go_on() -> tuple[list[str], Content]:
        with opened(one) as names:
            content_of(one, cache)
        found = content_of(other, cache)
        cache.close()
        return names, found

    with DigestCache(home) as cache:
        content_of(one, cache)
        cache.flush()
        assert forked(go_on) == ([], content_of(other))
        content_of(third, cache)
    assert [read_again(tree, home) for tree in (one, other, third)] == [[], [], []]
    with sqlite3.connect(database(home)) as rows:
        assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows.close()


def test_it_is_killed_at_each_step_of_writing(tree: Path, home: Path) -> None:
    truth = content_of(tree)
    step = 0
    while killed_at(step, lambda: look(tree, home)):
        assert look(tree, home) == truth
        assert read_again(tree, home) == []
        database(home).unlink()
        step += 1
    assert step > len(NAMES)


def test_it_is_killed_at_any_moment(tree: Path, home: Path) -> None:
    truth = content_of(tree)

    def work() -> None:
        for path in home.glob("digests-*"):
            path.unlink(missing_ok=True)
        look(tree, home)

    for _ in range(15):
        with working(work):
            pass
        assert look(tree, home) == truth
        assert read_again(tree, home) == []


# --- what it keeps ----------------------------------------------------------------------------------------------


def sizes_of(home: Path) -> list[int]:
    """How much there is about each folder."""
    with sqlite3.connect(database(home)) as rows:
        found = sorted(size for (size,) in rows.execute("SELECT length(body) FROM folders_1"))
    rows.close()
    return found


def test_folders_that_nobody_asks_for_are_forgotten(old_trees: Iterator[Path], home: Path) -> None:
    one, other = next(old_trees), next(old_trees)
    look(one, home)
    assert len(sizes_of(home)) == 3
    with sqlite3.connect(database(home)) as rows:
        rows.execute("UPDATE folders_1 SET used = used - 91")
        rows.execute("PRAGMA user_version = 0")
    rows.close()
    look(other, home)
    assert len(sizes_of(home)) == 3
    assert read_again(other, home) == []
    assert read_again(one, home) == NAMES


def test_folders_that_are_asked_for_stay(old_trees: Iterator[Path], home: Path) -> None:
    one, other = next(old_trees), next(old_trees)
    look(one, home)
    for _ in range(3):
        with sqlite3.connect(database(home)) as rows:
            rows.execute("UPDATE folders_1 SET used = used - 60")
            rows.execute("PRAGMA user_version = 0")
        rows.close()
        assert read_again(one, home) == []
    look(other, home)
    assert read_again(one, home) == []


def test_files_that_are_gone_are_forgotten(tree: Path, home: Path, tmp_path: Path) -> None:
    with DigestCache(home) as cache:
        file_digest(tree / "a.csv", cache)
    (tree / "a.csv").unlink()
    look(tree, home)
    look(tree, tmp_path / "new")
    assert sizes_of(home) == sizes_of(tmp_path / "new")


def test_machines_that_are_no_more_leave_nothing(tree: Path, home: Path) -> None:
    look(tree, home)
    mine = database(home)
    for name, days in {"digests-gone.db": 100, "digests-there.db": 80, "digests-busy.db": 100, "else.db": 100}.items():
        (home / name).write_bytes(mine.read_bytes())
        os.utime(home / name, (time.time() - days * 86_400,) * 2)
    (home / "digests-busy.db-journal").touch()
    mine.unlink()
    look(tree, home)
    assert sorted(path.name for path in home.iterdir()) == sorted(
        [mine.name, "digests-there.db", "digests-busy.db", "digests-busy.db-journal", "else.db"]
    )
