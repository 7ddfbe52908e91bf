"""Everything that is wrong in a workspace file is said at once, with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.spec.errors import WorkspaceFileError
from aml_provider.workspace.discovery import load_workspace
from aml_provider.workspace.reading import read_workspace_file

from .conftest import Write


def complaint(file: Path) -> str:
    with pytest.raises(WorkspaceFileError) as caught:
        load_workspace(file)
    return str(caught.value)


def test_every_mistake_has_its_line_and_key(write: Write) -> None:
    file = write("""\
        name: 3
        default_kind: dokcer
        default_datastore: nope
        datastores:
          a: {urll: data}
          b:
            url: file://data/x
        compute:
          gpu:
            memory: 4g
            cpuss: 2
            environment:
              X: 1
              Y: yes
            gpus: -1
            vm_size: Standard_NC7
            pool: my pool
            volumes:
              a: {}
            tolerations:
              - key: x
                efect: y
          cpu: docker
        airflow: {}
        """)
    lines = complaint(file).split("\n")
    expected = [
        "line 1, key name: must be text, not 3; put it in quotes.",
        ("line 2, key default_kind: must be one of local, docker, kubernetes, not 'dokcer'; did you mean 'docker'."),
        "line 5, key datastores.a.url: is missing and has no default.",
        "line 5, key datastores.a.urll: unknown key; did you mean 'url'.",
        (
            "line 7, key datastores.b.url: 'file://data/x' names the host 'data': write file:///absolute/"
            "folder, or a relative folder without file://."
        ),
        "line 10, key compute.gpu.memory: must be an amount like 4Gi, 512Mi or 2G, not '4g'.",
        "line 11, key compute.gpu.cpuss: unknown key; did you mean 'cpus'.",
        "line 13, key compute.gpu.environment.X: must be text, not 1; put it in quotes.",
        "line 14, key compute.gpu.environment.Y: must be text, not the truth value true; put it in quotes.",
        "line 15, key compute.gpu.gpus: must be greater than or equal to 0, not -1.",
        (
            "line 16, key compute.gpu.vm_size: unknown Azure VM size 'Standard_NC7'; similar names: "
            "Standard_NC6, Standard_NC24, Standard_NC12. Use a known name, or give cpus, memory and gpus of the "
            "compute target in workspace.yaml instead of vm_size."
        ),
        (
            "line 17, key compute.gpu.pool: must be 1 to 250 letters, digits, dots, dashes or underscores, "
            "not 'my pool'."
        ),
        "line 19, key compute.gpu.volumes.a: give exactly one of host_path and claim.",
        "line 22, key compute.gpu.tolerations.0.efect: unknown key; did you mean 'effect'.",
        "line 23, key compute.cpu: must be a mapping of `key: value` lines, not 'docker'.",
        "line 24, key airflow.url: is missing and has no default.",
    ]
    assert lines == [f"{file} {line}" for line in expected]


def test_a_rule_about_several_keys_points_at_one(write: Write) -> None:
    file = write("name: x\ndefault_datastore: nope\n")
    assert complaint(file) == (
        f"{file} line 2, key default_datastore: 'nope' is not one of ['workspaceblobstore', 'workspacefilestore']."
    )


@pytest.mark.parametrize("limit", ["7", "7 days", "1:00", "P7X", "-P7D", "P0D", "P99999999999D", "2026-01-01", "[P7D]"])
def test_a_length_of_time_is_written_in_one_way(write: Write, limit: str) -> None:
    message = complaint(write(f"reuse: {{age_limit: {limit}}}"))
    assert "key reuse.age_limit: must be a length of time like P7D or PT12H (ISO 8601), not " in message
    assert "timedelta" not in message
    assert "datetime" not in message


def test_one_word_where_a_list_belongs(write: Write) -> None:
    message = complaint(write("reuse:\n  ignore_parameters: build\n  steps: {prep: {include: {a: b}}}\n"))
    assert "line 2, key reuse.ignore_parameters: must be a list, not 'build'; write [build]." in message
    assert "line 3, key reuse.steps.prep.include: must be a list, not a mapping." in message


def test_an_unknown_key_like_nothing_lists_what_is_known(write: Write) -> None:
    assert "key mlflow.zzz: unknown key; known here: tracking_uri." in complaint(write("mlflow: {zzz: 1}"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x\n\tlocation: y\n", "line 2: a tab is used for indentation; YAML allows blanks only."),
        ("name: x\nname: y\n", "line 2: key 'name' is there twice; remove one of them."),
        ("compute:\n  a: {}\n  a: {}\n", "line 3: key 'a' is there twice; remove one of them."),
        ("- a\n", "line 1: must be a mapping of `key: value` lines, not a list"),
        ("just text\n", "line 1: must be a mapping of `key: value` lines, not text"),
        ("name: a\nlocation: b: c\n", "line 2: is not YAML: mapping values are not allowed in this context."),
        ("name: [\n", "is not YAML"),
        ("name: !!python/object:os.system x\n", "line 1: is not YAML: could not determine a constructor"),
    ],
)
def test_what_is_no_workspace_file(write: Write, text: str, says: str) -> None:
    file = write("")
    file.write_text(text)
    message = complaint(file)
    assert message.startswith(str(file))
    assert says in message


def test_what_is_no_text(write: Write) -> None:
    file = write("")
    file.write_bytes(b"name: x\nlocation: \xff\xfe\n")
    assert complaint(file) == f"{file} line 2: is not UTF-8 text; save the file as UTF-8."


@given(st.text(st.sampled_from("ab: -[]{}\n\t#'\"&*!|>,?0"), max_size=60))
def test_any_text_is_a_workspace_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("w") / "workspace.yaml"
    file.write_text(text)
    try:
        read_workspace_file(file)
    except WorkspaceFileError as error:
        message = str(error)
    else:
        return
    assert message.startswith(str(file))


@pytest.mark.parametrize("uri", ["ftp://mlflow", "htp://mlflow:5000", "http://", "http:///mlflow"])
def test_a_tracking_uri_that_mlflow_cannot_use(write: Write, uri: str) -> None:
    said = complaint(write(f"mlflow: {{tracking_uri: '{uri}'}}"))
    assert "key mlflow.tracking_uri: must be a server (http://mlflow:5000) or a database" in said
    assert said.rstrip(".").endswith(f"not {uri!r}")


@pytest.mark.parametrize("uri", ["./mlruns", "mlruns", "file:///shared/mlruns"])
def test_a_folder_to_which_mlflow_does_not_write(write: Write, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    file = write(f"mlflow: {{tracking_uri: '{uri}'}}")
    assert f"key mlflow.tracking_uri: '{uri}' is a folder, to which MLflow does not write any more" in complaint(file)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert load_workspace().tracking_uri.startswith("file:///")
