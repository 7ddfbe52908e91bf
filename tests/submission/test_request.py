"""A request on disk is the same pipeline on the same workspace in another process."""

from __future__ import annotations

from pathlib import Path

import pytest

from aml_provider.spec.errors import AmlError, PipelineError
from aml_provider.spec.models import Command, PipelineSpec, Step, SubmitOptions, Text
from aml_provider.submission.request import Request
from aml_provider.workspace.discovery import load_workspace


def test_a_request_comes_back_as_it_was(tmp_path: Path) -> None:
    """Also how settings merge: a key that was not written stays unwritten."""
    (tmp_path / "workspace.yaml").write_text(
        "name: lab\ndocker: {image: i:1, memory: 2Gi}\ncompute:\n  big: {kind: docker, memory: 4Gi}\n"
    )
    workspace = load_workspace(tmp_path / "workspace.yaml").renamed("azure-name", subscription_id="s")
    step = Step(key="say", name="say it", type="CommandStep", action=Command(words=(Text(value="true"),)))
    spec = PipelineSpec(
        workspace="lab", default_datastore="workspaceblobstore", steps=(step,), submit=SubmitOptions(experiment="e")
    )
    Request("e", spec, tmp_path, workspace).write(tmp_path / "run")
    back = Request.read(tmp_path / "run")
    assert back.spec == spec
    assert back.workspace.name == "azure-name"
    assert back.workspace.state == workspace.state
    assert back.workspace.tracking_uri == workspace.tracking_uri
    assert back.workspace.datastores == workspace.datastores
    assert back.workspace.compute("big") == workspace.compute("big")
    assert (back.workspace.compute("big").image, back.workspace.compute("big").memory) == ("i:1", 4 * 2**30)


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """With what to do about it."""
    from aml_provider.sdk.source import PipelineSource
    from aml_provider.submission.server import submit_to_server

    (tmp_path / "workspace.yaml").write_text("airflow: {url: 'http://127.0.0.1:9'}\n")
    workspace = load_workspace(tmp_path / "workspace.yaml")
    step = Step(key="say", name="say", type="CommandStep", action=Command(words=(Text(value="true"),)))
    spec = PipelineSpec(
        workspace="lab", default_datastore="workspaceblobstore", steps=(step,), submit=SubmitOptions(experiment="e")
    )
    with pytest.raises(AmlError, match=r"http://127.0.0.1:9 does not answer.*airflow: url") as caught:
        submit_to_server(spec, "e", PipelineSource(None, tmp_path), workspace)
    assert not isinstance(caught.value, PipelineError)
