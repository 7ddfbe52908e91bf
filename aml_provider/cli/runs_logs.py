"""Logs of a run's steps, as they are and as they grow."""

from __future__ import annotations

import sys

from aml_provider.cli.runs_found import steps_named, the_run
from aml_provider.sdk.backend import RunBackend
from aml_provider.sdk.progress import INTERVAL


def print_logs(name: str, step: str | None, follow: bool) -> None:
    """Print what steps have printed; of several, each line says whose it is.

    :param step: a step's name; ``None`` for all.
    :param follow: go on until the run, or the step, has ended.
    """
    run = the_run(name)
    backend = run._backend
    keys = [info.key for info in steps_named(run, step)]
    seen = dict.fromkeys(keys, 0)
    while True:
        # Asked before the logs are read: what it wrote last is there then.
        over = backend.state().is_final or all(i.state.is_final for i in backend.steps() if i.key in seen)
        for info in backend.steps():
            if info.key in seen:
                mark = "" if len(keys) == 1 else f"{info.name} | "
                seen[info.key] = _print_new(backend, info.key, seen[info.key], mark)
        if over or not follow:
            return
        backend.wait(INTERVAL)


def _print_new(backend: RunBackend, key: str, seen: int, mark: str) -> int:
    while True:
        text, now = backend.new_log(key, seen)
        if now == seen:
            return seen
        seen = now
        for line in text.splitlines():
            sys.stdout.write(f"{mark}{line}\n")
        sys.stdout.flush()
