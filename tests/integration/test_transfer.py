"""A transfer as a step of a pipeline on a real scheduler: a later step reads what has arrived, and it is reused."""

from __future__ import annotations

import uuid

import pytest
from mlflow import MlflowClient

from .server import Server

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("pools")]


def test_what_was_moved_is_read_and_not_moved_again(server: Server) -> None:
    folder = f"to move/{uuid.uuid4().hex}"
    origin = server.workspace.state / "datastores" / "workspacefilestore" / folder
    (origin / "sub").mkdir(parents=True)
    (origin / "a ü.txt").write_text("12")
    (origin / "sub" / "b").write_text("345")
    source = {"datastore": "workspacefilestore", "path": folder}

    first = server.trigger("moved", source=source)
    assert first.wait() == "success", first.states()
    assert {name: first.states()[name] for name in ("move", "count")} == {"move": "success", "count": "success"}
    place = first.xcom("count")["counted"]
    assert (server.store / place["path"]).read_text() == "2 files, 5 bytes"
    assert first.xcom("move", "transfer")["files"] == 2
    assert "moved 2 files, 5 bytes" in first.log("move")
    client = MlflowClient(server.workspace.tracking_uri)
    experiment = client.get_experiment_by_name("moved")
    assert experiment is not None
    wanted = f"tags.`aml.run_id` = '{first.run_id}'"
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id], wanted)}
    assert (runs["move"].data.metrics["files"], runs["move"].data.metrics["bytes"]) == (2, 5)
    assert runs["move"].data.params["source"] == f"workspacefilestore:{folder}"
    assert runs["move"].info.status == "FINISHED"

    again = server.trigger("moved", source=source)
    assert again.wait() == "success", again.states()
    assert {again.states()[name] for name in ("move", "count")} == {"skipped"}
    assert "2 of 2 steps reused" in again.log("reuse")
