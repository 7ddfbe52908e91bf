"""What is in a container image: the identity of the environment of a step that runs in one.

A tag can be moved to another image at any time, so a tag says nothing. An image is known by the digest of its manifest:

- It is what a name can be pinned by, what registries and nodes call an image, and what Docker keeps of an image that it
  has pulled or pushed. So Docker and Kubernetes agree about one image without a question to anybody else.
- The digest of an image's configuration, which older engines show as its id, would outlive another compression of the
  image. But newer engines do not tell it, nor do nodes, and registries only by what they count as a pull. It stands for
  an image that such an engine has and that has been in no registry: nothing else is known of that.

The digest may be that of an index, which holds one image for each platform; therefore the platform is beside it. An
engine tells its own. A cluster has nodes of ``linux/amd64``, unless ``node_selector`` has ``kubernetes.io/arch``.

Where the digest is known, the step is started by it: what runs is what was looked at, even if the tag moves in between.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from aml_provider.reuse.asking import NotToldError
from aml_provider.reuse.engine_images import address, engine_platform, image_on_engine
from aml_provider.reuse.environments import EnvironmentIdentity
from aml_provider.reuse.image_names import ImageName
from aml_provider.reuse.node_images import image_on_nodes
from aml_provider.reuse.packages import without_credentials
from aml_provider.reuse.registry_api import digest_in_registry
from aml_provider.reuse.registry_logins import login_for
from aml_provider.workspace.model import ComputeKind
from aml_provider.workspace.resolved import ResolvedCompute

_ARCHITECTURE_LABELS = ("kubernetes.io/arch", "beta.kubernetes.io/arch")
_COMMON_PLATFORM = "linux/amd64"


def image_identity(image: str, compute: ResolvedCompute, *, trusted: tuple[str, ...]) -> EnvironmentIdentity:
    """What is in an image as a compute target would start it now.

    It takes a few seconds at most, and never fails: what cannot be known is said to be unknown.

    :param trusted: images (globs) whose tags do not move.
    """
    try:
        name = ImageName.parse(image)
    except ValueError:
        return EnvironmentIdentity.unknown(
            f"image {without_credentials(image)!r} is no name of an image. Write it like python:3.11, or "
            "registry.example.com/team/image:1.0."
        )
    if name.digest is not None:
        return _known(name.digest, _platform(compute), None)
    if any(
        fnmatchcase(spelling, pattern)
        for spelling in (image, f"{name.written}:{name.tag}", name.canonical)
        for pattern in trusted
    ):
        identity = {"kind": "image", "reference": name.canonical}
        note = f"image {image!r} is taken by its name: the workspace file trusts it"
        return EnvironmentIdentity(True, identity, None, note, None)
    try:
        return _on_docker(name, image, compute) if compute.kind is ComputeKind.DOCKER else _on_cluster(name, compute)
    except NotToldError as problem:
        return EnvironmentIdentity.unknown(
            f"image {image!r} is known only by a tag, which can move, and nobody tells what it stands for now: "
            f"{problem}. Pin it ({name.written}@sha256:...), or list it under reuse: trusted_images: in the workspace "
            "file if its tag never moves."
        )


def _known(digest: str, platform: str, start: str | None) -> EnvironmentIdentity:
    return EnvironmentIdentity(True, {"kind": "image", "digest": digest, "platform": platform}, None, None, start)


def _on_docker(name: ImageName, image: str, compute: ResolvedCompute) -> EnvironmentIdentity:
    found = image_on_engine(name, image, compute)
    if found is not None:
        return _known(found.digest, found.platform, found.reference)
    # The engine would pull it.
    try:
        digest = digest_in_registry(name, lambda: login_for(name.registry, compute))
    except NotToldError as problem:
        raise NotToldError(f"Docker at {address(compute)} does not have it, and {problem}") from None
    return _known(digest, engine_platform(compute), name.at(digest))


def _on_cluster(name: ImageName, compute: ResolvedCompute) -> EnvironmentIdentity:
    never_pulled = compute.settings.image_pull_policy == "Never"
    said = "image_pull_policy is Never"
    if not never_pulled:
        try:
            digest = digest_in_registry(name, lambda: login_for(name.registry, compute))
            return _known(digest, _platform(compute), name.at(digest))
        except NotToldError as problem:
            said = str(problem)
    try:
        found = image_on_nodes(name, compute)
    except NotToldError as problem:
        raise NotToldError(f"{said}, and {problem}") from None
    return _known(found.digest, found.platform, found.reference)


def _platform(compute: ResolvedCompute) -> str:
    """The platform on which a pinned image, or one that is pulled, will run."""
    if compute.kind is ComputeKind.DOCKER:
        try:
            return engine_platform(compute)
        except NotToldError:
            # Nothing runs there now, and a pinned name is known without it.
            return _COMMON_PLATFORM
    told = (compute.settings.node_selector.get(label) for label in _ARCHITECTURE_LABELS)
    return next((f"linux/{architecture}" for architecture in told if architecture), _COMMON_PLATFORM)
