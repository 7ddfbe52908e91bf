"""Which image a Docker engine has under a name."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from aml_provider.reuse.asking import NotToldError, root, within
from aml_provider.reuse.image_names import ImageName
from aml_provider.reuse.packages import without_credentials
from aml_provider.workspace.resolved import ResolvedCompute

if TYPE_CHECKING:
    from docker import APIClient

T = TypeVar("T")
_LOCAL = ("unix://", "http+unix://", "npipe://")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class EngineImage:
    """An image that an engine has.

    :param digest: of its manifest, by which registries know it, or the image's id, when it has been in none.
    :param reference: starts exactly this image, also when its tag has moved.
    :param platform: ``linux/amd64``, ``linux/arm64``...
    """

    digest: str
    reference: str
    platform: str


def address(compute: ResolvedCompute) -> str:
    """The engine's address, without what is secret in it."""
    return without_credentials(_url(compute) or "the local socket")


def image_on_engine(name: ImageName, image: str, compute: ResolvedCompute) -> EngineImage | None:
    """The image that a container would be made of; ``None``: the engine does not have it.

    :param image: ``name`` as it was written.
    :raises NotToldError: the engine cannot be asked.
    """
    return _asked(compute, lambda engine: _look(engine, name, image))


def engine_platform(compute: ResolvedCompute) -> str:
    """The platform of the images that an engine runs. One on this machine is not asked for it.

    :raises NotToldError: the engine cannot be asked.
    """
    url = _url(compute)
    if url is None or url.startswith(_LOCAL):
        machine = platform.machine().lower()
        return f"linux/{_ARCHITECTURES.get(machine, machine)}"
    return _asked(compute, lambda engine: _platform(engine.version()))


def _look(engine: APIClient, name: ImageName, image: str) -> EngineImage | None:
    from docker.errors import ImageNotFound

    try:
        seen: dict[str, Any] = engine.inspect_image(image)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        return None
    pinned = sorted(_pinned(seen.get("RepoDigests") or ()), key=lambda p: (p.place != name.place, p.canonical))
    own = next((p for p in pinned if p.place == name.place), None)
    return EngineImage(
        digest=str(pinned[0].digest if pinned else seen["Id"]),
        reference=name.at(str(own.digest)) if own is not None else str(seen["Id"]),
        platform=_platform({"Os": seen.get("Os"), "Arch": seen.get("Architecture")}),
    )


def _pinned(references: Iterable[str]) -> Iterator[ImageName]:
    for reference in references:
        try:
            yield ImageName.parse(reference)
        except ValueError:
            continue  # `<none>@...`: its name is gone


def _platform(told: dict[str, Any]) -> str:
    return f"{told.get('Os') or 'linux'}/{told.get('Arch') or 'amd64'}"


def _url(compute: ResolvedCompute) -> str | None:
    return compute.settings.docker_url or os.environ.get("DOCKER_HOST") or None


def _asked(compute: ResolvedCompute, question: Callable[[APIClient], T]) -> T:
    from docker import APIClient
    from docker.errors import APIError, DockerException
    from docker.utils import kwargs_from_env
    from requests.exceptions import RequestException

    where = f"Docker at {address(compute)}"
    own = compute.settings.docker_url

    def ask() -> T:
        with closing(APIClient(timeout=3, **({"base_url": own} if own else kwargs_from_env()))) as engine:
            return question(engine)

    try:
        return within(ask, where)
    except APIError as e:
        raise NotToldError(f"{where} refuses to tell: {e.explanation or e}") from None
    except (DockerException, RequestException, OSError, ValueError) as e:
        raise NotToldError(f"{where} does not answer ({without_credentials(root(e))})") from None
