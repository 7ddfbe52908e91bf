"""``aml cache``: looking at results, holding on to them, and being rid of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.records import Record
from tests.cli import reused
from tests.cli.conftest import Aml, Said

STORE = ".aml/datastores/workspaceblobstore"
INDEX = f"{STORE}/.aml/reuse"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose pipeline has run."""
    return reused.copied_project(tmp_path)


def listed(aml: Aml, project: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """The results by step."""
    said = aml(project, "cache", "ls", "--json", *arguments)
    assert said.code == 0, said.err
    return {result["step"]: result for result in json.loads(said.out)}


def key_of(aml: Aml, project: Path, step: str) -> str:
    return str(listed(aml, project)[step]["key"])


def verdicts(aml: Aml, project: Path) -> dict[str, tuple[str, str]]:
    said = aml(project, "plan", "pipeline.py", "--json")
    assert said.code == 0, said.err
    return {step["name"]: (step["verdict"], step["reason"]) for step in json.loads(said.out)[0]["steps"]}


def place(project: Path, result: dict[str, Any], output: str) -> Path:
    return project / STORE / str(result["outputs"][output]["path"])


def again(project: Path, key: str, *, days: float) -> Record:
    """The same result under another key, recorded so many days ago."""
    index = ReuseIndex.of(project / INDEX)
    record = index.read(key)
    assert record is not None
    other = replace(record, fingerprint=key[:3] + "0" * 61, created=time.time() - days * 86_400)
    return index.commit(other)


def is_a_sentence(said: Said, *words: str) -> None:
    assert said.code == 1
    assert said.out == ""
    assert said.err.startswith("aml: ")
    assert len(said.err.splitlines()) == 1
    assert said.is_plain()
    for word in words:
        assert word in said.err


# --- looking ----------------------------------------------------------------------------------------------------


def test_results_are_listed_a_line_each(aml: Aml, project: Path) -> None:
    header, *lines = aml(project, "cache", "ls").out.splitlines()
    assert header.split() == ["key", "step", "experiment", "age", "took", "size"]
    # allow_reuse=False: audit has none. The newest is first.
    assert [line.split()[1:3] for line in lines] == [["report", "houses"], ["train", "houses"], ["prep", "houses"]]
    assert all(re.match(r"[0-9a-f]{12} ", line) for line in lines)
    assert lines[1].endswith("7 B")


def test_results_are_chosen_by_step_and_experiment(aml: Aml, project: Path) -> None:
    assert set(listed(aml, project, "--step", "*r*t*")) == {"report"}
    assert set(listed(aml, project, "--experiment", "hous?s", "--step", "[pt]*")) == {"prep", "train"}
    is_a_sentence(aml(project, "cache", "ls", "--step", "score"), "step 'score'", "'prep', 'report', 'train'")
    is_a_sentence(aml(project, "cache", "ls", "--experiment", "flats"), "experiment 'flats'", "'houses'")


def test_a_result_is_shown_by_the_beginning_of_its_key(aml: Aml, project: Path) -> None:
    result = listed(aml, project)["train"]
    said = aml(project, "cache", "show", result["key"][:5].upper())
    assert said.out.startswith(f"result {result['key']}\n  of step 'train' (PythonScriptStep), experiment 'houses'\n")
    assert f"  computed by run {reused.run_id()} in " in said.out
    model = f"  output model: workspaceblobstore:{result['outputs']['model']['path']}, 1 file, 7 B: "
    assert f"{model}unchanged\n" in said.out
    assert re.search(r"^    code  +train\.py  +[0-9a-f]{12}$", said.out, re.MULTILINE)
    place(project, result, "model").write_text("edited by hand")
    assert f"{model}changed since\n" in aml(project, "cache", "show", result["key"]).out
    place(project, result, "model").unlink()
    assert f"{model}gone\n" in aml(project, "cache", "show", result["key"]).out
    value = json.loads(aml(project, "cache", "show", result["key"], "--json").out)
    assert value["outputs"]["model"]["state"] == "gone"
    assert value["ingredients"]["command"][1] == "train.py"


def test_keys_that_name_no_result_or_several_are_refused(aml: Aml, project: Path) -> None:
    key = key_of(aml, project, "prep")
    again(project, key, days=0)
    for command in ("show", "forget"):
        is_a_sentence(
            aml(project, "cache", command, key[:3]), f"'{key[:3]}' is the beginning of several keys", key[:12]
        )
        for nonsense in ("zz", "..", "", "f" * 64, "records", key + "0"):
            is_a_sentence(aml(project, "cache", command, nonsense), "there is no result", "aml cache ls")
    assert len(listed(aml, project)) == 3


def test_a_damaged_record_is_said_to_be_one(aml: Aml, project: Path) -> None:
    key = key_of(aml, project, "prep")
    file = project / INDEX / "records" / key[:2] / f"{key}.json"
    file.write_bytes(file.read_bytes()[:-10])
    said = aml(project, "cache", "show", key[:12])
    assert said.code == 1
    assert f"the record of result {key} is damaged" in said.err
    assert set(listed(aml, project)) == {"train", "report"}


@pytest.mark.parametrize("arguments", [["ls"], ["show", "ab"], ["forget", "ab"], ["gc", "--step", "*"]])
def test_a_workspace_without_results_says_so(aml: Aml, tmp_path: Path, arguments: list[str]) -> None:
    is_a_sentence(aml(reused.new_project(tmp_path), "cache", *arguments), "'lab' has no results yet", INDEX)


def test_an_index_that_has_been_emptied_says_so(aml: Aml, project: Path) -> None:
    aml(project, "cache", "forget", "--step", "*")
    is_a_sentence(aml(project, "cache", "ls"), "no results are recorded")


# --- forgetting -------------------------------------------------------------------------------------------------


def test_a_forgotten_result_is_computed_again_and_its_data_stays(aml: Aml, project: Path) -> None:
    result = listed(aml, project)["train"]
    said = aml(project, "cache", "forget", result["key"][:8], "--dry-run")
    assert said.out == f"{result['key'][:12]} train (houses): would be forgotten\n"
    assert verdicts(aml, project)["train"][0] == "reuse"
    said = aml(project, "cache", "forget", result["key"][:8])
    assert said.out == f"{result['key'][:12]} train (houses): forgotten\n"
    assert verdicts(aml, project)["train"] == ("run", "not computed before")
    assert place(project, result, "model").read_text() == "a model"


def test_results_are_forgotten_by_step_and_experiment_but_for_pinned_ones(aml: Aml, project: Path) -> None:
    assert aml(project, "cache", "pin", "pipeline.py", "prep", "--latest").code == 0
    said = aml(project, "cache", "forget", "--step", "*r*", "--experiment", "h*")
    assert [line.partition(" ")[2] for line in sorted(said.out.splitlines(), key=lambda line: line[13:])] == [
        "prep (houses): pinned, kept",
        "report (houses): forgotten",
        "train (houses): forgotten",
    ]
    assert set(listed(aml, project)) == {"prep"}
    is_a_sentence(
        aml(project, "cache", "forget", key_of(aml, project, "prep")), "pinned for step 'prep'", "aml cache unpin"
    )


@pytest.mark.parametrize("arguments", [[], ["ab", "--step", "prep"]])
def test_what_to_forget_has_to_be_said_in_one_way(aml: Aml, project: Path, arguments: list[str]) -> None:
    is_a_sentence(aml(project, "cache", "forget", *arguments), "their keys, or --step and --experiment")


# --- pins -------------------------------------------------------------------------------------------------------


def test_a_pinned_result_is_used_whatever_changes_until_it_is_unpinned(aml: Aml, project: Path) -> None:
    key = key_of(aml, project, "prep")
    (project / "shared/prep.py").write_text("1 / 0\n")
    said = aml(project, "cache", "pin", "pipeline.py", "prep", key[:10], "--note", "of the first paper")
    assert said.out.startswith(f"step 'prep' of experiment 'houses' is pinned to result {key[:12]}, computed by run ")
    assert verdicts(aml, project)["prep"] == ("reuse", f"pinned to result {key[:12]}")
    assert aml(project, "cache", "ls", "--step", "prep").out.splitlines()[1].endswith("pinned")
    assert "pinned for step 'prep' of experiment 'houses': of the first paper" in aml(project, "cache", "show", key).out
    assert aml(project, "cache", "unpin", "pipeline.py", "prep").code == 0
    assert verdicts(aml, project)["prep"][0] == "run"
    is_a_sentence(aml(project, "cache", "unpin", "pipeline.py", "prep"), "'prep'", "'houses'", "is not pinned")


def test_the_latest_usable_result_can_be_pinned_without_its_key(aml: Aml, project: Path) -> None:
    result = listed(aml, project)["train"]
    newest = again(project, result["key"], days=-0.01)
    gone = {"model": {**newest.outputs["model"], "path": "azureml/gone"}}
    ReuseIndex.of(project / INDEX).commit(replace(newest, outputs=gone), replace=True)
    assert aml(project, "cache", "pin", "pipeline.py", "train", "--latest").code == 0
    assert listed(aml, project, "--step", "train")["train"]["pins"] != []
    assert verdicts(aml, project)["train"] == ("reuse", f"pinned to result {result['key'][:12]}")


def test_a_result_that_the_step_cannot_use_is_not_pinned(aml: Aml, project: Path) -> None:
    train = listed(aml, project)["train"]

    def pin(*arguments: str) -> Said:
        return aml(project, "cache", "pin", "pipeline.py", *arguments)

    is_a_sentence(pin("prep", train["key"]), "'prep' cannot be pinned", "it is a result of step 'train'")
    is_a_sentence(pin("score", train["key"]), "no step 'score'", "'prep', 'train', 'report', 'audit'")
    is_a_sentence(pin("train", "zz"), "there is no result 'zz'")
    is_a_sentence(pin("train"), "its key", "or --latest")
    is_a_sentence(pin("train", train["key"], "--latest"), "its key", "or --latest")
    is_a_sentence(pin("audit", "--latest"), "'audit' of experiment 'houses'", "allow_reuse=False")
    place(project, train, "model").write_text("edited by hand")
    is_a_sentence(pin("train", train["key"]), "output 'model' has been changed")
    is_a_sentence(pin("train", "--latest"), "the latest one cannot be used: output 'model' has been changed")
    pipeline = (project / "pipeline.py").read_text()
    (project / "pipeline.py").write_text(pipeline.replace('"model"', '"network"'))
    is_a_sentence(pin("train", train["key"]), "it has no output 'network'")
    assert all(not result["pins"] for result in listed(aml, project).values())


def test_a_result_of_another_experiment_is_named_by_its_key(aml: Aml, project: Path) -> None:
    key = key_of(aml, project, "train")
    pipeline = (project / "pipeline.py").read_text()
    (project / "pipeline.py").write_text(pipeline.replace('"houses"', '"other"'))
    said = aml(project, "cache", "pin", "pipeline.py", "train", "--latest")
    is_a_sentence(
        said, "'other'", "none of its own yet", f"experiment 'houses', which is pinned by its key: {key[:12]}"
    )
    assert aml(project, "cache", "pin", "pipeline.py", "train", key).code == 0


def test_a_store_that_cannot_be_written_is_named(aml: Aml, project: Path) -> None:
    shutil.rmtree(project / INDEX / "pins", ignore_errors=True)
    (project / INDEX / "pins").write_text("in the way")
    said = aml(project, "cache", "pin", "pipeline.py", "train", "--latest")
    is_a_sentence(said, f"{INDEX}/pins")


def test_a_name_that_several_steps_have_is_not_pinned_but_can_be_unpinned(aml: Aml, project: Path) -> None:
    assert aml(project, "cache", "pin", "pipeline.py", "prep", "--latest").code == 0
    pipeline = (project / "pipeline.py").read_text()
    (project / "pipeline.py").write_text(pipeline.replace('name="train"', 'name="prep"'))
    for which in (["--latest"], [key_of(aml, project, "prep")]):
        is_a_sentence(
            aml(project, "cache", "pin", "pipeline.py", "prep", *which), "2 steps have the name 'prep'", "different"
        )
    assert aml(project, "cache", "unpin", "pipeline.py", "prep").code == 0


# --- collecting -------------------------------------------------------------------------------------------------


def test_collected_results_are_gone_with_their_data(aml: Aml, project: Path) -> None:
    results = listed(aml, project)
    said = aml(project, "cache", "gc", "--step", "*", "--dry-run")
    assert said.out.splitlines()[-1] == "3 results would be removed, which would free 16 B (16 bytes)"
    assert len(listed(aml, project)) == 3
    said = aml(project, "cache", "gc", "--step", "*")
    assert said.out.splitlines()[-1] == "3 results removed, 16 B (16 bytes) freed"
    assert not place(project, results["train"], "model").exists()
    assert not place(project, results["prep"], "clean").exists()
    assert sorted(p.name for p in (project / STORE / "raw").iterdir()) == ["north.csv", "south.csv"]
    assert verdicts(aml, project)["prep"] == ("run", "not computed before")


@pytest.mark.parametrize(
    ("arguments", "gone"),
    [
        (["--older-than", "P1D"], {"prep"}),
        (["--older-than", "PT71H", "--step", "p*"], {"prep"}),
        (["--older-than", "P4D"], set()),
        (["--larger-than", "8"], {"prep"}),
        (["--larger-than", "0.006kB", "--step", "train"], {"train"}),
        (["--keep-bytes", "7B"], {"prep"}),
        (["--keep-bytes", "1GiB"], set()),
    ],
)
def test_collected_results_are_chosen(aml: Aml, project: Path, arguments: list[str], gone: set[str]) -> None:
    index = ReuseIndex.of(project / INDEX)
    record = index.read(key_of(aml, project, "prep"))
    assert record is not None
    index.commit(replace(record, created=time.time() - 3 * 86_400), replace=True)
    assert aml(project, "cache", "gc", *arguments).code == 0
    assert {"prep", "train", "report"} - set(listed(aml, project)) == gone


def test_what_nothing_is_called_cannot_be_collected(aml: Aml, project: Path) -> None:
    is_a_sentence(aml(project, "cache", "gc", "--step", "pepr"), "step 'pepr'", "'prep', 'report', 'train'")
    is_a_sentence(aml(project, "cache", "gc", "--experiment", "flats", "--dry-run"), "experiment 'flats'", "'houses'")


def test_what_is_needed_is_kept_and_it_is_said_by_whom(aml: Aml, project: Path) -> None:
    results = listed(aml, project)
    aml(project, "cache", "pin", "pipeline.py", "prep", "--latest")
    registry = project / ".aml/registry/lab/datasets/houses"
    registry.mkdir(parents=True)
    location = {"datastore": "workspaceblobstore", "path": results["train"]["outputs"]["model"]["path"]}
    (registry / "1.json").write_text(json.dumps({"name": "houses", "locations": [location]}))
    said = aml(project, "cache", "gc", "--step", "*")
    lines = said.out.splitlines()
    assert f"{results['prep']['key'][:12]} prep (houses): kept, pinned for step 'prep' of experiment 'houses'" in lines
    where = f"workspaceblobstore:{location['path']}"
    assert f"data {where}: kept, dataset 'houses' (version 1) needs it" in lines
    assert lines[-1] == "2 results removed, 0 B (0 bytes) freed"
    assert place(project, results["train"], "model").exists()


def test_a_run_that_goes_on_keeps_its_results_and_one_that_died_does_not(aml: Aml, project: Path) -> None:
    (run,) = [file.parent for file in project.rglob("run.json")]
    (run / "end.json").unlink()
    said = aml(project, "cache", "gc", "--step", "*")
    assert said.out.count(f"kept, run {reused.run_id()}, which has not ended, uses it") == 3
    # Its process is gone, and for hours nothing has given a sign of life.
    (state,) = project.glob(".aml/runs/*/state.json")
    died = subprocess.Popen(["true"])
    died.wait()
    state.write_text(json.dumps({**json.loads(state.read_text()), "pid": died.pid}))
    for file in (state, *run.glob("steps/*/attempts/*/alive")):
        os.utime(file, (time.time() - 7200,) * 2)
    assert aml(project, "cache", "gc", "--step", "*").out.splitlines()[-1].startswith("3 results removed")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["say what to remove"]),
        (["--older-than", "30"], ["--older-than '30'", "P30D"]),
        (["--older-than", "P"], ["--older-than 'P'", "P30D"]),
        (["--older-than", "-P1D"], ["--older-than '-P1D'", "P30D"]),
        (["--larger-than", "big"], ["--larger-than 'big'", "500MB"]),
        (["--keep-bytes", "-1"], ["--keep-bytes '-1'", "500MB"]),
    ],
)
def test_wrong_amounts_are_told_in_a_sentence(aml: Aml, project: Path, arguments: list[str], words: list[str]) -> None:
    is_a_sentence(aml(project, "cache", "gc", *arguments), *words)
    assert len(listed(aml, project)) == 3


def test_an_index_folder_that_is_gone_is_named(aml: Aml, project: Path) -> None:
    shutil.rmtree(project / INDEX)
    is_a_sentence(aml(project, "cache", "ls"), str(project / INDEX))
