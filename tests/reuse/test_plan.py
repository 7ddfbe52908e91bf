"""What a run decides about its steps, and what has become of them when it has ended: situations that users know."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.plan import CLOCK_TOLERANCE_SECONDS, How, Options, Plan, Planner, Verdict, duration
from aml_provider.reuse.records import Record, record_name
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.runs.errors import StepError
from aml_provider.sdk.data_reference import DataReference
from aml_provider.sdk.dataset_factory import FileDatasetFactory
from aml_provider.sdk.datastore import Datastore
from aml_provider.sdk.outputs import OutputFileDatasetConfig
from aml_provider.sdk.parameter import PipelineParameter
from aml_provider.sdk.ports import PipelineData
from aml_provider.sdk.steps.command import CommandStep
from aml_provider.sdk.steps.python_script import PythonScriptStep
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import StoredOutput

from .driver import STORE, Moments, Project, Ran, new_folder
from .machines import Warnings

DAY = 86_400.0
PREP = """\
# comment
import sys
from pathlib import Path
rows = "".join(p.read_text() for p in sorted(Path(sys.argv[1]).iterdir()))
Path(sys.argv[2], "rows.csv").write_text(rows.upper())
"""
TRAIN = """\
import sys
from pathlib import Path
Path(sys.argv[3]).write_text(f"{Path(sys.argv[1], 'rows.csv').read_text()} rate {sys.argv[2]}")
"""
REPORT = """\
import sys
from pathlib import Path
Path(sys.argv[2]).write_text(f"report on {Path(sys.argv[1]).read_text()}")
"""


class Houses:
    """Three steps: ``prep`` reads raw data, ``train`` what that has written, ``report`` what that has.

    :param names: what the author calls them. :param more: further arguments of a step, by its place.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.names = ["prep", "train", "report"]
        self.more: dict[str, dict[str, Any]] = {"prep": {}, "train": {}, "report": {}}
        self.experiment = "houses"
        for name, text in (("prep", PREP), ("train", TRAIN), ("report", REPORT)):
            project.write(f"src/{name}.py", text)
        project.data("raw/north.csv", "north\n")
        project.data("raw/south.csv", "south\n")

    def steps(self, ws: Workspace) -> list[Any]:
        store = Datastore(ws, STORE)
        raw = DataReference(store, "raw", "raw")
        rows, model, report = OutputFileDatasetConfig(), PipelineData("model"), PipelineData("report")
        options = {"source_directory": "src", "compute_target": "local"}
        prep, train, reporting = self.names
        rate = PipelineParameter("rate", 0.1)
        return [
            PythonScriptStep("prep.py", prep, [raw, rows], inputs=[raw], outputs=[rows], **options | self.more["prep"]),
            PythonScriptStep(
                "train.py", train, [rows.as_input(), rate, model], outputs=[model], **options | self.more["train"]
            ),
            PythonScriptStep(
                "report.py",
                reporting,
                [model, report],
                inputs=[model],
                outputs=[report],
                **options | self.more["report"],
            ),
        ]

    def build(self, **submit: Any) -> PipelineBinding:
        return self.project.build(self.steps, self.experiment, **submit)

    def run(self, **options: Any) -> Ran:
        return self.project.run(self.build(), **options)

    def plan(self, options: Options | None = None, **parameters: Any) -> Plan:
        return self.project.plan(self.build(), options or Options(), **parameters)

    def edit(self, step: str, old: str, new: str) -> None:
        file = self.project.folder / f"src/{step}.py"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    @property
    def index(self) -> ReuseIndex:
        return self.project.index(self.build())

    def record(self, step: str) -> Record:
        """The newest record of a step."""
        return self.index.of_step(step)[0]

    def dated(self, step: str, created: float) -> None:
        """Have a step's result be from another time."""
        self.index.commit(replace(self.record(step), created=created), replace=True)

    def apart(self) -> None:
        """Say which files belong to which step."""
        files = zip(self.names, ("prep.py", "train.py", "report.py"), strict=True)
        self.project.configure(f"reuse: {{steps: {{{', '.join(f'{n}: {{include: [{f}]}}' for n, f in files)}}}}}")


@pytest.fixture
def houses() -> Iterator[Houses]:
    with new_folder() as folder:
        yield Houses(Project(folder / "project"))


@pytest.fixture
def computed(houses: Houses) -> Houses:
    """The pipeline when it has run once, and each step has files of its own."""
    houses.apart()
    assert houses.run().computed == ["prep", "train", "report"]
    return houses


def verdicts(plan: Plan) -> list[str]:
    return [decision.verdict.value for decision in plan.decisions.values()]


def reasons(plan: Plan) -> list[str]:
    return [decision.reason for decision in plan.decisions.values()]


# --- run again ------------------------------------------------------------------------------------------------------


def test_nobody_has_run_it_before(houses: Houses) -> None:
    plan = houses.plan()
    assert verdicts(plan) == ["run", "depends", "depends"]
    assert plan.summary == "0 of 3 steps reused; 1 runs, 2 depend"
    assert not list(houses.project.store.rglob("records/*/*")), "a plan leaves nothing behind"


def test_run_again_and_nothing_has_changed(computed: Houses) -> None:
    first = computed.record("report")
    ran = computed.run()
    assert (ran.computed, ran.reused) == ([], dict.fromkeys(["prep", "train", "report"], "head"))
    assert list(ran.begun.skipped) == ["prep", "train", "report"], "all are skipped by one call"
    assert ran.plan.summary.startswith("3 of 3 steps reused, saving ")
    assert ran.text("report", "report") == "report on NORTH\nSOUTH\n rate 0.1"
    assert computed.record("report") == first


def test_the_real_command_does_what_the_tests_do_here(houses: Houses) -> None:
    ran = houses.run(real=True)
    assert ran.computed == ["prep", "train", "report"]
    assert ran.text("report", "report") == "report on NORTH\nSOUTH\n rate 0.1"
    assert houses.run().computed == []
    assert houses.record("prep").seconds > 0


def test_the_run_says_of_each_reused_step_whose_result_it_is(computed: Houses) -> None:
    ran = computed.run()
    binding = computed.build()
    record = computed.record("train")
    result = binding.store.run("lab", ran.run_id).result("train")
    assert result is not None
    reused = result["reused"]
    assert reused["fingerprint"] == record.fingerprint
    assert reused["pipeline_run_id"] == record.run["pipeline_run_id"]
    assert (reused["how"], reused["reason"]) == ("fingerprint", "nothing it depends on has changed")
    assert (reused["created"], reused["seconds"]) == (record.created, record.seconds)
    assert result["outputs"] == record.outputs
    assert binding.store.run("lab", ran.run_id).reused(["train"])


def test_a_step_that_was_edited_and_edited_back(computed: Houses) -> None:
    computed.edit("train", "rate", "speed")
    assert computed.run().computed == ["train", "report"]
    computed.edit("train", "speed", "rate")
    assert computed.run().computed == []


def test_a_run_after_the_one_that_failed_goes_on_where_that_stopped(houses: Houses) -> None:
    houses.apart()
    houses.edit("train", "import sys", "import sys\nraise SystemExit(3)")
    ran = houses.run()
    assert (ran.computed, list(ran.failed), ran.waiting) == (["prep", "train"], ["train"], ["report"])
    assert "exit code 3" in ran.failed["train"]
    houses.edit("train", "\nraise SystemExit(3)", "")
    again = houses.run()
    assert (again.reused, again.computed) == ({"prep": "head"}, ["train", "report"])


def test_a_failed_step_is_never_reused(houses: Houses) -> None:
    houses.edit("prep", "import sys", "import sys\nraise SystemExit(3)")
    for _ in range(2):
        ran = houses.run()
        assert list(ran.failed) == ["prep"]
    assert list(houses.index.all()) == []


def test_a_pipeline_that_runs_every_night_is_reused_every_night(computed: Houses) -> None:
    for night in range(3):
        run_id = f"scheduled__2031-01-0{night + 1}T00:00:00+00:00"
        assert computed.run(run_id=run_id, dag_id="nightly").computed == []


def test_another_experiment_uses_the_same_results(computed: Houses) -> None:
    computed.experiment = "flats"
    assert computed.run().computed == []


def test_two_runs_that_compute_the_same_do_not_write_to_one_place(houses: Houses) -> None:
    first, second = houses.run(), houses.run(options=Options(regenerate=True))
    places = [run.outputs["report"]["report"] for run in (first, second)]
    assert places[0] != places[1]
    assert places[0].read_text() == places[1].read_text()


def test_two_steps_that_do_the_same_are_computed_once(houses: Houses) -> None:
    def steps(ws: Workspace) -> list[Any]:
        outs = [PipelineData("out"), PipelineData("out")]
        return [
            CommandStep(["echo 1 >", out], name=name, outputs=[out], compute_target="local")
            for name, out in zip(("left", "right"), outs, strict=True)
        ]

    binding = houses.project.build(steps)
    ran = houses.project.run(binding)
    assert (ran.computed, ran.reused) == (["left"], {"right": "start"})
    assert ran.text("left", "out") == ran.text("right", "out") == "1\n"
    assert len(list(houses.index.all())) == 1


def test_a_renamed_step_hands_on_outputs_that_nobody_has_named(computed: Houses) -> None:
    computed.names = ["prepare", "train", "report"]
    computed.apart()
    assert computed.run().computed == []
    computed.edit("train", "rate", "speed")
    ran = computed.run()
    assert (ran.reused, ran.computed) == ({"prepare": "head"}, ["train", "report"])
    assert ran.text("report", "report") == "report on NORTH\nSOUTH\n speed 0.1"


def test_a_renamed_step_registers_an_output_that_nobody_has_named(houses: Houses) -> None:
    def steps(name: str) -> Callable[[Workspace], list[Any]]:
        def author(ws: Workspace) -> list[Any]:
            out = OutputFileDatasetConfig().register_on_complete("rows")
            return [CommandStep(["ls", out], name=name, outputs=[out], compute_target="local")]

        return author

    first = houses.project.run(houses.project.build(steps("one")))
    again = houses.project.run(houses.project.build(steps("two")))
    assert (again.computed, again.reused) == ([], {"two": "head"})
    assert list(first.outputs["one"].values()) == list(again.outputs["two"].values())


# --- after an edit --------------------------------------------------------------------------------------------------


def test_a_comment_in_the_first_script_runs_the_first_step_only(computed: Houses) -> None:
    computed.edit("prep", "# comment", "# another comment")
    plan = computed.plan()
    assert verdicts(plan) == ["run", "depends", "depends"]
    assert reasons(plan) == [
        "not computed before",
        "depends on what 'prep' will write; reused if that and all else are as before",
        "depends on what 'train' will write; reused if that and all else are as before",
    ]
    ran = computed.run()
    assert (ran.computed, ran.reused) == (["prep"], {"train": "start", "report": "start"})


def test_a_step_in_the_middle_that_writes_what_it_wrote_before_stops_the_change(computed: Houses) -> None:
    computed.edit("train", "{Path(sys.argv[1], 'rows.csv').read_text()}", "{'all the same'}")
    assert computed.run().computed == ["train", "report"]
    computed.edit("prep", ".upper()", ".lower()")
    ran = computed.run()
    assert (ran.computed, ran.reused) == (["prep", "train"], {"report": "start"})


def test_an_edited_step_leaves_those_before_it_alone(computed: Houses) -> None:
    computed.edit("train", "rate", "speed")
    plan = computed.plan()
    assert verdicts(plan) == ["reuse", "run", "depends"]
    ran = computed.run()
    assert (ran.reused, ran.computed) == ({"prep": "head"}, ["train", "report"])
    assert ran.text("report", "report").endswith("speed 0.1")


def test_steps_that_share_a_folder_and_say_nothing_look_at_all_of_it(houses: Houses) -> None:
    houses.run()
    houses.edit("report", "report on", "report about")
    assert houses.run().computed == ["prep", "train", "report"]


def test_steps_that_share_a_folder_and_say_which_files_are_theirs(computed: Houses) -> None:
    computed.edit("report", "report on", "report about")
    assert computed.run().computed == ["report"]


def test_a_step_gets_no_file_that_it_does_not_look_at(computed: Houses) -> None:
    computed.edit("train", "from pathlib import Path", "from pathlib import Path\nPath('prep.py').read_text()")
    with pytest.raises(FileNotFoundError, match=r"prep\.py"):
        computed.run()


def test_a_script_that_is_left_out_by_its_own_patterns_is_named(houses: Houses) -> None:
    houses.project.configure("reuse: {steps: {prep: {include: [train.py]}}}")
    assert "leaves out its own script 'prep.py'; add it there" in reasons(houses.plan())[0]


def test_data_that_was_overwritten_under_its_old_name_with_its_old_time(computed: Houses) -> None:
    file = computed.project.store / "raw/north.csv"
    status = file.stat()
    file.write_text("NORTH\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    ran = computed.run()
    assert (ran.computed, ran.reused) == (["prep"], {"train": "start", "report": "start"}), "prep makes it upper case"
    file.write_text("nord\n")
    assert computed.run().computed == ["prep", "train", "report"]


def test_a_parameter_runs_only_those_who_use_it(computed: Houses) -> None:
    ran = computed.run(rate=0.2)
    assert (ran.reused, ran.computed) == ({"prep": "head"}, ["train", "report"])
    assert computed.run(rate=0.1).computed == []
    assert computed.run(rate=0.2).computed == []
    assert computed.run(rate="0.1").computed == ["train"], "it is text now, and makes the same model"


def test_a_step_that_waits_for_many_names_three(houses: Houses) -> None:
    def steps(ws: Workspace) -> list[Any]:
        before = [CommandStep(f"echo {n}", name=f"s{n}", compute_target="local") for n in range(5)]
        last = CommandStep("echo last", name="last", compute_target="local")
        last.run_after(before)
        return [last]

    plan = houses.project.plan(houses.project.build(steps))
    (last,) = plan.of(Verdict.DEPENDS)
    assert last.reason == "comes after 's0', 's1', 's2' and 2 more; reused if all that counts is as before"


def test_a_step_that_only_waits_for_another_is_reused_when_that_has_run(houses: Houses) -> None:
    def steps(word: str) -> Callable[[Workspace], list[Any]]:
        def author(ws: Workspace) -> list[Any]:
            first = CommandStep(f"echo {word}", name="first", compute_target="local")
            then = CommandStep("echo then", name="then", compute_target="local")
            then.run_after(first)
            return [then]

        return author

    assert houses.project.run(houses.project.build(steps("one"))).computed == ["first", "then"]
    ran = houses.project.run(houses.project.build(steps("two")))
    assert (ran.computed, ran.reused) == (["first"], {"then": "start"})


# --- the plan itself ------------------------------------------------------------------------------------------------


class Counting(ReuseIndex):
    """Counts the questions: the index may be far away."""

    asked: list[int]

    def read_many(self, keys: Iterable[str]) -> dict[str, Record]:
        wanted = list(keys)
        self.asked.append(len(wanted))
        return super().read_many(wanted)


def test_the_index_is_asked_once_for_each_layer_of_the_graph(houses: Houses) -> None:
    def steps(ws: Workspace) -> list[Any]:
        made: list[Any] = []
        before: list[Any] = [None] * 3
        for layer in range(4):
            now = []
            for column, read in enumerate(before):
                out = PipelineData(f"o{layer}_{column}")
                words = [f"echo {layer} {column} >", out]
                reads = [] if read is None else [read]
                step = CommandStep(words, f"s{layer}_{column}", "local", inputs=reads, outputs=[out])
                made.append(step)
                now.append(out)
            before = now
        return made[::-1]

    binding = houses.project.build(steps)
    houses.project.run(binding)
    index = Counting(houses.project.index(binding).store)
    index.asked = []
    plan = Planner(binding, {}, index=index).plan()
    assert len(plan.of(Verdict.REUSE)) == 12
    assert index.asked == [3, 3, 3, 3]


def test_a_chain_of_a_thousand_steps(houses: Houses) -> None:
    def steps(ws: Workspace) -> list[Any]:
        made = [CommandStep(f"echo {n}", f"s{n}", "local") for n in range(1000)]
        for before, after in pairwise(made):
            after.run_after(before)
        return made

    plan = houses.project.plan(houses.project.build(steps))
    assert [len(plan.of(verdict)) for verdict in (Verdict.RUN, Verdict.DEPENDS)] == [1, 999]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (1.5, "1.5 s"), (89, "89 s"), (90, "1.5 min"), (7200, "2 h"), (86_400, "24 h"), (7 * DAY, "7 days")],
)
def test_lengths_of_time_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


# --- what a person wants --------------------------------------------------------------------------------------------


def test_regenerate_runs_everything_and_the_new_results_count(computed: Houses) -> None:
    old = [computed.record(step) for step in computed.names]
    plan = computed.plan(Options(regenerate=True))
    assert reasons(plan) == ["this run regenerates all outputs"] * 3
    ran = computed.run(options=Options(regenerate=True))
    assert ran.computed == ["prep", "train", "report"]
    new = [computed.record(step) for step in computed.names]
    assert [r.fingerprint for r in new] == [r.fingerprint for r in old]
    assert all(n.created > o.created and n.outputs != o.outputs for n, o in zip(new, old, strict=True))
    assert computed.run().outputs["report"] == ran.outputs["report"]


def test_a_step_that_is_assumed_unchanged_is_not_regenerated(computed: Houses) -> None:
    ran = computed.run(options=Options(regenerate=True, assume_unchanged=("prep",)))
    assert (ran.reused, ran.computed) == ({"prep": "head"}, ["train", "report"])


def test_regenerate_outputs_of_submit_does_the_same(computed: Houses) -> None:
    binding = computed.build(regenerate_outputs=True)
    assert computed.project.run(binding).computed == ["prep", "train", "report"]


def test_a_step_without_reuse_neither_looks_nor_leaves_anything(houses: Houses) -> None:
    houses.apart()
    houses.more["prep"] = {"allow_reuse": False}
    assert houses.run().computed == ["prep", "train", "report"]
    assert houses.index.of_step("prep") == []
    assert reasons(houses.plan())[0] == "allow_reuse is False for it"
    ran = houses.run()
    assert (ran.computed, ran.reused) == (["prep"], {"train": "start", "report": "start"})
    houses.more["prep"] = {}
    houses.run()
    record = houses.record("prep")
    houses.more["prep"] = {"allow_reuse": False}
    assert houses.run().computed == ["prep"]
    houses.run(options=Options(regenerate=True))
    assert houses.record("prep") == record


def test_a_step_assumed_unchanged_uses_its_latest_result_though_it_was_edited(computed: Houses) -> None:
    computed.edit("prep", ".upper()", ".lower()")
    plan = computed.plan(Options(assume_unchanged=("prep",)))
    assert verdicts(plan) == ["reuse", "reuse", "reuse"]
    assert reasons(plan)[0] == "assumed unchanged"
    ran = computed.run(options=Options(assume_unchanged=("prep",)))
    assert ran.computed == []
    assert computed.run().computed == ["prep", "train", "report"], "it counts for one run only"


def test_what_was_computed_from_an_assumed_result_says_so(computed: Houses) -> None:
    computed.edit("prep", ".upper()", ".lower()")
    computed.edit("train", "rate", "speed")
    key = computed.record("prep").fingerprint
    ran = computed.run(options=Options(assume_unchanged=("prep",)))
    assert ran.computed == ["train", "report"]
    (overridden,) = computed.record("train").lineage["overridden"].values()
    assert overridden == {"how": How.ASSUMED.value, "fingerprint": key}
    assert computed.record("report").lineage == {}


def test_nothing_can_be_assumed_that_was_never_computed(houses: Houses) -> None:
    plan = houses.plan(Options(assume_unchanged=("prep",)))
    assert reasons(plan)[0] == "asked to be assumed unchanged, but experiment 'houses' has computed nothing for it yet"
    with pytest.raises(PipelineError, match="there is no step 'prpe'; the pipeline has 'prep', 'train', 'report'"):
        houses.plan(Options(assume_unchanged=("prpe",)))


def test_only_results_of_the_same_experiment_that_are_still_there_are_assumed(computed: Houses) -> None:
    computed.experiment = "flats"
    assert (
        "experiment 'flats' has computed nothing for it yet"
        in reasons(computed.plan(Options(assume_unchanged=("prep",))))[0]
    )
    computed.experiment = "houses"
    for place in computed.record("prep").stored.values():
        (computed.project.store / place.path / "rows.csv").unlink()
    reason = reasons(computed.plan(Options(assume_unchanged=("prep",))))[0]
    assert reason.startswith("asked to be assumed unchanged, but output ")
    assert "of its earlier result has been changed" in reason


def test_a_pinned_step_uses_that_result_in_every_run(computed: Houses) -> None:
    key = computed.record("train").fingerprint
    computed.run(rate=0.2)
    computed.index.pin("houses", "train", key, "the good one")
    for rate in (0.3, 0.1):
        ran = computed.run(rate=rate)
        assert ran.computed == []
        assert ran.text("report", "report").endswith("rate 0.1")
        assert reasons(ran.plan)[1] == f"pinned to result {key[:12]}"
    computed.index.unpin("houses", "train")
    assert computed.run(rate=0.3).computed == ["train", "report"]


def test_what_was_computed_from_a_pinned_result_says_so(computed: Houses) -> None:
    key = computed.record("train").fingerprint
    computed.index.pin("houses", "train", key, "the good one")
    computed.edit("report", "report on", "report about")
    assert computed.run(rate=7.0).computed == ["report"]
    assert computed.record("report").lineage == {"overridden": {"model": {"how": "pinned", "fingerprint": key}}}


def test_a_pinned_step_behind_one_that_runs_is_not_skipped_before_that_has_ended(computed: Houses) -> None:
    key = computed.record("train").fingerprint
    computed.index.pin("houses", "train", key, "the good one")
    computed.edit("prep", ".upper()", ".lower()")
    ran = computed.run()
    assert verdicts(ran.plan) == ["run", "reuse", "reuse"]
    assert list(ran.begun.skipped) == []
    assert (ran.computed, ran.reused) == (["prep"], {"train": "start", "report": "start"})
    assert ran.text("report", "report").startswith("report on NORTH")


def test_a_pin_of_another_experiment_does_not_count(computed: Houses) -> None:
    computed.index.pin("flats", "train", computed.record("train").fingerprint, "")
    assert computed.run(rate=0.2).computed == ["train", "report"]


def test_a_pin_on_what_is_gone_says_so_and_the_step_runs(computed: Houses) -> None:
    computed.index.pin("houses", "train", "ab" * 32, "")
    assert reasons(computed.plan())[1] == "pinned to result abababababab, but its record is gone"
    record = computed.record("train")
    computed.index.pin("houses", "train", record.fingerprint, "")
    (computed.project.store / record.stored["model"].path).unlink()
    reason = reasons(computed.plan())[1]
    assert reason.startswith(f"pinned to result {record.fingerprint[:12]}, but output 'model' of its earlier result")
    assert computed.run().computed == ["train"]


def test_a_pin_on_a_result_with_other_outputs_says_so(computed: Houses) -> None:
    computed.index.pin("houses", "train", computed.record("report").fingerprint, "")
    assert reasons(computed.plan())[1].endswith("but that result has other outputs")


def test_steps_of_one_name_are_never_given_each_others_result(houses: Houses) -> None:
    def steps(ws: Workspace) -> list[Any]:
        store = Datastore(ws, STORE)
        raw = DataReference(store, "raw", "raw")
        return [
            PythonScriptStep(
                "prep.py",
                "prep",
                [raw, OutputFileDatasetConfig("rows", destination=(store, place)), "--word", place],
                inputs=[raw],
                source_directory="src",
                compute_target="local",
            )
            for place in ("first/{run-id}", "second/{run-id}")
        ]

    binding = houses.project.build(steps, houses.experiment)
    assert houses.project.run(binding).computed == ["prep", "prep"]
    with pytest.raises(PipelineError, match="2 steps have the name 'prep', .*; give them different names"):
        houses.project.plan(binding, Options(assume_unchanged=("prep",)))
    # Of a time when only one step had that name.
    houses.index.pin(houses.experiment, "prep", houses.record("prep").fingerprint, "")
    plan = houses.project.plan(binding)
    assert verdicts(plan) == ["run", "run"]
    assert all(reason.endswith(", but 2 steps have the name 'prep'") for reason in reasons(plan))


def test_a_cleared_step_runs_though_there_is_a_result_and_replaces_it(computed: Houses) -> None:
    ran = computed.run()
    old = computed.record("train")
    again = computed.project.clear(computed.build(), ran, "train", 1)
    assert again.computed == ["train"]
    assert again.why["train"] == "it was cleared, so it runs although there is an earlier result"
    assert computed.record("train").outputs != old.outputs
    assert computed.run().outputs["train"] == again.outputs["train"]


def test_a_step_that_ran_and_is_cleared_runs_again(computed: Houses) -> None:
    computed.edit("report", "report on", "report about")
    ran = computed.run()
    again = computed.project.clear(computed.build(), ran, "report", 2)
    assert again.why["report"] == "it was cleared, so it runs although there may be an earlier result"
    assert again.text("report", "report").startswith("report about")


def test_a_build_number_that_must_not_count(houses: Houses) -> None:
    houses.project.write("src/any.py", "")

    def steps(ws: Workspace) -> list[Any]:
        build, title = PipelineParameter("build_id", "0"), PipelineParameter("title", "t")
        options: dict[str, Any] = {"source_directory": "src", "compute_target": "local"}
        return [
            PythonScriptStep("any.py", "alone", [build, "--title", title], params={"b": build}, **options),
            PythonScriptStep("any.py", "report-1", [title], params={"build": build}, **options),
        ]

    def run(**parameters: Any) -> list[str]:
        return houses.project.run(houses.project.build(steps), **parameters).computed

    assert run() == ["alone", "report-1"]
    assert run(build_id="1") == ["alone", "report-1"], "nobody has declared it yet"
    houses.project.configure("reuse: {ignore_parameters: [build_*], steps: {report-*: {ignore_parameters: [title]}}}")
    assert run(build_id="2") == ["alone", "report-1"]
    assert run(build_id="3") == []
    assert run(build_id=4) == []
    assert run(build_id="5", title="new") == ["alone"]


def test_data_chosen_by_a_parameter_that_does_not_count_still_does(houses: Houses) -> None:
    from aml_provider.sdk.datapath import DataPath, DataPathComputeBinding

    houses.project.configure("reuse: {ignore_parameters: [where]}")
    houses.project.data("other/north.csv", "north\n")

    def steps(ws: Workspace) -> list[Any]:
        chosen = (PipelineParameter("where", DataPath(Datastore(ws, STORE), "raw")), DataPathComputeBinding("mount"))
        return [CommandStep(["ls", chosen], "list", "local", inputs=[chosen])]

    def run(path: str) -> list[str]:
        return houses.project.run(houses.project.build(steps), where={"datastore": STORE, "path": path}).computed

    assert run("raw") == ["list"]
    assert run("other") == ["list"]
    houses.project.data("other/south.csv", "south\n")
    assert run("other") == []


# --- age ------------------------------------------------------------------------------------------------------------


def test_results_that_are_too_old_are_computed_again_and_replaced(computed: Houses) -> None:
    limits = "include: [{0}.py], age_limit: {1}"
    steps = {"prep": "P7D", "train": "P7D", "report": "P30D"}
    lines = ", ".join(f"{name}: {{{limits.format(name, limit)}}}" for name, limit in steps.items())
    computed.project.configure(f"reuse: {{age_limit: PT1H, steps: {{{lines}}}}}")
    for step in computed.names:
        computed.dated(step, time.time() - 8 * DAY)
    plan = computed.plan()
    assert verdicts(plan) == ["run", "depends", "depends"]
    assert reasons(plan)[0] == "its result is 8 days old, older than the age limit of 7 days"
    ran = computed.run()
    assert (ran.computed, ran.reused) == (["prep", "train"], {"report": "start"})
    assert time.time() - computed.record("prep").created < DAY
    assert computed.run().computed == []


def test_a_young_result_is_used_and_without_a_limit_any_is(computed: Houses) -> None:
    computed.dated("prep", time.time() - 900 * DAY)
    assert computed.run().computed == []
    computed.dated("prep", time.time() - 6 * DAY)
    computed.project.configure("reuse: {age_limit: P7D, steps: {prep: {include: [prep.py]}}}")
    assert computed.plan().decisions["prep"].verdict is Verdict.REUSE


@pytest.mark.parametrize("ahead", [CLOCK_TOLERANCE_SECONDS - 60, CLOCK_TOLERANCE_SECONDS + 60])
def test_when_the_clock_was_set_back_nobody_knows_how_old_a_result_is(computed: Houses, ahead: float) -> None:
    computed.project.configure("reuse: {age_limit: P7D, steps: {prep: {include: [prep.py]}}}")
    computed.dated("prep", time.time() + ahead)
    decision = computed.plan().decisions["prep"]
    if ahead < CLOCK_TOLERANCE_SECONDS:
        assert decision.verdict is Verdict.REUSE
    else:
        assert "dated in the future" in decision.reason
        assert "prep" in computed.run().computed
        assert computed.plan().decisions["prep"].verdict is Verdict.REUSE, "the new result has a date that can be"


# --- what is no longer there ----------------------------------------------------------------------------------------


def _delete(houses: Houses, step: str) -> None:
    (houses.project.store / next(iter(houses.record(step).stored.values())).path).unlink()


def _overwrite(houses: Houses, step: str) -> None:
    (houses.project.store / next(iter(houses.record(step).stored.values())).path).write_text("mine")


@pytest.mark.parametrize(("spoil", "said"), [(_delete, "is gone"), (_overwrite, "has been changed")])
def test_outputs_changed_behind_our_back_are_computed_again(
    computed: Houses, spoil: Callable[[Houses, str], None], said: str
) -> None:
    spoil(computed, "train")
    plan = computed.plan()
    assert verdicts(plan) == ["reuse", "run", "depends"]
    assert reasons(plan)[1].startswith(f"output 'model' of its earlier result {said} (workspaceblobstore:")
    ran = computed.run()
    assert (ran.computed, ran.reused) == (["train"], {"prep": "head", "report": "start"})
    assert ran.text("train", "model") == "NORTH\nSOUTH\n rate 0.1"
    assert computed.run().computed == []


def test_an_output_that_cannot_be_looked_at_does_not_hide_the_others(houses: Houses) -> None:
    def steps(ws: Workspace) -> list[Any]:
        outs = {name: OutputFileDatasetConfig(name) for name in ("left", "middle", "right")}
        return [CommandStep(["touch", out], n, "local", outputs=[out]) for n, out in outs.items()]

    binding = houses.project.build(steps)
    ran = houses.project.run(binding)
    assert ran.computed == ["left", "middle", "right"]
    os.mkfifo(ran.outputs["middle"]["middle"] / "pipe")
    ran = houses.project.run(binding)
    assert (ran.computed, ran.reused) == (["middle"], {"left": "head", "right": "head"})
    assert "output 'middle' of its earlier result cannot be looked at" in ran.why["middle"]
    assert houses.project.run(binding).computed == []


def test_the_last_output_gone_runs_the_last_step_only(computed: Houses) -> None:
    _delete(computed, "report")
    assert computed.run().computed == ["report"]


def test_a_damaged_record_is_none_and_is_written_again(computed: Houses, warnings: Warnings) -> None:
    key = computed.record("train").fingerprint
    file = computed.build().store.reuse / record_name(key)
    for damage in (b"", file.read_bytes()[:-9], b"[]", file.read_bytes().replace(b"0.1", b"0.2")):
        file.write_bytes(damage)
        warnings()
        ran = computed.run()
        assert (ran.computed, ran.reused) == (["train"], {"prep": "head", "report": "start"})
        assert any(record_name(key) in said for said in warnings())
        assert computed.run().computed == []


def test_a_lost_index_is_made_anew(computed: Houses) -> None:
    for key in [record.fingerprint for record in computed.index.all()]:
        assert computed.index.forget(key)
    assert computed.run().computed == ["prep", "train", "report"]
    assert computed.run().computed == []


def test_a_result_has_one_record_whoever_computed_it_and_how_often(computed: Houses) -> None:
    for _ in range(2):
        computed.run(options=Options(regenerate=True))
    assert len(list(computed.index.all())) == 3


# --- what changes while a step is looked at and runs -----------------------------------------------------------------


def moments(houses: Houses, when: str, path: str, text: str) -> dict[str, Moments]:
    """Somebody writes a file of the project at that moment of step ``prep``'s life."""

    def write(run: StepRun) -> None:
        houses.project.write(path, text)

    return {"prep": Moments(**{when: write})}


RAW = f".aml/datastores/{STORE}/raw/north.csv"


def test_data_that_changes_while_a_step_runs_makes_no_record(houses: Houses, warnings: Warnings) -> None:
    houses.apart()
    ran = houses.run(moments=moments(houses, "running", RAW, "changed\n"))
    assert ran.computed == ["prep", "train", "report"]
    assert houses.index.of_step("prep") == []
    assert "input raw has changed while the step ran, so its result will not be reused" in warnings()
    assert houses.run().text("report", "report") == "report on CHANGED\nSOUTH\n rate 0.1"
    houses.project.write(RAW, "north\n")
    ran = houses.run()
    assert (ran.computed, ran.reused) == (["prep"], {"train": "start", "report": "start"})


def test_data_that_changes_before_the_step_reads_it_makes_no_record_under_the_old_key(houses: Houses) -> None:
    houses.apart()
    ran = houses.run(moments=moments(houses, "settled", RAW, "changed\n"))
    assert ran.text("report", "report") == "report on CHANGED\nSOUTH\n rate 0.1"
    assert houses.index.of_step("prep") == []
    houses.project.write(RAW, "north\n")
    assert houses.run().text("report", "report") == "report on NORTH\nSOUTH\n rate 0.1"


def test_a_script_that_changes_before_it_is_copied_makes_no_record(houses: Houses, warnings: Warnings) -> None:
    houses.apart()
    lower = PREP.replace(".upper()", ".lower()")
    ran = houses.run(moments=moments(houses, "settled", "src/prep.py", lower))
    assert ran.text("report", "report") == "report on north\nsouth\n rate 0.1"
    assert houses.index.of_step("prep") == []
    assert "the code of step 'prep' has just been changed, so its result will not be reused" in warnings()
    houses.project.write("src/prep.py", PREP)
    assert houses.run().text("report", "report") == "report on NORTH\nSOUTH\n rate 0.1"


def test_a_script_that_is_edited_while_it_runs_is_recorded_as_it_was(houses: Houses) -> None:
    houses.apart()
    lower = PREP.replace(".upper()", ".lower()")
    houses.run(moments=moments(houses, "running", "src/prep.py", lower))
    assert houses.run().computed == ["prep", "train", "report"]
    houses.project.write("src/prep.py", PREP)
    assert houses.run().computed == []


def test_a_step_that_writes_into_its_own_input_is_not_reused(houses: Houses, warnings: Warnings) -> None:
    def steps(ws: Workspace) -> list[Any]:
        raw = DataReference(Datastore(ws, STORE), "raw", "raw")
        return [CommandStep(["date >>", f"{raw}/log"], "grow", "local", inputs=[raw])]

    binding = houses.project.build(steps)
    for _ in range(2):
        assert houses.project.run(binding).computed == ["grow"]
    assert "input raw has changed while the step ran, so its result will not be reused" in warnings()


# --- what cannot be known -------------------------------------------------------------------------------------------


def test_a_step_whose_input_is_not_there_says_so_in_the_plan_and_when_it_runs(houses: Houses) -> None:
    for file in (houses.project.store / "raw").iterdir():
        file.unlink()
    (houses.project.store / "raw").rmdir()
    reason = reasons(houses.plan())[0]
    assert reason.startswith("not known what it would compute: input 'raw': there is nothing at 'raw'")
    with pytest.raises(StepError, match="datastore 'workspaceblobstore' has no path 'raw'"):
        houses.run()


def test_what_cannot_be_known_is_computed_each_time_and_never_recorded(houses: Houses) -> None:
    os.mkfifo(houses.project.store / "raw/pipe")
    houses.edit("prep", "iterdir()", "glob('*.csv')")
    for _ in range(2):
        ran = houses.run()
        assert "prep" in ran.computed
        assert "pipe" in ran.why["prep"]
        assert "not known what it would compute" in ran.why["prep"]
    assert houses.index.of_step("prep") == []
    assert ran.reused == {"train": "start", "report": "start"}, "what prep writes is known"


def test_what_a_step_could_not_know_it_may_learn_before_it_starts(houses: Houses) -> None:
    os.mkfifo(houses.project.store / "raw/pipe")

    def learn(run: StepRun) -> bool:
        if run.step.name != "prep":
            return False
        (houses.project.store / "raw/pipe").unlink()
        return True

    ran = houses.run(learn=learn)
    assert ran.computed == ["prep", "train", "report"]
    assert houses.record("prep").fingerprint
    assert houses.run().computed == []


# --- data of every kind ---------------------------------------------------------------------------------------------


def test_a_step_reads_what_an_earlier_run_has_written_in_every_way(houses: Houses) -> None:
    def steps(note: str) -> Callable[[Workspace], list[Any]]:
        def author(ws: Workspace) -> list[Any]:
            store = Datastore(ws, STORE)
            port, files = PipelineData("port"), OutputFileDatasetConfig("files")
            rows = FileDatasetFactory.from_files([(store, "raw/*.csv")], validate=False).as_named_input("rows")
            words = ["set -e; echo port >", port, "; ls", rows.as_mount(), "; cd", files, "; echo files > a"]
            make = CommandStep(words, "make", "local", outputs=[port, files])
            reads = [port.as_mount("m"), port.as_download("d"), files.as_input("f"), files.as_input("g").as_download()]
            out = PipelineData("out")
            words = ["set -e; cat", *reads[:2], ">", out, "; cd", reads[2], "; cat a >>", out, "; cd", reads[3]]
            words += ["; cat a >>", out, f"# {note}"]
            return [make, CommandStep(words, "read", "local", inputs=reads, outputs=[out])]

        return author

    houses.project.run(houses.project.build(steps("one")))
    ran = houses.project.run(houses.project.build(steps("two")))
    assert (ran.reused, ran.computed) == ({"make": "head"}, ["read"])
    assert ran.text("read", "out") == "port\nport\nfiles\nfiles\n"


def test_outputs_that_several_runs_write_to_one_place(houses: Houses) -> None:
    """A result whose place others change as well is never believed for long."""

    def steps(word: str) -> Callable[[Workspace], list[Any]]:
        def author(ws: Workspace) -> list[Any]:
            out = OutputFileDatasetConfig("out", destination=(Datastore(ws, STORE), "shared")).as_upload(overwrite=True)
            return [CommandStep(["cd", out, f"; echo {word} > {word}"], "add", "local", outputs=[out])]

        return author

    def run(word: str) -> Ran:
        return houses.project.run(houses.project.build(steps(word)))

    assert run("one").computed == ["add"]
    assert run("one").computed == []
    assert run("two").computed == ["add"]
    ran = run("one")
    assert ran.computed == ["add"]
    assert "has been changed (workspaceblobstore:shared)" in ran.why["add"]


def test_a_step_that_has_nothing_to_write_is_reused_too(houses: Houses) -> None:
    def steps(ws: Workspace) -> list[Any]:
        out = PipelineData("out")
        return [CommandStep("true", "check", "local"), CommandStep("true", "maybe", "local", outputs=[out])]

    binding = houses.project.build(steps)
    assert houses.project.run(binding).computed == ["check", "maybe"]
    ran = houses.project.run(binding)
    assert ran.computed == []
    (place,) = ran.begun.skipped["maybe"].values()
    assert StoredOutput.model_validate(place).digest is None
