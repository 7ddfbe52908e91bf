"""A program that closes the MLflow runs of a run whose closing task has not: see :mod:`aml_provider.plugin.closing`.

It may run where the run's folder is not to be seen, such as on a scheduler's machine: then it only ends, on MLflow's
server, the runs that are still open.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aml_provider.execution.lifecycle import Ending
from aml_provider.reuse.claims import Claims
from aml_provider.reuse.keeping import place_told
from aml_provider.runs.layout import RunFolder, read_json, write_json
from aml_provider.spec.errors import AmlError
from aml_provider.tracking.ledger import Ledger, locked
from aml_provider.tracking.recorder import close_run
from aml_provider.tracking.unseen import end_open_runs

# Within that time Airflow has stopped a task that a person has marked: it hears of it with its next heartbeat.
_STOPPED_SECONDS = 30.0
# A head task that closes a reused run is ended by Airflow after some seconds.
_WAIT_SECONDS = 300.0
_log = logging.getLogger(__name__)


def close(order: Mapping[str, Any]) -> None:
    """Close a run; doing it again changes nothing.

    :param order: ``folder``, ``server`` and ``experiment`` as the head task says them; ``dag_id``, ``run_id`` and
        ``state`` of the run, and ``states`` of its tasks in Airflow's words.
    """
    folder = Path(order["folder"])
    record = read_json(folder / "run.json")
    if record is not None:
        ending = _ending(folder, record, order["states"])
        state = ending.state if order["state"] == "failed" else "Finished"
        if not (folder / "end.json").exists():
            write_json(
                folder / "end.json", {"state": state, "ended": time.time(), "steps": dict(ending.states)}, compact=True
            )
        if not _is_closed(folder):
            close_run(folder, state, ending.states, order.get("server"))
    elif order.get("server"):
        run = (order["experiment"], order["dag_id"], order["run_id"], order["state"], order["states"])
        end_open_runs(order["server"], *run)


def _end_claims(claims: Sequence[Mapping[str, Any]]) -> None:
    """Let others compute what nobody behind a sensor is going to record: as soon as its task must have been stopped."""
    for told in claims:
        place = place_told(told["index"], told["run_store"], told["bucket"])
        Claims.of(place, Path(told["run_store"])).let_end(told["key"], told["owner"], _STOPPED_SECONDS)


def _is_closed(folder: Path) -> bool:
    """Whether somebody has closed the run meanwhile; whoever is at it is waited for."""
    with locked(folder, _WAIT_SECONDS):
        ledger = Ledger.load(folder)
    return ledger is not None and ledger.closed


def _ending(folder: Path, record: Mapping[str, Any], given: Mapping[str, str]) -> Ending:
    run = RunFolder(folder)
    states = {step["task_id"]: given.get(step["task_id"], "removed") for step in record["steps"]}
    return Ending.of(states, run)


def main() -> None:
    """Close the run that the file named by the first argument describes, and remove that file."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # Nobody waits for this, and others need the processor.
    os.nice(10)
    file = Path(sys.argv[1])
    order = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    try:
        if "claims" in order:
            _end_claims(order["claims"])
        else:
            close(order)
    except (AmlError, OSError) as error:
        run = f"run {order['run_id']} of {order['dag_id']}"
        if "claims" in order:
            _log.warning("the claims of %s stay until their leases end: %s", run, error)
        else:
            _log.warning("MLflow was not told that %s has ended: %s", run, error)


if __name__ == "__main__":
    main()
