"""MLflow's own server for tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Minutes, where much else runs.
_STARTS = 1500


@contextmanager
def serving(uri: str, folder: Path, port: int | None = None) -> Iterator[str]:
    """The address of a server on this store.

    :param folder: where it keeps artifacts and its log.
    :param port: default: a free one.
    """
    port = port or free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", "--artifacts-destination", str(folder / "served")]
    address = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("wb") as log:
        # Without its seven processes for jobs that no test asks for: each imports all of MLflow.
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            _wait(server, address, folder / "server.log")
            yield address
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    for _ in range(_STARTS):
        try:
            urllib.request.urlopen(f"{address}/health", timeout=1).close()
            return
        except OSError:
            try:
                server.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(log.read_text()) from None
    raise RuntimeError(f"no answer from {address}: {log.read_text()}")
