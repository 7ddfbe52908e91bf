"""Values in paths: what a partition format says is found again, and what cannot be is said."""
# ruff: noqa: DTZ001 - times in datasets are UTC and do not say so

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.datasets.verbs import PartitionFormat, TableError, quoted
from aml_provider.runtime.tables.partitions import unquoted
from aml_provider.sdk.datasets import Dataset
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.spec.errors import PipelineError

PART = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1)
TIMES = st.datetimes(min_value=datetime(1000, 1, 1)).map(lambda t: t.replace(microsecond=0))


@given(above=st.lists(PART, max_size=3), values=st.lists(PART, min_size=1, max_size=3), moment=TIMES, file=PART)
def test_what_was_written_into_a_path_is_found_there(above, values, moment: datetime, file: str) -> None:
    keys = [f"k{i}" for i in range(len(values))]
    form = "/".join([*(f"{{{key}}}" for key in keys), "at={t:yyyy/MM/dd-HHmmss}", "*"])
    path = "/".join([*above, *values, moment.strftime("at=%Y/%m/%d-%H%M%S"), file])
    if moment.year < 1000:
        return
    assert PartitionFormat(form).values(path) == {**dict(zip(keys, values, strict=True)), "t": moment}
    assert PartitionFormat("/" + form).values("/" + path)["t"] == moment


@given(st.one_of(st.none(), st.text(st.characters(blacklist_categories=("Cs",)), max_size=40)))
def test_any_value_is_one_folder(value: str | None) -> None:
    folder = quoted(value)
    assert unquoted(folder) == value
    assert "/" not in folder
    assert folder not in ("", ".", "..")
    assert not folder.startswith(".")


@given(st.lists(st.one_of(st.none(), st.text(max_size=3)), unique=True))
def test_different_values_are_different_folders(values: list[str | None]) -> None:
    plain = [v for v in values if v is None or not any("\ud800" <= c <= "\udfff" for c in v)]
    assert len({quoted(value) for value in plain}) == len(plain)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("a/b", "has no {key}"),
        ("{a}/{a}", "key 'a' twice"),
        ("{a/b}/{", "brace"),
        ("{t:MM}", "has no year"),
        ("{t:yyyy/xx}", "may have yyyy"),
        ("{t:yyyy/yyyy}", "its year twice"),
    ],
)
def test_formats_that_are_none(raw, form: str, words: str) -> None:
    with pytest.raises(TableError, match=words):
        PartitionFormat(form)
    with pytest.raises(PipelineError, match="Dataset.File.from_files: .*" + words):
        Dataset.File.from_files((raw, "x"), validate=False, partition_format=form)


def test_files_by_their_keys(raw, write) -> None:
    for path in ("pics/ada/2024-01/1.png", "pics/ada/2024-02/2.png", "pics/bob/2024-02/3.png"):
        write(path, path)
    pics = Dataset.File.from_files((raw, "pics/**"), partition_format="/{user}/{month:yyyy-MM}/*.png")
    assert pics.partition_keys == ["user", "month"]
    assert pics.get_partition_key_values(["user"]) == [{"user": "ada"}, {"user": "bob"}]
    assert len(pics.get_partition_key_values()) == 3
    assert pics.filter(pics["user"] == "ada").to_path() == ["/ada/2024-01/1.png", "/ada/2024-02/2.png"]
    assert pics.filter((pics["month"] > datetime(2024, 1, 31)) & (pics["user"] != "bob")).to_path() == [
        "/ada/2024-02/2.png"
    ]
    with pytest.raises(UserErrorException, match="no partition key 'size'; its partition_format has 'user', 'month'"):
        pics.get_partition_key_values(["size"])
    with pytest.raises(UserErrorException, match="there is no column 'size'"):
        pics.filter(pics["size"] == 1).to_path()


def test_a_path_that_is_not_of_the_format(raw, write) -> None:
    write("d/2024-13/x.csv", "n\n1\n")
    wrong = Dataset.Tabular.from_delimited_files((raw, "d/**"), partition_format="/{m:yyyy-MM}/x.csv")
    with pytest.raises(UserErrorException, match="'m' in the path of file 'd/2024-13/x.csv' is no time"):
        wrong.to_pandas_dataframe()
    other = Dataset.Tabular.from_delimited_files((raw, "d/**"), partition_format="/{m}/y.csv")
    with pytest.raises(UserErrorException, match="'d/2024-13/x.csv' does not end like"):
        other.to_pandas_dataframe()


def test_rows_in_folders_by_their_values(table, raw, tmp_path) -> None:
    sold = table("city,year,n\nBern,2023,1\n../x,2024,2\nBern,2024,3\n,2024,4\n_a b%,2024,5\n")
    parts = sold.partition_by(["city", "year"], target=(raw, "parts"), name="parts")
    assert (parts.name, parts.version, parts.partition_keys) == ("parts", 1, ["city", "year"])
    # One folder for each city, and nothing beside or above them.
    (own,) = (tmp_path / "data/parts").iterdir()
    assert len(list(own.iterdir())) == 4
    assert [p.name for p in (tmp_path / "data").iterdir() if p.name not in ("parts", "t")] == []
    found = parts.to_pandas_dataframe().sort_values("n")
    assert found.to_dict("list") | {"city": None} == {
        "city": None, "year": [2023, 2024, 2024, 2024, 2024], "n": [1, 2, 3, 4, 5],
    }  # fmt: skip
    assert found["city"].fillna("none").tolist() == ["Bern", "../x", "Bern", "none", "_a b%"]
    assert parts.filter((parts["city"] == "Bern") & (parts["year"] > 2023)).to_pandas_dataframe()["n"].tolist() == [3]
    values: list[Any] = parts.get_partition_key_values(["city"])
    assert {v["city"] for v in values} == {"Bern", "../x", None, "_a b%"}
    again = sold.partition_by(["city", "year"], target=(raw, "parts"))
    assert again.locations == parts.locations
    files = sold.partition_by("year", (raw, "files"), partition_as_file_dataset=True)
    assert len(files.filter(files["year"] == "2023").to_path()) == 1
    with pytest.raises(UserErrorException, match="there is no column 'town'"):
        sold.partition_by(["town"], target=(raw, "parts"))
