"""What there is to say about one step: as it would be now, and as it was in an earlier run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aml_provider.cli.plan import Planned, fingerprint_of
from aml_provider.reuse.changes import Change, input_files
from aml_provider.reuse.explain import Difference, nearest, shared_folder_hint
from aml_provider.reuse.fingerprint import Fingerprint, declared_name
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.manifests import files_of_input
from aml_provider.reuse.plan import Decision, Verdict
from aml_provider.reuse.records import Record
from aml_provider.runs.layout import RunFolder, RunStore, read_json
from aml_provider.spec.errors import AmlError, PipelineError
from aml_provider.spec.models import Step
from aml_provider.submission.recorded import RunNotFoundError, find_recorded
from aml_provider.workspace.resolved import LoadedWorkspace


@dataclass(frozen=True)
class Explained:
    """A step, what happens or happened to it, and why.

    :param run: the pipeline run that it was in; ``None``: it would be in the next one.
    :param parts: what its fingerprint is made of; ``None``: that is not known.
    :param record: the earlier result that stands for it.
    :param files: its snapshot's files.
    :param assuming: names of steps that have to run first; parts and changes are those that it will have if they write
        what they wrote last time.
    :param told: what was said of the changes at the time of the run, when the results of that time are gone.
    """

    experiment: str
    name: str
    key: str
    run: str | None
    verdict: str
    reason: str
    fingerprint: str | None = None
    record: Record | None = None
    parts: Mapping[str, Any] | None = None
    files: Mapping[str, str] | None = None
    difference: Difference | None = None
    changes: tuple[Change, ...] = ()
    hint: str | None = None
    notes: tuple[str, ...] = ()
    assuming: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


# --- as it would be now -----------------------------------------------------------------------------------------


def explain_planned(pipeline: Planned, name: str) -> Iterator[Explained]:
    """The steps of a planned pipeline with this name."""
    for step in pipeline.steps_called(name):
        decision = pipeline.plan.decisions[step.key]
        if decision.verdict is not Verdict.DEPENDS:
            yield _explain(pipeline, decision)
            continue
        before = running_before(pipeline, step)
        assumed = pipeline.assuming(before)
        then = assumed.plan.decisions[step.key]
        if then.verdict is Verdict.DEPENDS:
            # Of some of them, nothing is known from last time.
            yield _explain(pipeline, decision)
        else:
            # What it will be, but what is known now: that depends.
            now = {"verdict": decision.verdict.value, "reason": decision.reason, "assuming": before}
            yield replace(_explain(assumed, then), **now)


def running_before(pipeline: Planned, step: Step) -> tuple[str, ...]:
    """Names of the steps that have to run before ``step``, or depend on others that do."""
    found: dict[str, None] = {}
    waiting = [*step.upstream]
    while waiting:
        decision = pipeline.plan.decisions[waiting.pop(0)]
        if decision.verdict is not Verdict.REUSE and decision.step.name not in found:
            found[decision.step.name] = None
            waiting += decision.step.upstream
    return tuple(found)


def _explain(pipeline: Planned, decision: Decision) -> Explained:
    step, index, fingerprint, record = decision.step, pipeline.planner.index, decision.fingerprint, decision.record
    found = Explained(
        pipeline.experiment,
        step.name,
        step.key,
        None,
        decision.verdict.value,
        decision.reason,
        fingerprint_of(decision),
        record,
        notes=decision.notes,
    )
    if fingerprint is not None:
        found = replace(found, parts=fingerprint.parts, files=fingerprint.files)
    elif record is not None:
        found = replace(found, **_of_record(record, index))
    difference = pipeline.difference(decision)
    if fingerprint is None or difference is None:
        return found
    changes = difference.changes
    if difference.record is not None:
        changes += tuple(input_files(difference.record, fingerprint.parts, index, _LookAt(pipeline, step)))
    hint = shared_folder_hint(
        step.name,
        None if pipeline.binding.reuse_of(step).include else step.source_directory,
        fingerprint.parts,
        difference.changes,
        sum(other.source_directory == step.source_directory for other in pipeline.spec.steps) - 1,
    )
    return replace(found, difference=difference, changes=changes, hint=hint)


@dataclass(frozen=True)
class _LookAt:
    """Lists the files of a step's inputs as they are now."""

    pipeline: Planned
    step: Step

    def __call__(self, name: str, digest: str) -> Mapping[str, str] | None:
        source = next(i for i in self.step.inputs if declared_name(self.step.inputs, i) == name)
        return files_of_input(self.pipeline.step_run(self.step), source, self.pipeline.planner.contents, digest)


# --- as it was in a run -----------------------------------------------------------------------------------------


def explain_recorded(workspace: LoadedWorkspace, run: str, step: str | None) -> Iterator[Explained]:
    """The steps of an earlier run, or those of them with one name.

    :param run: its pipeline run id, or ``DAG id/run id``.
    :raises AmlError: there is no record of the run.
    :raises PipelineError: it has no such step.
    """
    index = ReuseIndex.of(RunStore.of(workspace, workspace.file.default_datastore))
    try:
        found = find_recorded(workspace, run)
    except RunNotFoundError as error:
        raise _only_its_results(run, index) or error from None
    identity, folder, record = found.pipeline_run_id, RunFolder(found.folder), found.record
    steps = record["steps"]
    wanted = [s for s in steps if step is None or step in (s["name"], s["task_id"])]
    if not wanted:
        known = ", ".join(repr(s["name"]) for s in steps)
        raise PipelineError(f"there is no step {step!r} in run {identity}; it has {known}")
    folders = {s["task_id"]: _details(folder, s["task_id"], index).get("source_directory") for s in steps}
    for s in wanted:
        same = list(folders.values()).count(folders[s["task_id"]]) - 1
        yield _recorded(str(record["experiment"]), identity, folder, s["name"], s["task_id"], index, same)


def _only_its_results(run: str, index: ReuseIndex) -> AmlError | None:
    """What to say of a run of which only results are known: machines share a bucket, and no folders of runs."""
    for record in index.all():
        if run in (record.run.get("pipeline_run_id"), f"{record.run.get('dag_id')}/{record.run.get('run_id')}"):
            return AmlError(
                f"run {run!r} has left results here and no record of itself: it ran on another machine, which can "
                "explain it, or its folder has been removed; "
                f"`aml cache show {record.fingerprint[:12]}` tells of a result"
            )
    return None


def _recorded(
    experiment: str, run: str, folder: RunFolder, name: str, key: str, index: ReuseIndex, others: int
) -> Explained:
    result = folder.result(key) or {}
    reused = result.get("reused")
    if reused:
        record = index.read(reused["fingerprint"])
        found = Explained(
            experiment, name, key, run, Verdict.REUSE.value, reused["reason"], reused["fingerprint"], record
        )
        return found if record is None else replace(found, **_of_record(record, index))
    kept = _kept(folder, key)
    if not kept:
        planned = folder.plan().get("steps", {}).get(key) or {}
        why = planned.get("reason") or "nothing has been decided about it"
        return Explained(experiment, name, key, run, planned.get("verdict") or "unknown", why)
    why, *told = kept.get("why") or ["no reason was kept"]
    found = Explained(experiment, name, key, run, Verdict.RUN.value, why, kept.get("key"))
    if "key" not in kept:
        return found
    parts, details = kept["parts"], kept["details"]
    files = index.manifest(parts["code"]) if parts.get("code") else None
    fingerprint = Fingerprint(kept["key"], parts, details, files or {})
    found = replace(found, parts=parts, files=files)
    difference = nearest(fingerprint, name, index, before=kept["created"])
    if difference.record is None:
        return replace(found, difference=difference, told=tuple(told))
    changes = difference.changes + tuple(input_files(difference.record, parts, index, lambda name, digest: None))
    directory = None if details.get("include") else details.get("source_directory")
    hint = shared_folder_hint(name, directory, parts, difference.changes, others)
    return replace(found, difference=difference, changes=changes, hint=hint)


def _details(folder: RunFolder, key: str, index: ReuseIndex) -> Mapping[str, Any]:
    """What a step's fingerprint, its own or that of the result it reused, keeps besides the ingredients."""
    reused = (folder.result(key) or {}).get("reused")
    if reused:
        record = index.read(reused["fingerprint"])
        return (record.parts.get("details") or {}) if record is not None else {}
    return _kept(folder, key).get("details") or {}


def _kept(folder: RunFolder, key: str) -> dict[str, Any]:
    attempts = folder.step(key).attempts()
    try:
        return (read_json(attempts[-1].fingerprint) or {}) if attempts else {}
    except ValueError as e:
        raise AmlError(f"{attempts[-1].fingerprint} cannot be read: {e}") from None


def _of_record(record: Record, index: ReuseIndex) -> dict[str, Any]:
    parts = record.parts.get("key") or {}
    return {"parts": parts, "files": index.manifest(parts["code"]) if parts.get("code") else None}


def is_file(target: str) -> bool:
    """Whether a person who types this means a pipeline file and not a run."""
    return target.endswith((".py", ".ipynb")) or Path(target).exists()
