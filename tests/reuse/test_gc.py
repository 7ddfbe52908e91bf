"""Old results are removed with their data, and nothing that somebody still needs goes with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aml_provider.reuse import placed
from aml_provider.reuse.canonical import digest
from aml_provider.reuse.gc import Collection, Collector, Selection
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.records import Record
from aml_provider.reuse.uses import running_runs
from aml_provider.runs.layout import RunStore, write_json
from aml_provider.spec.errors import AmlError
from aml_provider.storage.datastores import store_for
from aml_provider.storage.folder_store import FolderStore
from aml_provider.storage.registry import DATASETS, Registry
from aml_provider.workspace.discovery import load_workspace

DAY = 86_400.0
STORE = "workspaceblobstore"
OLD = Selection(older_than=30 * DAY)


class Killed(BaseException):
    """The process dies here."""


@dataclass
class Lab:
    """A workspace with results in it."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "workspace.yaml").write_text("name: lab\n")
        self.workspace = load_workspace(self.folder / "workspace.yaml")
        self.store = RunStore.of(self.workspace, STORE)
        self.index = ReuseIndex.of(self.store.reuse)
        self.root = self.store.root.parent
        self.data = store_for(self.workspace.datastore(STORE), STORE)

    def write(self, path: str, *texts: str) -> Path:
        for number, text in enumerate(texts):
            file = self.root / path / f"{number}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return self.root / path

    def place(self, path: str) -> dict[str, Any]:
        content = self.data.content(path)
        assert content is not None
        return {
            "datastore": STORE,
            "path": path,
            "digest": content.digest,
            "files": content.files,
            "bytes": content.bytes,
        }

    def result(
        self,
        step: str,
        number: int = 0,
        *,
        days: float = 40,
        size: int = 1000,
        experiment: str = "digits",
        at: str = "",
    ) -> Record:
        """A recorded result of ``step``, in a place of its own unless ``at`` says where."""
        identity = f"{experiment}-{step}-{number:012x}"
        path = at or f"azureml/{identity}/data"
        self.write(path, "x" * size)
        record = Record(
            fingerprint=digest([step, number, experiment]),
            parts={"key": {"code": None, "inputs": {}}, "details": {}},
            step={"name": step, "type": "PythonScriptStep", "key": step},
            run={"pipeline_run_id": f"{experiment}-{number}", "step_run_id": identity, "experiment": experiment},
            started=0.0,
            ended=1.0,
            seconds=1.0,
            created=time.time() - days * DAY,
            outputs={"data": self.place(path)},
        )
        self.index.commit(record)
        return record

    def folder_of(self, record: Record) -> Path:
        return self.root / str(record.outputs["data"]["path"])

    def run(self, name: str, **steps: dict[str, Any] | None) -> Path:
        """A run that has not ended; for each step the earlier result that it uses, or ``None``: not decided."""
        folder = self.store.run(name, "manual__1").path
        write_json(
            folder / "run.json",
            {
                "dag_id": name,
                "run_id": "manual__1",
                "pipeline_run_id": f"{name}-run",
                "experiment": name,
                "parameters": {},
                "steps": [{"task_id": s, "name": s, "step_run_id": f"{name}-{s}-ffffffffffff"} for s in steps],
            },
        )
        write_json(folder / "reuse.json", {"steps": {s: {"result": r} for s, r in steps.items() if r is not None}})
        return folder

    def collector(self, **more: Any) -> Collector:
        return Collector(self.index, self.workspace, **{"running": lambda: running_runs(self.store), **more})

    def collect(self, selection: Selection = OLD, **more: Any) -> Collection:
        return self.collector(**more).collect(selection)

    def left(self) -> set[str]:
        return {record.step["name"] for record in self.index.all()}

    def files(self) -> set[str]:
        """The data that is there; our own records are none."""
        found = (p.relative_to(self.root) for p in self.root.rglob("*") if not p.is_dir() or p.is_symlink())
        return {p.as_posix() for p in found if p.parts[0] != ".aml"}


def used(record: Record) -> dict[str, Any]:
    """The result of a step for which ``record`` stands."""
    return {
        "state": "Finished",
        "attempt": 0,
        "outputs": record.outputs,
        "reused": {"fingerprint": record.fingerprint},
    }


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


# --- what is chosen ---------------------------------------------------------------------------------------------


def test_old_results_go_with_their_data_and_new_ones_stay(lab: Lab) -> None:
    old, new = lab.result("prep", 1, size=5000), lab.result("prep", 2, days=3)
    done = lab.collect()
    assert [r.fingerprint for r in done.removed] == [old.fingerprint]
    assert done.bytes == 5000
    assert not lab.folder_of(old).exists()
    # What was made for the step run goes as well, and what it shares with others does not.
    assert not lab.folder_of(old).parent.exists()
    assert lab.folder_of(new).is_dir()
    assert [r.fingerprint for r in lab.index.of_step("prep")] == [new.fingerprint]


def test_a_plan_of_what_goes_changes_nothing(lab: Lab) -> None:
    lab.result("prep", 1, size=700)
    lab.result("train", 2, size=300)
    before = {p: p.read_bytes() for p in lab.folder.rglob("*") if p.is_file()}
    plan = lab.collector().plan(OLD)
    assert (len(plan.removed), plan.bytes) == (2, 1000)
    assert {p: p.read_bytes() for p in lab.folder.rglob("*") if p.is_file()} == before
    assert lab.collect().bytes == plan.bytes


@pytest.mark.parametrize(
    ("selection", "gone"),
    [
        (Selection(step="prep*"), {"prep", "prep_more"}),
        (Selection(experiment="letters"), {"score"}),
        (Selection(larger_than=1999), {"train"}),
        (Selection(older_than=45 * DAY, step="t*"), {"train"}),
        (Selection(keep_bytes=0), {"prep", "prep_more", "train", "score"}),
        # Newest first: score, prep and prep_more have 3,000 bytes together.
        (Selection(keep_bytes=3000), {"train"}),
        (Selection(keep_bytes=2999), {"train", "prep_more"}),
        (Selection(keep_bytes=1000, experiment="digits"), {"train", "prep_more"}),
    ],
)
def test_results_are_chosen_by_age_size_step_and_experiment(lab: Lab, selection: Selection, gone: set[str]) -> None:
    lab.result("score", days=10, experiment="letters")
    lab.result("prep", days=20)
    lab.result("prep_more", days=40)
    lab.result("train", days=50, size=2000)
    done = lab.collect(selection)
    assert {r.step["name"] for r in done.removed} == gone
    assert lab.left() == {"score", "prep", "prep_more", "train"} - gone


def test_what_is_kept_anyway_counts_for_the_bytes_to_keep(lab: Lab) -> None:
    pinned = lab.result("train", days=50, size=2000)
    lab.result("prep", days=20)
    lab.index.pin("digits", "train", pinned.fingerprint, "the one in the paper")
    assert lab.collect(Selection(keep_bytes=2500)).removed != []
    assert lab.left() == {"train"}


# --- what others need -------------------------------------------------------------------------------------------


def test_a_pinned_result_stays_until_it_is_unpinned(lab: Lab) -> None:
    pinned = lab.result("train")
    lab.index.pin("digits", "train", pinned.fingerprint, "")
    done = lab.collect()
    assert done.removed == []
    assert done.kept == [(pinned, "pinned for step 'train' of experiment 'digits'")]
    assert lab.folder_of(pinned).is_dir()
    lab.index.unpin("digits", "train")
    assert lab.collect().removed == [pinned]


def test_what_a_running_run_reuses_stays_until_the_run_has_ended(lab: Lab) -> None:
    prep = lab.result("prep", 1)
    run = lab.run("digits", prep=used(prep))
    assert "uses it" in lab.collect().kept[0][1]
    assert lab.folder_of(prep).is_dir()
    write_json(run / "end.json", {"state": "Finished"})
    assert lab.collect().removed == [prep]
    assert lab.files() == set()


def test_what_a_running_run_has_yet_to_decide_about_stays(lab: Lab) -> None:
    lab.result("prep", 1)
    lab.result("train", 1)
    lab.result("score", 1)
    lab.run("other", train=None)
    done = lab.collect()
    assert {r.step["name"]: why for r, why in done.kept} == {
        "train": "run other-run, which has not ended, may still use it"
    }
    assert lab.left() == {"train"}


def test_a_run_in_which_a_step_was_cleared_is_running_again(lab: Lab) -> None:
    prep = lab.result("prep", 1)
    run = lab.run("digits", prep=used(prep), train=None)
    write_json(run / "end.json", {"state": "Failed"})
    write_json(run / "steps" / "train" / "attempts" / "2" / "job.json", {})
    later = time.time() + 5
    os.utime(run / "steps" / "train" / "attempts" / "2" / "job.json", (later, later))
    assert lab.collect().removed == []
    os.utime(run / "end.json", (later + 1, later + 1))
    # The head task was cleared: it writes the run's record again.
    os.utime(run / "run.json", (later + 2, later + 2))
    assert lab.collect().removed == []
    os.utime(run / "end.json", (later + 3, later + 3))
    assert lab.collect().removed == [prep]


def test_a_run_of_which_one_step_was_cleared_ends_again(lab: Lab) -> None:
    """Its closing task does not run once more."""
    prep = lab.result("prep", 1)
    run = lab.run("digits", prep=used(prep), train=None)
    write_json(run / "end.json", {"state": "Finished"})
    job = run / "steps" / "train" / "attempts" / "2" / "job.json"
    write_json(job, {})
    os.utime(run / "end.json", (1, 1))
    write_json(run / "steps" / "train" / "result.json", {"state": "Finished", "attempt": 2, "outputs": {}})
    assert lab.collect().removed == [], "a later step may have been cleared with it"
    assert lab.collect(running=lambda: running_runs(lab.store, lambda *_: True)).removed == [prep], "Airflow knows it"


def test_a_run_of_which_one_step_was_cleared_is_over_at_some_time(lab: Lab) -> None:
    """Where no Airflow can be asked."""
    prep = lab.result("prep", 1)
    run = lab.run("digits", prep=used(prep), train=None)
    ago = time.time() - 2 * 86_400
    job = run / "steps" / "train" / "attempts" / "2" / "job.json"
    write_json(run / "end.json", {"state": "Finished"})
    write_json(job, {})
    for file, before in ((run / "run.json", 90), (run / "end.json", 60), (job, 0)):
        os.utime(file, (ago - before, ago - before))
    assert lab.collect().removed == [], "the step has no result yet"
    write_json(run / "steps" / "train" / "result.json", {"state": "Finished", "attempt": 2, "outputs": {}})
    assert lab.collect().removed == [prep]


def test_a_run_that_died_does_not_keep_its_results_for_ever(lab: Lab) -> None:
    prep = lab.result("prep", 1)
    lab.run("digits", prep=used(prep))
    died = lambda dag_id, run_id: (dag_id, run_id) == ("digits", "manual__1")  # noqa: E731
    assert lab.collect(running=lambda: running_runs(lab.store, died)).removed == [prep]


def test_a_run_whose_records_are_damaged_stops_the_collection(lab: Lab) -> None:
    lab.result("prep", 1)
    run = lab.run("digits", prep=None)
    (run / "run.json").write_text('{"dag_id": ')
    with pytest.raises(AmlError, match=r"digits.manual__1 cannot be read .* nobody can tell what it needs"):
        lab.collect()
    assert lab.left() == {"prep"}


def test_a_run_that_starts_in_the_middle_gets_its_records_back(lab: Lab) -> None:
    prep, train = lab.result("prep", 1), lab.result("train", 1)
    looks = []

    def running() -> Any:
        looks.append(1)
        if len(looks) == 2:
            # It has read the record before that was removed.
            lab.run("late", prep=used(prep))
        return running_runs(lab.store)

    done = lab.collect(running=running)
    assert done.removed == [train]
    assert lab.index.read(prep.fingerprint) == prep
    assert [r.fingerprint for r in lab.index.of_step("prep")] == [prep.fingerprint]
    assert lab.data.content(prep.outputs["data"]["path"]).digest == prep.outputs["data"]["digest"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("location", "kept"),
    [
        ("azureml/digits-prep-000000000001/data", True),
        ("azureml/digits-prep-000000000001/data/0.csv", True),
        ("azureml", True),
        ("", True),
        ("azureml/**/*.csv", True),
        ("azureml/*/data/*.csv", True),
        ("azureml/digits-prep-000000000001/data/*", True),
        ("azureml/**/*.parquet", False),
        ("azureml/digits-prep-00000000000", False),
        ("azureml/digits-prep-000000000001/data2", False),
    ],
)
def test_data_of_a_registered_dataset_stays_although_its_record_goes(lab: Lab, location: str, kept: bool) -> None:
    prep = lab.result("prep", 1)
    registry = Registry.of(lab.workspace.renamed("azure-name"), DATASETS)
    registry.add("cleaned", {"type": "file", "locations": [{"datastore": STORE, "path": location}]})
    registry.add("cleaned", {"type": "file", "locations": [{"datastore": STORE, "path": "elsewhere"}]})
    done = lab.collect()
    assert done.removed == [prep]
    assert lab.folder_of(prep).exists() is kept
    assert list(done.kept_places.values()) == (["dataset 'cleaned' (version 1) needs it"] if kept else [])


def test_data_that_a_newer_result_points_to_stays(lab: Lab) -> None:
    lab.result("prep", 1, at="azureml/digits-prep-000000000001/data")
    newer = lab.result("again", 2, days=1, at="azureml/digits-prep-000000000001/data")
    assert lab.collector().plan(OLD).bytes == 0
    done = lab.collect()
    assert lab.left() == {"again"}
    assert done.bytes == 0
    assert f"result {newer.fingerprint[:12]}, which stays, needs it" in done.kept_places.values()
    # It goes with the last that points to it; of what belongs to no step run, nobody knows who else uses it.
    lab.collect(Selection(step="*"))
    assert lab.left() == set()


def test_a_folder_that_an_author_chose_is_not_ours_to_remove(lab: Lab) -> None:
    lab.write("models/latest", "a hand-made file")
    record = lab.result("train", 1, at="models/latest")
    done = lab.collect()
    assert done.removed == [record]
    assert lab.files() == {"models/latest/0.csv"}
    assert [str(place) for place in done.kept_places] == ["workspaceblobstore:models/latest"]
    assert list(done.kept_places.values()) == ["its path belongs to no run alone"]


@pytest.mark.parametrize("path", ["azureml/{id}/..", "azureml/{id}/../..", "../{id}", "/{id}"])
def test_a_place_that_leads_elsewhere_is_not_removed(lab: Lab, path: str) -> None:
    lab.write("azureml/important", "of somebody else")
    record = lab.result("prep", 1)
    place = {**record.outputs["data"], "path": path.format(id=record.run["step_run_id"])}
    lab.index.commit(replace(record, outputs={"data": place}), replace=True)
    lab.collect()
    assert "azureml/important/0.csv" in lab.files()
    assert lab.left() == set()


def test_a_link_goes_and_what_it_points_to_stays(lab: Lab) -> None:
    target = lab.write("raw", "the original")
    record = lab.result("prep", 1)
    (lab.folder_of(record) / "linked").symlink_to(target)
    lab.collect()
    assert not lab.folder_of(record).exists()
    whole = lab.result("prep", 2)
    shutil.rmtree(lab.folder_of(whole))
    lab.folder_of(whole).symlink_to(target)
    lab.collect()
    assert lab.files() == {"raw/0.csv"}


def test_a_result_in_a_datastore_that_is_gone_can_be_forgotten(lab: Lab) -> None:
    record = lab.result("prep", 1)
    place = {**record.outputs["data"], "datastore": "retired"}
    lab.index.commit(replace(record, outputs={"data": place}), replace=True)
    done = lab.collect()
    assert lab.left() == set()
    assert "unknown datastore 'retired'" in "".join(done.kept_places.values())


def test_a_result_whose_data_is_gone_already_is_removed_without_a_word(lab: Lab) -> None:
    record = lab.result("prep", 1)
    shutil.rmtree(lab.folder_of(record).parent)
    done = lab.collect()
    assert (len(done.removed), done.bytes, done.kept_places) == (1, 0, {})


def test_lists_of_files_go_when_nobody_can_be_told_by_them_any_more(lab: Lab) -> None:
    mine, shared = digest("mine"), digest("shared")
    for name in (mine, shared):
        lab.index.keep_manifest(name, [("train.py", "00")])
    old, new = lab.result("train", 1), lab.result("train", 2, days=1)
    for record, tree in ((old, mine), (new, None)):
        inputs = {"data": ["mount", ["tree", tree]]} if tree else {}
        parts = {"key": {"code": shared, "inputs": inputs}, "details": {}}
        lab.index.commit(replace(record, parts=parts), replace=True)
    lab.collect()
    assert lab.index.manifest(mine) is None
    assert lab.index.manifest(shared) is not None


# --- kills ------------------------------------------------------------------------------------------------------


class DyingStore(FolderStore):
    """A store whose process is killed before or after its n-th change."""

    def __init__(self, folder: Path, changes: int) -> None:
        super().__init__(folder)
        self._left = changes

    def _counted(self, change: Callable[[], Any]) -> Any:
        if self._left == 0:
            raise Killed
        done = change()
        self._left -= 1
        return done

    def replace(self, name: str, content: bytes, *, durable: bool = True) -> None:
        self._counted(lambda: FolderStore.replace(self, name, content, durable=durable))

    def delete(self, name: str) -> bool:
        return bool(self._counted(lambda: FolderStore.delete(self, name)))


def is_whole(lab: Lab, record: Record) -> bool:
    content = lab.data.content(record.outputs["data"]["path"])
    return content is not None and content.digest == record.outputs["data"]["digest"]


@pytest.mark.parametrize("changes", range(9))
def test_a_collection_that_is_killed_leaves_no_record_of_half_an_output(lab: Lab, changes: int) -> None:
    for number in range(2):
        lab.result("prep", number)
    stays = lab.result("prep", 9, days=1)
    dying = Collector(ReuseIndex(DyingStore(lab.store.reuse, changes)), lab.workspace, list)
    died = False
    try:
        dying.collect(OLD)
    except Killed:
        died = True
    # Two notes, two records and their marks; the notes go last.
    assert died is (changes < 8)
    assert all(is_whole(lab, record) for record in lab.index.all())
    # What had been begun is finished, whatever is asked for now.
    lab.collect(Selection(step="nothing"))
    known = {record.fingerprint for record in lab.index.all()}
    assert len(lab.files()) == len(known)
    lab.collect()
    assert {r.fingerprint for r in lab.index.all()} == {stays.fingerprint}
    assert len(lab.files()) == 1
    assert list(lab.index.store.names("removing/")) == []


def test_data_that_was_half_removed_is_removed_by_the_next_collection(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = lab.result("prep", 1)
    lab.write(record.outputs["data"]["path"], "a", "b", "c")

    def dies(path: Path) -> None:
        (path / "0.csv").unlink()
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(placed.shutil, "rmtree", dies)
        with pytest.raises(Killed):
            lab.collect()
    assert lab.index.read(record.fingerprint) is None
    assert len(lab.files()) == 2
    planned = lab.collector().plan(Selection(step="nothing"))
    assert planned.bytes == 2
    assert lab.collect(Selection(step="nothing")).bytes == 2
    assert lab.files() == set()


def test_what_was_computed_again_meanwhile_is_not_taken_away(lab: Lab) -> None:
    record = lab.result("prep", 1)
    dying = Collector(ReuseIndex(DyingStore(lab.store.reuse, 2)), lab.workspace, list)
    with pytest.raises(Killed):
        dying.collect(OLD)
    assert lab.left() == set()
    # The step was cleared: the same step run writes to the same place.
    again = lab.result("prep", 1, days=0)
    assert again.fingerprint == record.fingerprint
    lab.collect(Selection(step="nothing"))
    assert [is_whole(lab, r) for r in lab.index.all()] == [True]


def test_what_is_being_computed_again_is_not_taken_away(lab: Lab) -> None:
    record = lab.result("prep", 0xFFFFFFFFFFFF)
    dying = Collector(ReuseIndex(DyingStore(lab.store.reuse, 2)), lab.workspace, list)
    with pytest.raises(Killed):
        dying.collect(OLD)
    # The step was cleared: its outputs are there already, its record is not.
    lab.run("digits", prep=None)
    lab.collect(Selection(step="nothing"))
    assert is_whole(lab, record)


def test_data_that_cannot_be_removed_is_named_and_tried_again(lab: Lab, small_disk: Path) -> None:
    lab.result("prep", 1)
    # What is in use as a mount point cannot be removed, not even by root.
    outer = lab.root / "azureml/digits-train-000000000002"
    outer.mkdir()
    record = lab.result("train", 2, at="azureml/digits-train-000000000002/data")
    shutil.rmtree(lab.folder_of(record))
    subprocess.run(["mkdir", lab.folder_of(record)], check=True)
    subprocess.run(["mount", "--bind", small_disk, lab.folder_of(record)], check=True)
    try:
        with pytest.raises(
            AmlError, match=r"2 records were removed, but not all of their data: workspaceblobstore:\S+"
        ):
            lab.collect()
        assert lab.left() == set()
        assert not (lab.root / "azureml/digits-prep-000000000001").exists()
    finally:
        subprocess.run(["umount", lab.folder_of(record)], check=True)
    lab.collect(Selection(step="nothing"))
    assert lab.files() == set()
    assert not outer.exists()
    assert list(lab.index.store.names("removing/")) == []


# --- invariants -------------------------------------------------------------------------------------------------

STEPS = st.sampled_from(["prep", "train", "score"])
RESULTS = st.lists(
    st.tuples(STEPS, st.integers(0, 3), st.integers(0, 60), st.sampled_from(["", "models/latest", "models"])),
    max_size=6,
)
SELECTIONS = st.builds(
    Selection,
    older_than=st.none() | st.integers(0, 60).map(lambda days: days * DAY),
    larger_than=st.none() | st.integers(0, 2000),
    keep_bytes=st.none() | st.integers(0, 5000),
    step=st.none() | STEPS,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(results=RESULTS, selection=SELECTIONS, pinned=STEPS, running=STEPS, dataset=st.none() | STEPS)
def test_whatever_is_asked_for_nothing_needed_goes(
    tmp_path_factory: pytest.TempPathFactory,
    results: list[tuple[str, int, int, str]],
    selection: Selection,
    pinned: str,
    running: str,
    dataset: str | None,
) -> None:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    raw = lab.write("raw", "of nobody's run")
    records = [lab.result(step, n, days=days + n / 10, at=at) for step, n, days, at in results]
    records = list({r.fingerprint: r for r in records}.values())
    whole = {r.fingerprint for r in lab.index.all() if is_whole(lab, r)}
    of_pinned = [r for r in records if r.step["name"] == pinned]
    if of_pinned:
        lab.index.pin("digits", pinned, of_pinned[0].fingerprint, "")
    of_running = [r for r in records if r.step["name"] == running]
    if of_running:
        lab.run("live", later=used(of_running[-1]))
    if dataset:
        for r in records:
            if r.step["name"] == dataset:
                registry = Registry.of(lab.workspace, DATASETS)
                registry.add("d", {"locations": [{"datastore": STORE, "path": r.outputs["data"]["path"]}]})
    before = {r.fingerprint: lab.folder_of(r).is_dir() for r in records}

    done = lab.collect(selection)

    left = {r.fingerprint: r for r in lab.index.all()}
    assert {r.fingerprint for r in done.removed}.isdisjoint(left)
    assert {r.fingerprint for r in done.removed} | set(left) == {r.fingerprint for r in records}
    for key, record in left.items():
        assert is_whole(lab, record) is (key in whole)
    for r in (*of_pinned[:1], *of_running[-1:]):
        assert r.fingerprint in left
    for r in records:
        if dataset == r.step["name"] or not r.outputs["data"]["path"].startswith("azureml"):
            assert lab.folder_of(r).is_dir() is before[r.fingerprint]
    assert (raw / "0.csv").read_text() == "of nobody's run"
    assert list(lab.index.store.names("removing/")) == []
