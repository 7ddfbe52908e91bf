"""Which files a step's inputs consist of, kept so that a later difference can be told file by file."""

from __future__ import annotations

import logging
from typing import Any

from aml_provider.reuse.canonical import digest as digest_of
from aml_provider.reuse.contents import Contents
from aml_provider.reuse.fingerprint import declared_name
from aml_provider.reuse.index import ReuseIndex
from aml_provider.runs.binding import StepRun
from aml_provider.spec.errors import AmlError
from aml_provider.spec.models import StepInput
from aml_provider.storage.digests import tree_digest

_log = logging.getLogger(__name__)

#: Of what has more files only the digest is kept.
MAX_FILES = 10_000


def tree_of(content: Any) -> str | None:
    """The digest of the files that a fingerprint says an input is; ``None`` when it is a single one."""
    several = isinstance(content, list) and len(content) > 1 and content[0] in ("tree", "gathered")
    return content[1] if several else None


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
    """What an input consists of, by the names that the step finds.

    :param digest: of it all.
    :return: ``None`` when it is not that any more, is too much, or cannot be looked at.
    """
    try:
        files = contents.files_of(run, source, MAX_FILES)
    except (AmlError, OSError):
        return None
    if files is None or len(files) > MAX_FILES:
        return None
    return files if digest in (tree_digest(files.items()), digest_of(files)) else None
