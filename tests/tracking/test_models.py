"""Models that steps register: versions in MLflow's registry, for steps that succeeded."""

from __future__ import annotations

from typing import Any

from aml_provider.tracking.recorder import close_run, reconcile

from .conftest import RunFolder, Store

MODEL: dict[str, Any] = {"type": "model", "name": "digits", "path": "outputs/model.pkl", "tags": {"k": "v"}}


def trained(folder: RunFolder, attempt: int = 1) -> None:
    """An attempt that has left a model and said so."""
    outputs = folder.attempt("train", attempt) / "artifacts" / "outputs"
    outputs.mkdir(parents=True)
    (outputs / "model.pkl").write_text(f"model of attempt {attempt}")
    folder.log("train", MODEL, attempt=attempt)


def test_a_failed_step_registers_no_model(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    trained(folder)
    folder.result("train", "Failed")
    assert reconcile(folder.path, tracking_uri=folder.uri)
    assert close_run(folder.path, "Failed", {"train": "failed"}, folder.uri)
    assert store.client.search_model_versions() == []
    assert store.client.search_registered_models() == []
    assert "outputs/model.pkl" in store.files(store.step("train"))


def test_the_attempt_that_succeeds_registers_its_model(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    trained(folder, 1)
    folder.result("train", "Failed", attempt=1)
    assert reconcile(folder.path, tracking_uri=folder.uri)
    trained(folder, 2)
    folder.result("train", "Finished", attempt=2)
    for _ in range(2):
        assert reconcile(folder.path, tracking_uri=folder.uri)
    assert close_run(folder.path, "Finished", {"train": "success"}, folder.uri)
    (version,) = store.client.search_model_versions()
    assert version.version == 1
    (run,) = [run for run in store.runs() if run.info.run_id == version.run_id]
    assert run.info.status == "FINISHED"
    assert version.tags["aml.run_id"] == run.data.tags["aml.step_run_id"]
