"""How a step can end badly, told apart by what Airflow should do about it."""

from __future__ import annotations

from aml_provider.spec.errors import AmlError


class StepProblem(AmlError):
    """What went wrong with a step.

    :param sentence: what is wrong and what to do; the run's result keeps it.
    :param details: what only a log needs besides, such as the last lines that the command printed.
    """

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(f"{sentence}\n{details}" if details else sentence)
        self.sentence = sentence


class StepError(StepProblem):
    """A step that cannot be run as things stand; starting it again would not help."""


class StepFailedError(StepError):
    """The step's own command failed, and its runtime said so."""


class StepInterruptedError(StepProblem):
    """What ended the step was not its script: its process went away, a disk was full. Starting it again may help."""


class StepOutOfSightError(StepInterruptedError):
    """Where the step runs does not answer: it may run on, and nobody else should compute the same meanwhile."""
