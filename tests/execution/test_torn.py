"""Whatever dies, fills up or lies between claim and record: no wrong hit, no lost output, and the next run heals it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aml_provider.execution import data
from aml_provider.execution.commit import record_problem
from aml_provider.execution.reusing import Go
from aml_provider.reuse.plan import Decision, Planner, Verdict
from aml_provider.reuse.records import record_name
from aml_provider.runs.binding import StepRun
from aml_provider.runs.errors import StepInterruptedError
from aml_provider.storage.registry import DATASETS, Registry
from tests.small_disk import small_disk

from . import lives
from .crashing import Ended, Server, eventually
from .lives import FORCED, OUTPUTS, written

#: Die at every point: AML_TORN=all. Else at every point that matters, and at some of the others.
EVERY = 1 if os.environ.get("AML_TORN") == "all" else 8
# The reuse index; results and reports; whatever is moved to where somebody reads it.
MATTERS = re.compile(r"/reuse/|/\.?(result|report)\.json|^(rename|link) |/shared/")
# What others read while it is being changed.
READ = re.compile(
    r" (near|\d+)/(azureml|shared)/\S+$| near/\.aml/reuse/(records|claims|by-step|manifests)/\S+$"
    r"|/(result|fingerprint|report|job)\.json$| registry/\S+/\d+\.json$"
)
# So many processes at once: most wait for a dead owner's lease.
AT_ONCE = 16
DAY = 86_400.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server(lives.__name__)
    yield server
    server.close()


@dataclass
class Yard:
    """Makes projects. Their second datastore is in another file system, where this machine has one."""

    folder: Path
    far: Path
    count: int = 0

    def new(self, near: Path | None = None) -> Path:
        self.count += 1
        return lives.new_project(self.folder / f"{self.count}", self.far / f"{self.count}", near)

    def copy(self, project: Path) -> Path:
        self.count += 1
        return lives.copy_project(project, self.folder / f"{self.count}", self.far / f"{self.count}")

    def share_runtime(self, project: Path) -> None:
        """Copies of the project use one runtime."""
        runtime = project / "near/.aml/runtime"
        shutil.move(runtime, self.folder / "runtime")
        runtime.symlink_to(self.folder / "runtime")


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as far:
        yield Yard(tmp_path, Path(far))


# --- killed ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """What a step has behind it when it is killed.

    :param tokens: each of its tries writes something else.
    :param cleared: it has a result already, and a person has cleared it.
    :param matters: points at which it is always killed.
    :param ways: who goes on afterwards: ``torn``, the same run with its next try; ``next``, another run.
    """

    step: str
    tokens: bool = False
    cleared: bool = False
    matters: re.Pattern[str] = MATTERS
    ways: tuple[str, ...] = ("torn", "next")

    @property
    def number(self) -> int:
        """Of the try that is killed."""
        return 2 if self.cleared else 1

    @property
    def forced(self) -> str | None:
        return FORCED if self.cleared else None

    def token(self, number: int) -> str:
        return f"try {number}" if self.tokens else ""

    def check(self, after: dict[str, Any]) -> None:
        """See that all is well after what :func:`lives.aftermath` tells."""
        assert after["ended"]["how"] in ("computed", "reused"), after["ended"]
        if after["wrong"]:
            # What it says is being replaced at this moment. Nobody takes it for what is there.
            assert self.cleared
            assert {wrong.partition(":")[0] for wrong in after["wrong"]} == {"torn"}
            assert after["ended"]["how"] == "computed"
        outputs = OUTPUTS if self.step == "make" else OUTPUTS[:3]
        tries = [written(token=self.token(n)) for n in range(1, self.number + 2)]
        # All of them from one try, and whole.
        assert after["found"] in [{name: one[name] for name in outputs} for one in tries]
        assert after["read"] == "\n".join(text for name in outputs for text in after["found"][name].values())
        assert (after["later"], after["later_found"]) == ("reused", after["found"])
        # Other runs may use what was there before: it is there, or what takes its place.
        assert all(found in [one[name] for one in tries] for name, found in after["kept"].items())
        assert not self.cleared or set(after["kept"]) == set(outputs)
        assert after["state"] == "Finished"
        assert (after["wrong_at_last"], after["left"], after["claims"]) == ([], [], [])


SCENARIOS = {
    "first try": Scenario("make"),
    "first try of what is never the same": Scenario("make", tokens=True, matters=re.compile("/shared"), ways=("torn",)),
    "cleared": Scenario("plain", tokens=True, cleared=True),
}


def torn(
    server: Server, yard: Yard, template: Path, matters: re.Pattern[str], every: int, number: int, **life: Any
) -> Iterator[tuple[str, Path]]:
    """Projects in which try ``number`` of a step was killed: at each point that matters, and at some of the others."""
    project = yard.copy(template)
    whole = server.run(lives.life, project, "torn", number, points={"folders": lives.watched(project)}, **life)
    kills = [
        ({"kill": kill, "inside": inside}, yard.copy(template))
        for kill, point in enumerate(whole.points, 1)
        if matters.search(point) or kill % every == 0
        for inside in (False, True)[: 1 + point.startswith("open ")]
    ]
    calls = [
        (lives.life, [project, "torn", number], life | {"points": {"folders": lives.watched(project), **kill}})
        for kill, project in kills
    ]
    for (kill, project), ended in zip(kills, server.many(calls, AT_ONCE), strict=True):
        assert ended.signal == 9, f"{kill} is beyond the end"
        yield f"{'in' if kill['inside'] else 'before'} {ended.answer}", project


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_step_killed_at_any_point_is_finished_by_its_next_try_or_by_the_next_run(
    server: Server, yard: Yard, name: str
) -> None:
    scenario = SCENARIOS[name]
    template = yard.new()
    # The runtime is there already, and so is another result.
    if scenario.tokens:
        # Files are added to it one by one.
        (template / "near/shared").mkdir()
    server.run(lives.life, template, "other", step="plain", salt="other")
    yard.share_runtime(template)
    life: dict[str, Any] = {"step": scenario.step, "environment": {"TOKEN": scenario.token(1)}}
    if scenario.cleared:
        server.run(lives.life, template, "torn", **life)
        life |= {"forced": FORCED, "environment": {"TOKEN": scenario.token(2)}}
    killed = list(torn(server, yard, template, scenario.matters, EVERY, scenario.number, **life))
    after = [
        (point, way, yard.copy(project) if way != scenario.ways[0] else project)
        for way in reversed(scenario.ways)
        for point, project in killed
    ]
    rest: list[Any] = [scenario.step, scenario.forced]
    more = {"environment": {"TOKEN": scenario.token(scenario.number + 1)}}
    calls = [(lives.aftermath, [project, "torn", scenario.number, way, *rest], more) for _, way, project in after]
    for (point, way, _), ended in zip(after, server.many(calls, AT_ONCE), strict=True):
        try:
            scenario.check(ended.answer)
        except AssertionError as problem:
            raise AssertionError(f"killed {point}; {way} goes on: {ended.answer}") from problem


def test_nobody_ever_sees_a_file_that_is_being_written(server: Server, yard: Yard) -> None:
    project = yard.new()
    seen: list[str] = []
    for number, forced in ((1, None), (2, FORCED)):
        points = {"folders": lives.watched(project)}
        seen += server.run(lives.life, project, "run", number, forced=forced, points=points).points
    read = [point for point in seen if READ.search(point)]
    assert {point.partition(" ")[0] for point in read} == {"link", "mkdir", "remove", "rename"}
    assert len([point for point in read if point.startswith(("link ", "rename "))]) > 20


def test_a_step_killed_while_the_runtime_is_laid_out(server: Server, yard: Yard) -> None:
    template = yard.new()
    laid_out = re.compile(r"^rename \S*/\.building-[^/ ]+ ")
    left = []
    for point, project in torn(server, yard, template, laid_out, 40 if EVERY > 1 else 2, 1):
        assert server.run(lives.life, project, "torn", 2).answer["how"] in ("computed", "reused"), point
        left += list((project / "near/.aml/runtime").glob(".building-*"))
    # It goes when it is old, and another version is laid out.
    os.utime(left[0], (0, 0))
    (version,) = left[0].parent.glob("[!.]*")
    version.rename(version.with_name("older"))
    assert server.run(lives.life, left[0].parents[3], "next", step="plain").answer["how"] == "computed"
    assert {p.name for p in left[0].parent.iterdir()} == {"older", version.name}


def test_parts_of_records_that_killed_processes_left_go_when_they_are_old(server: Server, yard: Yard) -> None:
    project = yard.new()
    server.run(lives.life, project, "first")
    parts = project / "near/.aml/reuse/.parts"
    (parts / "old").write_text("half")
    (parts / "new").write_text("half")
    os.utime(parts / "old", (0, 0))
    server.run(lives.life, project, "second", step="plain", clock=400 * DAY)
    assert [p.name for p in parts.iterdir()] == ["new"]


def test_a_worker_killed_while_the_script_writes(server: Server, yard: Yard) -> None:
    project = yard.new()
    gate = project / "gate"
    os.mkfifo(gate)
    worker = server.start(lives.life, project, "torn", real=True, environment={"GATE": str(gate)})
    gate.read_text()
    attempt = lives.step_run(project, "torn").folder.attempt(1)
    assert attempt.report() is None
    assert worker.kill().signal == signal.SIGKILL
    # The script dies with the worker: nobody is left who writes.
    eventually("the script ends", lambda: not processes_of(attempt.path))
    ended = server.run(lives.aftermath, project, "torn", 1, "next", "make", None)
    Scenario("make").check(ended.answer)
    assert server.run(lives.life, project, "torn", 2, real=True).answer["how"] == "reused"


def test_a_runtime_killed_while_the_script_writes(server: Server, yard: Yard) -> None:
    project = yard.new()
    gate = project / "gate"
    os.mkfifo(gate)
    worker = server.start(lives.life, project, "torn", real=True, environment={"GATE": str(gate)})
    gate.read_text()
    attempt = lives.step_run(project, "torn").folder.attempt(1)
    os.kill(min(processes_of(attempt.path)), signal.SIGKILL)
    problem = worker.wait().answer
    assert problem["how"] == "StepInterruptedError"
    assert "before the step reported that it was done, so it does not count as done" in problem["sentence"]
    eventually("the script ends", lambda: not processes_of(attempt.path))
    ended = server.run(lives.aftermath, project, "torn", 1, "torn", "make", None)
    Scenario("make").check(ended.answer)


def processes_of(attempt: Path) -> list[int]:
    """Processes that belong to an attempt, by their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"AML_JOB_DIR={attempt}\0".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def test_a_step_killed_while_it_takes_an_earlier_result(server: Server, yard: Yard) -> None:
    template = yard.new()
    first = server.run(lives.life, template, "first", step="plain").answer
    killed = list(torn(server, yard, template, MATTERS, 1, 1, step="plain"))
    assert len(killed) > 5
    for point, project in killed:
        again = server.run(lives.life, project, "torn", 2, step="plain").answer
        assert (again["how"], again["outputs"]) == ("reused", first["outputs"]), point
        run = lives.step_run(project, "torn", "plain")
        assert (run.folder.result() or {})["reused"]["run_id"] == "first"
        # Its dataset has the one version that the first run has made.
        assert len(Registry.of(run.binding.workspace, DATASETS).versions("model")) == 1


def test_a_step_killed_while_it_takes_a_dead_owner_s_claim_over(server: Server, yard: Yard) -> None:
    template = yard.new()
    points = {"folders": lives.watched(template), "kill": 10}
    assert server.run(lives.life, template, "dead", points=points).signal == signal.SIGKILL
    assert len(lives.index_of(lives.step_run(template, "torn")).store.names("claims/")) == 1
    killed = list(torn(server, yard, template, re.compile(r"/(\.locks|claims)/"), 1000, 1))
    assert len(killed) > 10
    calls = [(lives.aftermath, [project, "torn", 1, "next", "make", None], {}) for _, project in killed]
    for ended in server.many(calls, AT_ONCE):
        Scenario("make").check(ended.answer | {"claims": []})


# --- several at once ------------------------------------------------------------------------------------------------


class Crowd:
    """Runs that want the same step at the same moment."""

    def __init__(self, server: Server, project: Path, count: int) -> None:
        self.project = project
        self.names = [f"run-{n}" for n in range(count)]
        gate = project / "gate"
        arguments = [(name, [project, name, gate, project / f"end-{name}"]) for name in self.names]
        self.processes = {name: server.start(lives.contend, *rest) for name, rest in arguments}
        eventually("all stand at the gate", lambda: all(self.said(name) for name in self.names))
        gate.touch()

    def said(self, name: str) -> list[str]:
        return lives.said(self.project, name)

    def who(self, word: str) -> list[str]:
        """Those whose latest word it is."""
        return [name for name in self.names if self.said(name)[-1] == word]

    def settle(self, words: dict[str, int]) -> str:
        """Wait until so many said these words last; the one that goes."""
        eventually(f"{words}", lambda: {w: len(self.who(w)) for w in words} == words)
        (name,) = self.who("Go")
        return name

    def end(self, name: str, how: str = "") -> None:
        """Let the script of a run end."""
        part = self.project / f"part-{name}"
        part.write_text(how)
        part.rename(self.project / f"end-{name}")


@pytest.mark.parametrize("again", range(3))
def test_of_two_that_start_together_one_computes_and_the_other_reuses(server: Server, yard: Yard, again: int) -> None:
    crowd = Crowd(server, yard.new(), 2)
    first = crowd.settle({"Go": 1, "Wait": 1})
    (other,) = crowd.who("Wait")
    crowd.end(first)
    assert crowd.processes[first].wait().answer == ["ready", "Go", "computed"]
    assert crowd.processes[other].wait().answer == ["ready", "Wait", "Reused"]
    run = lives.step_run(crowd.project, other)
    result = run.folder.result()
    assert result is not None
    assert (result["reused"]["run_id"], lives.read(run, result["outputs"])) == (first, written())


def test_of_three_that_wait_for_one_that_fails_one_goes_and_two_wait_on(server: Server, yard: Yard) -> None:
    crowd = Crowd(server, yard.new(), 4)
    first = crowd.settle({"Go": 1, "Wait": 3})
    crowd.end(first, "fail")
    assert crowd.processes[first].wait().answer[-1] == "step 'make' was told to fail."
    second = crowd.settle({"Go": 1, "Wait": 2})
    assert second != first
    waiting = crowd.who("Wait")
    crowd.end(second)
    assert crowd.processes[second].wait().answer == ["ready", "Wait", "Go", "computed"]
    for name in waiting:
        said = crowd.processes[name].wait().answer
        assert (said[0], set(said[1:-1]), said[-1]) == ("ready", {"Wait"}, "Reused")


def test_of_two_that_wait_for_one_that_is_killed_one_takes_over(server: Server, yard: Yard) -> None:
    crowd = Crowd(server, yard.new(), 3)
    first = crowd.settle({"Go": 1, "Wait": 2})
    assert crowd.processes[first].kill().signal == signal.SIGKILL
    crowd.names.remove(first)
    second = crowd.settle({"Go": 1, "Wait": 1})
    (other,) = crowd.who("Wait")
    crowd.end(second)
    ended = crowd.processes[second].wait()
    assert ended.answer[-2:] == ["Go", "computed"]
    assert f"claim of {lives.step_run(crowd.project, first).step_run_id} " in " ".join(ended.log)
    assert crowd.processes[other].wait().answer[-1] == "Reused"


def test_a_worker_that_was_frozen_for_longer_than_its_lease_harms_nobody(server: Server, yard: Yard) -> None:
    crowd = Crowd(server, yard.new(), 2)
    first = crowd.settle({"Go": 1, "Wait": 1})
    (other,) = crowd.who("Wait")
    os.kill(crowd.processes[first].pid, signal.SIGSTOP)
    eventually("the other takes over", lambda: crowd.said(other)[-1] == "Go")
    crowd.end(other)
    assert crowd.processes[other].wait().answer[-1] == "computed"
    crowd.end(first)
    os.kill(crowd.processes[first].pid, signal.SIGCONT)
    assert crowd.processes[first].wait().answer[-1] == "computed"
    run = lives.step_run(crowd.project, "later")
    assert lives.wrong_records(run) == []
    (record,) = lives.index_of(run).all()
    assert record.run["run_id"] == other
    assert server.run(lives.life, crowd.project, "later").answer["how"] == "reused"


# --- full -----------------------------------------------------------------------------------------------------------

PAGE = 4096


class Disk:
    """A small file system that a test can fill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._fillers = 0

    def fill(self, *, pages: int | None = None, files: int | None = None) -> None:
        """Leave so much room: pages of content, or names of files."""
        (self.folder / "filler").unlink(missing_ok=True)
        free = os.statvfs(self.folder)
        if pages is not None:
            with (self.folder / "filler").open("wb") as filler:
                filler.write(bytes((free.f_bavail - pages) * PAGE))
            assert os.statvfs(self.folder).f_bavail == pages
        if files is not None:
            for _ in range(free.f_favail - files):
                (self.folder / f"filler-{self._fillers}").touch()
                self._fillers += 1
            assert os.statvfs(self.folder).f_favail == files

    def free(self) -> None:
        """Make enough room for several runs."""
        (self.folder / "filler").unlink(missing_ok=True)
        for _ in range(min(self._fillers, 400)):
            self._fillers -= 1
            (self.folder / f"filler-{self._fillers}").unlink()


@contextmanager
def mounted(folder: Path) -> Iterator[Disk]:
    """A disk of 32 MiB and 5,000 files."""
    with small_disk(folder, f"size=32m,nr_inodes=5000,mode=755,uid={os.getuid()}") as place:
        yield Disk(place)


UNREPORTED = (
    "step 'plain', attempt 1: its process ended with exit code 125, before the step reported that it was done, so it "
    "does not count as done: there is no room left in datastore 'near'"
)
# In all of these sentences the step has its name, and a datastore when it is ours who cannot write.
FULL = re.compile(
    r"step 'plain': there is no room left in datastore 'near'( \(\S+\))?\. Make room there and run the step again\."
    r"|step 'plain' failed: the command ended with exit code 1 .*No space left on device.*\."
    rf"|{UNREPORTED} \(\S+\)\. Make room there and run the step again\."
)


@pytest.mark.parametrize("what", ["pages", "files"])
def test_a_disk_that_is_full_at_any_stage_is_a_sentence_and_room_heals_it(
    server: Server, yard: Yard, what: str
) -> None:
    told: set[str] = set()
    with mounted(yard.folder / "disk") as disk:
        project = yard.new(disk.folder / "near")
        first = server.run(lives.life, project, "first", step="plain").answer
        run = lives.step_run(project, "first", "plain")
        index = lives.index_of(run)
        (kept,) = index.all()
        room, done = 0, False
        while not done:
            name = f"room-{room}"
            more = {"step": "plain", "salt": name}
            disk.fill(**{what: room})
            ended = server.run(lives.life, project, name, **more)
            if ended.answer["how"] == "computed":
                # What cannot be recorded counts all the same. With a little more room, all can be written.
                done = not ended.log
            else:
                assert FULL.fullmatch(ended.answer["sentence"]), ended.answer
                told.add(re.sub(r" \(.*\)", "", ended.answer["sentence"]))
                result = lives.step_run(project, name, "plain").folder.result()
                assert result is None or (result["state"], result["outputs"]) == ("Interrupted", {})
            told |= {line.partition(":")[0] for line in ended.log}
            disk.free()
            assert (lives.wrong_records(run), index.read(kept.fingerprint)) == ([], kept)
            recorded = any(record.run["run_id"] == name for record in index.all())
            assert recorded or not done
            healed = server.run(lives.life, project, name, 2, **more).answer
            assert healed["how"] == ("reused" if recorded else "computed")
            assert lives.read(run, healed["outputs"]) == {n: written(salt=name)[n] for n in OUTPUTS[:3]}
            later = server.run(lives.life, project, f"later-{room}", **more).answer
            assert (later["how"], later["outputs"]) == ("reused", healed["outputs"])
            room += 1
        assert lives.read(run, first["outputs"]) == {n: written()[n] for n in OUTPUTS[:3]}
    # It was full for the claim, when the step was prepared, when its script had ended, and for the record.
    assert told >= {
        "step 'plain' computes without a claim, so another run may compute the same",
        "step 'plain': there is no room left in datastore 'near'. Make room there and run the step again.",
        f"{UNREPORTED}. Make room there and run the step again.",
        "the step's result cannot be recorded, so it will not be reused",
    }


def test_a_disk_that_is_full_for_the_runtime_and_for_the_end_of_the_run(server: Server, yard: Yard) -> None:
    with mounted(yard.folder / "disk") as disk:
        project = yard.new(disk.folder / "near")
        server.run(lives.life, project, "first", step="plain")
        run = lives.step_run(project, "first", "plain")
        for room in range(8, 40, 2):
            name = f"room-{room}"
            disk.fill(pages=room)
            problem = server.run(lives.life, project, name, step="plain", salt=name, real=True).answer
            if problem["how"] == "computed":
                break
            assert problem["how"] in ("StepInterruptedError", "StepFailedError")
            assert problem["sentence"].startswith("step 'plain'")
            # What it staged goes, although the end of the run cannot be written.
            disk.fill(pages=0)
            assert server.run(lives.clean_up, project, name).answer == []
            disk.free()
            # There may have been room for the record, and none for the result that comes after it.
            recorded = any(record.run["run_id"] == name for record in lives.index_of(run).all())
            healed = server.run(lives.life, project, name, 2, step="plain", salt=name, real=True).answer
            assert healed["how"] == ("reused" if recorded else "computed")
            assert lives.read(run, healed["outputs"]) == {n: written(salt=name)[n] for n in OUTPUTS[:3]}
        assert room > 8


def test_it_is_the_output_s_own_datastore_that_is_said_to_be_full(server: Server, yard: Yard) -> None:
    with mounted(yard.far / "1") as disk:
        project = yard.new()
        (disk.folder / ".aml/staging").mkdir(parents=True)
        disk.fill(pages=0)
        problem = server.run(lives.life, project, "run", step="plain").answer
        assert problem["how"] == "StepInterruptedError"
        assert problem["sentence"].startswith(f"step 'plain': there is no room left in datastore 'far' ({disk.folder}/")
        disk.free()
        assert server.run(lives.life, project, "run", 2, step="plain").answer["how"] == "computed"
        assert lives.staged(lives.step_run(project, "run", "plain")) == []


# --- behind our back ------------------------------------------------------------------------------------------------


def one_byte(file: Path) -> None:
    """Change a file so that its size and its time are as before."""
    seen, content = file.stat(), file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def other_kind(file: Path) -> None:
    file.unlink()
    file.mkdir()


BEHIND: dict[str, tuple[str, Callable[[dict[str, Path]], Any]]] = {
    "a file is deleted": ("'model' of its earlier result is gone", lambda at: at["model"].unlink()),
    "a folder is deleted": ("'table' of its earlier result is gone", lambda at: shutil.rmtree(at["table"])),
    "a file in it is deleted": ("'table' .* has been changed", lambda at: (at["table"] / "a").unlink()),
    "a file in it has another name": (
        "'table' .* has been changed",
        lambda at: (at["table"] / "a").rename(at["table"] / "z"),
    ),
    "a file is added": ("'table' .* has been changed", lambda at: (at["table"] / "new").touch()),
    "one byte is changed": ("'far' .* has been changed", lambda at: one_byte(at["far"])),
    "one byte of a file in it is changed": ("'table' .* has been changed", lambda at: one_byte(at["table"] / "deep/c")),
    "a file is cut short": ("'model' .* has been changed", lambda at: os.truncate(at["model"], 3)),
    "a file is a folder": ("'model' .* has been changed", lambda at: other_kind(at["model"])),
    "a datastore is empty": ("'far' of its earlier result is gone", lambda at: shutil.rmtree(at["far"].parents[1])),
}


def paths_of(run: StepRun, outputs: dict[str, Any]) -> dict[str, Path]:
    return {n: lives.root_of(run.binding, place["datastore"]) / place["path"] for n, place in outputs.items()}


def decision_of(run: StepRun) -> Decision:
    """What ``aml plan`` says of a step."""
    return Planner(run.binding, run.parameters).plan().decisions[run.step.key]


@pytest.mark.parametrize("what", BEHIND)
def test_outputs_changed_behind_our_back_are_computed_again(server: Server, yard: Yard, what: str) -> None:
    why, change = BEHIND[what]
    project = yard.new()
    first = server.run(lives.life, project, "first", step="plain").answer
    run = lives.step_run(project, "next", "plain")
    change(paths_of(run, first["outputs"]))
    decision = decision_of(run)
    assert decision.verdict is Verdict.RUN
    assert re.search(why, decision.reason)
    healed = server.run(lives.life, project, "next", step="plain").answer
    assert (healed["how"], re.search(why, healed["why"]) is None) == ("computed", False)
    assert lives.read(run, healed["outputs"]) == {name: written()[name] for name in OUTPUTS[:3]}
    assert lives.wrong_records(run) == []
    later = server.run(lives.life, project, "later", step="plain").answer
    assert (later["how"], later["outputs"]) == ("reused", healed["outputs"])


def test_outputs_deleted_after_they_were_taken_are_a_sentence(server: Server, yard: Yard) -> None:
    project = yard.new()
    server.run(lives.life, project, "first", step="plain")
    taken = server.run(lives.life, project, "second", step="plain").answer
    run = lives.step_run(project, "second", "plain")
    paths_of(run, taken["outputs"])["model"].unlink()
    problem = server.run(lives.life, project, "second", step="use-plain").answer
    assert problem["how"] == "StepError"
    assert (
        "step 'use-plain', input 'model': step 'plain' finished, but there is nothing at its output 'model'"
        in (problem["sentence"])
    )
    after = server.run(lives.aftermath, project, "second", 1, "third", "plain", None).answer
    assert after["wrong"] == ["first: model"]
    Scenario("plain").check(after | {"wrong": [], "kept": {}})


def test_what_was_computed_from_changed_outputs_stands_for_nothing_else(server: Server, yard: Yard) -> None:
    project = yard.new()
    server.run(lives.life, project, "first", step="plain")
    taken = server.run(lives.life, project, "second", step="plain").answer
    run = lives.step_run(project, "second", "plain")
    one_byte(paths_of(run, taken["outputs"])["model"])
    assert server.run(lives.life, project, "second", step="use-plain").answer["how"] == "computed"
    after = server.run(lives.aftermath, project, "second", 1, "third", "plain", None).answer
    assert after["wrong"] == ["first: model"]
    Scenario("plain").check(after | {"wrong": [], "kept": {}})


@pytest.mark.parametrize(
    ("take", "told"),
    [
        (
            lambda folder: (folder / "model/model").unlink(),
            "output 'model': it was written, and somebody has removed it",
        ),
        (shutil.rmtree, "attempt 1: what it wrote has been removed from datastore 'near'"),
    ],
)
def test_outputs_taken_away_before_they_are_published_are_no_result(
    server: Server, yard: Yard, take: Callable[[Path], Any], told: str
) -> None:
    project = yard.new()
    run = lives.step_run(project, "run", "plain")
    go = lives.settled(run, 1)
    assert isinstance(go, Go)
    staging = data.staging_folder(run, 1, run.step.outputs[0]).parent
    with pytest.raises(StepInterruptedError, match=told):
        lives.computed(run, 1, go, meanwhile=lambda: take(staging))
    assert lives.index_of(run).store.names("") == [f"manifests/{go.fingerprint.parts['code']}.json"]
    Scenario("plain").check(server.run(lives.aftermath, project, "run", 1, "run", "plain", None).answer)


def test_a_try_that_was_overtaken_by_the_next_one_is_no_result(server: Server, yard: Yard) -> None:
    project = yard.new()
    run = lives.step_run(project, "run", "plain")
    go = lives.settled(run, 1)
    assert isinstance(go, Go)
    newer: list[Ended] = []

    def clear() -> None:
        newer.append(server.run(lives.life, project, "run", 2, "plain", forced=FORCED, environment={"TOKEN": "newer"}))

    with pytest.raises(StepInterruptedError, match="most likely because the step was started again"):
        lives.computed(run, 1, go, meanwhile=clear)
    record_problem(run, 1, "overtaken", final=False)
    result = run.folder.result()
    assert result is not None
    assert (result["state"], result["attempt"], result["outputs"]) == ("Finished", 2, newer[0].answer["outputs"])
    assert lives.read(run, result["outputs"])["model"] == {"": "model of 1 2 3 4 newer"}
    assert lives.wrong_records(run) == []


def test_an_output_that_a_cleared_step_does_not_write_any_more_is_gone(server: Server, yard: Yard) -> None:
    project = yard.new()
    first = server.run(lives.life, project, "run", step="plain").answer
    script = project / "src/make.py"
    script.write_text(script.read_text().replace("Path(model).write_text", "len"))
    again = server.run(lives.life, project, "run", 2, "plain", forced=FORCED).answer
    run = lives.step_run(project, "run", "plain")
    assert (again["how"], again["outputs"]["model"]["digest"]) == ("computed", None)
    assert not paths_of(run, first["outputs"])["model"].exists()
    assert lives.read(run, again["outputs"])["table"] == written()["table"]
    assert lives.staged(run) == []


def test_a_record_cut_short_is_no_record_and_the_next_run_writes_it_again(server: Server, yard: Yard) -> None:
    project = yard.new()
    server.run(lives.life, project, "first", step="plain")
    run = lives.step_run(project, "next", "plain")
    (record,) = lives.index_of(run).all()
    file = run.binding.store.reuse / record_name(record.fingerprint)
    whole = file.read_bytes()
    for length in (0, 1, 80, len(whole) // 2, len(whole) - 1):
        name = f"after-{length}"
        file.write_bytes(whole[:length])
        assert decision_of(run).verdict is Verdict.RUN
        healed = server.run(lives.life, project, name, step="plain")
        assert healed.answer["how"] == "computed"
        (record,) = lives.index_of(run).all()
        assert (record.run["run_id"], lives.wrong_records(run)) == (name, [])
        later = server.run(lives.life, project, f"later-{length}", step="plain").answer
        assert (later["how"], later["outputs"]) == ("reused", healed.answer["outputs"])


# --- clocks ---------------------------------------------------------------------------------------------------------

CLOCKS = {"a day back": -DAY, "a year back": -366 * DAY, "a year ahead": 366 * DAY}


@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
@pytest.mark.parametrize("who", ["the first", "the later one"])
def test_a_clock_that_is_wrong_makes_no_wrong_hit(server: Server, yard: Yard, who: str, clock: float) -> None:
    clocks = (clock, 0.0) if who == "the first" else (0.0, clock)
    project = yard.new()
    first = server.run(lives.life, project, "first", step="plain", clock=clocks[0])
    assert (first.answer["how"], first.log) == ("computed", [])
    later = server.run(lives.life, project, "later", step="plain", clock=clocks[1])
    assert (later.answer["how"], later.answer["outputs"]) == ("reused", first.answer["outputs"])
    run = lives.step_run(project, "first", "plain")
    # What was changed within the same moment, by any clock.
    one_byte(paths_of(run, first.answer["outputs"])["table"] / "a")
    again = server.run(lives.life, project, "again", step="plain", clock=clocks[1]).answer
    assert "'table' of its earlier result has been changed" in again["why"]
    one_byte(project / "near/raw/numbers")
    changed = server.run(lives.life, project, "changed", step="plain", clock=clocks[1]).answer
    assert (changed["how"], changed["why"]) == ("computed", "not computed before")
    assert lives.read(run, changed["outputs"])["model"] == {"": "model of 1 2 3!4 "}


@pytest.mark.parametrize(
    ("first", "now", "why"),
    [
        (0.0, -DAY, "its result is dated in the future, so its age is not known: check the clocks of the workers"),
        (30 * DAY, 0.0, "its result is dated in the future, so its age is not known: check the clocks of the workers"),
        (-8 * DAY, 0.0, "its result is 8 days old, older than the age limit of 7 days"),
        (0.0, 8 * DAY, "its result is 8 days old, older than the age limit of 7 days"),
    ],
)
def test_an_age_that_cannot_be_known_is_no_young_age(
    server: Server, yard: Yard, first: float, now: float, why: str
) -> None:
    project = yard.new()
    lives.write_workspace(project, yard.far / "1", project / "near", "lease_seconds: 1, age_limit: P7D")
    server.run(lives.life, project, "first", step="plain", clock=first)
    again = server.run(lives.life, project, "again", step="plain", clock=now).answer
    assert (again["how"], again["why"]) == ("computed", why)
    # The newer result takes its place.
    later = server.run(lives.life, project, "later", step="plain", clock=now).answer
    assert (later["how"], later["outputs"]) == ("reused", again["outputs"])
