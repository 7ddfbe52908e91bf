"""Pods that share no volume with the worker: their files travel through an object store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stores import Place, Wire, connection, place

from .machine import eventually, pods
from .staging import Project, account

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.stores,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]

# The test-bed's stores listen on the node, so its network is used.
WORKSPACE = """
name: apart
default_kind: kubernetes
default_datastore: blobs
datastores:
  blobs: {url: 'URL', conn_id: CONNECTION}
  shared: {url: here}
kubernetes:
  shared_volume: false
  image: 'testbed/ml:latest'
  staging_image: 'testbed/python:3.11'
  network: host
  namespace: ml
  image_pull_policy: Never
  config_file: KUBECONFIG
  retries: 0
  deferrable: DEFERRABLE
docker: {image: 'testbed/ml:latest', network: none}
compute:
  there: {}
  container: {kind: docker}
  process: {kind: local, max_nodes: 2}
  shell: {image: 'testbed/shell:latest'}
reuse: {trusted_images: ['testbed/*']}
"""
HEAD = """
import sys
from azureml.core import Dataset, Datastore, Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline, PipelineData
from azureml.pipeline.steps import CommandStep, PythonScriptStep

ws = Workspace.from_config()
store, shared = ws.get_default_datastore(), Datastore.get(ws, "shared")
environment = Environment("plain")
environment.python.user_managed_dependencies = True
run_config = RunConfiguration()
run_config.environment = environment
TARGET = "there"
options = {"source_directory": "code", "compute_target": TARGET, "runconfig": run_config}

def submit(*steps):
    Experiment(ws, "apart").submit(Pipeline(ws, list(steps))).wait_for_completion()
"""
DIGITS = (
    HEAD
    + """
store.upload("raw", target_path="raw files", overwrite=True)
raw = Dataset.File.from_files((store, "raw files/**")).as_named_input("raw").as_mount()
single = Dataset.File.from_files((store, "raw files/one.csv")).as_named_input("single").as_download()
several = Dataset.File.from_files([(store, "raw files/one.csv"), (store, "raw files/sub/*.csv")])
one, other = several.as_named_input("one").as_mount(), several.as_named_input("other").as_mount()
folder = Dataset.File.from_files((shared, "words")).as_named_input("words").as_mount("/data/words")
table = OutputFileDatasetConfig("table", destination=(store, "tables/{run-id}")).register_on_complete("table")
kept = OutputFileDatasetConfig("kept", destination=(shared, "kept/{run-id}"))
model = PipelineData("model", datastore=store)
beside = PipelineData("beside", datastore=store, output_path_on_compute="made/here")
counted = PipelineData("counted", datastore=store)
prepare = PythonScriptStep("prepare.py", name="prepare",
    arguments=["--raw", raw, "--single", single, "--words", folder, "--one", one,
               "--other", other, "--table", table, "--kept", kept], **options)
train = PythonScriptStep("train.py", name="train",
    arguments=["--table", table.as_input("table").as_download(), "--model", model, "--beside", beside],
    outputs=[model, beside], **options)
count = CommandStep(
    name="count", command=["wc -l <", table.as_input("t2").as_mount(), "/all.csv | tr -d ' ' >", counted],
    outputs=[counted], compute_target="shell" if TARGET == "there" else TARGET, runconfig=run_config,
    source_directory="code")
submit(prepare, train, count)
"""
)
PREPARE = """
import argparse, os, pathlib, sys
parser = argparse.ArgumentParser()
for name in ("raw", "single", "words", "one", "other", "table", "kept"):
    parser.add_argument("--" + name)
given = parser.parse_args()
from azureml.core import Run
run = Run.get_context()
assert run.input_datasets["raw"] == given.raw
files = sorted(p for p in pathlib.Path(given.raw).rglob("*") if p.is_file())
same = [sorted(p.read_text() for p in pathlib.Path(f).rglob("*.csv")) for f in (given.raw, given.one, given.other)]
assert same[0] and same[0] == same[1] == same[2], same
single = pathlib.Path(given.single)
single.write_text(single.read_text() + "a downloaded input is the step's own")
(pathlib.Path(given.table) / "all.csv").write_text("".join(p.read_text() for p in files))
(pathlib.Path(given.table) / "empty ü").mkdir()
(pathlib.Path(given.kept) / "words.txt").write_text((pathlib.Path(given.words) / "a.txt").read_text().upper())
run.log("files", len(files))
os.makedirs("outputs", exist_ok=True)
pathlib.Path("outputs/note.txt").write_text("a file of the run")
print("prepared", len(files), "files")
"""
TRAIN = """
import argparse, pathlib, pickle
parser = argparse.ArgumentParser()
for name in ("table", "model", "beside"):
    parser.add_argument("--" + name)
given = parser.parse_args()
from sklearn.linear_model import LinearRegression
rows = [[float(x) for x in line.split(",")] for p in sorted(pathlib.Path(given.table).rglob("*.csv"))
        for line in p.read_text().splitlines()]
found = LinearRegression().fit([r[:1] for r in rows], [r[1] for r in rows])
pathlib.Path(given.model).mkdir(exist_ok=True)
(pathlib.Path(given.model) / "model.bin").write_bytes(pickle.dumps(found, protocol=4))
pathlib.Path(given.beside).mkdir(exist_ok=True)
(pathlib.Path(given.beside) / "coefficients").write_text(repr(round(float(found.coef_[0]), 6)))
"""
CODE = {"code/prepare.py": PREPARE, "code/train.py": TRAIN}
DATA = {"raw/one.csv": "1,2\n", "raw/sub/two words.csv": "2,4\n3,6\n", "here/words/a.txt": "shared\n"}


@pytest.fixture(scope="module")
def may_stage(testbed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with account(testbed_home / "kubeconfig", tmp_path_factory.mktemp("account")) as found:
        yield found


@pytest.fixture
def bucket(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with place(getattr(request, "param", "s3"), tmp_path, monkeypatch) as found:
        yield found


def project(
    folder: Path,
    bucket: Place,
    kubeconfig: Path,
    pipeline: str,
    files: dict[str, str],
    *,
    deferrable: bool = False,
    **more: Any,
) -> Project:
    text = WORKSPACE.replace("URL", bucket.url).replace("CONNECTION", str(bucket.conn_id))
    text = text.replace("KUBECONFIG", str(kubeconfig)).replace("DEFERRABLE", str(deferrable).lower())
    known = {str(bucket.conn_id): connection(bucket.kind, **more)}
    return Project(folder, text, {**files, "pipeline.py": pipeline}, known)


def contents(made: Project, bucket: Place, result: dict[str, Any]) -> dict[str, str]:
    """What the steps have left, by the names below their destinations."""
    found = {}
    for step in result["steps"].values():
        for name, at in step["outputs"].items():
            if at["datastore"] == "shared":
                root = made.folder / "here" / at["path"]
                for file in (p for p in root.rglob("*") if p.is_file()):
                    found[f"{name}/{file.relative_to(root)}"] = hashlib.sha256(file.read_bytes()).hexdigest()
                continue
            for file in (f for f in bucket.names() if f == at["path"] or f.startswith(f"{at['path']}/")):
                found[name + file[len(at["path"]) :]] = hashlib.sha256(bucket.read(file)).hexdigest()
    return found


@pytest.mark.docker
@pytest.mark.parametrize("bucket", ["s3", "azure"], indirect=True)
def test_the_same_bytes_as_everywhere_and_nothing_is_left(bucket: Place, may_stage: Path, tmp_path: Path) -> None:
    files = {**CODE, **DATA}
    found = {}
    targets = ["container", "there"] if bucket.kind == "s3" else ["there"]
    for target in targets:
        made = project(tmp_path / target, bucket, may_stage, DIGITS.replace('"there"\n', f'"{target}"\n'), files)
        result = made.run()
        found[target] = contents(made, bucket, result)
    assert set(found["there"]) == {
        "table/all.csv",
        "kept/words.txt",
        "model/model.bin",
        "beside/coefficients",
        "counted",
    }
    assert all(one == found["there"] for one in found.values())
    assert result["steps"]["prepare"]["metrics"] == {"files": 2}
    again = made.run()
    assert all(step["reused"] for step in again["steps"].values())
    assert contents(made, bucket, again) == found["there"]
    assert not [name for name in bucket.names() if name.startswith(".aml/pods")]


WRONG = (
    HEAD
    + """
def on(target, script="fine.py", **more):
    return PythonScriptStep(script, name=f"{script[:-3]} on {target}", **{**options, "compute_target": target, **more})

written = PipelineData("written", datastore=shared)
Experiment(ws, "wrong").submit(
    Pipeline(ws, [
        on("there", "eats.py"), on("later", "exits.py"),
        on("there", "writes.py", arguments=[written], outputs=[written]),
        on("unsigned"), on("refused"), on("forbidden"), on("misspelt"), on("misspelt-later"), on("no-python"),
    ]), continue_on_step_failure=True,
).wait_for_completion()
"""
)
WRONG_TARGETS = """
compute:
  there: {memory: 96Mi}
  later: {deferrable: true}
  unsigned: {staging_datastore: shared}
  refused: {staging_datastore: stranger}
  forbidden: {config_file: FORBIDDEN}
  misspelt: {staging_image: 'testbed/pyton:3.11'}
  misspelt-later: {staging_image: 'testbed/pyton:3.11', deferrable: true}
  no-python: {staging_image: 'testbed/shell:latest'}
datastores:
  stranger: {url: 'abfs://aml-tests/x', conn_id: stranger}
"""
WRONG_CODE = {
    "code/fine.py": "print('fine')\n",
    "code/exits.py": "import sys\nprint('the third column is missing')\nsys.exit(3)\n",
    "code/eats.py": "eaten = [bytearray(10_000_000) for _ in range(60)]\n",
    "code/writes.py": "import sys\nopen(sys.argv[1], 'w').write('written')\n",
}
ERRORS = {
    "exits on later": ["exit code 3"],
    "eats on there": ["more memory than the limit of 96 MiB", "'there'"],
    "writes on there": ["output 'written' could not be written", "the store answers 404"],
    "fine on unsigned": ["'unsigned' has no shared volume", "datastore 'shared' is a folder", "staging_datastore"],
    "fine on refused": ["could not be sent to the pod", "'stranger'", "does not take the credentials"],
    "fine on forbidden": ["'forbidden' does not let", "make a secret", "namespace 'ml'"],
    "fine on misspelt": ["did not start", "testbed/pyton:3.11", "Correct the image name"],
    "fine on misspelt-later": ["did not start", "testbed/pyton:3.11", "Correct the image name"],
    "fine on no-python": ["its files could not be carried", "'testbed/shell:latest'", "Correct staging_image"],
}


def test_what_goes_wrong_is_a_sentence_and_nothing_is_left(
    bucket: Place, may_stage: Path, kubeconfig: Path, tmp_path: Path
) -> None:
    # A store that cannot find its bucket when an output is to be written.
    known = f"PUT /{bucket.url.split('/')[2]}/".encode()
    wire = Wire(5900, lambda sent: sent.replace(known, b"PUT /absent/") if b"/output-0." in sent else sent)
    try:
        made = project(
            tmp_path / "p",
            bucket,
            may_stage,
            WRONG,
            WRONG_CODE,
            extra={"endpoint_url": f"http://127.0.0.1:{wire.port}"},
        )
        made.say(WRONG_TARGETS.replace("FORBIDDEN", str(kubeconfig)))
        made.know("stranger", connection("azure", password="bm90IHRoZSBrZXk="))
        result = made.run(code=1)
    finally:
        wire.close()
    for name, named in ERRORS.items():
        assert result["steps"][name]["state"] == "Failed", name
        for word in [repr(name), *named]:
            assert word in result["steps"][name]["error"], (name, result["steps"][name]["error"])
    assert "Traceback" not in made.said
    assert not [name for name in bucket.names() if name.startswith(".aml/pods")]
    store = str(made.folder / ".aml/beside/blobs/.aml")
    eventually("the pods are gone", lambda: not ours(may_stage, store))


def ours(kubeconfig: Path, store: str) -> list[str]:
    """The pods of a run store."""
    return [p.metadata.name for p in pods(kubeconfig) if (p.metadata.annotations or {}).get("aml.run-store") == store]
