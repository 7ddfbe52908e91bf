"""The claim of a step that is computed: others see that it goes on, and it sees that another run has taken it over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aml_provider.operators.lineage import LineageTask
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.runs.errors import StepOutOfSightError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from aml_provider.execution.reusing import Go
    from aml_provider.reuse.claims import Lease
    from aml_provider.runs.layout import AttemptFolder


class TakenOverError(Exception):
    """While this step was computed, another run has come to compute the same, because the claim was not renewed."""


class ClaimedTask(LineageTask):
    """The part of a step's operator that has to do with other runs which compute the same."""

    binding: PipelineBinding
    #: Why the step runs and what its result depends on; set before it does.
    go: Go
    taken_over: bool = False
    #: Whether another run had the claim when this task came back to a computation.
    claimed_by_another: bool = False
    #: The claim, while it is held.
    lease: Lease | None = None
    _event: dict[str, Any] | None = None

    if TYPE_CHECKING:
        log: Any
        defer: Any
        execute: Any

    def wait_for(self, key: str) -> None:
        """Wait until nobody computes this any more, without a process.

        :raises TaskDeferred: always.
        """
        from aml_provider.triggers.claim import ClaimTrigger

        self.defer(trigger=ClaimTrigger.at(self.binding.store, key), method_name="resume_after_claim")

    def let_go(self) -> None:
        """Two runs never compute the same: the one that could not say that it lives stops."""
        self.log.warning("Another run has taken this step over; it is stopped here, and that run's result waited for")
        self.taken_over = True
        self.stop_computing()

    def stop_computing(self) -> None:
        """Stop what computes the step; whoever waits for its end goes on then."""

    def check_still_ours(self, run: StepRun, attempt: AttemptFolder) -> None:
        """Use nothing of an attempt of a step that another run computes.

        :raises TakenOverError: it does.
        """
        from aml_provider.execution.commit import TAKEN_OVER, commit_failure

        if self.taken_over:
            commit_failure(run, attempt, attempt.report(), TAKEN_OVER, canceled=True)
            raise TakenOverError

    @contextmanager
    def holding(self, lease: Lease | None) -> Iterator[None]:
        """Around the computation: others see that it goes on; when it has ended, that it has.

        A task that is deferred has not ended; neither may one whose engine does not answer. The claim stays, as long as
        somebody renews it or the step shows that it lives.
        """
        from airflow.sdk.exceptions import TaskDeferred

        self.lease = lease
        if lease is None:
            yield
            return
        lease.start(self.let_go)
        try:
            yield
        except (TaskDeferred, StepOutOfSightError):
            lease.stop()
            raise
        except BaseException:
            lease.release()
            raise
        lease.release()

    def resume_after_claim(self, context: Context, event: dict[str, Any]) -> Any:
        """Come back from waiting for another run's computation: look again."""
        self._event = event
        return self.execute(context)

    def lost_run(self) -> str:
        """Who showed no life any more, as its claim has it, and has been taken over: what it left is stopped."""
        return self.go.lease.taken_from if self.go.lease is not None else ""

    def lives_in(self, run: StepRun, number: int) -> None:
        """Tell those who wait that an earlier attempt is followed: its signs of life count."""
        from aml_provider.execution.reusing import heartbeat

        if self.go.lease is not None:
            self.go.lease.update(heartbeat=heartbeat(run, number))

    @contextmanager
    def holding_again(self, run: StepRun, attempt: AttemptFolder) -> Iterator[None]:
        """:meth:`holding` of what this step run claimed before it was deferred.

        :raises TaskDeferred: it has been stopped inside, and another run's result is waited for.
        """
        from aml_provider.execution.reusing import claim_again
        from aml_provider.reuse.claims import Claim

        held = claim_again(run, attempt)
        lease = None if isinstance(held, Claim) else held
        self.taken_over, self.claimed_by_another = False, isinstance(held, Claim)
        try:
            with self.holding(lease):
                yield
        except TakenOverError:
            assert held is not None
            self.wait_for(held.key if isinstance(held, Claim) else held.claim.key)
