"""How long MLflow's server is waited for."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aml_provider.tracking import client
from aml_provider.tracking.client import mlflow_client, patient
from aml_provider.tracking.errors import TrackingError

_BOUND, _STORING = "1", 1.5


class Slow(BaseHTTPRequestHandler):
    """A server that answers an upload when the file is where it belongs, which takes longer than the bound."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        threading.Event().wait(_STORING)
        self._answer()

    def _answer(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        # Whoever did not wait is gone.
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(b"{}")


@pytest.fixture
def slow_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_has_time_to_store_a_file(slow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    monkeypatch.setitem(client._BOUNDS, "MLFLOW_HTTP_REQUEST_TIMEOUT", _BOUND)
    file = tmp_path / "model.bin"
    file.write_bytes(b"x" * 1000)
    store = get_artifact_repository(f"{slow_server}/files")
    with mlflow_client(slow_server), patient(), patient():
        store.log_artifact(str(file))
    with pytest.raises(TrackingError, match="cannot be used"), mlflow_client(slow_server):
        store.log_artifact(str(file))


def test_patience_ends_with_the_file_and_is_not_left_in_the_environment(
    slow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    monkeypatch.delenv(name, raising=False)
    with mlflow_client(slow_server):
        with patient():
            with patient():
                assert int(os.environ[name]) > 100
            assert int(os.environ[name]) > 100
        assert os.environ[name] == "10"
    assert name not in os.environ
    with patient():
        assert name not in os.environ
    monkeypatch.setenv(name, "77")
    with mlflow_client(slow_server), patient():
        assert os.environ[name] == "77"


@pytest.mark.parametrize("uri", ["postgresql://u:secret@127.0.0.1:1/ml", "mysql+pymysql://127.0.0.1:1/ml"])
def test_a_database_that_is_down_is_told_at_once(uri: str) -> None:
    """MLflow itself tries for minutes, in every process."""
    began = time.monotonic()
    with (
        pytest.raises(TrackingError, match=r"cannot be used: \[Errno 111\] Connection refused") as error,
        mlflow_client(uri),
    ):
        pass
    assert "secret" not in str(error.value)
    assert time.monotonic() - began < 60
