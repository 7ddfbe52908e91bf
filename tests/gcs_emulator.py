"""A Google Cloud Storage on this machine: gcp-storage-emulator, and what it lacks of the service's JSON API.

It knows no preconditions, no pages and no longest name, and tells no generation beside a content.

https://cloud.google.com/storage/docs/request-preconditions, https://cloud.google.com/storage/docs/objects#naming
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import re
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects
from gcp_storage_emulator.server import GET, HANDLERS, RequestHandler
from gcp_storage_emulator.storage import Storage

_OBJECT = re.compile(r"/(?:storage|download/storage)/v1/b/([^/]+)/o/([^/]+)")


_LONGEST_NAME = 1024

# It reports what a client does wrong on purpose.
logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL + 1)


class _RefusedError(Exception):
    """The status and the word of the answer."""


class _Storage(Storage):  # type: ignore[misc]
    #: Whoever changes something, so that nothing comes between the look at a generation and what depends on it.
    changing = threading.Lock()
    #: The generation that this change wants to be there; "0" for none, ``None`` when it says nothing of it.
    wanted: str | None = None

    def generation(self, bucket: str, name: str) -> str:
        try:
            return str(self.get_file_obj(bucket, name)["generation"])
        except NotFound:
            return "0"

    def create_file(self, bucket: str, name: str, *arguments: Any, **more: Any) -> Any:
        self._check(bucket, name)
        if len(name.encode()) > _LONGEST_NAME or "\n" in name or "\r" in name:
            raise _RefusedError(400, "invalid")
        return super().create_file(bucket, name, *arguments, **more)

    def delete_file(self, bucket: str, name: str, *arguments: Any, **more: Any) -> Any:
        if self.generation(bucket, name) != "0":
            self._check(bucket, name)
        return super().delete_file(bucket, name, *arguments, **more)

    def _check(self, bucket: str, name: str) -> None:
        if self.wanted is not None and self.generation(bucket, name) != self.wanted:
            raise _RefusedError(412, "conditionNotMet")


def _pages(request: Any, response: Any, storage: _Storage) -> None:
    """Some of a listing's objects, and what to ask for the next ones."""
    # It goes through what it has while others change it.
    with storage.changing:
        objects.ls(request, response, storage)
    most = int(request.query.get("maxResults", ["1000"])[0])
    if response.status != 200:
        return
    listed = json.loads(response._content)
    items = [item for item in listed["items"] if item["name"] > request.query.get("pageToken", [""])[0]]
    listed["items"] = items[:most]
    if len(items) > most:
        listed["nextPageToken"] = items[most - 1]["name"]
    response.json(listed)


for _, methods in HANDLERS:
    if methods.get(GET) is objects.ls:
        methods[GET] = _pages


class _Handler(RequestHandler):  # type: ignore[misc]
    storage: _Storage

    def do_GET(self) -> None:
        found = _OBJECT.fullmatch(urlsplit(self.path).path)
        self._generation = found and self.storage.generation(*map(unquote, found.groups()))
        super().do_GET()

    def do_POST(self) -> None:
        self._conditionally(super().do_POST)

    def do_PUT(self) -> None:
        self._conditionally(super().do_PUT)

    def do_DELETE(self) -> None:
        self._conditionally(super().do_DELETE)

    def parse_request(self) -> bool:
        parsed = bool(super().parse_request())
        if parsed:
            # It takes what comes behind a semicolon for no part of the path.
            self.path = self.path.replace(";", "%3B")
        return parsed

    def end_headers(self) -> None:
        if getattr(self, "_generation", "0") not in (None, "0"):
            self.send_header("x-goog-generation", self._generation)
        super().end_headers()

    def _conditionally(self, answer: Any) -> None:
        wanted = parse_qs(urlsplit(self.path).query).get("ifGenerationMatch", [None])[0]
        try:
            with self.storage.changing:
                self.storage.wanted = wanted
                answer()
        except _RefusedError as refused:
            status, message = refused.args
            body = json.dumps({"error": {"code": status, "message": message}}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """A fresh one, in memory; yields its URL."""
    handler = functools.partial(_Handler, _Storage(use_memory_fs=True))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, name="gcs", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
