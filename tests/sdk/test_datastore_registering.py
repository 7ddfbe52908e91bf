"""A program registers datastores; later programs and Airflow know them, and nobody sees their credentials."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import aml_provider
from aml_provider.sdk.datastore import AzureBlobDatastore, AzureDataLakeGen2Datastore, Datastore
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.life import collecting
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.errors import AmlError, NotSupportedError, PipelineError, WorkspaceFileError
from tests.stores import addresses, client, set_connection

SECRET = "c2VjcmV0LW9mLXRoZS10ZXN0"
ENDPOINT = "http://127.0.0.1:5910/devstoreaccount1"


@pytest.fixture
def container() -> Iterator[str]:
    """A name for a container that nobody has made yet."""
    name = f"aml-registered-{uuid.uuid4().hex[:10]}"
    yield name
    client("azure").drop(name)


Register = Callable[..., Any]


@pytest.fixture
def lake(ws: Workspace) -> Register:
    """Register the datastore ``lake`` without looking at it."""

    def register(**changes: Any) -> Any:
        values = {
            "datastore_name": "lake",
            "container_name": "stuff",
            "account_name": "people",
            "account_key": SECRET,
            "skip_validation": True,
            **changes,
        }
        return Datastore.register_azure_blob_container(ws, **values)

    return register


def kept(ws: Workspace) -> str:
    """What the workspace keeps of its datastores for everybody to read."""
    file = ws.loaded.state / "datastores.json"
    return file.read_text() if file.exists() else ""


@pytest.mark.stores
def test_a_container_is_made_filled_and_read_by_another_program(ws: Workspace, project: Path, container: str) -> None:
    known = addresses()
    made = Datastore.register_azure_blob_container(
        workspace=ws,
        datastore_name="lake",
        container_name=container,
        account_name=known["AZURE_STORAGE_ACCOUNT"],
        account_key=known["AZURE_STORAGE_KEY"],
        endpoint=ENDPOINT,
        create_if_not_exists=True,
    )
    assert isinstance(made, AzureBlobDatastore)
    assert (made.name, made.container_name, made.account_name) == ("lake", container, "devstoreaccount1")
    made.upload("src", target_path="code")
    program = "\n".join(
        [
            "from azureml.core import Datastore, Workspace",
            "store = Datastore.get(Workspace.from_config(), 'lake')",
            "print(store.container_name, store.download('there', prefix='code'))",
        ]
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=project, capture_output=True, text=True, check=False)
    assert said.stdout.splitlines()[-1:] == [f"{container} 3"], said.stderr
    assert (project / "there/code/prep.py").read_text() == "print('hello')\n"


@pytest.mark.stores
def test_a_store_that_does_not_answer_as_it_should_is_not_registered(ws: Workspace, container: str) -> None:
    known = addresses()
    values = {
        "container_name": container,
        "account_name": known["AZURE_STORAGE_ACCOUNT"],
        "account_key": known["AZURE_STORAGE_KEY"],
        "endpoint": ENDPOINT,
    }
    with pytest.raises(AmlError, match=f"'lake' is not registered: .*{container}"):
        Datastore.register_azure_blob_container(ws, "lake", **values)
    wrong = {**values, "account_key": SECRET}
    with pytest.raises(AmlError, match="'lake' is not registered: .*credentials") as caught:
        Datastore.register_azure_blob_container(ws, "lake", **wrong)
    assert SECRET not in str(caught.value)
    assert "lake" not in ws.datastores
    assert not (ws.loaded.state / "connections.json").exists()
    # Skipping says: it will be there when it is needed.
    assert Datastore.register_azure_blob_container(ws, "lake", **values, skip_validation=True).name == "lake"


def test_credentials_are_where_only_their_owner_reads(ws: Workspace, lake: Register) -> None:
    made = lake()
    assert SECRET not in kept(ws) + repr(made) + str(vars(made))
    assert "people" in kept(ws)
    file = ws.loaded.state / "connections.json"
    assert SECRET in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_file_of_connections_is_one_that_airflow_reads(ws: Workspace, lake: Register) -> None:
    from airflow.secrets.local_filesystem import LocalFilesystemBackend

    lake(sas_token="sv=1&sig=" + SECRET, account_key=None)
    backend = LocalFilesystemBackend(connections_file_path=str(ws.loaded.state / "connections.json"))
    found = backend.get_connection("aml_lab_lake")
    assert found is not None
    assert (found.conn_type, found.login) == ("wasb", "people")
    assert found.extra_dejson["sas_token"] == "sv=1&sig=" + SECRET


def test_the_same_again_changes_nothing_and_another_one_needs_overwrite(ws: Workspace, lake: Register) -> None:
    lake()
    before = kept(ws)
    lake()
    assert kept(ws) == before
    for other in ({"container_name": "others"}, {"account_key": "another-key"}, {"account_key": None}):
        with pytest.raises(UserErrorException, match="another datastore named 'lake'.*overwrite=True"):
            lake(**other)
    assert kept(ws) == before
    assert lake(container_name="others", overwrite=True).container_name == "others"
    assert ws.loaded.datastore("lake").url == "abfs://others@people.blob.core.windows.net"


def test_names_that_cannot_be_or_are_taken(ws: Workspace, lake: Register) -> None:
    for name in ("", "a b", "a-b", "../x", "ä", "x" * 256, None):
        with pytest.raises(UserErrorException, match="cannot be used; use letters, digits and underscores"):
            lake(datastore_name=name)
    lake()
    with pytest.raises(UserErrorException, match="'LAKE' differs from that of 'lake' only in letter case"):
        lake(datastore_name="LAKE")
    with pytest.raises(UserErrorException, match="'workspaceblobstore' is one of those that every workspace has"):
        lake(datastore_name="workspaceblobstore", overwrite=True)
    # What an operator has declared counts.
    assert lake(datastore_name="raw").container_name == "raw"
    assert "raw" not in kept(ws)


def test_places_that_azure_does_not_have(ws: Workspace, lake: Register) -> None:
    with pytest.raises(UserErrorException, match="container_name is 'a/b', which names nothing"):
        lake(container_name="a/b")
    with pytest.raises(UserErrorException, match="account_name is None, which names nothing"):
        lake(account_name=None)
    with pytest.raises(UserErrorException, match="protocol is 'ftp'; give 'https', or 'http'"):
        lake(protocol="ftp")
    with pytest.raises(UserErrorException, match="endpoint is neither a domain") as caught:
        lake(endpoint=f"https://host/?sig={SECRET}")
    assert SECRET not in str(caught.value)
    assert kept(ws) == ""


@pytest.mark.parametrize(
    ("endpoint", "protocol", "url", "service"),
    [
        (None, None, "abfs://stuff@people.blob.core.windows.net", None),
        ("core.windows.net", "https", "abfs://stuff@people.blob.core.windows.net", None),
        (
            "core.chinacloudapi.cn",
            None,
            "abfs://stuff@people.blob.core.chinacloudapi.cn",
            "https://people.blob.core.chinacloudapi.cn",
        ),
        ("10.0.0.1:10000/people", "http", "abfs://stuff@people.10.0.0.1:10000", "http://10.0.0.1:10000/people"),
        ("https://people.blobs.example/", None, "abfs://stuff@people.blobs.example", "https://people.blobs.example"),
    ],
)
def test_endpoints(
    ws: Workspace, lake: Register, endpoint: str | None, protocol: str | None, url: str, service: str | None
) -> None:
    from aml_provider.storage.connections import credentials_of

    lake(endpoint=endpoint, protocol=protocol)
    config = ws.loaded.datastore("lake")
    assert config.url == url
    found = credentials_of(config, "lake")
    assert found is not None
    assert (found.text("endpoint_url"), found.login, found.password) == (service, "people", SECRET)


def test_a_data_lake(ws: Workspace) -> None:
    with pytest.raises(UserErrorException, match="'gen2': client_secret of the service principal is missing"):
        Datastore.register_azure_data_lake_gen2(ws, "gen2", "files", "people", "tenant", "client")
    made = Datastore.register_azure_data_lake_gen2(ws, "gen2", "files", "people", "tenant", "client", SECRET)
    assert isinstance(made, AzureDataLakeGen2Datastore)
    assert (made.tenant_id, made.client_id, made.client_secret) == ("tenant", "client", None)
    assert SECRET not in kept(ws)
    assert isinstance(ws.datastores["gen2"], AzureDataLakeGen2Datastore)
    assert not hasattr(made, "upload")
    with pytest.raises(NotSupportedError, match=r"use DataPath\(datastore, path\)"):
        made.path("x")


def test_unregister_forgets_the_datastore_and_its_credentials(ws: Workspace, lake: Register) -> None:
    made = lake()
    lake(datastore_name="other")
    made.set_as_default()
    with pytest.raises(UserErrorException, match="'lake' is the default datastore; make another one the default"):
        made.unregister()
    ws.set_default_datastore("raw")
    made.unregister()
    assert "lake" not in ws.datastores
    assert "aml_lab_lake" not in (ws.loaded.state / "connections.json").read_text()
    assert Datastore.get(ws, "other").name == "other"
    with pytest.raises(NotSupportedError, match="'raw' is declared in .*; remove it there"):
        Datastore(ws, "raw").unregister()
    with pytest.raises(NotSupportedError, match="'workspacefilestore' is one of those that every workspace has"):
        Datastore(ws, "workspacefilestore").unregister()


def test_a_file_that_is_only_read_registers_nothing(ws: Workspace, lake: Register) -> None:
    hint = "'lake' is not registered yet.*run the file as a program once"
    with collecting(), pytest.raises(NotSupportedError, match=hint):
        lake()
    assert kept(ws) == ""
    lake()
    with collecting():
        assert lake().name == "lake"
        Datastore.get(ws, "lake").unregister()
    assert "lake" in ws.datastores


def test_authors_look_first_and_register_then(ws: Workspace, lake: Register) -> None:
    with pytest.raises(UserErrorException, match="unknown datastore 'lake'") as caught:
        Datastore.get(ws, "lake")
    assert isinstance(caught.value, PipelineError)
    lake()
    assert Datastore.get(ws, "lake").name == "lake"


def test_authors_look_first_as_the_documentation_of_v1_has_it(ws: Workspace, lake: Register) -> None:
    names: dict[str, Any] = {"ws": ws, "lake": lake, "Datastore": Datastore}
    exec(
        """
from msrest.exceptions import HttpOperationError

try:
    found = Datastore.get(ws, "lake")
except HttpOperationError as error:
    refused = error
    found = lake()
""",
        names,
    )
    assert names["found"].name == "lake"
    assert names["refused"].response.status_code == 404
    assert "unknown datastore 'lake'" in names["refused"].message
    assert isinstance(names["refused"], UserErrorException)


def test_where_msrest_is_installed_its_own_exception_is_raised(project: Path, tmp_path: Path) -> None:
    (tmp_path / "msrest").mkdir()
    (tmp_path / "msrest" / "__init__.py").touch()
    (tmp_path / "msrest" / "exceptions.py").write_text(
        "class HttpOperationError(Exception):\n"
        "    def __init__(self, deserialize, response, resp_type=None):\n"
        "        raise AssertionError('there is no response')\n"
        "    def __str__(self):\n"
        "        return str(self.message)\n"
    )
    code = (
        "import msrest\n"
        "from azureml.core import Datastore, Workspace\n"
        "from msrest.exceptions import HttpOperationError\n"
        "try:\n"
        "    Datastore.get(Workspace.from_config(), 'nope')\n"
        "except HttpOperationError as error:\n"
        "    print(msrest.__file__, error)\n"
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(aml_provider.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(f"{tmp_path / 'msrest'}/__init__.py unknown datastore 'nope'"), done.stderr


def test_what_the_workspace_file_declares_later_counts(ws: Workspace, lake: Register, project: Path) -> None:
    lake()
    text = (project / "workspace.yaml").read_text()
    (project / "workspace.yaml").write_text(text.replace("raw:", "lake: {url: data/lake}\n  raw:"))
    assert Workspace.from_config().loaded.datastore("lake").local_root == project / "data/lake"


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda ws: Datastore.register_azure_file_share(ws, "x", "share", "people", account_key="k"), "mount the file"),
        (lambda ws: Datastore.register_azure_data_lake(ws, "x", "store"), "has shut Data Lake Storage Gen1 down"),
        (lambda ws: Datastore.register_dbfs(ws, "x"), "reached from Databricks only"),
        (lambda ws: Datastore.register_hdfs(ws, "x", "https", "node:8020", None, "r", "k", "p"), "HDFS at 'node:8020'"),
    ],
)
def test_what_is_declared_instead(ws: Workspace, call: Callable[[Workspace], Any], hint: str) -> None:
    with pytest.raises(NotSupportedError, match=f"'x' cannot be registered from code: .*{hint}.*in workspace.yaml"):
        call(ws)


def test_a_worker_that_cannot_read_the_file_has_the_connection_from_airflow(
    ws: Workspace, lake: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aml_provider.storage.connections import credentials_of

    lake()
    config = ws.loaded.datastore("lake")
    (ws.loaded.state / "connections.json").write_text("not JSON")
    with pytest.raises(AmlError, match="connections.json: is damaged"):
        credentials_of(config, "lake")
    set_connection(monkeypatch, "aml_lab_lake", {"conn_type": "wasb", "password": "of Airflow"})
    found = credentials_of(config, "lake")
    assert found is not None
    assert found.password == "of Airflow"
    (ws.loaded.state / "connections.json").unlink()
    assert credentials_of(config, "lake") == found


def test_a_damaged_or_unwritable_state_folder(ws: Workspace, lake: Register) -> None:
    lake()
    (ws.loaded.state / "datastores.json").write_text('{"lake": ')
    with pytest.raises(WorkspaceFileError, match="datastores.json: is damaged; remove it, and register"):
        Datastore.get(ws, "raw")
    (ws.loaded.state / "datastores.json").unlink()
    (ws.loaded.state / "connections.json").write_text("[]")
    with pytest.raises(AmlError, match="connections.json: is damaged"):
        lake()
    assert kept(ws) == ""
