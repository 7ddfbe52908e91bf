"""One datastore: upload, download, look and list, whatever kind of store is behind it.

Paths are always relative to the datastore's root. Nothing is opened, and no credentials are read, before something is
asked of the store.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aml_provider.spec.errors import NotSupportedError, PipelineError
from aml_provider.workspace.model import DatastoreConfig

from .backend_base import Backend, Item
from .backends import checked, forget, opened
from .copying import each, fetched, files_below, named, tell
from .digest_cache import DigestCache
from .digests import Content, entries_of
from .faults import DatastoreError, Reason, told
from .folder_store import FolderStore
from .listing import listed_files
from .paths import glob_regex, glob_root, is_glob, kept_by_runs, normalized
from .record_base import RecordStore

if TYPE_CHECKING:
    from .object_store import ObjectStore

R = TypeVar("R")
T = TypeVar("T")
# With more files than this, what is there already is asked by one listing.
_ASKED_ALONE = 8
# What is moved at once has to fit into memory.
_SMALL_BYTES = 4 << 20
_BIG_AT_ONCE = 2


def store_for(config: DatastoreConfig, name: str = "datastore") -> Store:
    """The store behind a declared datastore.

    :param name: the datastore's name, for messages.
    :raises NotSupportedError: its URL is of a kind that does not work.
    :raises PipelineError: it is a relative folder.
    """
    return Store(checked(config, name), name)


class Store:
    """A datastore's data. May be used by several threads at once.

    Whatever cannot be done with a store on another machine raises a
    :class:`~aml_provider.storage.faults.DatastoreError`; in a local folder, what the operating system refuses is an
    :class:`OSError`.

    :param name: the datastore's name.
    """

    def __init__(self, config: DatastoreConfig, name: str) -> None:
        self.name = name
        self.url = config.url
        self._config = config
        self._local_root = config.local_root
        self._backend: Backend | None = None
        self._process = 0
        self._lock = threading.Lock()

    @property
    def local_root(self) -> Path | None:
        """The root as a folder of this machine, ``None`` for a store on another machine."""
        return self._local_root

    def shown(self, path: str) -> str:
        """A path in a message: where the root is that of this machine, as everybody writes it there."""
        return f"/{path}" if str(self._local_root) == "/" else path

    def __repr__(self) -> str:
        return f"Store({self.name!r}, {self.url!r})"

    # --- looking --------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Look at the root.

        :raises DatastoreError: what is wrong with the datastore, in a sentence.
        """
        self._do("looking at its root", lambda backend: backend.check())

    def make_root(self) -> None:
        """Make the container or the folder that is the root, where there is none.

        :raises NotSupportedError: it is a kind of store whose root is made elsewhere.
        """
        self._do("making its root", lambda backend: backend.make_root())

    def exists(self, path: str = "") -> bool:
        """Whether there is a file or a folder at the path."""
        place = normalized(path, self.name)
        return self._do(f"looking at {place!r}", lambda backend: backend.exists(place))

    def is_file(self, path: str) -> bool:
        """Whether there is one file at the path."""
        place = normalized(path, self.name)
        return self._do(f"looking at {place!r}", lambda backend: backend.is_file(place))

    def items(self, path: str = "") -> list[Item]:
        """Every file at or below the path with what the store says about it, sorted by path."""
        return self._items(normalized(path, self.name))

    def files(self, path: str = "") -> list[str]:
        """Every file at or below the path, sorted; empty when there is nothing."""
        return [item.path for item in self.items(path)]

    def glob(self, pattern: str) -> list[str]:
        """The files a v1 path pattern means, sorted.

        ``*`` and ``?`` stay within one folder, ``**`` crosses folders. A pattern without wildcards is the file, or
        every file below the folder, as in Azure ML.
        """
        wanted = normalized(pattern, self.name)
        if not is_glob(wanted):
            return self.files(wanted)
        regex = glob_regex(wanted)
        return [item.path for item in self._items(glob_root(wanted)) if regex.fullmatch(item.path)]

    def local_path(self, path: str = "") -> Path:
        """The path as a path of this machine.

        :raises PipelineError: the path is absolute or leads out of the datastore, or the store is not a local folder.
        """
        relative = normalized(path, self.name)
        if self._local_root is None:
            raise PipelineError(f"datastore {self.name!r} is no folder of this machine; download {path!r} instead.")
        return self._local_root / relative if relative else self._local_root

    def content(self, path: str = "", cache: DigestCache | None = None) -> Content | None:
        """Identity of what is at the path; ``None`` when there is nothing.

        In a local folder it comes from the files' bytes, elsewhere from what one listing says about each file. Where a
        store says nothing, up to :data:`~aml_provider.storage.listing.READ_LIMIT_BYTES` are read.

        :raises DatastoreError: nothing says whether the content changes.
        """
        return self.contents([path], cache)[0]

    def contents(self, paths: Sequence[str], cache: DigestCache | None = None) -> list[Content | None]:
        """:meth:`content` of many places, which costs a store on another machine far less than one by one."""
        places = [normalized(path, self.name) for path in paths]
        doing = f"looking at {places[0]!r}" if len(places) == 1 else f"looking at {len(places)} places"
        return self._do(doing, lambda backend: backend.contents(places, cache))

    def identities(self, path: str, cache: DigestCache | None = None) -> dict[str, str]:
        """What identifies each file below a folder, by its path relative to that: what :meth:`content` is made of.

        :raises DatastoreError: nothing says whether the content changes.
        """
        place = normalized(path, self.name)
        if self.local_root is not None:
            found = entries_of(self.local_root / place if place else self.local_root, cache, ignore=kept_by_runs(place))
            return {entry.relative: entry.digest for entry in found}
        return listed_files(self._opened().origin, self._items(place), place)

    # --- files ----------------------------------------------------------------------------------------------

    def read(self, path: str) -> bytes:
        """A file's content."""
        place = normalized(path, self.name)
        return self._do(f"reading {place!r}", lambda backend: backend.read(place))

    def put(self, source: str | Path, path: str) -> None:
        """Copy one file of this machine to exactly this path, whole or not at all; what is there is replaced."""
        place = normalized(path, self.name)
        self._refuse([place])
        self._put(Path(source), place)

    def remove(self, path: str) -> bool:
        """Remove a file; ``False`` when there was none."""
        place = normalized(path, self.name)
        return self._do(f"removing {place!r}", lambda backend: backend.remove(place))

    # --- copying --------------------------------------------------------------------------------------------

    def upload(
        self, src_dir: str | Path, target_path: str | None = None, overwrite: bool = False, show_progress: bool = True
    ) -> int:
        """Copy a folder's content below ``target_path`` (default: the root), as v1 ``Datastore.upload`` does.

        :param overwrite: ``False``: files that are there already are kept and reported, as in v1.
        :return: how many files were copied.
        :raises PipelineError: ``src_dir`` is not a folder.
        """
        source = Path(src_dir)
        if not source.is_dir():
            raise PipelineError(
                f"upload to datastore {self.name!r}: {str(source)!r} is not a folder; "
                "give an existing folder, or use upload_files for single files."
            )
        files = [(file, file.relative_to(source).as_posix()) for file in files_below(source)]
        return self._upload(files, target_path, overwrite, show_progress)

    def upload_files(
        self,
        files: Iterable[str | Path],
        relative_root: str | Path | None = None,
        target_path: str | None = None,
        overwrite: bool = False,
        show_progress: bool = True,
    ) -> int:
        """Copy single files below ``target_path``, as v1 ``Datastore.upload_files`` does.

        :param relative_root: folder that the files' paths in the datastore are relative to; default: each file lands
            directly in ``target_path`` under its own name.
        :return: how many files were copied.
        :raises PipelineError: a file does not exist or is not below ``relative_root``, or two of them have one target.
        """
        return self._upload(named(files, relative_root, self.name), target_path, overwrite, show_progress)

    def download(
        self,
        target_path: str | Path,
        prefix: str | None = None,
        overwrite: bool = False,
        show_progress: bool = True,
    ) -> int:
        """Copy files to the folder ``target_path``, as v1 ``Datastore.download`` does.

        As in v1, a file keeps its whole path in the datastore: ``data/a.csv`` becomes ``<target_path>/data/a.csv``,
        whatever the prefix.

        :param prefix: only files whose path starts so: ``data`` means ``data/a.csv`` and ``data2.csv``, ``data/`` only
            the former. Default: every file.
        :param overwrite: ``False``: files that are there already are kept and reported.
        :return: how many files were copied.
        """
        wanted = normalized(prefix, self.name)
        folder_only = bool(prefix) and str(prefix).endswith(("/", "\\"))
        # Only the folder that the prefix is in, not the whole store, is listed.
        start = wanted if folder_only else wanted.rpartition("/")[0]
        beginning = f"{wanted}/" if folder_only and wanted else wanted
        found = [item for item in self._items(start) if item.path.startswith(beginning)]
        return self._download([(item, Path(target_path) / item.path) for item in found], overwrite, show_progress)

    def download_path(self, path: str, target: str | Path, overwrite: bool = False) -> int:
        """Copy one file to ``target``, or a folder's content below it.

        :return: how many files were copied; 0 when there is nothing at the path.
        """
        base = normalized(path, self.name)
        start = len(base) + 1 if base else 0
        pairs = [(item, Path(target) / item.path[start:]) for item in self._items(base)]
        return self._download(pairs, overwrite, show_progress=False)

    # --- for who needs more ---------------------------------------------------------------------------------

    def records(self, path: str = "") -> RecordStore:
        """Small blobs below a path, where the store can keep two writers apart or says that it cannot.

        :raises NotSupportedError: it is neither a folder nor an object store.
        """
        if self._local_root is not None:
            place = normalized(path, self.name)
            return FolderStore(self._local_root / place if place else self._local_root)
        return self.bucket(path)

    def bucket(self, path: str = "") -> ObjectStore:
        """:meth:`records` of a datastore that is no folder."""
        from .object_backend import ObjectBackend
        from .object_store import ObjectStore

        place = normalized(path, self.name)
        backend = self._opened()
        if not isinstance(backend, ObjectBackend):
            raise NotSupportedError(
                f"datastore {self.name!r} ({self.url}) cannot keep what runs record: writers are not kept apart there. "
                "Use a folder, S3, Azure Blob Storage or Google Cloud Storage for that."
            )
        return ObjectStore(backend.objects, backend.key(f"{place}/" if place else ""), backend.origin)

    @property
    def filesystem(self) -> Any:
        """The store as an fsspec file system; :meth:`full` says what a path is called there."""
        return self._do("opening it", lambda backend: backend.filesystem)

    def full(self, path: str) -> str:
        """A path as fsspec's file system wants it."""
        place = normalized(path, self.name)
        return self._do("opening it", lambda backend: backend.full(place))

    # --- inside ---------------------------------------------------------------------------------------------

    def _do(self, doing: str, work: Callable[[Backend], R], target: Path | None = None) -> R:
        """Ask something of the store; what its libraries raise becomes a sentence."""
        backend = self._opened()
        if backend.local_root is not None:
            return work(backend)
        try:
            with told(backend.origin, doing, target):
                return work(backend)
        except DatastoreError as error:
            if error.reason not in (Reason.UNREACHABLE, Reason.CREDENTIALS):
                raise
            # The next try begins anew: with a new connection, and with credentials that were renewed meanwhile.
            forget(backend)
            with self._lock:
                if self._backend is backend:
                    self._backend = None
            if not backend.held or error.reason is not Reason.UNREACHABLE:
                raise
        # A connection that was idle for long may be broken without anything being wrong.
        backend = self._opened()
        with told(backend.origin, doing, target):
            return work(backend)

    def _opened(self) -> Backend:
        with self._lock:
            # Connections do not outlive a fork.
            if self._backend is None or self._process != os.getpid():
                self._backend, self._process = opened(self._config, self.name), os.getpid()
            return self._backend

    def _items(self, place: str) -> list[Item]:
        found = self._do(f"listing {place!r}", lambda backend: list(backend.items(place)))
        return sorted(found, key=lambda item: item.path)

    def _each(self, work: Callable[[T], R], items: list[T], sizes: Sequence[int | None]) -> list[R]:
        """Move many files, small ones side by side. Big ones are moved in parts that are side by side already."""
        small = [item for item, size in zip(items, sizes, strict=True) if size is not None and size <= _SMALL_BYTES]
        big = [item for item, size in zip(items, sizes, strict=True) if size is None or size > _SMALL_BYTES]
        at_once = self._opened().parallel
        return each(work, small, at_once) + each(work, big, min(at_once, _BIG_AT_ONCE))

    def _upload(
        self, files: list[tuple[Path, str]], target_path: str | None, overwrite: bool, show_progress: bool
    ) -> int:
        base = normalized(target_path, self.name)
        targets = [(source, f"{base}/{name}" if base else name) for source, name in files]
        self._refuse([path for _, path in targets])
        there = set() if overwrite else self._there([path for _, path in targets], base)
        waiting = []
        for source, path in targets:
            if path in there:
                tell(f"Target already exists. Skipping upload for {path}", show_progress)
            else:
                waiting.append((source, path))
        done = iter(range(len(files) - len(waiting) + 1, len(files) + 1))

        def copy(pair: tuple[Path, str]) -> None:
            self._put(*pair)
            tell(f"Uploaded {pair[1]}, {next(done)} files out of {len(files)}", show_progress)

        self._each(copy, waiting, [source.stat().st_size for source, _ in waiting])
        return len(waiting)

    def _refuse(self, paths: Iterable[str]) -> None:
        """Say so when a file cannot have one of these names, before anything is copied."""
        backend = self._opened()
        for path in paths:
            if why := backend.refusal(path):
                raise DatastoreError(f"{backend.origin}: the name {path!r} {why}; choose another.", Reason.NAME)

    def _there(self, paths: list[str], base: str) -> set[str]:
        """Those of many paths where something is already."""
        if self._local_root is not None or len(paths) <= _ASKED_ALONE:
            return {path for path in paths if self.exists(path)}
        return {item.path for item in self._items(base)}

    def _put(self, source: Path, path: str) -> None:
        self._do(f"writing {path!r}", lambda backend: backend.put(source, path))

    def _download(self, pairs: list[tuple[Item, Path]], overwrite: bool, show_progress: bool) -> int:
        def copy(pair: tuple[Item, Path]) -> int:
            path, target = pair[0].path, pair[1]
            # A folder is no earlier copy of a file: left to the writer, which says so.
            if target.exists() and not overwrite and not target.is_dir():
                tell(f"Path already exists. Skipping download for {target}", show_progress)
                return 0

            def get(part: Path) -> None:
                self._do(f"reading {path!r}", lambda backend: backend.get(path, part), part)

            fetched(get, target, path, self.name)
            tell(f"Downloaded {path}", show_progress)
            return 1

        return sum(self._each(copy, pairs, [item.size for item, _ in pairs]))
