"""Real image registries on this machine, images for them, and what else may answer where a registry should."""

from __future__ import annotations

import base64
import datetime
import gzip
import hashlib
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.reuse.machines import until

USER, PASSWORD = "reader", "s3cret-word"
#: ``htpasswd -nbB reader s3cret-word``
_HTPASSWD = "reader:$2y$04$bxdChHbZB3yaW3i3V2djie7zyy8p4yY5HeTrgdXHA1DNuXRgUKJqi\n"
IDENTITY_TOKEN = "identity-s3cret-token"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Registry:
    """A registry, and a way to put images into it that needs no engine."""

    def __init__(self, host: str, storage: Path) -> None:
        self.host = host
        self.storage = storage

    def push(self, repository: str, tag: str, content: str, architecture: str = "amd64") -> str:
        """Put an image with this content under a tag; gives its digest."""
        layer = gzip.compress(content.encode(), mtime=0)
        config = json.dumps({"architecture": architecture, "os": "linux", "config": {}, "rootfs": {"diff_ids": []}})
        parts = [self._blob(repository, part) for part in (config.encode(), layer)]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": parts[0], "layers": parts[1:]}
        return self._manifest(repository, tag, MANIFEST, manifest)

    def push_index(self, repository: str, tag: str, **contents: str) -> str:
        """Put an image for several architectures under a tag; gives the digest of the whole."""
        images = []
        for architecture, content in contents.items():
            digest = self.push(repository, f"{tag}-{architecture}", content, architecture)
            platform = {"architecture": architecture, "os": "linux"}
            images.append({"mediaType": MANIFEST, "digest": digest, "size": 1, "platform": platform})
        return self._manifest(repository, tag, INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": images})

    def _blob(self, repository: str, content: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        started = httpx.post(f"http://{self.host}/v2/{repository}/blobs/uploads/")
        place = httpx.URL(started.headers["Location"]).copy_merge_params({"digest": digest})
        httpx.put(place, content=content).raise_for_status()
        return {"digest": digest, "size": len(content), "mediaType": "application/octet-stream"}

    def _manifest(self, repository: str, tag: str, kind: str, manifest: dict[str, Any]) -> str:
        body = json.dumps(manifest).encode()
        url = f"http://{self.host}/v2/{repository}/manifests/{tag}"
        httpx.put(url, content=body, headers={"Content-Type": kind}).raise_for_status()
        return f"sha256:{hashlib.sha256(body).hexdigest()}"


@contextmanager
def registry(folder: Path, storage: Path | None = None, *, auth: Any = None, tls: bool = False) -> Iterator[Registry]:
    """A running registry; several may have one storage.

    :param auth: the section of that name in its configuration.
    """
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("no image registry: apt-get install docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    storage = storage or folder / "storage"
    config: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if auth is not None:
        config["auth"] = auth
    if tls:
        config["http"]["tls"] = {"certificate": str(folder / "tls.pem"), "key": str(folder / "tls.key")}
        _key, certificate = _authority(folder / "tls.key")
        (folder / "tls.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    file = folder / "config.yml"
    file.write_text(yaml.safe_dump(config))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, "serve", str(file)], stdout=log, stderr=log)
    try:
        until(lambda: _answers(port) or process.poll() is not None, "the registry answers")
        assert process.poll() is None, (folder / "log").read_text()
        yield Registry(f"127.0.0.1:{port}", storage)
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def with_password(folder: Path) -> dict[str, Any]:
    """Lets in who has the password."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "htpasswd").write_text(_HTPASSWD)
    return {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}


# --- tokens, as Docker Hub and the clouds have them -----------------------------------------------------------------


class TokenServer:
    """Gives tokens: to anybody for what is public, for the rest to who has a password or an identity token."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        folder.mkdir(parents=True, exist_ok=True)
        self._key, self._certificate = _authority(folder / "token.key")
        bundle = folder / "token.pem"
        bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        self.auth = {"token": {"realm": url, "service": "registry", "issuer": "tests", "rootcertbundle": str(bundle)}}

    def answer(self, asked: dict[str, list[str]], authorization: str) -> dict[str, str]:
        kind, repository, _ = asked["scope"][0].split(":")
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = authorization == basic or asked.get("refresh_token") == [IDENTITY_TOKEN]
        allowed = ["pull"] if known or repository.startswith("public/") else []
        now = int(time.time())
        claims = {"iss": "tests", "aud": asked["service"][0], "sub": "", "iat": now, "nbf": now - 60, "exp": now + 300}
        claims |= {"jti": "1", "access": [{"type": kind, "name": repository, "actions": allowed}]}
        chain = [base64.b64encode(self._certificate.public_bytes(serialization.Encoding.DER)).decode()]
        return {"token": jwt.encode(claims, self._key, "RS256", headers={"x5c": chain})}


@contextmanager
def token_server(folder: Path) -> Iterator[TokenServer]:
    """A running one."""
    tokens: list[TokenServer] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0)).decode()
        asked = parse_qs(body or urlsplit(handler.path).query)
        reply(handler, 200, json.dumps(tokens[0].answer(asked, handler.headers.get("Authorization", ""))))

    with answering(answer) as host:
        tokens.append(TokenServer(f"http://{host}/token", folder))
        yield tokens[0]


def _authority(file: Path) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """A key and a certificate that it has signed itself, for this machine."""
    key = rsa.generate_private_key(65537, 2048)
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return key, made.sign(key, hashes.SHA256())


# --- other servers --------------------------------------------------------------------------------------------------


def reply(handler: BaseHTTPRequestHandler, status: int, body: str = "", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body.encode())))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body.encode())


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server that gives one answer to everything; gives its host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_HEAD = do_POST = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def silent() -> Iterator[str]:
    """A server that takes every connection and never says anything; gives its host and port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"127.0.0.1:{listening.getsockname()[1]}"
