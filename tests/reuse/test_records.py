"""What has been computed is found again, and what is damaged, foreign or out of reach is never taken for it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aml_provider.reuse.canonical import digest
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.pins import Pin
from aml_provider.reuse.records import Record
from aml_provider.reuse.sealing import sealed
from aml_provider.spec.errors import AmlError
from aml_provider.spec.models import StoredOutput
from aml_provider.spec.names import folder_name
from aml_provider.storage.record_store import FolderStore
from tests.reuse.machines import Warnings, as_somebody_else, at_once, fill, workers

KEY = digest("train, with these data")
OTHER = digest("train, with other data")


def record(key: str = KEY, step: str = "train", created: float = 1000.0, by: str = "run-1/train") -> Record:
    model = {"datastore": "store", "path": "runs/1/model", "digest": "9" * 64, "files": 2, "bytes": 7}
    return Record(
        fingerprint=key,
        parts={"key": {"command": ["python", 1, 1.0, "1", True, None]}, "details": {}},
        step={"name": step, "type": "PythonScriptStep", "key": "train"},
        run={"step_run_id": by, "experiment": "digits"},
        started=1.5,
        ended=4.0,
        seconds=2.5,
        created=created,
        outputs={"model": model},
        metrics={"accuracy": 0.97},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "reuse"


@pytest.fixture
def index(folder: Path) -> ReuseIndex:
    return ReuseIndex.of(folder)


def file_of(folder: Path, key: str = KEY) -> Path:
    return folder / "records" / key[:2] / f"{key}.json"


def as_text(value: Record) -> str:
    return json.dumps(value.to_json(), sort_keys=True)


def put(folder: Path, content: bytes, key: str = KEY) -> None:
    file = file_of(folder, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


# --- a result is found again ----------------------------------------------------------------------------------------


def test_what_was_committed_is_read_by_everybody(index: ReuseIndex, folder: Path, warnings: Warnings) -> None:
    assert index.read(KEY) is None
    assert index.commit(record()) == record()
    elsewhere = ReuseIndex.of(folder)
    assert elsewhere.read(KEY) == record()
    assert elsewhere.read_many([OTHER, KEY, KEY]) == {KEY: record()}
    assert list(elsewhere.all()) == [record()]
    assert elsewhere.of_step("train") == [record()]
    assert record().stored == {
        "model": StoredOutput(datastore="store", path="runs/1/model", digest="9" * 64, files=2, bytes=7)
    }
    assert warnings() == []


# Named, since Hypothesis parses the file of a lambda to show it, and Python 3.11 cannot always do that where it does.
def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    _nested,
    max_leaves=8,
)
mappings = st.dictionaries(st.text(max_size=8), json_values, max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=mappings, run=mappings, metrics=mappings, lineage=mappings, name=st.text(), step=mappings)
def test_a_record_comes_back_as_it_was(
    index: ReuseIndex, parts: Any, run: Any, metrics: Any, lineage: Any, name: str, step: Any
) -> None:
    mine = replace(record(), parts=parts, run=run, metrics=metrics, lineage=lineage, step={**step, "name": name})
    assert index.commit(mine, replace=True) == mine
    found = index.read(KEY)
    assert found is not None
    # 1, 1.0 and True are equal in Python, and are not the same value.
    assert as_text(found) == as_text(mine)


def test_an_output_that_was_never_written_is_recorded_as_that(index: ReuseIndex) -> None:
    nothing = {"datastore": "store", "path": "runs/1/none", "digest": None, "files": None, "bytes": None}
    index.commit(replace(record(), outputs={"none": nothing}))
    found = index.read(KEY)
    assert found is not None
    assert found.stored["none"].digest is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"fingerprint": "train"},
        {"fingerprint": KEY.upper()},
        {"created": float("nan")},
        {"started": None},
        {"outputs": {"model": {"path": "runs/1/model"}}},
        {"step": {}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_record_that_could_not_be_read_again_is_not_written(
    index: ReuseIndex, folder: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="cannot be recorded like this"):
        index.commit(replace(record(), **wrong))
    assert not folder.exists()


# --- a damaged one is not -------------------------------------------------------------------------------------------


def assert_no_hit(index: ReuseIndex) -> None:
    assert index.read(KEY) is None
    assert index.read_many([KEY]) == {}


def test_a_record_that_is_cut_off_anywhere_is_a_miss(index: ReuseIndex, folder: Path, warnings: Warnings) -> None:
    index.commit(record())
    content = file_of(folder).read_bytes()
    for length in range(len(content)):
        put(folder, content[:length])
        assert index.read(KEY) is None, length
        (said,) = warnings()
        assert KEY in said
    assert index.of_step("train") == []
    assert list(index.all()) == []
    put(folder, content)
    assert index.read(KEY) == record()


def test_a_record_with_any_bit_flipped_is_a_miss(index: ReuseIndex, folder: Path, warnings: Warnings) -> None:
    index.commit(record())
    content = file_of(folder).read_bytes()
    for position in range(len(content)):
        for bit in range(8):
            put(folder, content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :])
            assert index.read(KEY) is None, (position, bit)
            assert len(warnings()) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_record_with_anything_put_in_or_taken_out_is_a_miss(
    index: ReuseIndex, folder: Path, data: st.DataObject
) -> None:
    index.commit(record(), replace=True)
    content = file_of(folder).read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 100)))
    changed = content[:start] + data.draw(st.binary(max_size=100)) + content[end:]
    put(folder, changed)
    assert index.read(KEY) == (record() if changed == content else None)


FOREIGN = {
    "nothing": b"",
    "zeros": bytes(4096),
    "not text": bytes(range(256)) * 4,
    "a mapping": b"{}",
    "a list": b"[1, 2]",
    "the record without its seal": json.dumps(record().to_json()).encode(),
    "of a later version": sealed({**record().to_json(), "record_version": 2}),
    "of a version that is none": sealed({**record().to_json(), "record_version": True}),
    "without a version": sealed({n: v for n, v in record().to_json().items() if n != "record_version"}),
    "of another fingerprint": sealed(record(OTHER).to_json()),
    "sealed, and no mapping": sealed([record().to_json()]),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_record_of_this_fingerprint_is_a_miss(
    index: ReuseIndex, folder: Path, warnings: Warnings, content: bytes
) -> None:
    put(folder, content)
    assert_no_hit(index)
    (said,) = warnings()
    assert said.startswith(f"records/{KEY[:2]}/{KEY}.json in ")
    assert "counts as absent" in said
    # Who commits puts that right.
    assert index.commit(record()) == record()
    assert index.read(KEY) == record()


@pytest.mark.parametrize("name", [n for n in record().to_json() if n != "record_version"])
@pytest.mark.parametrize("wrong", [None, [], "text", -1, True, {"name": 1}, {"model": {"datastore": 1}}], ids=repr)
def test_a_record_with_something_else_in_a_field_is_a_miss(
    index: ReuseIndex, folder: Path, name: str, wrong: Any
) -> None:
    takes_any_mapping = name in ("parts", "run", "metrics", "lineage") and isinstance(wrong, dict)
    takes_any_number = name in ("started", "ended", "seconds", "created") and wrong == -1
    put(folder, sealed({**record().to_json(), name: wrong}))
    assert (index.read(KEY) is not None) == (takes_any_mapping or takes_any_number)


@given(value=json_values)
def test_no_json_value_makes_reading_fail(value: Any) -> None:
    for kind in (Record, Pin):
        with pytest.raises(ValueError, match="it"):
            kind.from_json(value)


def test_a_damaged_record_does_not_hide_the_others(index: ReuseIndex, folder: Path, warnings: Warnings) -> None:
    keys = [digest(number) for number in range(5)]
    for key in keys:
        index.commit(record(key))
    put(folder, b"{", keys[2])
    file_of(folder, keys[3]).unlink()
    file_of(folder, keys[3]).mkdir()
    whole = {keys[0], keys[1], keys[4]}
    assert set(index.read_many(keys)) == whole
    assert {r.fingerprint for r in index.of_step("train")} == whole
    assert {r.fingerprint for r in index.all()} == whole
    # One warning for one damage, however often it is met.
    assert len(warnings()) == 1


@pytest.mark.parametrize("key", ["", "train", "../../etc/passwd", "0" * 63, "0" * 65, "0" * 63 + "G", "0" * 64 + "\n"])
def test_what_is_no_fingerprint_has_no_record(index: ReuseIndex, key: str) -> None:
    assert index.read(key) is None
    assert index.read_many([key]) == {}
    assert index.manifest(key) is None
    assert not index.forget(key)


# --- several commit -------------------------------------------------------------------------------------------------


def test_the_first_result_counts_until_somebody_asks_for_another(index: ReuseIndex) -> None:
    first, second = record(by="run-1/train"), record(by="run-2/train")
    assert index.commit(first) == first
    assert index.commit(second) == first
    assert index.read(KEY) == first
    assert index.commit(second, replace=True) == second
    assert index.read(KEY) == second


@pytest.mark.parametrize("damaged", [False, True], ids=["nothing there", "a damaged record there"])
def test_of_several_that_commit_at_once_one_counts_for_all(folder: Path, tmp_path: Path, damaged: bool) -> None:
    index = ReuseIndex.of(folder)
    with workers(folder, tmp_path, 6) as all_of_them:
        for number in range(8):
            key = digest(number)
            if damaged:
                put(folder, sealed(record(key).to_json())[:-20], key)
            counted = {run["step_run_id"] for run in at_once(all_of_them, "commit", record(key).to_json())}
            there = index.read(key)
            assert there is not None
            assert counted == {there.run["step_run_id"]}


def test_a_reader_never_sees_half_a_record(index: ReuseIndex, folder: Path, warnings: Warnings) -> None:
    index.commit(record())
    ended = threading.Event()
    seen: set[str] = set()

    def read() -> None:
        reader = ReuseIndex.of(folder)
        while not ended.is_set():
            found = reader.read(KEY)
            seen.add(found.run["step_run_id"] if found is not None else "nothing")

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(100):
        index.commit(record(by=f"run-{number}/train"), replace=True)
    ended.set()
    thread.join()
    assert "nothing" not in seen
    assert seen
    assert warnings() == []


def test_something_in_the_place_of_a_record_that_is_no_file_is_named(index: ReuseIndex, folder: Path) -> None:
    file_of(folder).mkdir(parents=True)
    assert index.read(KEY) is None
    with pytest.raises(OSError, match=rf"{KEY}\.json in .* is something that is no file; remove it"):
        index.commit(record())


class Killed(BaseException):
    """The process dies here."""


class DyingStore(FolderStore):
    """A store whose process is killed before a certain write."""

    def __init__(self, folder: Path, writes: int) -> None:
        super().__init__(folder)
        self._left = writes

    def create(self, name: str, content: bytes, *, durable: bool = True) -> bool:
        if self._left == 0:
            raise Killed
        self._left -= 1
        return super().create(name, content, durable=durable)


@pytest.mark.parametrize("writes", [0, 1])
def test_a_process_that_dies_while_it_commits_leaves_nothing_that_counts(
    index: ReuseIndex, folder: Path, warnings: Warnings, writes: int
) -> None:
    with pytest.raises(Killed):
        ReuseIndex(DyingStore(folder, writes)).commit(record())
    assert index.read(KEY) is None
    assert index.of_step("train") == []
    assert list(index.all()) == []
    index.commit(record())
    assert index.of_step("train") == [record()]
    assert warnings() == []


def test_what_is_forgotten_is_gone(index: ReuseIndex, folder: Path) -> None:
    index.commit(record())
    index.commit(record(OTHER))
    assert index.forget(KEY)
    assert not index.forget(KEY)
    assert index.read(KEY) is None
    assert index.of_step("train") == [record(OTHER)]
    put(folder, b"damaged")
    assert index.forget(KEY)
    assert not file_of(folder).exists()


MARKS = ['a,"key":b', '},"record_version":', "key", "parts", "details", "record_version", '{"details":{},"key":0}']


@pytest.mark.parametrize("place", ["metrics", "lineage", "run", "step", "details", "key", "outputs"])
def test_what_looks_like_a_part_of_a_record_is_none(index: ReuseIndex, folder: Path, place: str) -> None:
    value: dict[str, Any] = {
        mark: {"key": 0, "parts": {"details": {}, "key": 0}, "record_version": 1} for mark in MARKS
    }
    if place == "outputs":
        mine = replace(record(), outputs=dict.fromkeys(MARKS, record().outputs["model"]))
    elif place in ("details", "key"):
        mine = replace(record(), parts={**record().parts, place: value})
    else:
        mine = replace(record(), **{place: {**getattr(record(), place), **value}})
    index.commit(mine)
    found = ReuseIndex.of(folder).read(KEY)
    assert found is not None
    assert found.stored == mine.stored
    assert as_text(found) == as_text(mine)


# --- the results of a step ------------------------------------------------------------------------------------------


def test_the_results_of_a_step_come_newest_first(index: ReuseIndex) -> None:
    # The second was committed on a machine whose clock had been set back.
    times = [5000.0, 100.0, 6000.0, 6000.0, 5500.25]
    keys = sorted(digest(number) for number in range(len(times)))
    for key, created in zip(keys, times, strict=True):
        index.commit(record(key, created=created))
    assert [r.created for r in index.of_step("train")] == [6000.0, 6000.0, 5500.25, 5000.0, 100.0]
    # Those of one moment have an order, too: it is the same on every machine.
    assert [r.fingerprint for r in index.of_step("train")][:2] == [keys[3], keys[2]]


class Counting(FolderStore):
    """Counts what is read of the records."""

    reads = 0

    def read(self, name: str) -> bytes | None:
        self.reads += name.startswith("records/")
        return super().read(name)


def test_the_newest_results_of_a_step_are_found_without_reading_all(folder: Path) -> None:
    store = Counting(folder)
    index = ReuseIndex(store)
    now = time.time()
    for age in range(50):
        index.commit(record(digest(age), created=now - age))
        os.utime(folder / "by-step" / "train" / digest(age), (now - age,) * 2)
    store.reads = 0
    assert [r.fingerprint for r in index.newest_of_step("train", 5)] == [digest(age) for age in range(5)]
    assert store.reads == 5
    # What was computed later is passed over.
    assert [r.created for r in index.newest_of_step("train", 5, before=now - 9.5)] == [now - 10 - n for n in range(5)]
    assert store.reads <= 25
    # A result that took the place of an earlier one is as new as it is.
    index.commit(record(digest(49), created=now + 1), replace=True)
    assert index.newest_of_step("train", 1) == [record(digest(49), created=now + 1)]
    assert index.newest_of_step("train", 1, before=0.0) == []
    assert len(index.newest_of_step("train", 100)) == 50


NAMES = [
    "train",
    "Train",
    "TRAIN",
    "train ",
    "träin",
    "tra\u0308in",
    "训练",
    "🚂",
    "a/b",
    "a\\b",
    "a_b",
    "a:b",
    "../../train",
    "..",
    ".",
    "",
    "step",
    "by-step",
    "train\n",
    "x" * 250,
    "x" * 251,
    "x" * 5000,
    # Itself a legal name, and the folder of another.
    folder_name("a/b"),
]


def test_a_step_has_its_own_results_whatever_it_is_called(index: ReuseIndex, folder: Path) -> None:
    for number, name in enumerate(NAMES):
        index.commit(record(digest(number), step=name))
    for number, name in enumerate(NAMES):
        assert [r.fingerprint for r in index.of_step(name)] == [digest(number)], name
    assert {path.name for path in folder.iterdir()} <= {"records", "by-step", ".parts", ".locks"}


def test_two_steps_in_one_folder_keep_apart(index: ReuseIndex, folder: Path) -> None:
    # On a file system that does not tell Train from train.
    index.commit(record(KEY, step="Train"))
    index.commit(record(OTHER, step="train"))
    (folder / "by-step" / "Train" / KEY).rename(folder / "by-step" / "train" / KEY)
    (folder / "by-step" / "Train").rmdir()
    (folder / "by-step" / "Train").symlink_to("train")
    assert [r.fingerprint for r in index.of_step("train")] == [OTHER]


def test_marks_of_processes_that_died_are_swept_when_they_are_old(index: ReuseIndex, folder: Path) -> None:
    index.commit(record())
    markers = folder / "by-step" / "train"
    old, young = markers / OTHER, markers / digest("young")
    foreign = [markers / "README", markers / "deep" / "file"]
    (markers / "deep").mkdir()
    for file in (old, young, *foreign):
        file.write_text("x")
    day_before_yesterday = time.time() - 48 * 3600
    for file in (old, markers / KEY, *foreign):
        os.utime(file, (day_before_yesterday,) * 2)
    assert index.of_step("train") == [record()]
    assert not old.exists()
    assert young.exists()
    assert (markers / KEY).exists()
    assert all(file.exists() for file in foreign)


# --- manifests ------------------------------------------------------------------------------------------------------

FILES = [("train.py", "1" * 64), ("data/ü.csv", "2" * 64), ("not\udcffutf8", "3" * 64), ("a b", "")]


def test_a_manifest_is_kept_under_the_digest_of_its_tree(index: ReuseIndex, folder: Path) -> None:
    assert index.manifest(KEY) is None
    index.keep_manifest(KEY, FILES)
    index.keep_manifest(KEY, FILES)
    index.keep_manifest(OTHER, [])
    assert ReuseIndex.of(folder).manifest(KEY) == dict(FILES)
    assert index.manifest(OTHER) == {}
    with pytest.raises(ValueError, match="64 hex digits as its name, not '../x'"):
        index.keep_manifest("../x", FILES)


def assert_damage_is_noticed(file: Path, read: Callable[[], Any], warnings: Warnings) -> None:
    content = file.read_bytes()
    wrong = [content[:length] for length in range(len(content))]
    wrong += [
        content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]
        for position in range(len(content))
        for bit in range(8)
    ]
    wrong += [b"{}", b"[]", bytes(100), content + b"\n"]
    for damaged in wrong:
        file.write_bytes(damaged)
        assert not read(), damaged
        assert len(warnings()) == 1, damaged
    file.write_bytes(content)
    assert read()


def test_a_damaged_manifest_counts_as_not_kept(index: ReuseIndex, folder: Path, warnings: Warnings) -> None:
    index.keep_manifest(KEY, FILES)
    assert_damage_is_noticed(folder / "manifests" / f"{KEY}.json", lambda: index.manifest(KEY), warnings)


@pytest.mark.parametrize(
    "changed",
    [{"manifest_version": 2}, {"digest": OTHER}, {"digest": None}, {"files": [["a", "b"]]}, {"files": {"a": 1}}],
    ids=repr,
)
def test_a_manifest_that_is_none_of_this_tree_is_not_used_and_replaced(
    index: ReuseIndex, folder: Path, warnings: Warnings, changed: dict[str, Any]
) -> None:
    value = {"manifest_version": 1, "digest": KEY, "files": {"old.py": "1"}}
    index.store.create(f"manifests/{KEY}.json", sealed({**value, **changed}))
    assert index.manifest(KEY) is None
    assert len(warnings()) == 1
    index.keep_manifest(KEY, FILES)
    assert index.manifest(KEY) == dict(FILES)


# --- pins -----------------------------------------------------------------------------------------------------------


def test_a_pin_holds_until_it_is_taken_away(index: ReuseIndex, folder: Path) -> None:
    index.pin("digits", "train", KEY, "the one in the paper")
    index.pin("digits", "prep", OTHER, "")
    index.pin("letters", "train", OTHER, "")
    found = ReuseIndex.of(folder).pins()
    assert {where: pin.key for where, pin in found.items()} == {
        ("digits", "train"): KEY,
        ("digits", "prep"): OTHER,
        ("letters", "train"): OTHER,
    }
    assert found["digits", "train"].note == "the one in the paper"
    assert index.certain_pins() == found
    index.pin("digits", "train", OTHER, "a better one")
    assert index.pins()["digits", "train"].key == OTHER
    assert index.unpin("digits", "train")
    assert not index.unpin("digits", "train")
    assert ("digits", "train") not in index.pins()
    with pytest.raises(ValueError, match="64 hex digits as key, not 'latest'"):
        index.pin("digits", "train", "latest", "")


def test_steps_and_experiments_of_any_name_can_be_pinned(index: ReuseIndex) -> None:
    wanted = {}
    for number, name in enumerate(NAMES[:-1]):
        index.pin(name, "train", digest([number, 0]), "")
        index.pin("digits", name, digest([number, 1]), "")
        wanted |= {(name, "train"): digest([number, 0]), ("digits", name): digest([number, 1])}
    assert {where: pin.key for where, pin in index.pins().items()} == wanted


def test_a_damaged_pin_counts_as_none(index: ReuseIndex, folder: Path, warnings: Warnings) -> None:
    index.pin("digits", "train", KEY, "")
    assert_damage_is_noticed(folder / "pins" / "digits" / "train.json", index.pins, warnings)


@pytest.mark.parametrize(
    "changed",
    [{"pin_version": 2}, {"step": "prep"}, {"experiment": "letters"}, {"key": "latest"}, {"note": 1}, {"created": "x"}],
    ids=repr,
)
def test_a_pin_of_something_else_counts_as_none_and_stops_who_must_be_sure(
    index: ReuseIndex, warnings: Warnings, changed: dict[str, Any]
) -> None:
    pin = Pin("digits", "train", KEY, "", 1.0).to_json()
    index.pin("digits", "other", OTHER, "")
    index.store.replace("pins/digits/train.json", sealed({**pin, **changed}))
    assert list(index.pins()) == [("digits", "other")]
    assert len(warnings()) == 1
    with pytest.raises(AmlError, match=r"^pins/digits/train\.json in .* pin the step again, or remove the file\.$"):
        index.certain_pins()


# --- a folder that cannot be used -----------------------------------------------------------------------------------


def assert_nothing_is_found(index: ReuseIndex) -> None:
    assert index.read(KEY) is None
    assert index.read_many([KEY, OTHER]) == {}
    assert index.of_step("train") == []
    assert index.manifest(KEY) is None
    assert index.pins() == {}


@pytest.mark.parametrize("place", ["a file", "below a file", "a link to nothing"])
def test_an_index_that_is_no_folder_is_empty_and_cannot_be_written(
    tmp_path: Path, warnings: Warnings, place: str
) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "link").symlink_to(tmp_path / "file" / "nowhere")
    where = {"a file": "file", "below a file": "file/reuse", "a link to nothing": "link"}[place]
    index = ReuseIndex.of(tmp_path / where)
    assert_nothing_is_found(index)
    for write in (
        lambda: index.commit(record()),
        lambda: index.commit(record(), replace=True),
        lambda: index.keep_manifest(KEY, FILES),
        lambda: index.pin("digits", "train", KEY, ""),
    ):
        with pytest.raises(OSError, match=str(tmp_path)):
            write()
    assert_nothing_is_found(index)


def test_what_may_not_be_read_counts_as_absent(index: ReuseIndex, folder: Path, warnings: Warnings) -> None:
    index.commit(record())
    index.commit(record(OTHER))
    index.keep_manifest(KEY, FILES)
    index.pin("digits", "train", KEY, "")
    folder.chmod(0)
    try:
        with as_somebody_else():
            assert_nothing_is_found(ReuseIndex.of(folder))
            said = warnings()
            assert all("counts as" in line and "Permission denied" in line for line in said)
            # One line for each question, not one for each record.
            assert len(said) == 5
            with pytest.raises(AmlError, match=r"^pins/ in .*Permission denied"):
                index.certain_pins()
            with pytest.raises(PermissionError):
                index.commit(record())
            with pytest.raises(PermissionError):
                list(index.all())
    finally:
        folder.chmod(0o755)
    assert index.read(KEY) == record()


def test_a_record_that_may_not_be_read_does_not_hide_the_others(
    index: ReuseIndex, folder: Path, warnings: Warnings
) -> None:
    index.commit(record())
    index.commit(record(OTHER))
    file_of(folder).chmod(0)
    above = [path for path in folder.parents if path.stat().st_uid == os.geteuid() and path.stat().st_mode & 0o5 != 0o5]
    modes = {path: path.stat().st_mode for path in above}
    for path in above:
        path.chmod(0o755)
    try:
        with as_somebody_else():
            assert index.read_many([KEY, OTHER]) == {OTHER: record(OTHER)}
            assert index.of_step("train") == [record(OTHER)]
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert all(KEY in line for line in warnings())


def test_on_a_full_disk_nothing_is_lost_and_nothing_half_written_counts(small_disk: Path, warnings: Warnings) -> None:
    index = ReuseIndex.of(small_disk / "reuse")
    index.commit(record())
    filler = fill(small_disk)
    for write in (
        lambda: index.commit(record(OTHER)),
        lambda: index.commit(record(by="run-2/train"), replace=True),
        lambda: index.keep_manifest(OTHER, FILES),
        lambda: index.pin("digits", "train", KEY, ""),
    ):
        with pytest.raises(OSError, match="No space left on device"):
            write()
    assert index.read_many([KEY, OTHER]) == {KEY: record()}
    assert index.of_step("train") == [record()]
    assert list(index.all()) == [record()]
    assert index.manifest(OTHER) is None
    assert index.pins() == {}
    assert list((small_disk / "reuse" / ".parts").iterdir()) == []
    assert warnings() == []
    # Something can be removed although nothing can be written, and then the next run heals.
    filler.unlink()
    index.commit(record(OTHER))
    assert len(index.of_step("train")) == 2
