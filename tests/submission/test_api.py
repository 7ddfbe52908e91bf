"""What the client of Airflow's REST API makes of a server that hangs up."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aml_provider.submission.api import AirflowApi, AirflowApiError
from aml_provider.workspace.model import AirflowConfig


@contextmanager
def hanging_up(times: int) -> Iterator[tuple[AirflowApi, list[str]]]:
    """A server that closes the connection on the first ``times`` requests after the log-in, and what it was asked."""
    asked: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline().decode():
                length = 0
                while (header := self.rfile.readline().decode().strip()) != "":
                    name, _, value = header.partition(":")
                    length = int(value) if name.lower() == "content-length" else length
                self.rfile.read(length)
                method, path, _ = line.split()
                if path != "/auth/token":
                    asked.append(f"{method} {path}")
                    if len(asked) <= times:
                        return
                body = json.dumps({"access_token": "t", "state": "success"}).encode()
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        api = AirflowApi(AirflowConfig(url=f"http://127.0.0.1:{server.server_address[1]}"))
        try:
            yield api, asked
        finally:
            server.shutdown()


def test_a_connection_that_was_closed_is_no_missing_server() -> None:
    with hanging_up(1) as (api, asked):
        assert api.get("dags/a/dagRuns/b")["state"] == "success"
    assert asked == ["GET /api/v2/dags/a/dagRuns/b"] * 2


def test_a_server_that_keeps_hanging_up_is_reported() -> None:
    with hanging_up(9) as (api, asked), pytest.raises(AirflowApiError, match=r"does not answer .*Start it, correct"):
        api.get("version")
    assert len(asked) == 2


def test_what_changes_something_is_not_sent_twice() -> None:
    with hanging_up(1) as (api, asked), pytest.raises(AirflowApiError, match="does not answer"):
        api.post("dags/a/dagRuns", {})
    assert asked == ["POST /api/v2/dags/a/dagRuns"]
