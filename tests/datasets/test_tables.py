"""Files as tables: types, headers, formats, and what is said about files that are none."""
# ruff: noqa: DTZ001 - times in datasets are UTC and do not say so

from __future__ import annotations

import gzip
import json
from datetime import datetime
from typing import Any

import pandas as pd
import pytest

from aml_provider.runtime.tables import sources
from aml_provider.sdk.dataset_types import DataType, PromoteHeadersBehavior
from aml_provider.sdk.datasets import Dataset
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.spec.errors import PipelineError


def rows(dataset: Any, **options: Any) -> list[list[Any]]:
    frame = dataset.to_pandas_dataframe(**options)
    return frame.astype(object).where(frame.notna(), None).to_numpy().tolist()


def test_columns_get_the_types_that_they_look_like(table) -> None:
    frame = table(
        "id,share,ok,day,code,none\n1,0.5,true,2024-01-31,a7,\n2,,False,2024-02-01T12:30:00Z,,\n"
    ).to_pandas_dataframe()
    kinds = {name: dtype.kind for name, dtype in frame.dtypes.items() if name not in ("code", "none")}
    assert kinds == {"id": "i", "share": "f", "ok": "b", "day": "M"}
    assert frame["day"].tolist() == [pd.Timestamp(2024, 1, 31), pd.Timestamp(2024, 2, 1, 12, 30)]
    assert frame["code"].iloc[0] == "a7"
    assert frame["code"].isna().tolist() == [False, True]
    assert frame["none"].isna().all()


def test_numbers_keep_every_digit(table) -> None:
    big = 2**63 - 1
    frame = table(f"whole,gaps,huge,float\n{big},{big},{10**25},0.1\n1,,2,1e-320\n").to_pandas_dataframe()
    assert frame["whole"].tolist() == [big, 1]
    assert int(frame["gaps"].iloc[0]) == big
    assert frame["huge"].tolist() == [str(10**25), "2"]
    assert frame["float"].tolist() == [0.1, 1e-320]


def test_types_that_are_set_and_types_that_are_not_wanted(table) -> None:
    types = {"zip": DataType.to_string(), "price": DataType.to_float(","), "day": DataType.to_datetime("%d.%m.%Y")}
    text = "zip;price;day\n01067;3,50;31.01.2024\n00501;4;01.02.2024\n"
    assert rows(table(text, separator=";", set_column_types=types)) == [
        ["01067", 3.5, datetime(2024, 1, 31)],
        ["00501", 4.0, datetime(2024, 2, 1)],
    ]
    assert rows(table(text, separator=";", infer_column_types=False)) == [
        ["01067", "3,50", "31.01.2024"],
        ["00501", "4", "01.02.2024"],
    ]


def test_a_value_of_another_type_is_missing_and_is_told_of(table) -> None:
    text = "n\n1\nmany\n3\n"
    dataset = table(text, set_column_types={"n": DataType.to_long()})
    with pytest.warns(UserWarning, match=r"'n' is read as whole numbers, and 'many' \(in 't/00.csv'\) is none; 1 such"):
        assert rows(dataset) == [[1], [None], [3]]
    with pytest.raises(UserErrorException, match="'many'.*set_column_types"):
        dataset.to_pandas_dataframe(on_error="fail")


def test_types_come_from_the_first_rows_however_many_are_read(table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "FIRST_ROWS", 4)
    monkeypatch.setattr(sources, "ROWS", 2)
    dataset = table("n,t\n" + "".join(f"{i},{'' if i < 6 else 'x'}\n" for i in range(9)))
    whole = dataset.to_pandas_dataframe()
    assert whole["n"].tolist() == list(range(9))
    assert dataset.take(5).to_pandas_dataframe()["n"].tolist() == [0, 1, 2, 3, 4]
    assert whole["t"].isna().sum() == 6


def test_an_empty_field_may_be_a_text(table) -> None:
    assert rows(table("a,b\n,x\n")) == [[None, "x"]]
    assert rows(table("a,b\n,x\n", empty_as_string=True)) == [["", "x"]]


def test_headers(table) -> None:
    behaviour = PromoteHeadersBehavior
    same = ("a,b\n1,2\n", "b,a\n3,4\n")
    assert table(*same).to_pandas_dataframe().to_dict("list") == {"a": [1, 4], "b": [2, 3]}
    other = ("a,b\n1,2\n", "a,c\n3,4\n")
    with pytest.raises(UserErrorException, match=r"'t/01.csv' has the columns \['a', 'c'\].*COMBINE_ALL_FILES_HEADERS"):
        table(*other).to_pandas_dataframe()
    both = table(*other, header=behaviour.COMBINE_ALL_FILES_HEADERS)
    assert rows(both) == [[1, 2, None], [3, None, 4]]
    first = table("a,b\n1,2\n", "3,4\n", header=behaviour.ONLY_FIRST_FILE_HAS_HEADERS)
    assert first.to_pandas_dataframe().to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    assert table("1,2\n", "3,4\n", header=False).to_pandas_dataframe().to_dict("list") == {
        "Column1": [1, 3],
        "Column2": [2, 4],
    }
    with pytest.raises(PipelineError, match="header is 'yes'"):
        table("a\n1\n", header="yes")


def test_files_without_rows_have_columns(table) -> None:
    assert list(table("a,b\n", "").to_pandas_dataframe().columns) == ["a", "b"]
    assert rows(table("a,b\n", "a,b\n1,2\n")) == [[1, 2]]


def test_fields_that_the_header_does_not_name(table) -> None:
    assert rows(table("a,b\n1,2,\n3,4,\n")) == [[1, 2], [3, 4]]
    with pytest.raises(UserErrorException, match="'t/00.csv' has lines with more fields than its first line has names"):
        table("a,b\n1,2,9\n").to_pandas_dataframe()
    with pytest.raises(UserErrorException, match="'t/00.csv' cannot be read as delimited text"):
        table("a,b\n1,2\n1,2,9\n").to_pandas_dataframe()


def test_encodings_compression_and_line_breaks(raw, write) -> None:
    write("e/latin.csv", "name\nMüller\n".encode("latin-1"))
    latin = (raw, "e/latin.csv")
    assert rows(Dataset.Tabular.from_delimited_files(latin, encoding="latin1")) == [["Müller"]]
    with pytest.raises(UserErrorException, match="'e/latin.csv' is not written in utf8.*encoding='latin1'"):
        Dataset.Tabular.from_delimited_files(latin).to_pandas_dataframe()
    write("e/bom.csv.gz", gzip.compress('\ufeffa,b\n1,"two\nlines"\n'.encode()))
    assert rows(Dataset.Tabular.from_delimited_files((raw, "e/bom.csv.gz"))) == [[1, "two\nlines"]]


def test_json_lines(raw, write) -> None:
    lines = [{"n": 1, "t": "a", "deep": {"k": 3}}, {"n": 2.5, "more": True}, {"t": None, "n": None}]
    write("j/x.jsonl", "\n".join(map(json.dumps, lines)) + "\n\nno json\n")
    with pytest.raises(UserErrorException, match="line 5 of file 'j/x.jsonl' is no JSON object.*invalid_lines='drop'"):
        Dataset.Tabular.from_json_lines_files((raw, "j")).to_pandas_dataframe()
    dataset = Dataset.Tabular.from_json_lines_files((raw, "j"), invalid_lines="drop")
    assert rows(dataset) == [[1.0, "a", {"k": 3}, None], [2.5, None, None, True], [None, None, None, None]]
    assert rows(dataset.filter(dataset["deep"]["k"] == 3).keep_columns("t")) == [["a"]]


def test_parquet(raw, write, tmp_path) -> None:
    one = pd.DataFrame({"n": [1, None], "t": ["a", None], "when": pd.to_datetime(["2024-01-01", None])})
    (tmp_path / "data/p").mkdir()
    one.to_parquet(tmp_path / "data/p/1.parquet")
    pd.DataFrame({"t": ["b"], "n": [2.0], "more": [True]}).to_parquet(tmp_path / "data/p/2.parquet")
    dataset = Dataset.Tabular.from_parquet_files((raw, "p/*.parquet"))
    assert list(dataset.to_pandas_dataframe().columns) == ["n", "t", "when", "more"]
    assert rows(dataset.keep_columns(["t", "n"])) == [["a", 1.0], [None, None], ["b", 2.0]]
    write("p/3.parquet", "no parquet")
    with pytest.raises(UserErrorException, match="'p/3.parquet' is no Parquet file"):
        dataset.to_pandas_dataframe()


def test_a_column_of_paths_and_no_column_twice(raw, write) -> None:
    write("y/2024/a.csv", "n\n1\n")
    dataset = Dataset.Tabular.from_delimited_files(
        (raw, "y/**"), include_path=True, partition_format="/{year}/{file}.csv"
    )
    assert rows(dataset) == [["/y/2024/a.csv", 1, "2024", "a"]]
    clash = Dataset.Tabular.from_delimited_files((raw, "y/**"), partition_format="/{n}/*.csv")
    with pytest.raises(UserErrorException, match="has a column 'n', which partition_format would make as well"):
        clash.to_pandas_dataframe()


def test_files_of_one_name_in_two_places_are_both_read(raw, write) -> None:
    write("a/x.csv", "n\n1\n")
    write("b/x.csv", "n\n2\n")
    both = [(raw, "a/x.csv"), (raw, "b/x.csv")]
    assert rows(Dataset.Tabular.from_delimited_files(both)) == [[1], [2]]
    assert Dataset.File.from_files(both).to_path() == ["/a/x.csv", "/b/x.csv"]


def test_a_few_rows_of_much_data_read_little(table, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    typed = sources.Source._typed
    monkeypatch.setattr(
        sources.Source, "_typed", lambda self, frame, file: read.append(len(frame)) or typed(self, frame, file)
    )
    text = "a\n" + "1\n" * 300_000
    assert len(table(text, text).take(5).to_pandas_dataframe()) == 5
    assert read == [sources.FIRST_ROWS]
