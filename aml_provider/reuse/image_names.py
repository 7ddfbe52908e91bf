"""Names of container images, in the form in which equal names are equal text."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

DOCKER_HUB = "docker.io"
_DEFAULT_TAG = "latest"

# The grammar of Docker and Kubernetes (github.com/distribution/reference). Only sha256 is taken as a digest: it is the
# one that engines and registries use.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
_DIGEST = r"sha256:[0-9a-f]{64}"
_NAME = re.compile(
    rf"(?P<name>(?:{_HOST}(?::\d+)?/)?{_PART}(?:/{_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?(?:@(?P<digest>{_DIGEST}))?",
    re.ASCII,
)
_LONGEST = 255


def is_digest(text: str) -> bool:
    """Whether this is a digest as engines and registries write it."""
    return re.fullmatch(_DIGEST, text) is not None


@dataclass(frozen=True)
class ImageName:
    """An image's name, taken apart.

    :param registry: host, with its port if it has one; in lower case.
    :param repository: the full one: ``library/python`` for ``python``.
    :param tag: ``latest`` when neither a tag nor a digest is written.
    :param digest: of an image that is pinned by it, ``None`` for others.
    :param written: the name without tag and digest, as it was written.
    """

    registry: str
    repository: str
    tag: str | None
    digest: str | None
    written: str

    @classmethod
    def parse(cls, text: str) -> ImageName:
        """Take a name apart.

        :raises ValueError: it is none.
        """
        match = _NAME.fullmatch(text)
        if match is None or len(match["name"]) > _LONGEST:
            raise ValueError(f"{text!r} is no name of an image")
        name, tag, digest = match["name"], match["tag"], match["digest"]
        first, slash, rest = name.partition("/")
        if not slash or not (re.search(r"[.:A-Z\[]", first) or first == "localhost"):
            first, rest = DOCKER_HUB, name
        registry = first.lower()
        if registry == f"index.{DOCKER_HUB}":
            registry = DOCKER_HUB
        if registry == DOCKER_HUB and "/" not in rest:
            rest = f"library/{rest}"
        return cls(registry, rest, tag or (None if digest else _DEFAULT_TAG), digest, name)

    @property
    def place(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def canonical(self) -> str:
        """Equal for names that mean the same: ``docker.io/library/python:3.11`` for ``python:3.11``.

        Beside a digest a tag means nothing.
        """
        return f"{self.place}@{self.digest}" if self.digest else f"{self.place}:{self.tag}"

    def at(self, digest: str) -> str:
        """How to ask for exactly this image."""
        return f"{self.written}@{digest}"


def is_this_machine(registry: str) -> bool:
    """Whether a registry is on this machine, where Docker asks for no certificate either."""
    host = re.sub(r":\d+$", "", registry).strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
