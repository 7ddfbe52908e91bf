"""Which steps of a run need not run: decided before any of them starts, by what has been computed before."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any

from aml_provider.reuse.announced import announce, announce_use
from aml_provider.reuse.contents import Contents
from aml_provider.reuse.decisions import Decision, How, Options, Plan, Verdict, duration, outputs_for
from aml_provider.reuse.errors import UnknownIngredientError
from aml_provider.reuse.fingerprint import Fingerprint, Fingerprinter
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.keeping import is_in_bucket
from aml_provider.reuse.records import Record
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.spec.errors import AmlError
from aml_provider.spec.graph import check_step_names
from aml_provider.spec.models import DataLocation, DatasetSource, DatastoreSource, Step, StepOutputSource, StoredOutput
from aml_provider.storage.digest_cache import DigestCache
from aml_provider.storage.gathering import is_single
from aml_provider.uncollected import uncollected

__all__ = ["Decision", "How", "Options", "Plan", "Planner", "Verdict", "duration", "outputs_for"]

# A record that is this much younger than now was written by a machine with another clock.
CLOCK_TOLERANCE_SECONDS = 3600
_NOTHING_ASKED = Options()
# Steps, from which on looking through what a plan has made takes milliseconds.
_MANY = 500


class Planner:
    """Decides about the steps of one run of a pipeline.

    :param parameters: the pipeline parameters' values in the run.
    :param index: what has been computed; default: that of the pipeline's run store.
    :param user: DAG id and run id of the run that uses what is found; ``None``: it is only told to somebody.
    """

    def __init__(
        self,
        binding: PipelineBinding,
        parameters: Mapping[str, Any],
        options: Options = _NOTHING_ASKED,
        *,
        cache: DigestCache | None = None,
        index: ReuseIndex | None = None,
        user: tuple[str, str] | None = None,
    ) -> None:
        self._user = user
        self._binding = binding
        self._parameters = parameters
        self._options = options
        self.index = index if index is not None else ReuseIndex.of(binding.store)
        self.contents = Contents(binding.workspace, cache)
        self._fingerprinter = Fingerprinter(binding, self.contents)
        self._decisions: dict[str, Decision] = {}

    def plan(self) -> Plan:
        """Decide about every step.

        :raises PipelineError: ``assume_unchanged`` names a step that the pipeline does not have, or several.
        """
        with uncollected(aging=len(self._binding.spec.steps) >= _MANY):
            return self._plan()

    def _plan(self) -> Plan:
        spec = self._binding.spec
        upstream = {s.key: s.upstream for s in spec.steps}
        check_step_names(spec, self._options.assume_unchanged)
        self._pins = self.index.pins()
        # In waves: the index may be far away, and one question about many steps is answered faster than many.
        for wave in _waves(spec.steps, upstream):
            asked: dict[str, Decision | Fingerprint | None] = {
                s.key: self._overridden(s) or self._behind_running(s, upstream[s.key]) for s in wave
            }
            open_steps = [s for s in wave if asked[s.key] is None]
            self.contents.look_at(place for step in open_steps for place in _fixed_places(step))
            for step in open_steps:
                run = StepRun(self._binding, step, "", "", self._parameters, self._outputs_of)
                asked[step.key] = self._fingerprint(run)
            keys = [f.key for f in asked.values() if isinstance(f, Fingerprint)]
            records = self.index.read_many(keys)
            self.contents.look_at(
                (place["datastore"], place["path"]) for record in records.values() for place in record.outputs.values()
            )
            for step in wave:
                found = asked[step.key]
                assert found is not None
                self._decisions[step.key] = (
                    found if isinstance(found, Decision) else self._by_record(step, found, records.get(found.key))
                )
        return Plan({s.key: self._decisions[s.key] for s in spec.steps})

    def decide(self, run: StepRun) -> Decision:
        """Decide about one step whose upstream steps have ended, by ``run.outputs_of``: the check before it starts."""
        self._pins = self.index.pins()
        found = self._overridden(run.step) or self._fingerprint(run)
        if isinstance(found, Decision):
            return found
        self._user = (run.dag_id, run.run_id) if run.run_id else None
        if self._user is not None:
            # The run may have ended, and this step have been cleared.
            announce(self._binding, *self._user, dict(run.parameters))
        return self._by_record(run.step, found, self.index.read(found.key))

    def fingerprinted(self, run: StepRun) -> Decision:
        """Only make the fingerprint of a step that runs whatever has been computed before."""
        found = self._fingerprint(run)
        if isinstance(found, Decision):
            return found
        return Decision(run.step, Verdict.RUN, "it runs whatever has been computed before", found, notes=found.notes)

    # --- what comes before the index ------------------------------------------------------------------------

    def _behind_running(self, step: Step, upstream: Sequence[str]) -> Decision | None:
        """What is said of a step before which something runs."""
        running = [up for up in upstream if self._decisions[up].verdict is not Verdict.REUSE]
        if not running:
            return None
        names = ", ".join(repr(self._binding.steps[up].name) for up in running[:3])
        more = f" and {len(running) - 3} more" if len(running) > 3 else ""
        # A step that only comes after another may read, by a path of its own, what that writes.
        reads = {s.source.step for s in step.inputs if isinstance(s.source, StepOutputSource)}
        why = f"comes after {names}{more}; reused if all that counts is as before"
        if reads & set(running):
            why = f"depends on what {names}{more} will write; reused if that and all else are as before"
        return Decision(step, Verdict.DEPENDS, why)

    @cached_property
    def _names(self) -> Counter[str]:
        return Counter(step.name for step in self._binding.spec.steps)

    def _outputs_of(self, key: str) -> Mapping[str, StoredOutput]:
        return self._decisions[key].outputs

    def _overridden(self, step: Step) -> Decision | None:
        """What a person has decided."""
        # Both together: all but these.
        if step.name in self._options.assume_unchanged:
            return self._assumed(step)
        if self._options.regenerate:
            return Decision(step, Verdict.RUN, "this run regenerates all outputs")
        pin = self._pins.get((self._binding.spec.submit.experiment, step.name))
        if pin is not None:
            return self._pinned(step, pin.key)
        if not step.allow_reuse:
            return Decision(step, Verdict.RUN, "allow_reuse is False for it")
        return None

    def _assumed(self, step: Step) -> Decision:
        experiment = self._binding.spec.submit.experiment
        problem = f"experiment {experiment!r} has computed nothing for it yet"
        for record in self.index.of_step(step.name):
            if record.run.get("experiment") != experiment or not _fits(step, record):
                continue
            problem = self._problem_with(record) or ""
            if not problem:
                return Decision(step, Verdict.REUSE, "assumed unchanged", None, record, How.ASSUMED)
        return Decision(step, Verdict.RUN, f"asked to be assumed unchanged, but {problem}")

    def _pinned(self, step: Step, key: str) -> Decision:
        record = self.index.read(key)
        problem = "its record is gone" if record is None else self._problem_with(record)
        if record is not None and not _fits(step, record):
            problem = "that result has other outputs"
        if self._names[step.name] > 1:
            # It was pinned when only one of them had it.
            problem = f"{self._names[step.name]} steps have the name {step.name!r}"
        if record is None or problem:
            return Decision(step, Verdict.RUN, f"pinned to result {key[:12]}, but {problem}")
        return Decision(step, Verdict.REUSE, f"pinned to result {key[:12]}", None, record, How.PINNED)

    def _fingerprint(self, run: StepRun) -> Decision | Fingerprint:
        try:
            return self._fingerprinter.of(run)
        except UnknownIngredientError as e:
            return Decision(run.step, Verdict.RUN, f"not known what it would compute: {e}")
        except (AmlError, OSError) as e:
            return Decision(run.step, Verdict.RUN, f"its fingerprint cannot be made: {e}")

    # --- the record -----------------------------------------------------------------------------------------

    def _by_record(self, step: Step, fingerprint: Fingerprint, record: Record | None) -> Decision:
        if record is None:
            return Decision(step, Verdict.RUN, "not computed before", fingerprint, notes=fingerprint.notes)
        problem = self._too_old(step, record) or self._problem_with(record)
        if problem is not None:
            return Decision(step, Verdict.RUN, problem, fingerprint, notes=fingerprint.notes, outdated=True)
        if self._user is not None and record.step["name"] not in self._names and is_in_bucket(self._binding.store):
            # Who removes results knows the names of a run's steps, and this result is that of another one.
            announce_use(self._binding.store, *self._user, record.fingerprint)
            if self.index.read(record.fingerprint) is None:
                return Decision(step, Verdict.RUN, "its earlier result has just been removed", fingerprint)
        return Decision(
            step, Verdict.REUSE, "nothing it depends on has changed", fingerprint, record, notes=fingerprint.notes
        )

    def _too_old(self, step: Step, record: Record) -> str | None:
        limit = self._binding.reuse_of(step).age_limit_seconds
        if limit is None:
            return None
        age = time.time() - record.created
        if age < -CLOCK_TOLERANCE_SECONDS:
            return "its result is dated in the future, so its age is not known: check the clocks of the workers"
        if age > limit:
            return f"its result is {duration(age)} old, older than the age limit of {duration(limit)}"
        return None

    def _problem_with(self, record: Record) -> str | None:
        """Why a record is not believed: its outputs are not what they were."""
        for name, place in record.outputs.items():
            try:
                content = self.contents.at(place["datastore"], place["path"])
            except (AmlError, OSError) as e:
                return f"output {name!r} of its earlier result cannot be looked at: {e}"
            if (content.digest if content is not None else None) != place["digest"]:
                what = "is gone" if content is None else "has been changed"
                return f"output {name!r} of its earlier result {what} ({place['datastore']}:{place['path']})"
        return None


def _waves(steps: Sequence[Step], upstream: Mapping[str, Sequence[str]]) -> Iterator[list[Step]]:
    """The steps in groups, each of which only needs what is in the groups before it."""
    by_key = {step.key: step for step in steps}
    order = TopologicalSorter(upstream)
    order.prepare()
    while order.is_active():
        ready = order.get_ready()
        yield [by_key[key] for key in ready]
        order.done(*ready)


def _fixed_places(step: Step) -> Iterator[tuple[str, str]]:
    """The places of inputs that are one place in every run."""
    for source in (item.source for item in step.inputs):
        locations: tuple[DataLocation, ...] = ()
        if isinstance(source, DatastoreSource):
            locations = (source.location,)
        elif isinstance(source, DatasetSource) and not source.operations:
            locations = source.locations
        if is_single(locations):
            yield locations[0].datastore, locations[0].path


def _fits(step: Step, record: Record) -> bool:
    return len(outputs_for(step, record)) == len(step.outputs)
