"""Packages made on the spot, places that serve them, and Pythons to put them in."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from uv import find_uv_bin


def make_wheel(folder: Path, name: str, version: str, *needs: str, content: str = "") -> Path:
    """A wheel with one module of the package's name."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    files = {
        f"{name}.py": f"__version__ = {version!r}\n{content}",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{path},sha256={_digest(text)},{len(text.encode())}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def make_python(folder: Path) -> Path:
    """A virtual environment; its Python."""
    subprocess.run([find_uv_bin(), "venv", "--quiet", "--python", sys.executable, folder], check=True)
    return folder / "bin" / "python"


def install(python: Path, *what: str | Path) -> None:
    """What a person who looks after an interpreter does."""
    subprocess.run([find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--python", python, *what], check=True)


def sites(python: Path) -> Path:
    (found,) = (python.parents[1] / "lib").glob("python*/site-packages")
    return found


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


@dataclass
class Index:
    """A package index with passwords.

    :param wheels: user -> the folder that he sees.
    :param asked: the paths that were asked for, with the user.
    :param before_listing: called before a list of files is answered.
    """

    passwords: dict[str, str]
    wheels: dict[str, Path]
    asked: list[tuple[str, str]] = field(default_factory=list)
    before_listing: Callable[[], object] = lambda: None
    port: int = 0

    def url(self, user: str, password: str | None = None) -> str:
        return f"http://{user}:{password or self.passwords[user]}@127.0.0.1:{self.port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        kind, _, told = request.headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(told).decode().partition(":") if kind == "Basic" else ("", "", "")
        if not user or self.passwords.get(user) != password:
            self._send(request, 401, b"who are you?", "text/plain")
            return
        self.asked.append((user, request.path))
        parts = request.path.strip("/").split("/")
        folder = self.wheels[user]
        if parts[0] == "simple":
            self.before_listing()
            names = sorted(p.name for p in folder.glob(f"{parts[1]}-*.whl"))
            page = "".join(f'<a href="/files/{name}">{name}</a>\n' for name in names)
            self._send(request, 200 if names else 404, page.encode(), "text/html")
        elif (folder / parts[-1]).is_file():
            self._send(request, 200, (folder / parts[-1]).read_bytes(), "application/octet-stream")
        else:
            self._send(request, 404, b"", "text/plain")

    def _send(self, request: BaseHTTPRequestHandler, code: int, body: bytes, kind: str) -> None:
        request.send_response(code)
        if code == 401:
            request.send_header("WWW-Authenticate", "Basic")
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)


@contextmanager
def serving(index: Index) -> Iterator[Index]:
    """``index`` on this machine, as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.answer(self)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the tests look at ``index.asked``."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        index.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield index
        finally:
            server.shutdown()
            thread.join()
