"""Sending a journal to MLflow, from where the last sending ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aml_provider.runs.layout import OUTSIDE_FOLDER

from .journal import Event, read_new_events
from .ledger import Ledger, StepLedger
from .projection import Projection, tolerant

if TYPE_CHECKING:
    from mlflow import MlflowClient

JOURNAL = "events.jsonl"
_EVENTS_PER_BATCH = 1000


def send_journal(
    client: MlflowClient,
    run_folder: Path,
    ledger: Ledger,
    step: StepLedger,
    journal: Path,
    part: str,
    where: str,
    files: Path | None = None,
) -> None:
    """Send what is new in a journal; the ledger is saved after each batch that MLflow has accepted.

    :param part: the journal's name in the step's ledger.
    :param where: for warnings.
    :param files: the folder of the files that the journal tells of, where they are to be sent with it.
    """
    projection = Projection(client, ledger, step)
    while True:
        offset = step.offsets.get(part, 0)
        events, after = read_new_events(journal, offset, _EVENTS_PER_BATCH)
        if after == offset:
            return
        projection.send(events, where)
        if files is not None:
            _send_files(client, step.run_id, events, files, where)
        step.offsets[part] = after
        ledger.save(run_folder)


def send_outside(
    client: MlflowClient, run_folder: Path, ledger: Ledger, step: StepLedger, folder: Path, where: str
) -> None:
    """Send what programs reported to a run through its handle.

    :param folder: the folder of the step, or of the pipeline run.
    """
    outside = folder / OUTSIDE_FOLDER
    send_journal(
        client, run_folder, ledger, step, outside / JOURNAL, OUTSIDE_FOLDER, where, files=outside / "artifacts"
    )


def _send_files(client: MlflowClient, run_id: str, events: list[Event], files: Path, where: str) -> None:
    for event in events:
        if event["type"] == "artifact":
            name = str(event["path"])
            with tolerant(f"file {name!r} of {where}"):
                client.log_artifact(run_id, str(files / name), name.rpartition("/")[0] or None)
