"""``run.experiment`` and ``run.experiment.workspace`` inside a step: what they are called, and no more."""

from __future__ import annotations

from .unavailable import unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, NoReturn


class StepWorkspace:
    """The workspace's name and place. Everything that would call the service says what to do instead."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.name: str = facts.get("name") or ""
        self.subscription_id: str = facts.get("subscription_id") or ""
        self.resource_group: str = facts.get("resource_group") or ""
        self.location: str = facts.get("location") or "local"

    def get_details(self) -> dict[str, str]:
        """Name and location, the part of v1's details that exists here."""
        return {"name": self.name, "location": self.location}

    def get_default_datastore(self) -> NoReturn:
        """Not inside a step.

        :raises NotAvailableInStepError: always.
        """
        raise unavailable(
            "Workspace.get_default_datastore()", "give the data to the step as an input, or declare an output."
        )

    def get_default_keyvault(self) -> NoReturn:
        """Not inside a step.

        :raises NotAvailableInStepError: always.
        """
        raise unavailable("Workspace.get_default_keyvault()", "give the secret to the step as an environment variable.")

    def get_mlflow_tracking_uri(self, with_auth: bool = False) -> str:
        """Where mlflow logs to inside the step; empty when the worker has set nothing."""
        import os

        return os.environ.get("MLFLOW_TRACKING_URI", "")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise unavailable(f"Workspace.{name}")

    def __repr__(self) -> str:
        return f"Workspace(name={self.name!r})"


class StepExperiment:
    """The experiment's name and workspace."""

    def __init__(self, name: str, workspace: StepWorkspace) -> None:
        self.name = name
        self.id = name
        self.workspace = workspace

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise unavailable(f"Experiment.{name}")

    def __repr__(self) -> str:
        return f"Experiment(name={self.name!r}, workspace={self.workspace.name!r})"
