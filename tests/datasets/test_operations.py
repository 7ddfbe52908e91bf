"""Operations give the rows that plain pandas gives."""
# ruff: noqa: DTZ001 - times in datasets are UTC and do not say so

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aml_provider.datasets.access import Stores
from aml_provider.runtime.tables import chance, sources
from aml_provider.sdk.datasets import Dataset
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.workspace import Workspace

WORDS = ["", "a", "B", "été", "NA", "x,y", 'q"', "12"]
ROW = st.tuples(
    st.one_of(st.none(), st.integers(-(2**53), 2**53)),
    st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    st.sampled_from(WORDS),
)
FRAMES = st.lists(st.lists(ROW, max_size=12), min_size=1, max_size=3)
COUNTS = st.integers(0, 30)
slow = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def frame_of(parts: list[list[tuple[Any, ...]]]) -> pd.DataFrame:
    made = [pd.DataFrame(part, columns=["n", "f", "t"]) for part in parts]
    whole = pd.concat(made, ignore_index=True)
    return whole.assign(n=whole["n"].astype("Int64"), f=whole["f"].astype("Float64"), t=whole["t"].astype(object))


@pytest.fixture
def dataset(raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make Parquet files of parts of a frame, read in small pieces, and a dataset of them."""
    monkeypatch.setattr(sources, "ROWS", 5)
    made = iter(range(10**6))

    def make(parts: list[list[tuple[Any, ...]]]) -> Any:
        folder = f"h{next(made)}"
        (tmp_path / "data" / folder).mkdir()
        for number, part in enumerate(parts):
            frame_of([part]).to_parquet(tmp_path / "data" / folder / f"{number}.parquet", index=False)
        return Dataset.Tabular.from_parquet_files((raw, f"{folder}/*.parquet"))

    return make


def values(frame: pd.DataFrame) -> list[list[Any]]:
    plain = frame.astype(object).where(frame.notna(), None)
    return [[float(v) if isinstance(v, (int, float)) else v for v in row] for row in plain.to_numpy().tolist()]


@slow
@given(parts=FRAMES, skipped=COUNTS, taken=COUNTS)
def test_skip_and_take(dataset, parts, skipped: int, taken: int) -> None:
    whole, table = frame_of(parts), dataset(parts)
    assert values(table.skip(skipped).take(taken).to_pandas_dataframe()) == values(whole[skipped : skipped + taken])
    assert values(table.take(taken).skip(skipped).to_pandas_dataframe()) == values(whole[:taken][skipped:])


@slow
@given(parts=FRAMES, share=st.floats(0, 1), seed=st.one_of(st.none(), st.integers()), less=COUNTS)
def test_both_parts_of_a_split_have_every_row_once(dataset, parts, share: float, seed: int | None, less: int) -> None:
    table = dataset(parts).skip(less)
    first, second = table.random_split(share, seed)
    numbers = chance.numbers("split", seed or 0, 0, 100)
    whole = values(table.to_pandas_dataframe())
    wanted = [row for row, number in zip(whole, numbers, strict=False) if number < share]
    assert values(first.to_pandas_dataframe()) == wanted
    assert sorted(map(repr, wanted + values(second.to_pandas_dataframe()))) == sorted(map(repr, whole))
    sample = table.take_sample(share, seed).to_pandas_dataframe()
    assert values(sample) == [
        row for row, u in zip(whole, chance.numbers("sample", seed or 0, 0, 100), strict=False) if u < share
    ]


NUMBER = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))


def conditions(column: str, literals: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, str, Any]]:
    return st.tuples(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.just(column), literals)


# Named, since Hypothesis parses the file of a lambda to show it, and Python 3.11 cannot always do that where it does.
def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.tuples(st.just("~"), inner), st.tuples(st.sampled_from("&|"), inner, inner))


CONDITION = st.recursive(
    st.one_of(conditions("n", NUMBER), conditions("f", NUMBER), conditions("t", st.sampled_from(WORDS))),
    _nested,
    max_leaves=5,
)


def as_expression(condition: Any, table: Any) -> Any:
    match condition:
        case ("~", inner):
            return ~as_expression(inner, table)
        case ("&" | "|" as sign, left, right) if isinstance(left, tuple):
            left, right = as_expression(left, table), as_expression(right, table)
            return left & right if sign == "&" else left | right
    sign, column, value = condition
    compared = table[column]
    return {
        "==": lambda: compared == value,
        "!=": lambda: compared != value,
        "<": lambda: compared < value,
        "<=": lambda: compared <= value,
        ">": lambda: compared > value,
        ">=": lambda: compared >= value,
    }[sign]()


def holds(condition: Any, row: dict[str, Any]) -> bool:
    """What pandas does, said row by row: a missing value is unequal to everything and in no order."""
    match condition:
        case ("~", inner):
            return not holds(inner, row)
        case ("&" | "|" as sign, left, right) if isinstance(left, tuple):
            both = holds(left, row), holds(right, row)
            return all(both) if sign == "&" else any(both)
    sign, column, value = condition
    found = row[column]
    if found is None:
        return sign == "!="
    return bool({
        "==": found == value, "!=": found != value, "<": found < value,
        "<=": found <= value, ">": found > value, ">=": found >= value,
    }[sign])  # fmt: skip


@slow
@given(parts=FRAMES, condition=CONDITION)
def test_filter(dataset, parts, condition) -> None:
    table, whole = dataset(parts), frame_of(parts)
    rows = values(whole)
    wanted = [row for row in rows if holds(condition, dict(zip("nft", row, strict=True)))]
    assert values(table.filter(as_expression(condition, table)).to_pandas_dataframe()) == wanted


@slow
@given(parts=FRAMES, kept=st.permutations(["n", "f", "t"]), count=st.integers(1, 3))
def test_columns(dataset, parts, kept: list[str], count: int) -> None:
    table, whole = dataset(parts), frame_of(parts)
    names = kept[:count]
    assert values(table.keep_columns(names).to_pandas_dataframe()) == values(whole[names])
    if count < 3:
        assert values(table.drop_columns(names).to_pandas_dataframe()) == values(whole.drop(columns=names))
        # What is kept need not be what is asked about.
        filtered = table.filter(table["n"].is_null()).keep_columns(names).to_pandas_dataframe()
        assert values(filtered) == values(whole[whole["n"].isna()][names])


@slow
@given(parts=FRAMES)
def test_delimited_text_says_the_same_as_parquet(dataset, raw, parts) -> None:
    table = dataset(parts)
    folder = table.locations[0].path.partition("/")[0] + "csv"
    whole = frame_of(parts)
    Path("data", folder).mkdir()
    whole.to_csv(Path("data", folder, "x.csv"), index=False)
    read = Dataset.Tabular.from_delimited_files((raw, folder)).to_pandas_dataframe()
    if whole["n"].notna().any() and whole["f"].notna().any():
        assert values(read[["n", "f"]]) == values(whole[["n", "f"]])
        assert all(
            math.copysign(1, a) == math.copysign(1, b)
            for a, b in zip(read["f"].dropna(), whole["f"].dropna(), strict=True)
        )


def test_one_number_at_a_time_is_many_at_once() -> None:
    for op in ("sample", "split"):
        for seed in (0, 7, -1, 2**70):
            assert [chance.number(op, seed, i) for i in range(5, 50)] == chance.numbers(op, seed, 5, 45).tolist()
    share = sum(chance.numbers("split", 0, 0, 100_000) < 0.3) / 100_000
    assert 0.29 < share < 0.31


# --- expressions ----------------------------------------------------------------------------------------------------


@pytest.fixture
def people(table):
    return table("name,age,born,city\nAda,36,1815-12-10,London\nBob,,2001-05-06,\nÉva,7,2017-03-02,Bern\n")


def names(dataset: Any) -> list[str]:
    return dataset.to_pandas_dataframe()["name"].tolist()


def test_what_expressions_can_say(people) -> None:
    p = people
    assert names(p.filter(p["name"].contains("b"))) == ["Bob"]
    assert names(p.filter(p["city"].starts_with("B") | p["city"].ends_with("don"))) == ["Ada", "Éva"]
    assert names(p.filter(p["city"].is_null())) == names(p.filter(p["city"] == None)) == ["Bob"]  # noqa: E711
    assert names(p.filter(p["age"] * 2 + 1 == 73)) == ["Ada"]
    assert names(p.filter(1 + p["age"] % 2 > 1)) == ["Éva"]
    assert names(p.filter((p["name"].length() == 3) & (p["name"].to_lower() == "ada"))) == ["Ada"]
    assert names(p.filter(p["born"] >= datetime(2001, 5, 6))) == ["Bob", "Éva"]
    assert names(p.filter(p["born"] < "1900-01-01")) == ["Ada"]
    zurich = timezone(timedelta(hours=2))
    assert names(p.filter(p["born"] > datetime(2017, 3, 2, 2, 1, tzinfo=zurich))) == []


def test_expressions_that_mean_nothing(people) -> None:
    p = people
    with pytest.raises(UserErrorException, match="there is no column 'agee'; there is 'name', 'age'"):
        p.filter(p["agee"] > 3).to_pandas_dataframe()
    with pytest.raises(UserErrorException, match="a number and a text cannot be put together"):
        p.filter(p["age"] > "3").to_pandas_dataframe()
    with pytest.raises(UserErrorException, match="&, |"):
        p.filter(p["age"] > 3 and p["age"] < 5)
    with pytest.raises(UserErrorException, match=r"filter takes an expression like dataset\['column'\] > 3, not True"):
        p.filter(True)
    with pytest.raises(UserErrorException, match="filter needs a condition"):
        p.filter(p["age"] + 1).to_pandas_dataframe()
    with pytest.raises(UserErrorException, match="is no number to compare with"):
        p.filter(p["age"] > math.inf)
    with pytest.raises(UserErrorException, match="file_metadata knows Size"):
        Dataset.File.from_files((p.workspace.datastores["raw"], "t")).file_metadata("Colour")
    with pytest.raises(UserErrorException, match="keep_columns: there is no column 'x'"):
        p.keep_columns(["name", "x"]).to_pandas_dataframe()
    for wrong in (lambda: p.take(-1), lambda: p.take(1.5), lambda: p.random_split(40), lambda: p.keep_columns([])):
        with pytest.raises(UserErrorException):
            wrong()


# --- time -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def events(raw, write):
    for day in (1, 2, 3):
        write(
            f"ev/2024/01/{day:02d}/x.csv", f"at,n\n2024-01-{day:02d} 06:00:00,{day}\n2024-01-{day:02d} 18:00:00,{day}\n"
        )
    dataset = Dataset.Tabular.from_delimited_files((raw, "ev/**"), partition_format="/{day:yyyy/MM/dd}/x.csv")
    return dataset.with_timestamp_columns("at", "day")


def hours(dataset: Any) -> list[str]:
    return dataset.to_pandas_dataframe()["at"].dt.strftime("%d-%H").tolist()


def test_rows_of_a_time(events) -> None:
    noon, evening = datetime(2024, 1, 2, 12), datetime(2024, 1, 2, 18)
    assert events.timestamp_columns == ("at", "day")
    assert hours(events.time_before(noon)) == ["01-06", "01-18", "02-06"]
    assert hours(events.time_after(evening)) == ["02-18", "03-06", "03-18"]
    assert hours(events.time_after(evening, include_boundary=False)) == ["03-06", "03-18"]
    assert hours(events.time_between(noon, evening)) == ["02-18"]
    long = datetime.now(timezone.utc).replace(tzinfo=None) - datetime(2024, 1, 2, 12)
    assert hours(events.time_recent(long)) == ["02-18", "03-06", "03-18"]


def test_files_that_the_time_rules_out_are_not_read(events, write) -> None:
    write("ev/2024/01/01/x.csv", b"\xff\xfe broken")
    assert hours(events.time_after(datetime(2024, 1, 2, 12))) == ["02-18", "03-06", "03-18"]
    with pytest.raises(UserErrorException):
        events.to_pandas_dataframe()


def test_time_needs_a_column_of_times(events) -> None:
    without = events.drop_columns(["at", "day"])
    with pytest.raises(UserErrorException, match="time_before: nobody has said.*with_timestamp_columns"):
        without.time_before(datetime(2024, 1, 1))
    with pytest.raises(UserErrorException, match="a point in time"):
        events.with_timestamp_columns("n").time_before(datetime(2024, 1, 1)).to_pandas_dataframe()


def test_columns_of_times_are_looked_at_on_request(raw, write) -> None:
    write("ev/x.csv", "at,n\n2024-01-01 06:00:00,1\n")
    events = Dataset.Tabular.from_delimited_files((raw, "ev/x.csv"))
    assert events.with_timestamp_columns("at", validate=True).timestamp_columns == ("at", None)
    assert events.with_timestamp_columns("wen").timestamp_columns == ("wen", None)
    with pytest.raises(UserErrorException, match=r"there is no column 'wen'; there is \['at', 'n'\]"):
        events.with_timestamp_columns("wen", validate=True)
    with pytest.raises(UserErrorException, match="column 'n' does not hold points in time"):
        events.with_timestamp_columns("n", validate=True)


def test_the_stores_are_opened_once(ws: Workspace) -> None:
    stores = Stores(ws.loaded)
    assert stores("raw") is stores("raw")
