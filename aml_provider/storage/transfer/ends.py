"""What a transfer needs of a store, as source and as destination; one class for each kind of store does it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from aml_provider.storage.backend_base import Backend, Item
from aml_provider.storage.datastores import Store
from aml_provider.storage.faults import Origin
from aml_provider.storage.paths import kept_by_runs

from .checksums import Checksum

R = TypeVar("R")
#: The content of a part.
Bytes = bytes | bytearray | memoryview

PART_BYTES = 8 << 20


class Entry(NamedTuple):
    """One file, as a store sees it.

    :param path: relative to the end.
    :param size: in bytes; ``None`` where the store does not say.
    :param mark: what changes with the content, as far as the store lets one see that.
    :param checksum: the store's own, where it has one.
    :param inner: what the end itself needs to find it again.
    """

    path: str
    size: int | None
    mark: str
    checksum: Checksum | None = None
    inner: Any = None


class Folder(NamedTuple):
    """A folder, which matters only when nothing is in it."""

    path: str


class Refused(NamedTuple):
    """Something that is neither file nor folder, or leads elsewhere.

    :param why: what is wrong, as the end of a sentence about it.
    """

    path: str
    why: str


class Part(NamedTuple):
    """A part of a big file that has arrived.

    :param md5: of its content.
    :param receipt: what the store calls it.
    """

    number: int
    md5: bytes
    receipt: str


class Landing(ABC):
    """A big file on its way to a store, in parts. Nobody sees it before it is published.

    :ivar token: by which another process finds it again; empty: it cannot.
    :ivar ordered: the parts have to come one after the other.
    :ivar readable: to read what has arrived costs next to nothing.
    """

    token: dict[str, Any]
    ordered: bool = False
    readable: bool = False

    @abstractmethod
    def write(self, number: int, offset: int, data: Bytes, md5: bytes) -> str:
        """Take a part, which is checked as it arrives; doing it again replaces it.

        :param number: counted from 0.
        :return: the store's receipt.
        :raises CorruptError: what arrived is not what was sent.
        """

    @abstractmethod
    def publish(self, parts: Sequence[Part], whole: str | None, note: Callable[[str], None]) -> None:
        """Put it in its place, all at once.

        :param parts: all of them, in order.
        :param whole: MD5 of the whole content, where that is known.
        :param note: told the mark that the file will have in listings; before it is in its place where that is known.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Throw it away."""

    def held(self) -> dict[int, str] | None:
        """The receipts of the parts that the store still has; ``None``: it has what it has confirmed."""
        return None

    def read_back(self, start: int, end: int) -> Bytes:
        """What has arrived, where that is :attr:`readable`."""
        raise NotImplementedError


class End(ABC):
    """A folder of a store, which files leave from or arrive in. Threads may share it.

    Paths are relative to it. Errors of a store are :class:`~aml_provider.storage.faults.DatastoreError`, those of this
    machine's disks :class:`OSError`.

    :param store: the datastore.
    :param place: the folder's path in it, normalized; empty for its root.
    """

    #: Whether an empty folder can be kept.
    keeps_folders = False
    #: Whether the store has a checksum of its own of what is written to it.
    has_checksums = False
    #: Whether it keeps a checksum of the whole content, if that is known.
    wants_whole = False
    #: A file up to this size is moved in one piece.
    whole_bytes = PART_BYTES
    #: Whether it can be read from any place on; else only from its beginning.
    seekable = True
    #: Whether anything can be written there.
    writable = True
    #: Whether reading it costs no more than reading a local disk.
    near = False
    #: Whether what arrives is compared with what was sent; set by who knows what was asked for.
    verify = True

    def __init__(self, store: Store, backend: Backend, place: str) -> None:
        self.store = store
        self.place = place
        self._backend = backend

    def __str__(self) -> str:
        return f"{self.store.name}:{self.place}"

    @property
    def origin(self) -> Origin:
        """The datastore, for messages."""
        return self._backend.origin

    def at(self, place: str) -> End:
        """Another folder of the same store."""
        return type(self)(self.store, self._backend, place)

    def path(self, path: str) -> str:
        """A path relative to this end as the datastore has it."""
        return f"{self.place}/{path}" if self.place and path else self.place or path

    def part_bytes(self, size: int | None) -> int:
        """How big the parts of a file of this size are."""
        return PART_BYTES

    def shared(self, other: End) -> bool:
        """Whether both are one store, which can copy by itself."""
        return False

    # --- reading --------------------------------------------------------------------------------------------

    @abstractmethod
    def look(self, path: str) -> Entry | Folder | Refused | None:
        """What is at a path; ``None`` for nothing."""

    @abstractmethod
    def walk(self) -> Iterator[Entry | Folder | Refused]:
        """Everything below, in any order; the folders only where the store has such things."""

    def listed(self) -> Iterator[tuple[str, Item]]:
        """The files that a listing of the store shows below, under their paths relative to this end."""
        start, ours = len(self.place) + 1 if self.place else 0, kept_by_runs(self.place)
        for item in self.store._items(self.place):
            inner = item.path[start:]
            # An object that has the name of the folder itself is none of its files.
            if inner and inner.partition("/")[0] not in ours:
                yield inner, item

    @abstractmethod
    def read(self, entry: Entry, start: int, end: int) -> Bytes:
        """A part of a file, all of it.

        :raises ChangedError: the file is not any more what the entry says.
        """

    def stream(self, entry: Entry, part_bytes: int) -> Iterator[Bytes]:
        """A file from its beginning, in parts, of which only the last may be smaller."""
        size = entry.size or 0
        for start in range(0, size, part_bytes):
            yield self.read(entry, start, min(start + part_bytes, size))

    def confirm(self, entry: Entry) -> None:
        """See that what was read is still what is there, where each read does not see to that.

        :raises ChangedError: it is not.
        """
        return

    def settled(self, entry: Entry) -> bool:
        """Whether a change of the file after now cannot leave its mark as it is."""
        return True

    def is_plain(self, entry: Entry) -> bool:
        """Whether the store's checksum is what it seems to be; asked when it does not fit."""
        return True

    def exact(self, entry: Entry) -> Checksum | None:
        """The store's checksum with the size of its parts, which may take another question to the store."""
        return entry.checksum

    # --- writing --------------------------------------------------------------------------------------------

    def refusal(self, path: str) -> str:
        """Why the store cannot have a file of this name, as the end of a sentence; empty when it can."""
        return self._backend.refusal(self.path(path))

    @abstractmethod
    def put(self, path: str, data: Bytes, md5: bytes, note: Callable[[str], None]) -> None:
        """Write a small file, whole or not at all; parameters as for :class:`Landing`.

        :raises CorruptError: what arrived is not what was sent.
        """

    @abstractmethod
    def begin(self, path: str, size: int | None, part_bytes: int) -> Landing:
        """A big file; ``size`` is ``None`` when nobody knows it."""

    def resumed(self, path: str, token: dict[str, Any]) -> Landing | None:
        """A landing that another process began; ``None`` when it is gone."""
        return None

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file, which may be gone."""

    def make_folder(self, path: str) -> None:
        """Make a folder, which may be there, if the store has such things."""
        return

    def landed(self, entry: Entry) -> str:
        """The mark that was noted when the file arrived, if it is still the same."""
        return entry.mark

    def sweep(self) -> None:
        """Remove what transfers that were given up long ago have left in the folders that :meth:`walk` has seen."""
        return

    def copy_within(self, entry: Entry, source: End, path: str, moved: Callable[[int], None]) -> str | None:
        """Have the store copy a file by itself.

        :param source: an end that this one is :meth:`shared` with.
        :param moved: told how many more bytes have been copied.
        :return: the mark that the copy has in listings; ``None``: the store cannot.
        """
        return None

    # --- inside ---------------------------------------------------------------------------------------------

    def _do(self, doing: str, work: Callable[[Any], R]) -> R:
        """Ask the store; what its libraries raise becomes a sentence, and a connection that broke is made again."""
        return self.store._do(doing, work)


def end_of(store: Store, place: str = "") -> End:
    """The end for a folder of a datastore.

    :param place: normalized.
    :raises DatastoreError: the datastore cannot be opened.
    """
    from aml_provider.storage.azure import AzureObjects
    from aml_provider.storage.folder_backend import FolderBackend
    from aml_provider.storage.s3 import S3Objects
    from aml_provider.storage.sftp import SftpBackend
    from aml_provider.storage.web import WebBackend

    backend = store._opened()
    if isinstance(backend, FolderBackend):
        from .folder_end import FolderEnd

        return FolderEnd(store, backend, place)
    if isinstance(backend, SftpBackend):
        from .sftp_end import SftpEnd

        return SftpEnd(store, backend, place)
    if isinstance(backend, WebBackend):
        from .web_end import WebEnd

        return WebEnd(store, backend, place)
    if isinstance(backend.objects, S3Objects):
        from .s3_end import S3End

        return S3End(store, backend, place)
    if isinstance(backend.objects, AzureObjects):
        from .azure_end import AzureEnd

        return AzureEnd(store, backend, place)
    from .fsspec_end import FsspecEnd

    return FsspecEnd(store, backend, place)
