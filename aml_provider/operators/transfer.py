"""Moving data between datastores in hand-written DAGs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from aml_provider.execution.templates import is_template
from aml_provider.operators.stopping import Stoppable, Stopped
from aml_provider.spec.errors import AmlError, PipelineError
from aml_provider.storage.transfer.options import Options, Overwrite, PlaceType, Verify
from aml_provider.workspace.resolved import memory_bytes

if TYPE_CHECKING:
    from enum import Enum

    from airflow.sdk import Context


class DataTransferOperator(Stoppable, BaseOperator):
    """Moves a file or a folder from one datastore of a workspace to another.

    Every file appears whole at the destination, in the place of what was there. A retry does not move again what has
    arrived. Credentials come from the datastores' Airflow connections. The task's XCom is a summary: files, bytes,
    seconds, what was there already.

    :param source: a place in a datastore, like ``workspaceblobstore:titanic/``; a slash at the end says that it is a
        folder. Templated.
    :param destination: likewise. Templated.
    :param query: a query to the database ``source``, which then names only the datastore: ``warehouse:``. Templated.
    :param include: patterns as in ``.gitignore`` of the files that are moved; default: all. Templated.
    :param exclude: patterns as in ``.gitignore`` of files and folders that are not. Templated.
    :param overwrite: what happens to a file that is there already; a table is replaced by default, and
        ``append`` adds rows to it. ``different``: it is replaced unless it is
        identical; ``always``; ``never``; ``fail``: nothing is moved if there is one that is not identical.
    :param mirror: remove files at the destination that the source does not have, after all else has arrived.
    :param verify: ``checksum``: content is compared; ``size``: only sizes are.
    :param source_type: ``file`` or ``directory``: what the source must be; default: what is there.
    :param destination_type: ``file`` or ``directory``: what the destination stands for; default: what is there, else
        what the source is.
    :param workers: how many files, or parts of big files, are moved at once.
    :param memory: how much of the files' contents is in memory at once, like ``64Mi``.
    :param workspace: path of the workspace file, relative to the DAG file; default: the one that a pipeline file there
        would find. Templated.
    """

    template_fields = ("source", "destination", "query", "include", "exclude", "workspace")

    def __init__(
        self,
        *,
        source: str,
        destination: str,
        query: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        overwrite: str = "different",
        mirror: bool = False,
        verify: str = "checksum",
        source_type: str | None = None,
        destination_type: str | None = None,
        workers: int = 8,
        memory: str = "32Mi",
        workspace: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.destination = destination
        self.query = query
        self.include = include
        self.exclude = exclude
        self.overwrite = overwrite
        self.mirror = mirror
        self.verify = verify
        self.source_type = source_type
        self.destination_type = destination_type
        self.workers = workers
        self.memory = memory
        self.workspace = workspace
        # What no template changes is checked where the author sees it.
        self._options(*(() if is_template(value) else value for value in (include, exclude)))

    def _options(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Options:
        name = f"Task {self.task_id!r}"
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or self.workers < 1:
            raise PipelineError(f"{name}: workers is {self.workers!r}; give a number of at least 1.")
        if not isinstance(self.mirror, bool):
            raise PipelineError(f"{name}: mirror is {self.mirror!r}; give True or False.")
        for parameter in ("query", "workspace"):
            value = getattr(self, parameter)
            if value is not None and not isinstance(value, (str, Path)) and not is_template(value):
                raise PipelineError(f"{name}: {parameter} is {value!r}, which is no text.")
        try:
            memory = memory_bytes(str(self.memory))
        except ValueError as error:
            raise PipelineError(f"{name}: memory: {error}.") from None
        return Options(
            include=_patterns(name, "include", include),
            exclude=_patterns(name, "exclude", exclude),
            overwrite=_word(name, "overwrite", self.overwrite, Overwrite),
            verify=_word(name, "verify", self.verify, Verify),
            mirror=self.mirror,
            workers=self.workers,
            memory=memory,
            source_type=_type(name, "source_type", self.source_type),
            destination_type=_type(name, "destination_type", self.destination_type),
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Move the data; the summary is the task's XCom."""
        from aml_provider.execution.transferring import journals, may_work_later, place_of
        from aml_provider.storage.transfer import transfer
        from aml_provider.workspace.discovery import load_workspace

        try:
            folder = Path(self.dag.fileloc).parent
            workspace = load_workspace(folder / self.workspace if self.workspace else None, beside=folder)
            source = place_of(self.source, "source", workspace, self.query)
            destination = place_of(self.destination, "destination", workspace)
            options = self._options(self.include, self.exclude)
            with self.stoppable():
                summary = transfer(source, destination, options, state=journals(workspace), say=self.log.info)
        except Stopped:
            raise AirflowFailException(
                "the transfer was stopped before its end; what has arrived is whole, and is not moved again"
            ) from None
        except AmlError as error:
            raise (AirflowException if may_work_later(error) else AirflowFailException)(str(error)) from None
        return summary.as_dict()


def _word(name: str, parameter: str, value: Any, words: type[Enum]) -> Any:
    try:
        return words(value)
    except ValueError:
        known = ", ".join(repr(word.value) for word in words)
        raise PipelineError(f"{name}: {parameter} is {value!r}; it can be {known}.") from None


def _type(name: str, parameter: str, value: str | None) -> PlaceType | None:
    return None if value is None else PlaceType(_word(name, parameter, value, PlaceType))


def _patterns(name: str, parameter: str, value: Any) -> tuple[str, ...]:
    if (
        isinstance(value, str)
        or not isinstance(value, Iterable)
        or not all(isinstance(pattern, str) for pattern in value)
    ):
        raise PipelineError(f"{name}: {parameter} is {value!r}; give a list of patterns as in .gitignore.")
    return tuple(value)
