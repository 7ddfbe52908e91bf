"""What an operator knows about its step before it runs, and what a task instance adds to it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from aml_provider.runs.layout import RunFolder, RunStore, StepFolder
from aml_provider.spec.models import PipelineSpec, Step, StoredOutput
from aml_provider.workspace.resolved import LoadedWorkspace, ResolvedCompute
from aml_provider.workspace.reuse_settings import StepReuse, step_reuse

Outputs = Mapping[str, StoredOutput]


@dataclass(frozen=True)
class PipelineBinding:
    """A pipeline on this machine: shared by all operators of one DAG.

    :param folder: where the pipeline file is; relative source directories start here.
    """

    spec: PipelineSpec
    folder: Path
    workspace: LoadedWorkspace

    @cached_property
    def provisioned(self) -> dict[str, Any]:
        """Compute targets that the pipeline file creates itself, by name."""
        return {c.name: c for c in self.spec.compute}

    @cached_property
    def steps(self) -> dict[str, Step]:
        """The pipeline's steps by key."""
        return {step.key: step for step in self.spec.steps}

    @cached_property
    def _computes(self) -> dict[str | None, ResolvedCompute]:
        return {}

    def compute_of(self, step: Step) -> ResolvedCompute:
        """The compute target of ``step``."""
        # Many steps, few targets: each is resolved once per parse.
        name = step.compute_target
        if name not in self._computes:
            self._computes[name] = self.workspace.compute(name, self.provisioned)
        return self._computes[name]

    @cached_property
    def _reuses(self) -> dict[str, StepReuse]:
        return {}

    def reuse_of(self, step: Step) -> StepReuse:
        """How the workspace file wants results of ``step`` to be reused."""
        known = self._reuses.get(step.name)
        if known is None:
            known = self._reuses[step.name] = step_reuse(self.workspace.file.reuse, step.name)
        return known

    def source_directory(self, step: Step) -> Path | None:
        """The source directory of ``step`` on this machine, ``None`` for a command that needs no code."""
        return None if step.source_directory is None else (self.folder / step.source_directory).resolve()

    @property
    def digest_cache(self) -> Path:
        """Folder of the digests of files that this machine has read."""
        return self.workspace.state / "cache"

    @cached_property
    def store(self) -> RunStore:
        """Where attempts, logs and results of this pipeline's runs are kept."""
        return RunStore.of(self.workspace, self.spec.default_datastore)


@dataclass(frozen=True)
class StepRun:
    """One step in one pipeline run: everything its attempts share.

    :param parameters: the pipeline parameters' values in this run.
    :param outputs_of: gives the outputs of an upstream step by its key.
    """

    binding: PipelineBinding
    step: Step
    dag_id: str
    run_id: str
    parameters: Mapping[str, Any]
    outputs_of: Callable[[str], Outputs]

    @property
    def pipeline_run_id(self) -> str:
        """Identity of the pipeline run, the same in every process and legal in paths."""
        return pipeline_run_id(self.dag_id, self.run_id)

    @property
    def step_run_id(self) -> str:
        """Identity of the step run; v1's ``{run-id}`` in output paths."""
        return step_run_id(self.dag_id, self.run_id, self.step.key)

    @property
    def compute(self) -> ResolvedCompute:
        """The step's compute target."""
        return self.binding.compute_of(self.step)

    @property
    def is_carried(self) -> bool:
        """Whether the step's files travel through an object store, since its pod shares no volume with the worker."""
        return self.compute.settings.shared_volume is False

    @property
    def run_folder(self) -> RunFolder:
        """The pipeline run's folder in the run store."""
        return self.binding.store.run(self.dag_id, self.run_id)

    @property
    def folder(self) -> StepFolder:
        """The step's folder in the run store."""
        return self.run_folder.step(self.step.key)


def pipeline_run_id(dag_id: str, run_id: str) -> str:
    """A readable, collision-free name for a DAG run: hash of (dag_id, run_id) behind the DAG's name."""
    digest = hashlib.sha256(f"{dag_id}\0{run_id}".encode()).hexdigest()[:12]
    return f"{_slug(dag_id)}-{digest}"


def step_run_id(dag_id: str, run_id: str, task_id: str) -> str:
    """The step run's name: its pipeline run, its own name and a hash of both."""
    digest = hashlib.sha256(f"{dag_id}\0{run_id}\0{task_id}".encode()).hexdigest()[:12]
    return f"{_slug(dag_id)}-{_slug(task_id)}-{digest}"


@lru_cache(maxsize=2048)
def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:24].rstrip("-") or "x"
