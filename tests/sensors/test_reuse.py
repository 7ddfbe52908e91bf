"""Reuse in hand-written DAGs: a sensor, any operator, and the task that records what that has written."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aml_provider.operators.record import StepRecordOperator
from aml_provider.sensors.reuse import StepReuseSensor
from tests.dag_runs import Airflow, Ended
from tests.reuse.machines import until

pytestmark = pytest.mark.airflow
NUMBERS = itertools.count()

DAG_FILE = """\
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

from aml_provider.operators.record import StepRecordOperator
from aml_provider.sensors.reuse import StepReuseSensor

HERE = Path(__file__).parent
DATA = HERE / "data"


def place(sensor="look"):
    return f"{DATA}/{{{{ ti.xcom_pull(task_ids='{sensor}')['table']['path'] }}}}"


def look(task_id="look", **options):
    settings = {
        "step": "totals",
        "code": "code",
        "parameters": {"unit": "{{ params.unit }}"},
        "inputs": {"rows": "workspaceblobstore:rows"},
        "outputs": {"table": "workspaceblobstore:totals/{run-id}"},
        "poke_interval": 0.05,
    }
    return StepReuseSensor(task_id=task_id, **{**settings, **options})


def compute(task_id="compute", sensor="look", unit="{{ params.unit }}"):
    environment = {"HERE": str(HERE), "TABLE": place(sensor), "UNIT": unit, "BROKEN": "{{ params.broken }}"}
    command = f"bash '{HERE}/code/totals.sh'"
    return BashOperator(task_id=task_id, bash_command=command, env=environment, append_env=True)


def keep(sensor, task_id="keep"):
    return StepRecordOperator(task_id=task_id, sensor=sensor)


def show(task_id="show", sensor="look"):
    return BashOperator(task_id=task_id, bash_command=f"cat {place(sensor)}/total", trigger_rule="none_failed")


with DAG("DAG_ID", schedule=None, params={"unit": "EUR", "broken": ""}):
"""

USUAL = """\
    sensor = look(OPTIONS)
    sensor >> compute() >> keep(sensor) >> show()
"""

# It waits at the gate only where somebody has closed it.
SCRIPT = """\
set -e
echo computed >> "$HERE/computed"
while [ -e "$HERE/closed" ]; do sleep 0.05; done
[ ! "$BROKEN" ]
mkdir -p "$TABLE"
echo "$(cat "$HERE"/data/rows/*) $UNIT" > "$TABLE/total"
"""


@dataclass
class Project:
    """A folder with a DAG, its code and its data."""

    folder: Path
    dag_id: str
    airflow: Airflow

    @property
    def file(self) -> Path:
        return self.folder / "dags.py"

    @property
    def closed(self) -> Path:
        """While this file is there, whoever computes waits."""
        return self.folder / "closed"

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def dag(self, options: str = "", tasks: str = USUAL) -> None:
        """Write the DAG file.

        :param options: of the sensor, as code.
        """
        self.write("dags.py", DAG_FILE.replace("DAG_ID", self.dag_id) + tasks.replace("OPTIONS", options))

    def run(self, **conf: Any) -> Ended:
        return self.airflow.run(self.file, **conf)

    def computed(self) -> int:
        """How often the script has run."""
        file = self.folder / "computed"
        return len(file.read_text().splitlines()) if file.exists() else 0

    @property
    def index(self) -> Path:
        return self.folder / "data" / ".aml" / "reuse"

    def records(self) -> list[Any]:
        return [json.loads(file.read_text())["record"] for file in self.index.glob("records/*/*.json")]

    def claims(self) -> list[Path]:
        return list(self.index.glob("claims/*.json"))


@pytest.fixture(scope="module")
def airflows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Airflow, Airflow]]:
    """Two that know nothing of each other but the datastore."""
    home = tmp_path_factory.mktemp("airflows")
    both = (Airflow(home / "one"), Airflow(home / "two"))
    yield both
    for airflow in both:
        airflow.close()


@pytest.fixture
def project(tmp_path: Path, airflows: tuple[Airflow, Airflow]) -> Project:
    made = Project(tmp_path / "project", f"project{next(NUMBERS)}", airflows[0])
    made.write("workspace.yaml", "datastores:\n  workspaceblobstore: {url: data}\n")
    made.write("code/totals.sh", SCRIPT)
    made.write("data/rows/january", "42")
    made.dag()
    return made


def ran(ended: Ended) -> bool:
    """Whether the task of the step has run; else it was skipped, with what records it."""
    steps = {ended.states["compute"], ended.states["keep"]}
    assert steps in ({"success"}, {"skipped"}), ended
    assert ended.states["look"] == ended.states["show"] == ended.state == "success", ended
    return steps == {"success"}


# --- what is reused -------------------------------------------------------------------------------------------------


def test_the_first_run_computes_and_the_second_one_has_its_result(project: Project) -> None:
    one = project.run()
    assert ran(one)
    two = project.run()
    assert not ran(two)
    assert project.computed() == 1
    assert one.xcoms["show"] == two.xcoms["show"] == "42 EUR"
    assert two.xcoms["look"] == one.xcoms["keep"]
    assert one.xcoms["keep"]["table"]["digest"]
    (record,) = project.records()
    assert record["step"] == {"name": "totals", "type": "AirflowTask", "key": "look"}
    assert record["run"]["run_id"] == one.run_id
    assert project.claims() == []
    assert f"totals: reused: nothing it depends on has changed; computed by run {record['run']['pipeline_run_id']}" in (
        two.said
    )


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("code/totals.sh", SCRIPT + "# a comment\n", "code totals.sh: "),
        ("code/more", "", "code more: new"),
        ("data/rows/january", "43", "input rows: "),
        ("data/rows/february", "1", "input rows: "),
    ],
)
def test_changed_code_or_data_is_computed_anew_and_the_log_says_what_has_changed(
    project: Project, file: str, text: str, said: str
) -> None:
    project.run()
    project.write(file, text)
    again = project.run()
    assert ran(again)
    assert "totals: runs: not computed before" in again.said
    assert f"totals:   {said}" in again.said
    assert project.computed() == 2


def test_every_value_has_its_own_result(project: Project) -> None:
    units = ["EUR", "USD", "EUR", "USD"]
    assert [project.run(unit=unit).xcoms["show"] for unit in units] == [f"42 {unit}" for unit in units]
    assert project.computed() == 2


@pytest.mark.parametrize("options", ["version='2'", "parameters={'unit': 1}", "step='sums'", "inputs={}", "code=None"])
def test_another_description_is_another_computation(project: Project, options: str) -> None:
    project.dag("parameters={'unit': '1'}")
    project.run()
    project.dag(options if "parameters" in options else f"parameters={{'unit': '1'}}, {options}")
    assert ran(project.run())


def test_what_cannot_change_the_result_does_not_count(project: Project, tmp_path: Path) -> None:
    project.run()
    for path in (project.folder / "code/totals.sh", project.folder / "data/rows/january"):
        os.utime(path, (1, 1))
    (project.folder / "code/__pycache__").mkdir()
    project.write("code/__pycache__/totals.pyc", "")
    moved = Project(tmp_path / "elsewhere", "moved", project.airflow)
    shutil.copytree(project.folder, moved.folder)
    shutil.rmtree(project.folder)
    moved.dag("lease_seconds=60, task_id='look'")
    assert not ran(moved.run())


def test_only_files_that_are_included_count(project: Project) -> None:
    project.dag("include=['totals.sh']")
    project.run()
    project.write("code/notes.md", "nobody reads them")
    assert not ran(project.run())
    project.write("code/totals.sh", SCRIPT.replace("$UNIT", "$UNIT."))
    assert project.run().xcoms["show"] == "42 EUR."


def test_the_workspace_file_rules_here_too(project: Project) -> None:
    settings = "reuse:\n  steps:\n    total*: {ignore_parameters: [build], include: [totals.sh]}\n"
    project.write("workspaces/lab.yaml", f"datastores: {{workspaceblobstore: {{url: ../data}}}}\n{settings}")
    for number, runs in ((1, True), (2, False)):
        project.dag(f"workspace='workspaces/lab.yaml', parameters={{'build': {number}}}")
        project.write("code/build", str(number))
        assert ran(project.run()) is runs


def test_two_steps_of_one_kind_in_one_dag_are_told_apart(project: Project) -> None:
    tasks = "".join(
        f"    s{n} = look('look{n}', parameters={{'unit': '{u}'}})\n"
        f"    s{n} >> compute('compute{n}', 'look{n}', '{u}') >> keep(s{n}, 'keep{n}') >> show('show{n}', 'look{n}')\n"
        for n, u in enumerate(("EUR", "USD"))
    )
    project.dag(tasks=tasks)
    for _ in range(2):
        ended = project.run()
        assert (ended.xcoms["show0"], ended.xcoms["show1"]) == ("42 EUR", "42 USD")
    assert project.computed() == 2
    assert len(project.records()) == 2


def test_all_tasks_between_the_sensor_and_the_record_are_skipped_and_no_others(project: Project) -> None:
    project.dag(
        tasks="""\
    sensor = look()
    prepare = BashOperator(task_id="prepare", bash_command="true")
    aside = BashOperator(task_id="aside", bash_command="echo {{ ti.xcom_pull(task_ids='look')['table']['path'] }}")
    sensor >> prepare >> compute() >> keep(sensor) >> show()
    sensor >> aside
"""
    )
    one, two = project.run(), project.run()
    assert ran(one)
    assert not ran(two)
    assert (one.states["prepare"], two.states["prepare"]) == ("success", "skipped")
    assert (one.states["aside"], two.states["aside"]) == ("success", "success")
    assert one.xcoms["aside"] == two.xcoms["aside"]


def test_without_a_recording_task_what_comes_next_is_skipped(project: Project) -> None:
    project.run()
    project.dag(tasks="    look() >> compute() >> show()\n")
    assert project.run().states == {"look": "success", "compute": "skipped", "show": "success"}


# --- a place that every run writes to -------------------------------------------------------------------------------


def test_a_place_that_another_value_has_overwritten_is_computed_again(project: Project) -> None:
    project.dag("outputs={'table': 'workspaceblobstore:totals'}")
    assert [project.run(unit=unit).xcoms["show"] for unit in ("EUR", "USD", "EUR", "EUR")] == [
        "42 EUR",
        "42 USD",
        "42 EUR",
        "42 EUR",
    ]
    assert project.computed() == 3


def test_a_result_that_was_removed_is_computed_again(project: Project) -> None:
    project.run()
    shutil.rmtree(project.folder / "data" / "totals")
    again = project.run()
    assert ran(again)
    assert "output 'table' of its earlier result is gone" in again.said
    assert not ran(project.run())


def test_a_result_that_is_too_old_is_computed_again_and_replaced(project: Project) -> None:
    file = project.folder / "workspace.yaml"
    project.run()
    old = file.read_text()
    file.write_text(old + "reuse: {age_limit: PT0.001S}\n")
    again = project.run()
    assert ran(again)
    assert "older than the age limit" in again.said
    (record,) = project.records()
    assert record["run"]["run_id"] == again.run_id
    file.write_text(old)
    assert not ran(project.run())


# --- what is not recorded -------------------------------------------------------------------------------------------


def test_a_task_that_fails_records_nothing_and_gives_its_claim_back(project: Project) -> None:
    failed = project.run(broken="yes")
    assert failed.state == "failed"
    assert failed.states == {"look": "success", "compute": "failed", "keep": "failed", "show": "upstream_failed"}
    assert "nothing is recorded for step 'totals': task 'compute' is failed" in failed.said
    assert project.records() == project.claims() == []
    assert ran(project.run())


def test_two_programs_of_one_folder_have_results_of_their_own(project: Project) -> None:
    project.write("code/sums.sh", SCRIPT.replace("$UNIT", "in all"))
    other = "BashOperator(task_id='compute1', bash_command=f\"bash '{HERE}/code/sums.sh'\", env={'HERE': str(HERE), "
    other += "'TABLE': place('look1'), 'BROKEN': ''}, append_env=True)"
    project.dag(
        tasks=f"""\
    totals, sums = look(), look("look1", step="sums")
    totals >> compute() >> keep(totals) >> show()
    sums >> {other} >> keep(sums, "keep1") >> show("show1", "look1")
"""
    )
    for _ in range(2):
        ended = project.run()
        assert (ended.xcoms["show"], ended.xcoms["show1"]) == ("42 EUR", "42 in all")
    assert project.computed() == 2


def test_a_task_that_fails_before_one_that_always_runs_is_not_recorded(project: Project) -> None:
    project.dag(
        tasks="""\
    sensor = look()
    tidy = BashOperator(task_id="tidy", bash_command="mkdir -p " + place(), trigger_rule="all_done")
    sensor >> compute() >> tidy >> keep(sensor) >> show()
"""
    )
    failed = project.run(broken="yes")
    assert (failed.states["compute"], failed.states["tidy"], failed.states["keep"]) == ("failed", "success", "failed")
    assert "nothing is recorded for step 'totals': task 'compute' is failed" in failed.said
    assert project.records() == project.claims() == []
    assert ran(project.run())


def test_an_output_that_is_not_there_is_an_error(project: Project) -> None:
    project.write("code/totals.sh", "true")
    failed = project.run()
    assert failed.states["keep"] == "failed"
    assert "step 'totals': its task has ended, and there is nothing at workspaceblobstore:totals/" in failed.said
    assert project.records() == project.claims() == []


@pytest.mark.parametrize("change", ["code/totals.sh", "data/rows/january"])
def test_what_changes_while_the_task_runs_is_recorded_for_neither(project: Project, change: str) -> None:
    project.closed.touch()
    project.airflow.start(project.file)
    until(lambda: project.computed() == 1, "it computes")
    project.write(change, SCRIPT + "#" if change.endswith("sh") else "43")
    project.closed.unlink()
    assert ran(one := project.airflow.ended())
    part = "code" if change.endswith("sh") else "inputs"
    assert f"since its sensor has looked, this has changed: {part}" in one.said
    assert project.records() == project.claims() == []
    assert ran(project.run())
    assert not ran(project.run())


def test_a_step_that_a_branch_passes_by_fails_nothing(project: Project) -> None:
    project.dag(
        tasks="""\
    sensor = look()
    branch = BashOperator(task_id="branch", bash_command="exit 99", skip_on_exit_code=99)
    branch >> sensor >> compute() >> keep(sensor)
"""
    )
    ended = project.run()
    assert ended.state == "success"
    assert set(ended.states.values()) == {"skipped"}


def test_a_recording_task_with_nothing_before_it_says_where_it_belongs(project: Project) -> None:
    project.dag("outputs={'table': 'workspaceblobstore:totals'}")
    project.run()
    project.dag(tasks="    sensor = look(version='2')\n    sensor >> keep(sensor)\n    sensor >> compute()\n")
    failed = project.run()
    assert failed.states["keep"] == "failed"
    assert "no task is between 'look' and 'keep'; put 'keep' behind the task that writes the outputs" in failed.said
    assert project.claims() == []


# --- wrong descriptions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            "outputs={'table': 'totals'}",
            "step 'totals', 'table': 'totals' is no place; write it like workspaceblobstore:folder",
        ),
        (
            "inputs={'rows': ['a', 'b']}",
            "step 'totals', 'rows': ['a', 'b'] is no place; write it like workspaceblobstore:folder",
        ),
        (
            "inputs={'rows': 'blobs:rows'}",
            "step 'totals', 'rows': unknown datastore 'blobs'; workspace 'local' (PROJECT/workspace.yaml) has work",
        ),
        (
            "outputs={'table': 'workspaceblobstore:../totals'}",
            "step 'totals', 'table': path '../totals' in datastore 'workspaceblobstore' leads out of the datastore",
        ),
        (
            "outputs={'table': 'workspaceblobstore:{run_id}'}",
            "step 'totals', 'table': {run_id} in 'workspaceblobstore:{run_id}' stands for nothing; write {run-id}",
        ),
        (
            "outputs={'table': 'workspaceblobstore:.aml/reuse'}",
            "step 'totals', 'table': 'workspaceblobstore:.aml/reuse' is where runs keep records; give another",
        ),
        (
            "skips=['compue']",
            "skips names 'compue', which is no task behind 'look'; these are: compute, keep, show",
        ),
        (
            "code='cod'",
            "step 'totals': its code folder PROJECT/cod does not exist on this worker. A relative one begins in the f",
        ),
        (
            "include='*.py'",
            "step 'totals': include ['*.py'] matches no file in PROJECT/code. Name those that count.",
        ),
        (
            "compute_target='gpus'",
            "unknown compute target 'gpus'; workspace 'local' (PROJECT/workspace.yaml) has local.",
        ),
        ("workspace='lab.yaml'", "PROJECT/lab.yaml"),
    ],
)
def test_a_wrong_description_is_said_in_a_sentence_before_anything_runs(
    project: Project, options: str, sentence: str
) -> None:
    project.dag(options)
    failed = project.run()
    assert failed.states["look"] == "failed"
    assert project.computed() == 0
    assert sentence.replace("PROJECT", str(project.folder)) in failed.said


def test_data_that_is_not_there_yet_is_no_reason_to_fail(project: Project) -> None:
    project.dag("inputs={'more': 'workspaceblobstore:more'}")
    ended = project.run()
    assert ran(ended)
    assert "not known what it would compute: input 'more': there is nothing at 'more'" in ended.said
    assert project.records() == []


def test_a_sensor_that_would_ask_again_and_again_in_new_processes_is_refused() -> None:
    with pytest.raises(ValueError, match="look: mode='reschedule' cannot tell .* use deferrable=True"):
        StepReuseSensor(task_id="look", step="totals", outputs={}, mode="reschedule")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"outputs": ["table"]}, r"step 'totals': outputs=\['table'\] is no mapping; give names and their places"),
        ({"outputs": {}, "parameters": "EUR"}, "step 'totals': parameters='EUR' is no mapping; give names and their v"),
        ({"outputs": Path("x")}, r"step 'totals': outputs=PosixPath\('x'\) is no mapping"),
        (
            {"outputs": {}, "parameters": {"since": {"day": Path("/")}}},
            r"step 'totals', parameter 'since': PosixPath\('/'\) of type PosixPath has no content that could",
        ),
        (
            {"outputs": {}, "parameters": {"since": {1: 2}}},
            "step 'totals', parameter 'since': the key 1 of type int is no text; give mappings text as keys",
        ),
        (
            {"outputs": {}, "parameters": {"since": [1.5, float("nan")]}},
            "step 'totals', parameter 'since': nan is no number of JSON, .* give text, like 'nan'",
        ),
        ({"outputs": {}, "version": 3}, "step 'totals': version=3 is no text; write version='3'"),
        ({"outputs": {}, "step": None}, "step None: step=None is no text"),
        ({"outputs": {}, "lease_seconds": "10"}, "look: lease_seconds='10' is no number of seconds above 0"),
        ({"outputs": {}, "skips": "compute"}, "look: skips='compute' is text; give a list of task ids"),
        ({"outputs": {}, "step": ""}, "step is empty; give the step a name"),
        ({"outputs": {}, "lease_seconds": 0}, "look: lease_seconds=0 is no number of seconds above 0"),
    ],
)
def test_an_argument_of_a_wrong_type_is_said_when_the_dag_is_read(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        StepReuseSensor(**{"task_id": "look", "step": "totals", **arguments})


def test_what_is_recorded_for_is_a_sensor() -> None:
    with pytest.raises(ValueError, match="keep: sensor is 'look'; give the StepReuseSensor itself"):
        StepRecordOperator(task_id="keep", sensor="look")


def test_what_a_template_gives_is_taken_when_the_task_runs(project: Project) -> None:
    project.dag("code=HERE / 'code', version='{{ params.unit }}'")
    assert ran(project.run())


def test_a_mapped_sensor_is_refused(project: Project) -> None:
    tasks = "    StepReuseSensor.partial(task_id='look', step='totals', outputs={}).expand(version=['1', '2'])\n"
    project.dag(tasks=tasks)
    failed = project.run()
    assert failed.state == "failed"
    assert "step 'totals': its sensor 'look' is mapped, and a skip is one of whole tasks" in failed.said


# --- a person has it run --------------------------------------------------------------------------------------------


def test_a_cleared_task_runs_and_its_record_takes_the_place_of_the_old_one(project: Project) -> None:
    project.run()
    two = project.run()
    (old,) = project.records()
    again = project.airflow.clear(project.file, two.run_id, "compute", "keep", "show")
    assert ran(again)
    assert project.computed() == 2
    assert again.xcoms["show"] == "42 EUR"
    (new,) = project.records()
    assert (new["fingerprint"], new["run"]["run_id"]) == (old["fingerprint"], two.run_id)
    assert not ran(project.run())


def test_a_task_that_is_cleared_after_its_code_has_changed_replaces_nothing(project: Project) -> None:
    project.run()
    two = project.run()
    project.write("code/totals.sh", SCRIPT.replace("$UNIT", "$UNIT!"))
    again = project.airflow.clear(project.file, two.run_id, "compute", "keep", "show")
    assert again.xcoms["show"] == "42 EUR!"
    assert "since its sensor has looked, this has changed: code" in again.said
    project.write("code/totals.sh", SCRIPT)
    assert project.run().xcoms["show"] == "42 EUR"


def test_a_sensor_that_would_wait_for_its_own_run_is_refused(project: Project) -> None:
    project.dag(tasks="    first, second = look(), look('again')\n    first >> second >> compute() >> keep(first)\n")
    ended = project.run()
    assert (ended.states["look"], ended.states["again"]) == ("success", "failed")
    assert "sensor 'look', which is before 'again' in this run, has the same description" in ended.said
    # Behind the record it is reused.
    project.dag(
        tasks="""\
    first, second = look(), look('again')
    first >> compute() >> keep(first) >> second >> compute('other', 'again') >> keep(second, 'keep_other')
"""
    )
    ended = project.run()
    assert (ended.states["compute"], ended.states["other"]) == ("success", "skipped")


# --- two at once ----------------------------------------------------------------------------------------------------


def compute_and_wait(project: Project, airflows: tuple[Airflow, Airflow], **conf: Any) -> None:
    """The first of two Airflows computes until the gate is opened, and the second one waits for it."""
    one, two = airflows
    project.closed.touch()
    one.start(project.file, **conf)
    until(lambda: project.computed() == 1, "the first run computes")
    two.start(project.file)
    until(lambda: "is computing the same; waiting for its result" in two.said(), "the second run waits")


@pytest.mark.parametrize("options", ["", "deferrable=True"])
def test_of_two_runs_at_once_one_computes_and_the_other_waits_for_it(
    project: Project, airflows: tuple[Airflow, Airflow], options: str
) -> None:
    project.dag(options)
    compute_and_wait(project, airflows)
    project.closed.unlink()
    one, two = (airflow.ended() for airflow in airflows)
    assert ran(one)
    assert not ran(two)
    assert project.computed() == 1
    assert one.xcoms["show"] == two.xcoms["show"] == "42 EUR"
    assert ("[DAG TEST] running trigger in line" in two.said) is bool(options)
    assert project.claims() == []


@pytest.mark.parametrize("options", ["", "deferrable=True"])
def test_when_the_first_fails_the_one_that_waits_computes(
    project: Project, airflows: tuple[Airflow, Airflow], options: str
) -> None:
    project.dag(options)
    compute_and_wait(project, airflows, broken="yes")
    project.closed.unlink()
    one, two = (airflow.ended() for airflow in airflows)
    assert one.states["compute"] == "failed"
    assert ran(two)
    assert project.computed() == 2
    assert project.claims() == []


@pytest.mark.parametrize("options", ["", "deferrable=True"])
def test_a_claim_that_nobody_gives_back_ends_with_its_lease(project: Project, options: str) -> None:
    project.dag(tasks="    look(lease_seconds=0.5) >> compute() >> show()\n")
    project.run()
    assert len(project.claims()) == 1
    project.dag(options)
    two = project.run()
    assert ran(two)
    assert "is computing the same; waiting for its result" in two.said
    assert project.claims() == []
