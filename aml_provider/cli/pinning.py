"""``aml cache pin`` and ``aml cache unpin``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aml_provider.cli.inspect import collect
from aml_provider.cli.results import KEY_LETTERS, result
from aml_provider.reuse.contents import Contents
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.plan import duration
from aml_provider.reuse.records import Record
from aml_provider.runs.binding import PipelineBinding
from aml_provider.spec.errors import AmlError, PipelineError
from aml_provider.spec.graph import check_step_names
from aml_provider.spec.models import Step
from aml_provider.storage.digest_cache import DigestCache


def pin_step(file: Path, name: str, key: str | None, *, latest: bool, note: str) -> None:
    """Pin a step of every pipeline in ``file`` that has one of this name.

    :raises AmlError: there is no such step or result, several steps have the name, or the step cannot use that result.
    """
    if (key is None) is not latest:
        raise AmlError("say which result to pin: its key (`aml cache ls` lists them), or --latest")
    steps = list(_steps(file, name))
    for binding, _ in steps:
        check_step_names(binding.spec, [name])
    chosen = [
        (binding, step, _chosen(binding, step, result(_index(binding), key) if key is not None else None))
        for binding, step in steps
    ]
    for binding, step, record in chosen:
        experiment = binding.spec.submit.experiment
        _index(binding).pin(experiment, step.name, record.fingerprint, note)
        print(
            f"step {step.name!r} of experiment {experiment!r} is pinned to result {record.fingerprint[:KEY_LETTERS]}, "
            f"computed by run {record.run.get('pipeline_run_id')} in {duration(record.seconds)}"
        )


def unpin_step(file: Path, name: str) -> None:
    """Take away the pin of a step in every pipeline in ``file`` that has one of this name.

    :raises AmlError: there is no such step, or it is not pinned.
    """
    steps = list(_steps(file, name))
    gone = [(b, s) for b, s in steps if _index(b).unpin(b.spec.submit.experiment, s.name)]
    for binding, step in gone:
        print(f"step {step.name!r} of experiment {binding.spec.submit.experiment!r} is not pinned any more")
    if not gone:
        experiments = ", ".join(dict.fromkeys(repr(b.spec.submit.experiment) for b, _ in steps))
        raise AmlError(f"step {name!r} of experiment {experiments} is not pinned")


def _steps(file: Path, name: str) -> Iterator[tuple[PipelineBinding, Step]]:
    found = collect(file)
    bindings = [PipelineBinding(spec, source.folder.resolve(), workspace) for spec, source, workspace in found]
    if not any(step.name == name for b in bindings for step in b.spec.steps):
        known = dict.fromkeys(step.name for b in bindings for step in b.spec.steps)
        raise PipelineError(f"there is no step {name!r}; the file has {', '.join(map(repr, known))}")
    for binding in bindings:
        # A pin is for a name, whichever of those who share it is the first.
        step = next((step for step in binding.spec.steps if step.name == name), None)
        if step is not None:
            yield binding, step


def _index(binding: PipelineBinding) -> ReuseIndex:
    return ReuseIndex.of(binding.store)


def _chosen(binding: PipelineBinding, step: Step, named: Record | None) -> Record:
    """The result that was named, or the latest one that the step can use."""
    experiment = binding.spec.submit.experiment
    with DigestCache(binding.digest_cache) as cache:
        contents = Contents(binding.workspace, cache)
        if named is not None:
            problem = _problem(step, named, contents)
            if problem is not None:
                key = named.fingerprint[:KEY_LETTERS]
                raise AmlError(f"step {step.name!r} cannot be pinned to result {key}: {problem}")
            return named
        problem = other = None
        for record in _index(binding).of_step(step.name):
            if record.run.get("experiment") == experiment:
                unfit = _problem(step, record, contents)
                if unfit is None:
                    return record
                problem = problem or unfit
            elif other is None and _problem(step, record, contents) is None:
                other = record
    if problem is not None:
        why = f"the latest one cannot be used: {problem}"
    else:
        why = (
            "it has none of its own yet"
            if step.allow_reuse
            else "it has allow_reuse=False, and no result of it is kept"
        )
        if other is not None:
            why += (
                f"; its name has one of experiment {other.run.get('experiment')!r}, which is pinned by its key: "
                f"{other.fingerprint[:KEY_LETTERS]}"
            )
    raise AmlError(f"step {step.name!r} of experiment {experiment!r} has no result that could be pinned: {why}")


def _problem(step: Step, record: Record, contents: Contents) -> str | None:
    """Why a step cannot use a result."""
    if record.step["name"] != step.name:
        return f"it is a result of step {record.step['name']!r}"
    missing = sorted({output.name for output in step.outputs} - set(record.outputs))
    if missing:
        return f"it has no output {missing[0]!r}"
    for name, place in record.outputs.items():
        try:
            content = contents.at(place["datastore"], place["path"])
        except (AmlError, OSError) as e:
            return f"output {name!r} cannot be looked at: {e}"
        if content is None or content.digest != place["digest"]:
            what = "is gone" if content is None else "has been changed"
            return f"output {name!r} {what} ({place['datastore']}:{place['path']})"
    return None
