"""Datasets in a pipeline's file: what is noted, what is registered, and what a program may look at."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from aml_provider.sdk.consumption import DatasetConsumptionConfig
from aml_provider.sdk.dataset_types import DataType
from aml_provider.sdk.datasets import Dataset, FileDataset
from aml_provider.sdk.datastore import Datastore
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.life import collecting
from aml_provider.sdk.outputs import OutputFileDatasetConfig
from aml_provider.sdk.parameter import PipelineParameter
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.errors import NotSupportedError, ParameterError, PipelineError
from aml_provider.spec.models import DatasetSource, PipelineSpec, StepOutputSource


@pytest.fixture
def store(ws: Workspace, project: Path) -> Any:
    for name, text in {"a.csv": "n,t\n1,x\n2,y\n", "b.csv": "n,t\n3,x\n", "deep/c.txt": "hello"}.items():
        (project / "data/raw/in" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "data/raw/in" / name).write_text(text)
    return Datastore(ws, "raw")


@pytest.fixture
def files(store: Any) -> Any:
    return Dataset.File.from_files((store, "in"))


@pytest.fixture
def table(store: Any) -> Any:
    return Dataset.Tabular.from_delimited_files((store, "in/*.csv"))


# --- in the spec ----------------------------------------------------------------------------------------------------


def test_operations_travel_in_the_spec(table, step, build) -> None:
    small = table.filter((table["n"] > 1) & (table["t"] == "x")).keep_columns("n").take(5)
    spec = build(step("a", inputs=[small.as_named_input("small")]))
    source = spec.steps[0].inputs[0].source
    assert isinstance(source, DatasetSource)
    assert [operation["op"] for operation in source.operations] == ["filter", "keep", "take"]
    assert PipelineSpec.model_validate_json(spec.to_json()) == spec
    assert build(step("a", inputs=[small.as_named_input("small")])).to_json() == spec.to_json()


def test_without_a_seed_the_same_file_gives_the_same_spec(table, step, build) -> None:
    def made() -> str:
        first, _ = table.random_split(0.5)
        return build(step("a", inputs=[first.take_sample(0.5).as_named_input("x")])).to_json()

    assert made() == made()


def test_a_table_with_operations_is_no_files(table, step, build) -> None:
    with pytest.raises(PipelineError, match=r"Step 'a': dataset input 'x' is a table.*to_csv_files\(\)"):
        build(step("a", inputs=[table.take(3).as_named_input("x").as_mount()]))
    build(step("a", inputs=[table.take(3).to_csv_files().as_named_input("x").as_mount()]))


def test_a_step_output_read_as_a_table(step, build) -> None:
    data = OutputFileDatasetConfig("rows")
    columns = data.read_delimited_files(
        separator=";", set_column_types={"zip": DataType.to_string()}, path_glob="**/*.csv"
    ).drop_columns("x")
    first, second = columns.random_split(0.7, seed=3)
    spec = build(
        step("prep", [data]),
        step("train", inputs=[first.as_input("first")]),
        step("test", inputs=[second.as_input("t")]),
    )
    source = spec.steps[1].inputs[0].source
    assert isinstance(source, StepOutputSource)
    assert source.tabular is not None
    assert source.tabular.column_types["zip"].kind == "string"
    assert [o["op"] for o in source.operations] == ["drop", "split"]
    with pytest.raises(PipelineError, match="percentage is a number from 0.0 to 1.0, not 70"):
        data.read_parquet_files().random_split(70)


def test_a_dataset_as_a_parameter(ws, table, store, step, build) -> None:
    named = table.register(ws, "numbers")
    chosen = DatasetConsumptionConfig("x", PipelineParameter("data", named.take(1)))
    given: list[tuple[Any, dict[str, Any]]] = [
        (named, {"name": "numbers", "version": 1}),
        ({"name": "numbers"}, {"name": "numbers"}),
        ({"datastore": "raw", "path": "in/b.csv"}, {"datastore": "raw", "path": "in/b.csv"}),
    ]
    for value, kept in given:
        spec = build(step("a", inputs=[chosen]), submit={"pipeline_parameters": {"data": value}})
        assert kept.items() <= spec.submit.parameters["data"].items()
    with pytest.raises(ParameterError, match="'data' is of type Dataset .*but the value 'numbers' is of type str"):
        build(step("a", inputs=[chosen]), submit={"pipeline_parameters": {"data": "numbers"}})


# --- files ----------------------------------------------------------------------------------------------------------


def test_some_of_the_files(files) -> None:
    assert files.to_path() == ["/a.csv", "/b.csv", "/deep/c.txt"]
    assert files.skip(1).take(1).to_path() == ["/b.csv"]
    assert files.filter(files.file_metadata("Extension") == "csv").to_path() == ["/a.csv", "/b.csv"]
    assert files.filter(files.file_metadata("Size") > 9).to_path() == ["/a.csv"]
    os.utime("data/raw/in/b.csv", (0, 0))
    old = files.filter(files.file_metadata("LastModifiedTime") < "1980-01-01")
    assert old.to_path() == ["/b.csv"]
    first, second = files.random_split(0.5)
    assert sorted(first.to_path() + second.to_path()) == files.to_path()


def test_downloads(files, tmp_path: Path) -> None:
    copies = files.download(str(tmp_path / "got"))
    assert [Path(c).relative_to(tmp_path).as_posix() for c in copies] == ["got/a.csv", "got/b.csv", "got/deep/c.txt"]
    with pytest.raises(UserErrorException, match="got/a.csv exists; pass overwrite=True"):
        files.download(str(tmp_path / "got"))
    files.take(1).download(str(tmp_path / "got"), overwrite=True)
    nothing = files.skip(9)
    with pytest.raises(UserErrorException, match="there are no files to download"):
        nothing.download()
    assert nothing.download(ignore_not_found=True) == []


def test_a_mount_is_there_for_a_while(files, project: Path) -> None:
    with files.mount() as mount:
        assert Path(mount.mount_point, "deep/c.txt").read_text() == "hello"
    assert not Path(mount.mount_point).exists()
    context = files.take(1).mount("here")
    context.start()
    assert os.listdir("here") == ["a.csv"]
    context.stop()
    assert (os.listdir("here"), files.to_path()) == ([], ["/a.csv", "/b.csv", "/deep/c.txt"])
    Path("here/mine").touch()
    with pytest.raises(UserErrorException, match="cannot be mounted at here, which is not empty"):
        files.mount("here").start()


def test_a_table_as_files(table, tmp_path: Path) -> None:
    written = table.filter(table["n"] > 1).to_csv_files(separator=";")
    assert isinstance(written, FileDataset)
    assert written.to_path() == ["/part-00000.csv"]
    (copy,) = written.download(str(tmp_path / "got"))
    assert Path(copy).read_text() == "n;t\n2;y\n3;x\n"
    (copy,) = table.to_parquet_files().download(str(tmp_path / "got"))
    assert pd.read_parquet(copy).to_dict("list") == {"n": [1, 2, 3], "t": ["x", "y", "x"]}


def test_a_frame_becomes_a_dataset(ws, store) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    made = Dataset.Tabular.register_pandas_dataframe(frame, (store, "frames"), "mine", show_progress=False)
    assert (made.name, made.version) == ("mine", 1)
    assert made.to_pandas_dataframe()["a"].tolist() == [1, 2]
    again = Dataset.Tabular.register_pandas_dataframe(frame, (store, "frames"), "mine", show_progress=False)
    assert again.version == 1
    with collecting():
        assert Dataset.Tabular.register_pandas_dataframe(None, (store, "frames"), "mine").version == 1


# --- versions -------------------------------------------------------------------------------------------------------


def test_a_version_says_when_its_data_has_changed(ws, table, project: Path) -> None:
    table.register(ws, "numbers")
    named = Dataset.get_by_name(ws, "numbers")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(named.to_pandas_dataframe()) == 3
    (project / "data/raw/in/a.csv").write_text("n,t\n9,x\n8,y\n")
    (project / "data/raw/in/z.csv").write_text("n,t\n7,x\n")
    told = r"dataset 'numbers' version 1: its data is not what was registered: changed: in/a.csv; new: in/z.csv\."
    with pytest.warns(UserWarning, match=told):
        assert len(named.to_pandas_dataframe()) == 4
    with pytest.warns(UserWarning, match=told):
        named.filter(named["n"] > 1).to_pandas_dataframe()
    # A few rows are not worth reading everything: names and sizes are compared.
    with pytest.warns(UserWarning, match=r"registered: new: in/z.csv\."):
        named.take(1).to_pandas_dataframe()


def test_changed_data_is_a_new_version_for_who_asks_for_one(ws, table, project: Path) -> None:
    assert table.register(ws, "numbers").version == 1
    (project / "data/raw/in/b.csv").unlink()
    with pytest.warns(UserWarning, match="'numbers' is not what was registered as version 1.*create_new_version=True"):
        assert table.register(ws, "numbers").version == 1
    second = table.register(ws, "numbers", create_new_version=True)
    assert second.version == table.register(ws, "numbers", create_new_version=True).version == 2
    assert Dataset.get_by_id(ws, "numbers:2").source == second.source
    with pytest.warns(UserWarning, match="version 1.*gone: in/b.csv"):
        Dataset.get_by_name(ws, "numbers", version=1).to_pandas_dataframe()


def test_what_is_said_of_a_dataset_is_registered_or_said_to_be_not(ws, table) -> None:
    """Nobody can change what is said of a version; a new one is made for who asks for it."""
    table.register(ws, "numbers", tags={"a": "1"})
    with pytest.warns(UserWarning, match="the tags of 'numbers' are not what was registered as version 1"):
        again = table.register(ws, "numbers", tags={"b": "2"})
    assert (again.version, again.tags) == (1, {"a": "1"})
    second = table.register(ws, "numbers", tags={"b": "2"}, description="two", create_new_version=True)
    found = Dataset.get_by_name(ws, "numbers")
    assert (second.version, second.tags, second.description) == (found.version, found.tags, found.description)
    assert (found.version, found.tags, found.description) == (2, {"b": "2"}, "two")
    # Who says nothing of it has no other in mind.
    assert table.register(ws, "numbers", create_new_version=True).tags == {"b": "2"}
    with pytest.raises(UserErrorException, match="workspace is 'lab'; give a Workspace"):
        table.register("lab", "numbers")


def test_a_folder_is_uploaded_by_a_pattern_as_in_v1(ws, store, project: Path, capsys) -> None:
    for name in ("a.csv", "sub/b.csv", "sub/c.txt"):
        (project / "up" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "up" / name).write_text("n\n1\n")
    Dataset.File.upload_directory("up", (store, "some"), pattern="*.csv", show_progress=False)
    found = Dataset.File.from_files((store, "some/**")).to_path()
    assert found == ["/a.csv", "/sub/b.csv"]
    Dataset.File.upload_directory("up", (store, "none"), pattern="*.cvs", show_progress=False)
    assert "no file in " in capsys.readouterr().err
    with pytest.raises(UserErrorException, match=r"files is 'up/a.csv'; give a list of paths, like \['up/a.csv'\]"):
        store.upload_files("up/a.csv")


def test_operations_are_registered_too(ws, table) -> None:
    part = table.filter(table["t"] == "x").with_timestamp_columns("n")
    part.register(ws, "xs")
    found = Dataset.get_by_name(ws, "xs")
    assert found.source.operations == part.source.operations
    assert found.timestamp_columns == ("n", None)
    assert found.to_pandas_dataframe()["n"].tolist() == [1, 3]
    derived = found.take(1)
    assert (derived.name, derived.version, derived.id) == (None, None, None)
    assert Dataset.get_all(ws).keys() == {"xs"}


def test_nothing_is_read_while_a_file_is_parsed(ws, store) -> None:
    with collecting():
        gone = Dataset.Tabular.from_delimited_files((store, "nowhere"))
        assert not gone.to_pandas_dataframe()
        assert gone.register(ws, "gone").version == 1
        assert gone.partition_by(["a"], (store, "p"), name="parts").version == 1
        assert gone.to_csv_files().download() == []
        assert gone.get_partition_key_values() == []
    assert not list(Path().rglob("registry"))
    assert not list(Path("data/raw").glob("p*"))


def test_what_only_azure_has_is_said(table, files, store) -> None:
    for use, words in [
        (lambda: table.get_profile, "describe"),
        (lambda: table.to_spark_dataframe, "to_parquet_files"),
        (lambda: files.as_cache, "cache"),
        (lambda: Dataset.Tabular.register_spark_dataframe(None, (store, "x"), "x"), "toPandas"),
        (lambda: Dataset.File.from_files("https://example.com/x.csv"), "bring the data into a datastore"),
    ]:
        with pytest.raises(NotSupportedError, match=words):
            use()
