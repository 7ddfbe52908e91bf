"""Datasets inside a step: what a script finds in ``input_datasets`` and by ``Dataset.get_by_name``."""

from __future__ import annotations

import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Step

MakeStep = Callable[..., Step]
FORM = {
    "format": "delimited", "separator": ",", "header": "same", "encoding": "utf8", "path_glob": None,
    "include_path": False, "infer_types": True, "column_types": {}, "empty_as_string": False, "invalid_lines": "error",
    "partition_format": None, "quoted": False, "timestamp": None, "partition_timestamp": None,
}  # fmt: skip
START = "from azureml.core import Dataset, Run\nrun = Run.get_context()\nws = run.experiment.workspace\n"


def dataset(kind: str, **facts: Any) -> dict[str, Any]:
    return {
        "type": kind, "name": None, "version": None, "tabular": FORM if kind == "tabular" else None,
        "partition_format": None, "operations": [], "files": None, "path": "raw", **facts,
    }  # fmt: skip


def port(job: Step, facts: dict[str, Any], mode: str = "direct") -> dict[str, Any]:
    folder = job.folder / "in"
    for name, text in {"a.csv": "n,t\n1,x\n2,y\n", "deep/b.csv": "n,t\n3,x\n"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return {"path": str(folder), "mode": mode, "is_dataset": True, "environment_variable": None, "dataset": facts}


def run(make: MakeStep, script: str, **inputs: dict[str, Any]) -> Step:
    job = make(script=START + script)
    job.job["inputs"] = {name: port(job, facts) for name, facts in inputs.items()}
    return job


def passed(job: Step) -> None:
    assert job.run().exit_code == 0, job.log.decode()


def test_a_table_has_the_rows_that_its_operations_leave(step: MakeStep) -> None:
    where = {"kind": "call", "function": "eq", "arguments": [
        {"kind": "column", "name": "t"}, {"kind": "value", "value": "x", "type": None}]}  # fmt: skip
    job = run(
        step,
        "t = run.input_datasets['rows']\n"
        "assert t.to_pandas_dataframe().to_dict('list') == {'n': [1, 3], 't': ['x', 'x']}\n"
        "assert t.skip(1).to_pandas_dataframe()['n'].tolist() == [3]\n"
        "assert t.filter(t['n'] > 1).keep_columns('n').to_pandas_dataframe().to_dict('list') == {'n': [3]}\n"
        "first, second = t.random_split(0.5)\n"
        "assert len(first.to_pandas_dataframe()) + len(second.to_pandas_dataframe()) == 2\n"
        "copy, = t.to_csv_files().download()\n"
        "assert open(copy).read() == 'n,t\\n1,x\\n3,x\\n'\n",
        rows=dataset("tabular", operations=[{"op": "filter", "where": where}]),
    )
    passed(job)


def test_files_keep_their_paths_for_partitions(step: MakeStep) -> None:
    files = [["a.csv", "raw/2023/a.csv"], ["deep/b.csv", "raw/2024/b.csv"]]
    job = run(
        step,
        "f = run.input_datasets['files']\n"
        "assert f.partition_keys == ['year']\n"
        "assert f.get_partition_key_values() == [{'year': '2023'}, {'year': '2024'}]\n"
        "assert f.filter(f['year'] == '2024').to_path() == ['/deep/b.csv']\n"
        "assert f.take(1).to_path() == ['/a.csv']\n"
        "with f.skip(1).mount() as mount:\n"
        "    assert open(mount.mount_point + '/deep/b.csv').read() == 'n,t\\n3,x\\n'\n"
        "t = run.input_datasets['rows']\n"
        "assert t.to_pandas_dataframe()['year'].tolist() == ['2023', '2023', '2024']\n",
        files=dataset("file", files=files, partition_format="/{year}/*.csv"),
        rows=dataset("tabular", files=files, tabular={**FORM, "partition_format": "/{year}/*.csv"}),
    )
    passed(job)


def test_registered_inputs_by_name(step: MakeStep) -> None:
    job = run(
        step,
        "found = Dataset.get_by_name(ws, 'houses')\n"
        "assert (found.name, found.version, found.id) == ('houses', 3, 'houses:3')\n"
        "assert Dataset.get_by_id(ws, 'houses:3').take(1).to_pandas_dataframe()['n'].tolist() == [1]\n"
        "assert Dataset.get_by_name(ws, 'rows', version=3).name == 'houses'\n"
        "assert list(Dataset.get_all(ws)) == ['houses']\n"
        "for name, version in (('other', 'latest'), ('houses', 2)):\n"
        "    try:\n"
        "        Dataset.get_by_name(ws, name, version)\n"
        "    except Exception as error:\n"
        "        assert 'its datasets: houses:3' in str(error) and 'as_named_input' in str(error), error\n"
        "    else:\n"
        "        raise AssertionError\n",
        rows=dataset("tabular", name="houses", version=3),
    )
    passed(job)


def test_without_pandas_one_sentence_says_what_to_do(step: MakeStep, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    job = run(
        step,
        "assert run.input_datasets['rows'].id is None\n"
        "assert run.input_datasets['files'].to_path() == ['/a.csv', '/deep/b.csv']\n"
        "run.input_datasets['rows'].take(3).to_pandas_dataframe()\n",
        rows=dataset("tabular"),
        files=dataset("file"),
    )
    job.job["command"]["interpreter"] = str(tmp_path / "bare/bin/python")
    assert job.run().exit_code == 1
    (sentence,) = [line for line in job.log.decode().splitlines() if "UserErrorException:" in line]
    assert "dataset 'rows' (input 'rows'): reading it as a table needs pandas" in sentence
    assert "Choose an image or environment that has pandas" in sentence


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("t.filter(t['x'] > 1).to_pandas_dataframe()", "dataset 'rows': there is no column 'x'; there is 'n', 't'."),
        ("t.register(ws, 'y')", "register_on_complete(name)"),
        ("t.partition_by(['n'], 'x')", "is not available inside a step"),
        ("t.take(-1)", "count is a whole number from 0 on, not -1"),
    ],
)
def test_what_cannot_be_is_a_sentence(step: MakeStep, use: str, words: str) -> None:
    job = run(step, f"t = run.input_datasets['rows']\n{use}\n", rows=dataset("tabular"))
    assert job.run().exit_code == 1
    assert words in job.log.decode()


def test_a_context_costs_no_pandas(step: MakeStep) -> None:
    job = run(
        step,
        "import sys\nrun.input_datasets['rows'].filter(run.input_datasets['rows']['n'] > 1)\n"
        "assert not {'pandas', 'numpy', 'pyarrow'} & set(sys.modules)\n",
        rows=dataset("tabular"),
    )
    passed(job)
