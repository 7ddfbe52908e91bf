"""v1 ``azureml.widgets``: in a terminal, a widget is printed text."""

from __future__ import annotations

import sys
from typing import Any

from aml_provider.sdk.null import NullObject
from aml_provider.sdk.progress import table


class RunDetails:
    """Shows a run.

    :param run_instance: the run that ``submit`` returned.
    """

    def __init__(self, run_instance: Any) -> None:
        self._run = run_instance

    def show(self, render_lib: Any = None, widget_settings: Any = None) -> None:
        """Print the run's steps as they are now (v1 drew a widget that went on changing)."""
        if isinstance(self._run, NullObject):
            return
        backend = self._run._backend
        table(backend, backend.state(), sys.stdout)

    def get_widget_data(self, widget_settings: Any = None) -> dict[str, Any]:
        """What is shown, as data."""
        if isinstance(self._run, NullObject):
            return {}
        steps = [
            {"name": s.name, "status": s.state.value, "seconds": s.seconds, "metrics": dict(s.metrics)}
            for s in self._run._backend.steps()
        ]
        return {"status": self._run.get_status(), "run_id": self._run.id, "child_runs": steps}
