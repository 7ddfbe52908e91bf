"""Which image the nodes of a cluster have under a name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aml_provider.reuse.asking import NotToldError, root, within
from aml_provider.reuse.image_names import ImageName
from aml_provider.storage.airflow_import import logging_to_stderr
from aml_provider.workspace.resolved import ResolvedCompute

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api


@dataclass(frozen=True)
class NodeImage:
    """An image that nodes have.

    :param digest: of its manifest.
    :param reference: starts exactly this image.
    :param platform: of the nodes: ``linux/amd64``, ``linux/arm64``...
    """

    digest: str
    reference: str
    platform: str


def image_on_nodes(name: ImageName, compute: ResolvedCompute) -> NodeImage:
    """The image that every node has that has one under this name.

    :raises NotToldError: the nodes cannot be asked, or do not agree.
    """
    selector = ",".join(f"{key}={value}" for key, value in sorted(compute.settings.node_selector.items()))
    with cluster(compute) as api:
        nodes = within(lambda: api.list_node(label_selector=selector, _request_timeout=3).items, _whom(compute))
    return _agreed(name, [_Node(n.status.node_info.architecture, _names(n)) for n in nodes])


@contextmanager
def cluster(compute: ResolvedCompute) -> Iterator[CoreV1Api]:
    """A target's cluster, to ask it something.

    :raises NotToldError: it does not answer, or not this account.
    """
    with logging_to_stderr():
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
        from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError
    from yaml import YAMLError

    settings = compute.settings
    target = _whom(compute)
    try:
        yield KubernetesHook(
            conn_id=settings.kubernetes_conn_id, config_file=settings.config_file, cluster_context=settings.context
        ).core_v1_client
    except ApiException as e:
        why = "does not let Airflow's account list nodes" if e.status in (401, 403) else f"answers {e.status}"
        raise NotToldError(f"{target} {why}") from None
    except (ConfigException, YAMLError, AirflowException, AirflowRuntimeError, ValueError):
        # Their texts may hold what is in the configuration.
        raise NotToldError(
            f"{target} cannot be asked: its configuration (config_file or kubernetes_conn_id) cannot be used"
        ) from None
    except (HTTPError, OSError) as e:
        raise NotToldError(f"{target} cannot be reached ({root(e)})") from None


def _whom(compute: ResolvedCompute) -> str:
    return f"the cluster of compute target {compute.name!r}"


@dataclass(frozen=True)
class _Node:
    """``images``: of each image the names that it has on the node."""

    architecture: str
    images: list[list[ImageName]]


def _names(node: Any) -> list[list[ImageName]]:
    return [[*_parsed(image.names or ())] for image in node.status.images or ()]


def _parsed(texts: Iterable[str]) -> Iterator[ImageName]:
    for text in texts:
        try:
            yield ImageName.parse(text)
        except ValueError:
            continue  # `<none>@<none>`: an image without a name


def _agreed(name: ImageName, nodes: list[_Node]) -> NodeImage:
    """What all nodes have that have the image.

    :raises NotToldError: there is no such thing.
    """
    having = [(node.architecture, names) for node in nodes for names in node.images if _is_among(name, names)]
    if not having:
        raise NotToldError("none of the cluster's nodes says that it has the image")
    common = set.intersection(*({n.digest for n in names if n.digest} for _, names in having))
    if not common:
        several = all(any(n.digest for n in names) for _, names in having)
        raise NotToldError(
            "the cluster's nodes have different images under this name"
            if several
            else "the cluster's nodes have it without a digest, as an image that was loaded and not pulled"
        )
    if len({architecture for architecture, _ in having}) > 1:
        raise NotToldError(
            "the cluster's nodes are of several architectures (node_selector: kubernetes.io/arch says which)"
        )
    # A runtime finds an image by a name that it has listed.
    listed = [n for n in having[0][1] if n.digest in common]
    best = min(listed, key=lambda n: (n.place != name.place, n.canonical))
    reference = name.at(str(best.digest)) if best.place == name.place else best.at(str(best.digest))
    return NodeImage(str(best.digest), reference, f"linux/{having[0][0]}")


def _is_among(name: ImageName, names: list[ImageName]) -> bool:
    return any(n.digest is None and n.canonical == name.canonical for n in names)
