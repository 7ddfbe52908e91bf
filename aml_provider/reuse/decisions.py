"""What is decided about the steps of a run, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from aml_provider.reuse.fingerprint import Fingerprint, declared_names
from aml_provider.reuse.records import Record
from aml_provider.spec.models import Step, StoredOutput


class Verdict(str, Enum):
    """What happens to a step."""

    REUSE = "reuse"
    RUN = "run"
    DEPENDS = "depends"


class How(str, Enum):
    """Why an earlier result may stand for a step's."""

    FINGERPRINT = "fingerprint"
    PINNED = "pinned"
    ASSUMED = "assumed"


@dataclass(frozen=True)
class Decision:
    """What happens to one step, and why.

    :param reason: a sentence without its full stop.
    :param fingerprint: ``None`` when it is not known (yet).
    :param record: the earlier result that is used, for a step that is reused.
    :param outdated: there is an earlier result of the same, which is too old or not there any more: what the step
        computes now takes its place.
    """

    step: Step
    verdict: Verdict
    reason: str
    fingerprint: Fingerprint | None = None
    record: Record | None = None
    how: How = How.FINGERPRINT
    notes: tuple[str, ...] = ()
    outdated: bool = False

    @property
    def told(self) -> str:
        """The reason, and where the result of a reused step comes from."""
        return told([self])

    @property
    def source(self) -> str | None:
        """The pipeline run that computed the result of a reused step."""
        return self.record.run.get("pipeline_run_id") if self.record is not None else None

    @cached_property
    def outputs(self) -> dict[str, StoredOutput]:
        """The outputs of a reused step, by the names that they have in it."""
        return outputs_for(self.step, self.record) if self.record is not None else {}


@dataclass(frozen=True)
class Options:
    """What a person asked of one run.

    :param regenerate: every step runs but those of ``assume_unchanged``; v1's ``regenerate_outputs``.
    :param assume_unchanged: names of steps whose latest result is taken, whatever has changed since.
    """

    regenerate: bool = False
    assume_unchanged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Decisions about all steps, in the spec's order."""

    decisions: dict[str, Decision] = field(default_factory=dict)

    def of(self, verdict: Verdict) -> list[Decision]:
        """The steps that this happens to."""
        return [d for d in self.decisions.values() if d.verdict is verdict]

    @property
    def alike(self) -> list[list[Decision]]:
        """All decisions; those that are together have one verdict, one reason, and results of one run."""
        groups: dict[tuple[Verdict, str, str | None], list[Decision]] = {}
        for decision in self.decisions.values():
            groups.setdefault((decision.verdict, decision.reason, decision.source), []).append(decision)
        return list(groups.values())

    @property
    def saved_seconds(self) -> float:
        """How long the reused steps took when they ran."""
        return sum(d.record.seconds or 0.0 for d in self.of(Verdict.REUSE) if d.record is not None)

    @property
    def summary(self) -> str:
        """The plan in one line: ``3 of 5 steps reused, saving 12 min; 1 runs, 1 depends``."""
        counts = {verdict: len(self.of(verdict)) for verdict in Verdict}
        total = len(self.decisions)
        text = f"{counts[Verdict.REUSE]} of {total} step{'' if total == 1 else 's'} reused"
        if counts[Verdict.REUSE]:
            text += f", saving {duration(self.saved_seconds)}"
        words = {Verdict.RUN: "run", Verdict.DEPENDS: "depend"}
        rest = [f"{counts[v]} {word}{'s' if counts[v] == 1 else ''}" for v, word in words.items() if counts[v]]
        return f"{text}; {', '.join(rest)}" if rest else text


def told(alike: Sequence[Decision]) -> str:
    """What is to be said of steps that are :attr:`Plan.alike`: why, and where the results of reused ones come from."""
    reason, source = alike[0].reason, alike[0].source
    records = [decision.record for decision in alike if decision.record is not None]
    if not records:
        return reason
    return f"{reason}; computed by run {source}, saves {duration(sum(record.seconds for record in records))}"


def outputs_for(step: Step, record: Record) -> dict[str, StoredOutput]:
    """A result's outputs that ``step`` has as well, by its names.

    Names that nobody chose are made from the step's own name, so in the run that computed the result they may have been
    others.
    """
    names = {f"#{number}": name for number, name in enumerate(record.unnamed_outputs)}
    there = {own: names.get(declared, declared) for own, declared in declared_names(step.outputs).items()}
    return {own: record.stored[name] for own, name in there.items() if name in record.stored}


def duration(seconds: float) -> str:
    """A length of time as a person says it: ``45 s``, ``12 min``, ``3.5 h``, ``7 days``."""
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:.3g} days"
