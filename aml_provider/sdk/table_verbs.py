"""Operations on a step's output that is read as a table."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from aml_provider.datasets.verbs import TableVerbs, complaining
from aml_provider.spec.errors import PipelineError


@complaining(PipelineError)
class _OfOutput(TableVerbs):
    """The verbs of tables, each giving a copy of the output with one operation more."""

    def __init__(self, output: Any) -> None:
        self._output = output

    def _then(self, operation: dict[str, Any]) -> Any:
        from aml_provider.spec.operations import canonical

        other = copy.copy(self._output)
        other.operations = (*self._output.operations, *canonical([operation]))
        return other

    def _format(self) -> Mapping[str, Any]:
        form: Mapping[str, Any] = self._output.tabular.model_dump(mode="json")
        return form

    def __repr__(self) -> str:
        return repr(self._output)


def table_verbs(output: Any) -> Any:
    """The verbs of tables for a step's output."""
    return _OfOutput(output)
