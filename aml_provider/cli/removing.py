"""``aml cache forget`` and ``aml cache gc``."""

from __future__ import annotations

from collections.abc import Iterable

from aml_provider.cli.amounts import size
from aml_provider.cli.results import KEY_LETTERS, index_of, result, results
from aml_provider.cli.running import is_over
from aml_provider.reuse.announced import announced_runs
from aml_provider.reuse.gc import Collection, Collector, Selection
from aml_provider.reuse.records import Record
from aml_provider.reuse.uses import running_runs
from aml_provider.runs.layout import RunStore
from aml_provider.spec.errors import AmlError
from aml_provider.workspace.discovery import load_workspace


def forget_results(keys: list[str], step: str | None, experiment: str | None, *, dry_run: bool) -> None:
    """Remove records and nothing else. A pinned one stays, unless its key is given: then it is an error.

    :raises AmlError: it is not said which, there are none, or one that was named is pinned.
    """
    by_name = step is not None or experiment is not None
    if bool(keys) == by_name:
        raise AmlError("say which results to forget: their keys, or --step and --experiment")
    index = index_of(load_workspace())
    pins = {pin.key: pin for pin in index.certain_pins().values()}
    found = results(index, step, experiment) if by_name else [result(index, key) for key in keys]
    for record in found if keys else ():
        pin = pins.get(record.fingerprint)
        if pin is not None:
            raise AmlError(
                f"result {record.fingerprint[:KEY_LETTERS]} is pinned for step {pin.step!r} of experiment "
                f"{pin.experiment!r}; unpin that first (`aml cache unpin FILE {pin.step}`)"
            )
    for record in _once(found):
        if record.fingerprint in pins:
            print(f"{_named(record)}: pinned, kept")
        elif dry_run:
            print(f"{_named(record)}: would be forgotten")
        else:
            index.forget(record.fingerprint)
            print(f"{_named(record)}: forgotten")


def collect_results(selection: Selection, *, dry_run: bool) -> None:
    """Remove results with their data, and print what becomes of each, and how many bytes that makes free.

    :raises AmlError: nothing is selected by anything, or there are no results.
    """
    if selection == Selection():
        raise AmlError(
            "say what to remove: --older-than, --larger-than, --keep-bytes, --step or --experiment (`--step '*'` is "
            "everything that nobody needs)"
        )
    workspace = load_workspace()
    index = index_of(workspace)
    if selection.step is not None or selection.experiment is not None:
        results(index, selection.step, selection.experiment)  # a name that nothing has is a typing error
    store = RunStore.of(workspace, workspace.file.default_datastore)
    over = is_over(workspace, store)
    collector = Collector(index, workspace, lambda: [*running_runs(store, over), *announced_runs(store)])
    done = collector.plan(selection) if dry_run else collector.collect(selection)
    _tell(done, dry_run=dry_run)


def _tell(done: Collection, *, dry_run: bool) -> None:
    for record in done.removed:
        print(f"{_named(record)}: {'would be removed' if dry_run else 'removed'}")
    for record, why in done.kept:
        print(f"{_named(record)}: kept, {why}")
    for place, why in done.kept_places.items():
        print(f"data {place}: kept, {why}")
    count = f"{len(done.removed)} result{'' if len(done.removed) == 1 else 's'}"
    if dry_run:
        print(f"{count} would be removed, which would free {size(done.bytes)} ({done.bytes} bytes)")
    else:
        print(f"{count} removed, {size(done.bytes)} ({done.bytes} bytes) freed")


def _named(record: Record) -> str:
    return f"{record.fingerprint[:KEY_LETTERS]} {record.step['name']} ({record.run.get('experiment', '')})"


def _once(records: Iterable[Record]) -> list[Record]:
    return list({record.fingerprint: record for record in records}.values())
