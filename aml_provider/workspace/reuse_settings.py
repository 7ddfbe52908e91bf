"""What the workspace file says about reusing a step's results, put together for one step."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from .model import ReuseConfig


@dataclass(frozen=True)
class StepReuse:
    """How one step's results are reused.

    :param include: patterns of the files that belong to the step; empty for all.
    :param ignore_parameters: globs of pipeline parameters whose value does not count.
    :param age_limit_seconds: a result older than this is not reused; ``None`` for no limit.
    """

    include: tuple[str, ...] = ()
    ignore_parameters: tuple[str, ...] = ()
    age_limit_seconds: float | None = None

    def ignores(self, parameter: str) -> bool:
        """Whether the value of this pipeline parameter does not count."""
        return any(fnmatchcase(parameter, pattern) for pattern in self.ignore_parameters)


def step_reuse(config: ReuseConfig, step: str) -> StepReuse:
    """The settings of the step with this name: those of the workspace, and those of every entry that matches it.

    Parameters to ignore add up; of the rest, the last entry that has it decides.
    """
    ignored = list(config.ignore_parameters)
    include: tuple[str, ...] = ()
    limit = config.age_limit
    for pattern, settings in config.steps.items():
        if fnmatchcase(step, pattern):
            ignored += settings.ignore_parameters
            include = settings.include or include
            limit = settings.age_limit or limit
    return StepReuse(include, tuple(ignored), limit.total_seconds() if limit is not None else None)
