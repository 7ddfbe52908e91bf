"""Which of its lives a pipeline file is living: read by Airflow, read by a collector, or run as a program.

Only a program has side effects. While a file is parsed or collected, ``upload``, ``register``, ``create`` and
``wait_for_completion`` do nothing, and what would be a run is a :class:`~aml_provider.sdk.null.NullObject`.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aml_provider.sdk.source import PipelineSource
    from aml_provider.spec.models import PipelineSpec
    from aml_provider.workspace.resolved import LoadedWorkspace

    Collected = tuple[PipelineSpec, PipelineSource, LoadedWorkspace]

AIRFLOW_DAG_CONTEXT = "airflow.sdk.definitions._internal.contextmanager"


class Life(Enum):
    """The life of the code that is running now."""

    PARSE = "parse"
    COLLECT = "collect"
    PROGRAM = "program"


@dataclass
class Collector:
    """One active ``collecting()`` block: the file it reads, if it said so, and what the file submitted."""

    file: Path | None
    found: list[Collected] = field(default_factory=list)
    number: int = field(default_factory=itertools.count(1).__next__)


_collectors: list[Collector] = []


def current_collector() -> Collector | None:
    """The innermost active collector."""
    return _collectors[-1] if _collectors else None


def parsed_module() -> str | None:
    """Name of the module that Airflow is parsing now, ``None`` outside a parse."""
    # Looked up, never imported: a program that does not use Airflow must not pay for importing it.
    module = sys.modules.get(AIRFLOW_DAG_CONTEXT)
    context = getattr(module, "DagContext", None)
    name = getattr(context, "current_autoregister_module_name", None)
    return name if isinstance(name, str) else None


def current_life() -> Life:
    """The life of the calling code; a collector inside a parse collects."""
    if _collectors:
        return Life.COLLECT
    if parsed_module() is not None:
        return Life.PARSE
    return Life.PROGRAM


def is_program() -> bool:
    """Whether side effects are wanted."""
    return current_life() is Life.PROGRAM


def scope() -> tuple[str, object]:
    """A token that differs between files read in one process, so that they share no state."""
    if _collectors:
        return ("collect", _collectors[-1].number)
    name = parsed_module()
    return ("program", None) if name is None else ("parse", name)


@contextmanager
def collecting(file: str | os.PathLike[str] | None = None) -> Iterator[list[Collected]]:
    """Collect what the code inside the block submits or publishes, without running any of it.

    :param file: the pipeline file that the code comes from; needed for code without a ``__file__`` (a notebook).
    :return: a list of ``(PipelineSpec, PipelineSource, LoadedWorkspace)`` in the order of submission.
    """
    collector = Collector(None if file is None else Path(os.path.abspath(file)))
    _collectors.append(collector)
    try:
        yield collector.found
    finally:
        _collectors.remove(collector)
