"""Images that are really built, moved, pushed and run: what is looked at is what runs, on Docker and on Kubernetes."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from aml_provider.reuse.environments import EnvironmentIdentity
from aml_provider.reuse.images import image_identity
from aml_provider.workspace.model import WorkspaceFile
from aml_provider.workspace.resolved import LoadedWorkspace, ResolvedCompute
from tests.reuse.registries import Registry, registry

from .machine import NAMESPACE, eventually
from .server import aml

pytestmark = [
    pytest.mark.docker,
    # The test-bed's cluster has a certificate of its own.
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
]
HOME = "home.example.com"


class Images:
    """Images on the test-bed's engine, each with one file that says what it is."""

    def __init__(self) -> None:
        self.client = docker.from_env()
        self.made: set[str] = set()
        self.mark = uuid.uuid4().hex[:12]

    def build(self, name: str, content: str) -> str:
        """Build an image and give it a name, which may have been another image's; gives its id."""
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as tar:
            dockerfile = f"FROM testbed/shell:latest\nLABEL mark={self.mark}\nCOPY content /content\n"
            for file, text in (("Dockerfile", dockerfile), ("content", content + "\n")):
                entry = tarfile.TarInfo(file)
                entry.size = len(text)
                entry.mode = 0o644
                tar.addfile(entry, io.BytesIO(text.encode()))
        context.seek(0)
        image, _ = self.client.images.build(fileobj=context, custom_context=True, tag=name, rm=True)
        self.made.add(name)
        return str(image.id)

    def tag(self, name: str, image: str) -> None:
        self.client.images.get(image).tag(name)
        self.made.add(name)

    def push(self, name: str) -> None:
        for line in self.client.api.push(name, stream=True, decode=True):
            assert "error" not in line, line

    def forget(self, name: str) -> None:
        """Remove an image from the engine, under all its names."""
        self.client.images.remove(self.client.images.get(name).id, force=True)

    def says(self, image: str) -> str:
        """What is in an image, read by a container that the engine makes of it."""
        said = self.client.containers.run(image, ["cat", "/content"], network_mode="none", remove=True)
        return str(said.decode().strip())

    def close(self) -> None:
        left = self._left()
        while left:
            for image in left:
                # The next round finds those again that others were made of.
                with contextlib.suppress(docker.errors.APIError):
                    self.client.images.remove(image, force=True)
            before, left = left, self._left()
            assert len(left) < len(before), left
        self.client.close()

    def _left(self) -> list[str]:
        found = self.client.images.list(all=True, filters={"label": f"mark={self.mark}"})
        return [str(image.id) for image in found]


@pytest.fixture
def images() -> Iterator[Images]:
    made = Images()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that the engine and the cluster's node pull from."""
    with registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


def target(kind: str, **settings: Any) -> ResolvedCompute:
    file = WorkspaceFile.model_validate({"compute": {"box": {"kind": kind, **settings}}})
    return LoadedWorkspace(file, None, Path("/")).compute("box")


DOCKER = target("docker")
#: Nobody of this cluster can be asked: only the registry tells.
CLUSTER = target("kubernetes", config_file="/nonexistent/kubeconfig")


def identity(image: str, compute: ResolvedCompute = DOCKER) -> EnvironmentIdentity:
    found = image_identity(image, compute, trusted=())
    assert found.known, found.why
    return found


# --- an engine's own images -----------------------------------------------------------------------------------------


def test_an_image_that_was_built_here_is_known_by_its_id_and_started_by_it(images: Images) -> None:
    built = images.build(f"{HOME}/ml:1.0", "first")
    found = identity(f"{HOME}/ml:1.0")
    assert found.identity == {"kind": "image", "digest": built, "platform": "linux/amd64"}
    assert found.image == built
    assert images.says(built) == "first"


def test_a_tag_that_moved_is_another_image_and_cannot_slip_in(images: Images) -> None:
    images.build(f"{HOME}/ml", "first")
    before = identity(f"{HOME}/ml")
    images.build(f"{HOME}/ml", "second")
    after = identity(f"{HOME}/ml")
    assert before.identity != after.identity
    assert images.says(f"{HOME}/ml") == "second"
    assert images.says(str(before.image)) == "first"
    assert images.says(str(after.image)) == "second"


def test_a_tag_that_moved_back_is_the_first_image_again(images: Images) -> None:
    first = images.build(f"{HOME}/ml:1", "first")
    before = identity(f"{HOME}/ml:1")
    images.build(f"{HOME}/ml:1", "second")
    images.tag(f"{HOME}/ml:1", first)
    assert identity(f"{HOME}/ml:1") == before


def test_one_image_under_two_tags_is_one(images: Images) -> None:
    built = images.build(f"{HOME}/ml:1", "same")
    images.tag(f"{HOME}/other/ml:2", built)
    assert identity(f"{HOME}/ml:1").identity == identity(f"{HOME}/other/ml:2").identity
    assert identity(f"{HOME}/ml:1").identity == identity(built).identity


def test_a_container_that_only_changed_a_file_makes_another_image(images: Images) -> None:
    images.build(f"{HOME}/ml:1", "first")
    before = identity(f"{HOME}/ml:1")
    container = images.client.containers.create(f"{HOME}/ml:1", ["sh", "-c", "echo changed > /content"])
    try:
        container.start()
        container.wait()
        container.commit(f"{HOME}/ml", tag="1")
    finally:
        container.remove(force=True)
    assert identity(f"{HOME}/ml:1").identity != before.identity


# --- the engine and the registry ------------------------------------------------------------------------------------


def test_after_a_push_engine_and_registry_agree(images: Images, store: Registry) -> None:
    name = f"{store.host}/team/agree:1"
    images.build(name, "pushed")
    images.push(name)
    on_docker, on_cluster = identity(name), identity(name, CLUSTER)
    assert on_docker.identity == on_cluster.identity
    assert on_docker.image == on_cluster.image == f"{store.host}/team/agree@{on_docker.identity['digest']}"
    assert images.says(str(on_docker.image)) == "pushed"
    assert identity(str(on_docker.image)).identity == on_docker.identity, "pinned is the same"


def test_an_engine_that_has_yet_to_pull_it_agrees_and_pulls_just_that(images: Images, store: Registry) -> None:
    name = f"{store.host}/team/later:1"
    images.build(name, "first")
    images.push(name)
    here = identity(name)
    images.forget(name)
    pulled_later = identity(name)
    assert pulled_later == here
    images.build(name, "second")
    images.push(name)
    images.forget(name)
    assert images.says(str(pulled_later.image)) == "first"
    assert identity(name).identity != here.identity


def test_an_engine_that_lags_behind_the_registry_is_another_environment(images: Images, store: Registry) -> None:
    name = f"{store.host}/team/lags:1"
    images.build(name, "first")
    images.push(name)
    first = identity(name)
    images.build(name, "second")
    images.push(name)
    images.tag(name, str(first.image))
    assert identity(name).identity == first.identity, "this is what a container would be made of here"
    assert identity(name, CLUSTER).identity != first.identity, "and this is what a node would pull"


# --- a cluster ------------------------------------------------------------------------------------------------------


def pod_says(kubeconfig: Path, image: str) -> str:
    """What is in an image, read by a pod that is made of it."""
    import kubernetes

    api = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(kubeconfig)))
    name = f"images-{uuid.uuid4().hex[:12]}"
    container = {"name": "reads", "image": image, "command": ["cat", "/content"]}
    spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
    api.create_namespaced_pod(NAMESPACE, {"metadata": {"name": name}, "spec": spec})
    try:
        eventually(
            f"the pod of {image} has ended",
            lambda: api.read_namespaced_pod(name, NAMESPACE).status.phase in ("Succeeded", "Failed"),
        )
        said: bytes = api.read_namespaced_pod_log(name, NAMESPACE, _preload_content=False).data
        return said.decode().strip()
    finally:
        api.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=0)


@pytest.fixture
def administrator(testbed_home: Path) -> Path:
    """A kubeconfig of somebody who may list nodes."""
    return testbed_home / "kubeconfig"


@pytest.mark.kubernetes
def test_a_pod_runs_what_was_looked_at_although_the_tag_has_moved(
    images: Images, store: Registry, kubeconfig: Path
) -> None:
    name = f"{store.host}/team/pod:1"
    images.build(name, "first")
    images.push(name)
    compute = target("kubernetes", config_file=str(kubeconfig))
    before = identity(name, compute)
    images.build(name, "second")
    images.push(name)
    assert pod_says(kubeconfig, str(before.image)) == "first"
    assert pod_says(kubeconfig, str(identity(name, compute).image)) == "second"


@pytest.mark.kubernetes
def test_nodes_that_pulled_an_image_agree_with_the_engine(images: Images, store: Registry, administrator: Path) -> None:
    name = f"{store.host}/team/node:1"
    images.build(name, "first")
    images.push(name)
    compute = target("kubernetes", image_pull_policy="Never", config_file=str(administrator))
    # A node tells its images from time to time.
    eventually("the node tells the image", lambda: image_identity(name, compute, trusted=()).known)
    found = identity(name, compute)
    assert found.identity == identity(name).identity
    assert found.image == identity(name).image
    assert pod_says(administrator, str(found.image)) == "first"


@pytest.mark.kubernetes
def test_images_that_were_only_loaded_are_not_known_unless_they_are_trusted(
    kubeconfig: Path, administrator: Path
) -> None:
    for config, why in ((administrator, "without a digest"), (kubeconfig, "does not let Airflow's account list nodes")):
        compute = target("kubernetes", image_pull_policy="Never", config_file=str(config))
        found = image_identity("testbed/ml:latest", compute, trusted=())
        assert not found.known
        assert why in str(found.why)
        assert image_identity("testbed/ml:latest", compute, trusted=("testbed/*",)).known


# --- a pipeline -----------------------------------------------------------------------------------------------------

PIPELINE = """
from azureml.core import Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.pipeline.core import Pipeline, PipelineData
from azureml.pipeline.steps import CommandStep

ws = Workspace.from_config()
run_config = RunConfiguration()
run_config.environment = Environment("image")
run_config.environment.docker.base_image = "{image}"
said = PipelineData("said", datastore=ws.get_default_datastore())
step = CommandStep(
    name="say", command=["mkdir -p", said, "&& cat /content && cp /content", said, "&& ls", said],
    outputs=[said], compute_target="local", runconfig=run_config,
)
run = Experiment(ws, "images").submit(Pipeline(ws, [step]))
run.wait_for_completion()
"""
WORKSPACE = """
name: images
default_kind: {kind}
state: {state}
docker: {{network: none}}
kubernetes: {{namespace: ml, config_file: {kubeconfig}}}
"""


class Project:
    """A folder with the pipeline, and a workspace file for each kind; what is computed is kept in one place."""

    def __init__(self, folder: Path, image: str, kubeconfig: Path) -> None:
        self.folder, self.state, self.kubeconfig = folder, folder / "state", kubeconfig
        (folder / "pipeline.py").write_text(PIPELINE.format(image=image))

    def aml(self, command: str, kind: str) -> dict[str, Any]:
        """What ``aml run`` or ``aml plan`` says of the step."""
        workspace = self.folder / f"{kind}.yaml"
        workspace.write_text(WORKSPACE.format(kind=kind, state=self.state, kubeconfig=self.kubeconfig))
        done = aml(command, self.folder / "pipeline.py", "--json", workspace=workspace, folder=self.folder)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        (step,) = (said[0] if command == "plan" else said)["steps"]
        return dict(step)

    def run(self, kind: str) -> tuple[bool, str]:
        """Run the pipeline; whether its step was reused, and what it has as its output."""
        step = self.aml("run", kind)
        place = step["outputs"]["said"]
        content = self.state / "datastores" / place["datastore"] / place["path"] / "content"
        return bool(step["reused"]), content.read_text().strip()


@pytest.mark.airflow
@pytest.mark.kubernetes
def test_a_step_computed_on_docker_is_reused_on_kubernetes_as_long_as_the_image_is_the_same(
    images: Images, store: Registry, tmp_path: Path, kubeconfig: Path
) -> None:
    name = f"{store.host}/team/pipeline:latest"
    project = Project(tmp_path, name, kubeconfig)
    images.build(name, "first")
    images.push(name)
    assert project.run("docker") == (False, "first")
    assert project.run("kubernetes") == (True, "first")
    images.build(name, "second")
    images.push(name)
    assert project.run("kubernetes") == (False, "second")
    assert project.aml("plan", "docker")["verdict"] == "reuse"
    images.build(name, "third")
    assert project.aml("plan", "docker")["verdict"] == "run"
    assert project.aml("plan", "kubernetes")["verdict"] == "reuse", "the registry has the second still"
