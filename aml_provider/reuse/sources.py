"""A step's code: the identity of its snapshot, computed once per source directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aml_provider.reuse.errors import UnknownIngredientError
from aml_provider.reuse.snapshot import SourceFile, check_size, source_files
from aml_provider.spec.models import PythonScript, Step
from aml_provider.storage.digest_cache import DigestCache
from aml_provider.storage.digests import file_digests, tree_digest

# Behind the digest of a file that may be executed.
_EXECUTABLE = "+x"


@dataclass(frozen=True)
class Code:
    """A snapshot's identity.

    :param files: name in the snapshot -> digest, ``+x`` behind that of an executable file.
    """

    digest: str
    files: dict[str, str]


def code_of(files: Sequence[SourceFile], cache: DigestCache | None = None) -> Code:
    """The identity of these files: their names, contents, and whether they may be executed."""
    digests = file_digests([f.path for f in files], cache)
    named = {
        f.relative: f"{digest}{_EXECUTABLE if f.executable else ''}" for f, digest in zip(files, digests, strict=True)
    }
    return Code(tree_digest(named.items()), named)


class Sources:
    """Snapshots of source directories as they are now; each is looked at once in the life of this object."""

    def __init__(self, cache: DigestCache | None = None) -> None:
        self._cache = cache
        self._seen: dict[tuple[Path, tuple[str, ...]], Code] = {}

    def of(self, step: Step, directory: Path, include: tuple[str, ...]) -> Code:
        """The code of ``step``.

        :param include: patterns of the files that belong to it; empty for all.
        :raises UnknownIngredientError: the directory is missing, or the patterns leave out the step's own script.
        :raises StepError: it is too big.
        """
        where = (directory, include)
        if where not in self._seen:
            if not directory.is_dir():
                raise UnknownIngredientError(f"source_directory {directory} does not exist here")
            files = source_files(directory, include)
            check_size(step.name, directory, files)
            self._seen[where] = code_of(files, self._cache)
        code = self._seen[where]
        action = step.action
        if include and isinstance(action, PythonScript) and action.script not in code.files:
            raise UnknownIngredientError(
                f"include {list(include)} in the workspace file (reuse: steps:) leaves out its own script "
                f"{action.script!r}; add it there"
            )
        return code
