"""A datastore that is a folder of this machine, or of a share that it has mounted."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aml_provider.spec.errors import PipelineError

from .backend_base import Backend, Item
from .digest_cache import DigestCache
from .digests import Content, content_of
from .faults import Origin
from .paths import PART_PREFIX, kept_by_runs, leads_to_folder, no_file_name


class FolderBackend(Backend):
    """Files in a folder. What the operating system refuses stays an :class:`OSError`, which names the file."""

    parallel = 1

    def __init__(self, origin: Origin, root: Path) -> None:
        super().__init__(origin)
        self.local_root: Path = root
        self._root = str(root).rstrip("/")

    @property
    def filesystem(self) -> Any:
        import fsspec

        return fsspec.filesystem("file")

    def full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root or "/"

    def check(self) -> None:
        # What is not there yet is made by the first upload.
        if os.path.lexists(self.local_root):
            os.listdir(self.local_root)

    def make_root(self) -> None:
        assert self.local_root is not None
        self.local_root.mkdir(parents=True, exist_ok=True)

    def refusal(self, path: str) -> str:
        return no_file_name(path, self.full(path))

    def exists(self, path: str) -> bool:
        return os.path.exists(self.full(path))

    def is_file(self, path: str) -> bool:
        return os.path.isfile(self.full(path))

    def items(self, path: str) -> Iterator[Item]:
        full = self.full(path)
        if os.path.isfile(full):
            if not path.rpartition("/")[2].startswith(PART_PREFIX):
                yield _item(path, full)
        elif os.path.isdir(full):
            yield from _below(full, path, ())

    def contents(self, paths: Sequence[str], cache: DigestCache | None) -> list[Content | None]:
        if cache is not None and len(paths) > 1:
            # Most places are folders with files in them.
            cache.prepare([os.fsencode(self.full(path)) for path in paths])
        return [self._content(path, cache) for path in paths]

    def read(self, path: str) -> bytes:
        return Path(self.full(path)).read_bytes()

    def get(self, path: str, target: Path) -> None:
        shutil.copyfile(self.full(path), target)

    def put(self, source: Path, path: str) -> None:
        full = self.full(path)
        parent = os.path.dirname(full)
        try:
            os.makedirs(parent, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise PipelineError(
                f"upload to datastore {self.origin.name!r}: a part of the folder {path.rpartition('/')[0]!r} is a file "
                "there; choose another target_path."
            ) from error
        part = f"{parent}/{PART_PREFIX}{uuid.uuid4().hex}"
        try:
            shutil.copyfile(source, part)
            os.replace(part, full)
        except BaseException as error:
            if os.path.lexists(part):
                os.unlink(part)
            if isinstance(error, IsADirectoryError):
                raise PipelineError(
                    f"upload to datastore {self.origin.name!r}: {path!r} is a folder there; "
                    "choose another target_path or remove the folder."
                ) from error
            raise

    def remove(self, path: str) -> bool:
        try:
            os.unlink(self.full(path))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _content(self, path: str, cache: DigestCache | None) -> Content | None:
        try:
            return content_of(self.full(path), cache, ignore=kept_by_runs(path))
        except FileNotFoundError:
            return None


def _below(folder: str, path: str, above: tuple[tuple[int, int], ...]) -> Iterator[Item]:
    """The files of a folder; a link back to a folder above is not followed, or it would never end."""
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{path}/{entry.name}" if path else entry.name
            if leads_to_folder(entry):
                yield from _below(entry.path, name, (*above, here))
            elif not entry.name.startswith(PART_PREFIX):
                yield _item(name, entry.path)


def _item(path: str, full: str) -> Item:
    try:
        status = os.stat(full)
    except OSError:
        # A link to nowhere, or gone since it was listed.
        return Item(path, None, None, None)
    return Item(path, status.st_size, status.st_mtime, None)
