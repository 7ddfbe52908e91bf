"""Results in the reuse index as a person names them: by the beginning of a key, by step, by experiment."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.keeping import is_in_bucket
from aml_provider.reuse.records import Record
from aml_provider.runs.layout import RunStore
from aml_provider.spec.errors import AmlError
from aml_provider.workspace.resolved import LoadedWorkspace

KEY_LETTERS = 12


def index_of(workspace: LoadedWorkspace) -> ReuseIndex:
    """The index of a workspace's default datastore, which has something in it.

    :raises AmlError: there is none.
    """
    store = RunStore.of(workspace, workspace.file.default_datastore)
    if not is_in_bucket(store) and not store.reuse.is_dir():
        raise AmlError(
            f"workspace {workspace.name!r} has no results yet: there is no folder {store.reuse}. A step's result is "
            "recorded when the step has run (`aml run FILE`)."
        )
    return ReuseIndex.of(store)


def results(index: ReuseIndex, step: str | None, experiment: str | None) -> list[Record]:
    """The results of steps and experiments whose names match, the newest first.

    :raises AmlError: there are none.
    """
    everything = list(index.all())
    found = [
        record
        for record in everything
        if (step is None or fnmatchcase(record.step["name"], step))
        and (experiment is None or fnmatchcase(str(record.run.get("experiment", "")), experiment))
    ]
    if not found:
        asked = [f"{what} {glob!r}" for what, glob in (("step", step), ("experiment", experiment)) if glob is not None]
        if everything and asked:
            known = _listed(r.step["name"] if step is not None else r.run.get("experiment", "") for r in everything)
            raise AmlError(f"no result matches {' and '.join(asked)}; there are results of {known}")
        raise AmlError("no results are recorded: a step's result is recorded when the step has run (`aml run FILE`)")
    return sorted(found, key=lambda record: (-record.created, record.fingerprint))


def result(index: ReuseIndex, key: str) -> Record:
    """The only result whose key begins so.

    :raises AmlError: there is none, or more than one, or its record is damaged.
    """
    wanted = key.strip().lower()
    folder = f"records/{wanted[:2]}" + (f"/{wanted}" if len(wanted) > 2 else "")
    names = index.store.names(folder) if wanted.isalnum() else []
    keys = [name.rpartition("/")[2].removesuffix(".json") for name in names]
    if not keys:
        raise AmlError(f"there is no result {key!r}; `aml cache ls` lists them")
    if len(keys) > 1:
        shown = ", ".join(k[: max(KEY_LETTERS, len(wanted) + 4)] for k in keys[:5])
        more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
        raise AmlError(f"{key!r} is the beginning of several keys: {shown}{more}; give more of it")
    record = index.read(keys[0])
    if record is None:
        raise AmlError(f"the record of result {keys[0]} is damaged, so it is not reused; its step runs instead")
    return record


def _listed(names: Iterable[object]) -> str:
    known = sorted({str(name) for name in names})
    return ", ".join(map(repr, known[:10])) + (f" and {len(known) - 10} more" if len(known) > 10 else "")
