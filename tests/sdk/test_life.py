"""While a file is only read nothing happens, and what would be a run passes through any code."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from aml_provider.sdk.compute import AmlCompute, ComputeTarget
from aml_provider.sdk.datasets import Dataset
from aml_provider.sdk.datastore import Datastore
from aml_provider.sdk.environment import Environment
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.experiment import Experiment
from aml_provider.sdk.life import AIRFLOW_DAG_CONTEXT, Life, collecting, current_life
from aml_provider.sdk.null import NULL
from aml_provider.sdk.pipeline import Pipeline
from aml_provider.sdk.widgets import RunDetails
from aml_provider.sdk.workspace import Workspace


def test_the_three_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_life() is Life.PROGRAM
    with collecting():
        assert current_life() is Life.COLLECT
    context = SimpleNamespace(current_autoregister_module_name="unusual_prefix_pipeline")
    module = ModuleType(AIRFLOW_DAG_CONTEXT)
    module.DagContext = context
    monkeypatch.setitem(sys.modules, AIRFLOW_DAG_CONTEXT, module)
    assert current_life() is Life.PARSE
    context.current_autoregister_module_name = None
    assert current_life() is Life.PROGRAM


@pytest.mark.airflow
def test_airflow_says_that_it_parses() -> None:
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    assert current_life() is Life.PROGRAM
    DagContext.current_autoregister_module_name = "module"
    try:
        assert current_life() is Life.PARSE
    finally:
        DagContext.current_autoregister_module_name = None


def test_code_after_submit_passes(ws, step, capsys) -> None:
    with collecting() as found:
        run = Experiment(ws, "e").submit(Pipeline(ws, [step("a")]))
        run.wait_for_completion(show_output=True)
        RunDetails(run).show()
        assert RunDetails(run).get_widget_data() == {}
        assert not run
        assert list(run.get_steps()) == []
        assert run.get_status() != "Finished"
        for one in run.find_step_run("a"):
            raise AssertionError(one)
        accuracy = run.find_step_run("a")[0].get_metrics()["accuracy"]
        print(f"{accuracy:.3f} {accuracy} {round(accuracy, 2) * 100 + 1}")
        assert not accuracy > 0.5
        assert not accuracy > 0.5
        assert float(accuracy) == int(accuracy) == 0
        with run as inside:
            inside["a"].b.c = 3
        assert copy.deepcopy({"run": run})
        assert "x" not in run
        print(run)
    assert len(found) == 1
    assert "not run" in capsys.readouterr().out


def test_a_null_object_is_no_special_thing() -> None:
    assert not hasattr(NULL, "__array__")
    assert len(NULL) == 0
    assert NULL.anything == NULL
    assert NULL != ""


def test_nothing_is_written_while_a_file_is_read(ws, project: Path, step) -> None:
    (project / "local").mkdir()
    (project / "local" / "x.csv").write_text("1")
    before = sorted(project.rglob("*"))
    with collecting():
        store = Datastore(ws, "raw")
        reference = store.upload("local", "up", overwrite=True)
        assert (reference.datastore.name, reference.path_on_datastore) == ("raw", "up")
        assert store.upload_files(["nowhere.csv"], target_path="up").path_on_datastore == "up"
        assert store.download("down") == 0
        files = Dataset.File.from_files((store, "up"))
        registered = files.register(ws, "mine")
        assert registered.version == 1
        assert Dataset.get_by_name(ws, "mine").locations == files.locations
        assert files.to_path() == files.download("down") == []
        environment = Environment("env").register(ws)
        assert Environment.get(ws, "env").version == environment.version == "1"
        target = ComputeTarget.create(ws, "new", AmlCompute.provisioning_configuration("STANDARD_D1"))
        target.wait_for_completion(show_output=True)
        ws.write_config()
        environment.save_to_directory("saved")
        environment.python.conda_dependencies.save("conda.yml")
        assert list(Experiment(ws, "e").get_runs()) == []
        assert not Pipeline(ws, [step("a")]).publish("p")
    assert sorted(project.rglob("*")) == before


def test_what_one_file_makes_does_not_exist_for_the_next(project: Path) -> None:
    for _ in range(2):
        with collecting():
            ws = Workspace.from_config()
            assert list(ws.compute_targets) == ["cpu"]
            ComputeTarget.create(ws, "new", AmlCompute.provisioning_configuration("STANDARD_D1"))
            ws.set_default_datastore("raw")
            again = Workspace.from_config()
            assert list(again.compute_targets) == ["cpu", "new"]
            assert again.get_default_datastore().name == "raw"
    assert Workspace.from_config().get_default_datastore().name == "workspaceblobstore"


def test_publishing_is_collected(ws, step) -> None:
    with collecting() as found:
        Pipeline(ws, [step("a")]).publish(name="mine")
    assert found[0][0].submit.experiment == "mine"


def test_a_program_moves_data(ws, project: Path) -> None:
    (project / "local").mkdir()
    (project / "local" / "x.csv").write_text("a,b\n1,2\n")
    store = Datastore(ws, "raw")
    with pytest.raises(UserErrorException, match="no files at 'up' in datastore 'raw'"):
        Dataset.File.from_files((store, "up"))
    store.upload("local", "up", show_progress=False)
    store.upload_files(["local/x.csv"], relative_root=".", target_path="up", show_progress=False)
    files = Dataset.File.from_files((store, "up/**"))
    assert files.to_path() == ["/local/x.csv", "/x.csv"]
    assert files.take(1).to_path() == ["/local/x.csv"]
    assert files.skip(1).take(5).to_path() == ["/x.csv"]
    assert sorted(Path(p).relative_to(project).as_posix() for p in files.download(str(project / "got"))) == [
        "got/local/x.csv",
        "got/x.csv",
    ]
    assert store.download("all", prefix="up", show_progress=False) == 2
    assert (project / "all" / "up" / "x.csv").read_text() == "a,b\n1,2\n"
    table = Dataset.Tabular.from_delimited_files((store, "up/x.csv"))
    assert table.to_pandas_dataframe().to_dict("list") == {"a": [1], "b": [2]}


def test_registered_versions_stay(ws, project: Path) -> None:
    store = Datastore(ws, "raw")
    one = Dataset.File.from_files((store, "one"), validate=False)
    two = Dataset.Tabular.from_parquet_files((store, "two"), validate=False)
    assert one.register(ws, "my data", tags={"a": "b"}).version == 1
    assert one.register(ws, "my data").version == 1
    with pytest.raises(UserErrorException, match="create_new_version=True"):
        two.register(ws, "my data")
    assert two.register(ws, "my data", create_new_version=True).version == 2
    fresh = Workspace.from_config()
    newest = Dataset.get_by_name(fresh, "my data")
    assert (newest.version, newest.tabular, newest.id) == (2, two.tabular, "my data:2")
    first = Dataset.get_by_name(fresh, "my data", version=1)
    assert (first.locations, first.tags) == (one.locations, {"a": "b"})
    assert list(fresh.datasets) == ["my data"]
    with pytest.raises(UserErrorException, match=r"'my data' of workspace .* has no version 3; it has 1, 2\.$"):
        Dataset.get_by_name(fresh, "my data", version=3)
    with pytest.raises(UserErrorException, match=r"no dataset 'other'.*\['my data'\]"):
        Dataset.get_by_name(fresh, "other")
