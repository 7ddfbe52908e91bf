"""Waiting for a run, and its logs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from aml_provider.sdk.backend import RunBackend, RunState, StepInfo
from aml_provider.sdk.exceptions import ActivityFailedException, ExperimentExecutionException
from aml_provider.sdk.progress import failure_text, follow


class RunWaiting:
    """v1's ``wait_for_completion`` and log methods; mixed into ``Run``."""

    _backend: RunBackend
    id: Any
    get_details: Any
    _steps: Any

    def wait_for_completion(
        self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True
    ) -> Any:
        """Wait until the run has ended; ``get_details()`` then.

        :param show_output: print what it prints, as it does.
        :raises ActivityFailedException: the run failed and ``raise_on_error`` is true.
        """
        self._follow(show_output, None, raise_on_error)
        return self.get_details()

    def _follow(self, show_output: bool, timeout_seconds: float | None, raise_on_error: bool) -> str:
        # v1's "for ever" is sys.maxsize, more than any clock can count.
        limit = None if timeout_seconds is None or timeout_seconds >= sys.maxsize else float(timeout_seconds)
        try:
            state = follow(self._backend, show_output, limit)
        except KeyboardInterrupt as error:
            raise ExperimentExecutionException(
                f"Waiting for run {self.id} was interrupted; the run goes on. Stop it with run.cancel()."
            ) from error
        if not state.is_final:
            print(f"Timed out waiting for run {self.id} after {limit} s; it is {state.value}.")
        elif state is not RunState.FINISHED:
            text = failure_text(self._backend, state, logs=not show_output)
            if raise_on_error:
                raise ActivityFailedException(text)
            if show_output:
                print(text, file=sys.stderr)
        return state.value

    def get_details_with_logs(self) -> dict[str, Any]:
        """``get_details()``, with the text of the steps' logs."""
        details: dict[str, Any] = self.get_details()
        return {**details, "logFiles": {step.name: self._backend.log(step.key) for step in self._steps()}}

    def get_all_logs(self, destination: str | None = None) -> list[str]:
        """Write the log of each step to a file.

        :param destination: the folder; default: one in the current directory that is named like the run.
        :return: the files' paths.
        """
        folder = Path(destination or str(self.id))
        written = []
        steps: list[StepInfo] = self._steps()
        for step in steps:
            file = folder / step.key / "std_log.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self._backend.log(step.key), encoding="utf-8")
            written.append(str(file))
        return written
