"""What the names in a pipeline stand for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import ComputeSpec
from aml_provider.workspace.discovery import load_workspace
from aml_provider.workspace.model import ComputeKind
from aml_provider.workspace.resolved import memory_bytes
from aml_provider.workspace.vm_sizes import vm_size

from .conftest import Write

GIB = 1024**3


def test_the_embedded_default(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AML_HOME", str(tmp_path / "home"))
    workspace = load_workspace()
    assert workspace.name == "local"
    assert workspace.folder == tmp_path
    assert workspace.state == tmp_path / "home"
    assert workspace.tracking_uri == f"sqlite:///{tmp_path}/home/mlflow.db"
    assert workspace.datastore("workspaceblobstore").local_root == tmp_path / "home/datastores/workspaceblobstore"
    assert workspace.compute(None).kind is ComputeKind.LOCAL
    assert workspace.compute("local") == workspace.compute(None)
    monkeypatch.delenv("AML_HOME")
    assert load_workspace().state == Path.home() / ".aml"


def test_paths_are_relative_to_the_file(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(
        """
        state: ../state
        mlflow: {tracking_uri: sqlite:///runs/ml.db}
        datastores:
          workspaceblobstore: {url: blobs}
          up: {url: ../shared data}
          absolute: {url: /srv/data}
          as_url: {url: file:///srv/a%20b}
          home: {url: ~/data}
          bucket: {url: "s3://bucket/prefix", conn_id: aws}
        """,
        "project/workspace.yaml",
    )
    monkeypatch.chdir("/")
    workspace = load_workspace(file)
    roots = {name: config.local_root for name, config in workspace.datastores.items()}
    assert roots == {
        "workspaceblobstore": tmp_path / "project/blobs",
        "workspacefilestore": tmp_path / "state/datastores/workspacefilestore",
        "up": tmp_path / "shared data",
        "absolute": Path("/srv/data"),
        "as_url": Path("/srv/a b"),
        "home": Path.home() / "data",
        "bucket": None,
    }
    assert workspace.datastore("bucket").url == "s3://bucket/prefix"
    assert workspace.tracking_uri == f"sqlite:///{tmp_path}/project/runs/ml.db"


@pytest.mark.parametrize(
    ("uri", "meant"),
    [
        ("http://mlflow:5000", "http://mlflow:5000"),
        ("postgresql://u:p@host/db", "postgresql://u:p@host/db"),
        ("sqlite:////srv/ml.db", "sqlite:////srv/ml.db"),
        ("sqlite:///ml.db?timeout=30", "sqlite:///{folder}/ml.db?timeout=30"),
        ("mlruns", "file://{folder}/mlruns"),
        ("file:///srv/mlruns", "file:///srv/mlruns"),
        ("databricks", "databricks"),
    ],
)
def test_tracking_uris(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, meant: str) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    write(f"mlflow: {{tracking_uri: '{uri}'}}")
    assert load_workspace().tracking_uri == meant.format(folder=tmp_path)


def test_an_unknown_datastore_names_the_known_ones(write: Write) -> None:
    write("name: prod\ndatastores: {images: {url: images}}")
    with pytest.raises(PipelineError, match=r"unknown datastore 'imgs'; workspace 'prod' .*images, workspaceblobstore"):
        load_workspace().datastore("imgs")


def test_a_target_has_the_kinds_defaults_then_its_vm_size_then_its_own(write: Write) -> None:
    write("""
        default_kind: docker
        docker: {image: "python:3.11-slim", cpus: 1, memory: 1Gi, retries: 4, environment: {A: "1", B: "1"}}
        kubernetes: {namespace: ml, node_selector: {pool: a}}
        compute:
          plain: {}
          sized: {vm_size: Standard_NC12, max_nodes: 3, memory: 8Gi, environment: {B: "2"}}
          pods: {kind: kubernetes, gpus: 1, gpu_resource: amd.com/gpu, deferrable: false, pool: shared}
        """)
    workspace = load_workspace()

    plain = workspace.compute("plain")
    assert (plain.kind, plain.image, plain.cpus, plain.memory) == (ComputeKind.DOCKER, "python:3.11-slim", 1, GIB)
    assert (plain.pool, plain.pool_slots, plain.pool_size, plain.gpus) == ("aml_plain", 1, 4, 0)
    assert (plain.retries, plain.retry_delay_seconds, plain.timeout_seconds) == (4, 5, None)
    assert not plain.retry_failed_scripts

    sized = workspace.compute("sized")
    assert (sized.cpus, sized.memory, sized.gpus) == (12, 8 * GIB, 2)
    assert (sized.pool_slots, sized.pool_size, sized.gpu_resource) == (2, 6, "nvidia.com/gpu")
    assert sized.settings.environment == {"A": "1", "B": "2"}

    pods = workspace.compute("pods")
    assert (pods.kind, pods.namespace, pods.pool, pods.gpu_resource) == (
        ComputeKind.KUBERNETES,
        "ml",
        "shared",
        "amd.com/gpu",
    )
    assert pods.settings.node_selector == {"pool": "a"}
    assert (pods.image, pods.deferrable, pods.startup_timeout_seconds) == (None, False, 600)
    assert workspace.pools() == {"aml_local": 4, "aml_plain": 4, "aml_sized": 6, "shared": 4}


def test_the_file_wins_over_what_the_pipeline_provisions(write: Write) -> None:
    write("compute: {gpu-cluster: {kind: docker, max_nodes: 1}}")
    workspace = load_workspace()
    provisioned = {
        "gpu-cluster": ComputeSpec(name="gpu-cluster", vm_size="STANDARD_NC6", max_nodes=4),
        "cpu": ComputeSpec(name="cpu", vm_size="STANDARD_D2_V2", max_nodes=2),
    }
    assert workspace.compute("gpu-cluster", provisioned).gpus == 0
    cpu = workspace.compute("cpu", provisioned)
    assert (cpu.kind, cpu.cpus, cpu.memory, cpu.pool_size) == (ComputeKind.LOCAL, 2, 7 * GIB, 2)
    with pytest.raises(PipelineError, match=r"unknown compute target 'gpu'; .* has cpu, gpu-cluster, local"):
        workspace.compute("gpu", provisioned)


def test_a_pool_name_is_legal_in_airflow(write: Write) -> None:
    write("compute: {'my target/ü': {}}")
    assert load_workspace().compute("my target/ü").pool == "aml_my_target__"


def test_an_azure_config_only_gives_name_and_ids(write: Write) -> None:
    write("name: file\nlocation: westeurope\ndatastores: {d: {url: d}}")
    loaded = load_workspace()
    renamed = loaded.renamed("azure-ws", subscription_id="s", resource_group="r")
    assert (renamed.name, renamed.file.subscription_id, renamed.file.resource_group) == ("azure-ws", "s", "r")
    assert renamed.file.location == "westeurope"
    assert renamed.datastores == loaded.datastores
    assert loaded.name == "file"


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("STANDARD_D2_V2", (2, 7, 0)),
        ("Standard_DS3_v2", (4, 14, 0)),
        ("standard_nc6", (6, 56, 1)),
        ("NC24rs_v3", (24, 448, 4)),
        ("Standard_NC4as_T4_v3", (4, 28, 1)),
        ("STANDARD_ND40RS_V2", (40, 672, 8)),
        ("Standard_ND96asr_v4", (96, 900, 8)),
        ("Standard_NC48ads_A100_v4", (48, 440, 2)),
        ("Standard_D4s_v3", (4, 16, 0)),
        ("Standard_E64_v3", (64, 432, 0)),
        ("Standard_F8s_v2", (8, 16, 0)),
        ("STANDARD_A2_v2", (2, 4, 0)),
        ("Standard_HB120rs_v3", (120, 448, 0)),
        ("Basic_A1", (1, 1.75, 0)),
    ],
)
def test_azure_sizes(name: str, size: tuple[int, float, int]) -> None:
    found = vm_size(name)
    assert (found.cpus, found.memory_gib, found.gpus) == size


def test_an_unknown_size_names_close_ones() -> None:
    with pytest.raises(PipelineError, match=r"'STANDARD_D2_V22'; similar names: Standard_D2_v2"):
        vm_size("STANDARD_D2_V22")


@given(st.integers(0, 10**6), st.sampled_from(["", "K", "Ki", "M", "Mi", "G", "Gi", "T", "Ti"]))
def test_memory(amount: int, unit: str) -> None:
    power = " KMGT".index(unit[:1] or " ")
    assert memory_bytes(f"{amount}{unit}") == amount * (1024 if unit.endswith("i") else 1000) ** power
    with pytest.raises(ValueError, match="no amount of memory"):
        memory_bytes(f"{amount}{unit}b")
