"""Files of a web server, by HTTP and HTTPS, for reading only."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from .backend_base import Backend, Item
from .connections import CONNECTION_TYPE, Credentials
from .digest_cache import DigestCache
from .digests import Content
from .faults import DatastoreError, Origin, Reason
from .listing import read_content

#: Airflow's connection types that say how to get there.
CONNECTION_TYPES = ("http", "https", CONNECTION_TYPE)
# So that the size that a server tells is that of the file.
_PLAIN = {"Accept-Encoding": "identity"}


def options(credentials: Credentials | None) -> dict[str, Any]:
    """What fsspec's HTTP file system is given.

    :raises DatastoreError: the connection's headers are no JSON object.
    """
    if credentials is None:
        return {}
    found: dict[str, Any] = {"headers": credentials.mapping("headers")}
    if credentials.login or credentials.password:
        found["login"] = (credentials.login, credentials.password)
    if credentials.get("verify") is not None and not credentials.flag("verify"):
        found["ssl"] = False
    return found


def filesystem(found: dict[str, Any]) -> Any:
    """The file system for :func:`options`."""
    import aiohttp
    from fsspec.implementations.http import HTTPFileSystem

    client: dict[str, Any] = {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=60)}
    headers = dict(found.get("headers", {}))
    if login := found.get("login"):
        # Aiohttp leaves this header out when a server sends it on to another.
        headers["Authorization"] = f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"
    if headers:
        client["headers"] = headers
    requests = {"ssl": found["ssl"]} if "ssl" in found else {}
    return HTTPFileSystem(client_kwargs=client, encoded=True, skip_instance_cache=True, **requests)


class WebBackend(Backend):
    """Files below a URL. A web server does not tell which files there are: each has to be named."""

    parallel = 8

    def __init__(self, origin: Origin, filesystem: Any, root: str) -> None:
        super().__init__(origin, filesystem)
        self._fs = filesystem
        self._root = root.rstrip("/")

    @property
    def filesystem(self) -> Any:
        return self._fs

    def full(self, path: str) -> str:
        return f"{self._root}/{quote(path)}" if path else self._root + "/"

    def check(self) -> None:
        self._head("")

    def exists(self, path: str) -> bool:
        return self._head(path) is not None

    def is_file(self, path: str) -> bool:
        return bool(path) and self._head(path) is not None

    def items(self, path: str) -> Iterator[Item]:
        if not path:
            raise DatastoreError(
                f"{self.origin} is a web server, which does not tell what files it has; name each file.",
                Reason.OTHER,
            )
        headers = self._head(path)
        if headers is not None:
            yield _item(path, headers)

    def contents(self, paths: Sequence[str], cache: DigestCache | None) -> list[Content | None]:
        return [read_content(self, path) for path in paths]

    def read(self, path: str) -> bytes:
        content: bytes = self._fs.cat_file(self.full(path))
        return content

    def get(self, path: str, target: Path) -> None:
        self._fs.get_file(self.full(path), str(target))

    def put(self, source: Path, path: str) -> None:
        self._refuse()

    def remove(self, path: str) -> bool:
        self._refuse()

    # --- inside ---------------------------------------------------------------------------------------------

    def _refuse(self) -> NoReturn:
        raise DatastoreError(
            f"{self.origin} is a web server, which can only be read; use another datastore to write to.",
            Reason.FORBIDDEN,
        )

    def _head(self, path: str) -> dict[str, str] | None:
        """What the server says about a file; ``None`` when it says that there is none."""
        from fsspec.asyn import sync

        found: dict[str, str] | None = sync(self._fs.loop, self._ask, self.full(path))
        return found

    async def _ask(self, url: str) -> dict[str, str] | None:
        session = await self._fs.set_session()
        address = self._fs.encode_url(url)
        async with session.head(address, allow_redirects=True, headers=_PLAIN, **self._fs.kwargs) as answer:
            if answer.status not in (405, 501):
                return _headers(answer)
        # A server that knows no HEAD is asked for the file, which is then not read.
        async with session.get(address, headers=_PLAIN, **self._fs.kwargs) as answer:
            return _headers(answer)


def _headers(answer: Any) -> dict[str, str] | None:
    if answer.status in (404, 410):
        return None
    answer.raise_for_status()
    return {name.lower(): value for name, value in answer.headers.items()}


def _item(path: str, headers: dict[str, str]) -> Item:
    size = headers.get("content-length", "")
    plain = headers.get("content-encoding", "identity") == "identity"
    try:
        modified = parsedate_to_datetime(headers["last-modified"]).timestamp()
    except (KeyError, ValueError):
        modified = None
    tag = headers.get("etag", "")
    # A weak tag says "means the same", not "is the same".
    strong = tag.startswith('"') and len(tag) > 2
    return Item(
        path, int(size) if plain and size.isdigit() else None, modified, f"etag:{tag}:{size}" if strong else None
    )
