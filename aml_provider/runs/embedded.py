"""How the process of an embedded run, its submitter and later programs know of each other."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aml_provider.runs.layout import read_json

#: Set in the process of an embedded run: its folder.
EMBEDDED_VARIABLE = "AML_EMBEDDED_RUN"
# In that folder: the run was cancelled.
CANCEL_FILE = "cancel"
STATE_FILE = "state.json"


@dataclass(frozen=True)
class EmbeddedFolder:
    """The folder of an embedded run's own Airflow."""

    path: Path

    def state(self) -> dict[str, Any] | None:
        """Airflow's run id, the process's ``pid`` and ``host``, the run's ``state`` and the ``steps``, as last seen."""
        return read_json(self.path / STATE_FILE)

    @property
    def process(self) -> int | None:
        """The id of its process; ``None`` when it has ended, or was killed."""
        pid = int((self.state() or {}).get("pid") or 0)
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes() if pid else b""
        except OSError:
            return None
        # Process ids are used again.
        return pid if b"embedded_worker" in command and os.fsencode(self.path) in command else None

    @property
    def gone(self) -> bool:
        """Whether its process is known not to be there any more; that of another machine is not seen here."""
        state = self.state()
        return state is not None and state.get("host") == socket.gethostname() and self.process is None
