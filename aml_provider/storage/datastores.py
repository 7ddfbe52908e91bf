"""One datastore: upload, download, look and list, whatever kind of store is behind it.

Everything goes through fsspec, and paths are always relative to the datastore's root. Only local folders work in
this version; :func:`store_for` is where the others will get their credentials from an Airflow connection.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aml_provider.spec.errors import NotSupportedError, PipelineError
from aml_provider.workspace.model import DatastoreConfig

from .digest_cache import DigestCache
from .digests import Content, content_of
from .listing import listed_content
from .paths import glob_regex, glob_root, is_glob, normalized

# A file that is being written. No reader, glob or download ever sees one.
PART_PREFIX = ".aml-part-"
_log = logging.getLogger(__name__)


def store_for(config: DatastoreConfig, name: str = "datastore") -> Store:
    """The store behind a declared datastore.

    :param name: the datastore's name, for messages.
    :raises NotSupportedError: its URL is of a kind that this version cannot use.
    """
    root = config.local_root
    if root is None:
        raise NotSupportedError(
            f"datastore {name!r} has the URL {config.url!r}; scheme {config.scheme!r} does not work in this version. "
            "Schemes that work: file (a folder: a plain path, or file:///absolute/folder)."
        )
    if not root.is_absolute():
        raise PipelineError(
            f"datastore {name!r} has the relative folder {config.url!r}; take it from a loaded workspace, which knows "
            "what it is relative to."
        )
    import fsspec

    return Store(name, fsspec.filesystem("file"), str(root), root)


class Store:
    """A datastore's data.

    :param name: the datastore's name.
    :param filesystem: the fsspec file system, with its credentials.
    :param root: the datastore's root in that file system.
    :param local_root: the same as a folder of this machine, ``None`` where there is none.
    """

    def __init__(self, name: str, filesystem: Any, root: str, local_root: Path | None) -> None:
        self.name = name
        self._fs = filesystem
        self._root = root.rstrip("/")
        self._local_root = local_root

    # --- looking --------------------------------------------------------------------------------------------

    def exists(self, path: str = "") -> bool:
        """Whether there is a file or a folder at the path."""
        return bool(self._fs.exists(self._full(path)))

    def is_file(self, path: str) -> bool:
        """Whether there is one file at the path."""
        return bool(self._fs.isfile(self._full(path)))

    def files(self, path: str = "") -> list[str]:
        """Every file at or below the path, sorted; empty when there is nothing."""
        return sorted(self._walk(normalized(path, self.name)))

    def glob(self, pattern: str) -> list[str]:
        """The files a v1 path pattern means, sorted.

        ``*`` and ``?`` stay within one folder, ``**`` crosses folders. A pattern without wildcards is the file, or
        every file below the folder, as in Azure ML.
        """
        wanted = normalized(pattern, self.name)
        if not is_glob(wanted):
            return self.files(wanted)
        regex = glob_regex(wanted)
        return sorted(path for path in self._walk(glob_root(wanted)) if regex.fullmatch(path))

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

        In a local folder it comes from the files' bytes, elsewhere from what one listing says about each object.

        :raises PipelineError: the store says nothing by which a change of an object could be seen.
        """
        if self._local_root is None:
            return listed_content(self._fs, self._full(path))
        try:
            return content_of(self.local_path(path), cache)
        except FileNotFoundError:
            return None

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
        files = [(file, file.relative_to(source).as_posix()) for file in _files_below(source)]
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
        pairs: dict[str, Path] = {}
        for file in map(Path, files):
            if not file.is_file():
                raise PipelineError(
                    f"upload_files to datastore {self.name!r}: file {str(file)!r} does not exist (current directory: "
                    f"{str(Path.cwd())!r})."
                )
            name = self._relative(file, relative_root)
            if name in pairs:
                raise PipelineError(
                    f"upload_files to datastore {self.name!r}: {str(pairs[name])!r} and {str(file)!r} would both "
                    f"become {name!r}; give a relative_root that keeps them apart."
                )
            pairs[name] = file
        return self._upload([(file, name) for name, file in pairs.items()], target_path, overwrite, show_progress)

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
        target = Path(target_path)
        copied = 0
        for path in sorted(self._walk(start)):
            if path.startswith(beginning):
                copied += self._copy_down(path, target / path, overwrite, show_progress)
        return copied

    def download_path(self, path: str, target: str | Path, overwrite: bool = False) -> int:
        """Copy one file to ``target``, or a folder's content below it.

        :return: how many files were copied; 0 when there is nothing at the path.
        """
        base = normalized(path, self.name)
        copied = 0
        for file in self.files(base):
            below = file[len(base) :].lstrip("/") if base else file
            copied += self._copy_down(file, Path(target) / below, overwrite, show_progress=False)
        return copied

    # --- inside ---------------------------------------------------------------------------------------------

    def _full(self, path: str) -> str:
        relative = normalized(path, self.name)
        return f"{self._root}/{relative}" if relative else self._root or "/"

    def _walk(self, path: str) -> Iterator[str]:
        full = self._full(path)
        if self._fs.isfile(full):
            if not _is_part(path):
                yield path
            return
        for folder, _, names in self._fs.walk(full):
            inside = folder[len(self._root) :].strip("/")
            for name in names:
                # fsspec answers an empty name for a place that is a file on some stores.
                if name and not name.startswith(PART_PREFIX):
                    yield f"{inside}/{name}" if inside else name

    def _relative(self, file: Path, relative_root: str | Path | None) -> str:
        if relative_root is None:
            return file.name
        here, root = Path(os.path.normpath(file.absolute())), Path(os.path.normpath(Path(relative_root).absolute()))
        try:
            return here.relative_to(root).as_posix()
        except ValueError:
            raise PipelineError(
                f"upload_files to datastore {self.name!r}: {str(file)!r} is not below relative_root {str(root)!r}; "
                "give a folder that holds every file."
            ) from None

    def _upload(
        self, files: list[tuple[Path, str]], target_path: str | None, overwrite: bool, show_progress: bool
    ) -> int:
        base = normalized(target_path, self.name)
        copied = 0
        for number, (source, name) in enumerate(files, 1):
            path = f"{base}/{name}" if base else name
            full = f"{self._root}/{path}"
            if not overwrite and self._fs.exists(full):
                _tell(f"Target already exists. Skipping upload for {path}", show_progress)
                continue
            self._put(source, full)
            copied += 1
            _tell(f"Uploaded {path}, {number} files out of {len(files)}", show_progress)
        return copied

    def _put(self, source: Path, full: str) -> None:
        """One file, complete or not at all."""
        parent = full.rpartition("/")[0]
        try:
            self._fs.makedirs(parent, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise PipelineError(
                f"upload to datastore {self.name!r}: a part of the folder {parent[len(self._root) + 1 :]!r} is a file "
                "there; choose another target_path."
            ) from error
        part = f"{parent}/{PART_PREFIX}{uuid.uuid4().hex}"
        try:
            self._fs.put_file(str(source), part)
            self._replace(part, full)
        except BaseException:
            if self._fs.exists(part):
                self._fs.rm_file(part)
            raise

    def _replace(self, part: str, full: str) -> None:
        if self._local_root is None:
            self._fs.mv(part, full)
            return
        try:
            os.replace(part, full)
        except IsADirectoryError as error:
            raise PipelineError(
                f"upload to datastore {self.name!r}: {full[len(self._root) + 1 :]!r} is a folder there; "
                "choose another target_path or remove the folder."
            ) from error

    def _copy_down(self, path: str, target: Path, overwrite: bool, show_progress: bool) -> int:
        if target.exists() and not overwrite:
            _tell(f"Path already exists. Skipping download for {target}", show_progress)
            return 0
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{PART_PREFIX}{uuid.uuid4().hex}")
        try:
            # Not _full: a listed name is taken as it is, even one with a backslash in it.
            self._fs.get_file(f"{self._root}/{path}", str(part))
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _tell(f"Downloaded {path}", show_progress)
        return 1


def _files_below(folder: Path) -> Iterator[Path]:
    # os.walk and not rglob: linked folders are followed, as v1's upload does, and the order is the same everywhere.
    seen: set[Path] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = Path(parent).resolve()
        if real in seen:  # a link to a folder above: going on would never end
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for name in sorted(names):
            if not name.startswith(PART_PREFIX):
                yield Path(parent) / name


def _is_part(path: str) -> bool:
    return path.rpartition("/")[2].startswith(PART_PREFIX)


def _tell(message: str, show_progress: bool) -> None:
    """What v1 prints goes to the terminal; without ``show_progress`` it is still in the debug log."""
    if show_progress:
        print(message)
    else:
        _log.debug(message)
