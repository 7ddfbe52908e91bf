"""Publishing an attempt's output to a store on another machine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aml_provider.runs.binding import StepRun
from aml_provider.runs.errors import StepError
from aml_provider.spec.models import DataMode, StepOutput
from aml_provider.storage.copying import files_below
from aml_provider.storage.datastores import Store

_AT_ONCE = 16


def publish_objects(
    run: StepRun, output: StepOutput, store: Store, path: str, staged: Path, *, written: bool | None
) -> None:
    """Upload what an attempt wrote. Doing it again after a crash half-way is safe.

    Files appear one by one, each whole. That all of them are there is said by the step's result and its record, which
    come after; a step that failed half-way has neither.

    :param written: whether the runtime saw it; ``None``: it does not say.
    :raises StepError: it would overwrite a file that it must not.
    """
    own = "{run-id}" in output.destination
    if not staged.exists():
        if own and written is False:
            # The result of an attempt that was cleared is no result of this one, which wrote nothing.
            _each(store.remove, store.files(path))
        return
    files = _files(staged, path)
    if output.mode is DataMode.UPLOAD and not output.overwrite and not own:
        _check_free(run, output, store, path, files)
    _each(lambda target: store.put(files[target], target), list(files))
    if own:
        # Only this step run writes there: the rest is of an attempt that was cleared.
        _each(store.remove, [file for file in store.files(path) if file not in files])


def _files(staged: Path, path: str) -> dict[str, Path]:
    """Path in the store -> file. A store of objects has no links: what they lead to is there under both names."""
    if staged.is_file():
        return {path: staged}
    found = (file for file in files_below(staged) if file.is_file())
    return {f"{path}/{file.relative_to(staged).as_posix()}".lstrip("/"): file for file in found}


def _check_free(run: StepRun, output: StepOutput, store: Store, path: str, files: dict[str, Path]) -> None:
    there = {item.path: item for item in store.items(path)}
    for target, file in files.items():
        item = there.get(target)
        if item is not None and (item.size != file.stat().st_size or store.read(target) != file.read_bytes()):
            raise StepError(
                f"step {run.step.name!r}, output {output.name!r}: {target} exists already in datastore {store.name!r}. "
                "Use as_upload(overwrite=True), or a destination with {run-id} in it."
            )


def _each(work: Callable[[str], object], paths: list[str]) -> None:
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="aml-publish") as pool:
        for _ in pool.map(work, paths):
            continue
