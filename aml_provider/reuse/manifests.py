"""Which files a step's inputs consist of, kept so that a later difference can be told file by file."""

from __future__ import annotations

import logging
from typing import Any

from aml_provider.datasets.resolving import locations_of
from aml_provider.reuse.contents import Contents
from aml_provider.reuse.fingerprint import declared_name
from aml_provider.reuse.index import ReuseIndex
from aml_provider.runs.binding import StepRun
from aml_provider.spec.errors import AmlError
from aml_provider.spec.models import StepInput
from aml_provider.storage.digests import entries_of, tree_digest
from aml_provider.storage.gathering import is_single
from aml_provider.storage.paths import kept_by_runs, normalized

_log = logging.getLogger(__name__)

#: Of a bigger folder only the digest is kept.
MAX_FILES = 10_000


def tree_of(content: Any) -> str | None:
    """The digest of the folder that a fingerprint says an input is; ``None`` when it is something else."""
    return content[1] if isinstance(content, list) and len(content) == 2 and content[0] == "tree" else None


def keep_input_manifests(run: StepRun, parts: dict[str, Any], index: ReuseIndex, contents: Contents) -> None:
    """Keep which files are in the folders that a step has read, unless that is known already.

    :param parts: the ingredients of its fingerprint.
    """
    for source in run.step.inputs:
        digest = tree_of(parts["inputs"][declared_name(run.step.inputs, source)][-1])
        if digest is None or index.manifest(digest) is not None:
            continue
        files = files_of_input(run, source, contents, digest)
        if files is None:
            continue
        try:
            index.keep_manifest(digest, list(files.items()))
        except OSError as e:
            _log.warning("the list of files of input %r cannot be kept: %s (%s)", source.name, e.strerror, e.filename)


def files_of_input(run: StepRun, source: StepInput, contents: Contents, digest: str) -> dict[str, str] | None:
    """The files of an input that is one folder, by relative path.

    :param digest: of the folder.
    :return: ``None`` when it is not that folder any more, is too big, or cannot be listed.
    """
    try:
        locations = locations_of(run, source)
        if not is_single(locations):
            return None
        (place,) = locations
        there = contents.at(place.datastore, place.path)
        if there is None or there.files > MAX_FILES:
            return None
        store = contents.store(place.datastore)
        path = store.local_path(place.path)
        ours = kept_by_runs(normalized(place.path, store.name))
        files = {entry.relative: entry.digest for entry in entries_of(path, contents.cache, ignore=ours)}
    except (AmlError, OSError):
        return None
    return files if tree_digest(files.items()) == digest else None
