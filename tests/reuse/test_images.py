"""What is in the image of a step: known by its digest, on every kind of compute, or said not to be known."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker.auth import resolve_repository_name
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.reuse import asking
from aml_provider.reuse.environments import EnvironmentIdentity
from aml_provider.reuse.image_names import ImageName
from aml_provider.reuse.images import image_identity
from aml_provider.workspace.model import WorkspaceFile
from aml_provider.workspace.resolved import LoadedWorkspace, ResolvedCompute
from tests.reuse.registries import (
    IDENTITY_TOKEN,
    MANIFEST,
    PASSWORD,
    USER,
    Registry,
    TokenServer,
    answering,
    free_port,
    registry,
    reply,
    silent,
    token_server,
    with_password,
)

# Docker's client leaves the socket open that it could not connect.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket.socket .*family=1,:ResourceWarning")

DIGEST = "sha256:" + "1f" * 32
OTHER = "sha256:" + "2e" * 32
NOWHERE = "/nonexistent/kubeconfig"


def target(kind: str, **settings: Any) -> ResolvedCompute:
    file = WorkspaceFile.model_validate({"compute": {"box": {"kind": kind, **settings}}})
    return LoadedWorkspace(file, None, Path("/")).compute("box")


def no_engine() -> ResolvedCompute:
    return target("docker", docker_url=f"tcp://127.0.0.1:{free_port()}")


def cluster(**settings: Any) -> ResolvedCompute:
    """A cluster that cannot be asked itself, so that all that is known comes from the registry."""
    return target("kubernetes", **{"config_file": NOWHERE, **settings})


def identity(image: str, compute: ResolvedCompute, *trusted: str) -> EnvironmentIdentity:
    found = image_identity(image, compute, trusted=trusted)
    assert found.known, found.why
    return found


def why_not(image: str, compute: ResolvedCompute) -> str:
    """The sentence about an image that is not known, which says which one it is and, for a tag, what can be done."""
    found = image_identity(image, compute, trusted=())
    assert not found.known
    assert found.identity == {}
    assert found.image is None
    assert found.why is not None
    assert repr(image) in found.why
    assert "@sha256:" in found.why
    assert "trusted_images" in found.why
    assert "\n" not in found.why
    assert "Traceback" not in found.why
    return found.why


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "same",
    [
        ["python", "python:latest", "library/python", "docker.io/python", "index.docker.io/library/python:latest"],
        ["team/ml:1.0", "docker.io/team/ml:1.0", "DOCKER.IO/team/ml:1.0"],
        ["acr.example.com/ml", "ACR.example.com/ml:latest"],
        ["localhost:5000/a/b/c:x", "LOCALHOST:5000/a/b/c:x"],
        ["[::1]:5000/ml:1", "[::1]:5000/ml:1"],
        [f"ml@{DIGEST}", f"ml:1@{DIGEST}", f"docker.io/library/ml:2@{DIGEST}"],
    ],
)
def test_names_that_mean_the_same_are_equal(same: list[str]) -> None:
    assert len({ImageName.parse(text).canonical for text in same}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("python:3.11", "python:3.12"),
        ("python", "team/python"),
        ("team/ml", "localhost/team/ml"),
        ("example.com/ml", "example.com:443/ml"),
        ("example.com/ml", "example.com/library/ml"),
        (f"ml@{DIGEST}", f"ml@{OTHER}"),
    ],
)
def test_names_that_mean_different_images_differ(one: str, other: str) -> None:
    assert ImageName.parse(one).canonical != ImageName.parse(other).canonical


part = st.from_regex(r"[a-z0-9]{1,6}([._-][a-z0-9]{1,4}){0,2}", fullmatch=True)
host = st.from_regex(r"([a-z0-9]{1,6}\.){1,2}[a-z]{2,3}(:[1-9][0-9]{1,3})?|localhost(:5000)?|a:1", fullmatch=True)
tag = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
paths = st.lists(part, min_size=1, max_size=4).map("/".join)


@given(st.none() | host, paths, st.none() | tag)
def test_a_name_is_taken_apart_as_docker_does(registry: str | None, path: str, tag: str | None) -> None:
    written = f"{registry}/{path}" if registry else path
    name = ImageName.parse(f"{written}:{tag}" if tag else written)
    their_registry, their_repository = resolve_repository_name(written)
    assert name.registry == their_registry
    assert name.repository in (their_repository, f"library/{their_repository}")
    assert name.tag == (tag or "latest")
    assert name.written == written


@given(st.none() | host, paths, st.none() | tag, st.none() | st.just(DIGEST))
def test_the_full_name_is_its_own(registry: str | None, path: str, tag: str | None, digest: str | None) -> None:
    written = f"{registry}/{path}" if registry else path
    name = ImageName.parse(written + (f":{tag}" if tag else "") + (f"@{digest}" if digest else ""))
    again = ImageName.parse(name.canonical)
    assert again.canonical == name.canonical
    assert (again.registry, again.repository, again.digest) == (name.registry, name.repository, name.digest)
    assert ImageName.parse(name.at(DIGEST)).place == name.place


@given(st.text(max_size=40) | st.text("aA0.:/@-_[]", max_size=20))
def test_any_other_text_is_refused_in_words(text: str) -> None:
    try:
        name = ImageName.parse(text)
    except ValueError:
        found = image_identity(text, cluster(), trusted=())
        assert not found.known
        assert "is no name of an image" in str(found.why)
    else:
        assert ImageName.parse(name.canonical).canonical == name.canonical


def test_a_password_in_what_is_no_name_is_not_repeated() -> None:
    found = image_identity("https://me:s3cret-word@example.com/ml", cluster(), trusted=())
    assert not found.known
    assert "s3cret-word" not in str(found.why)


# --- pinned, and trusted --------------------------------------------------------------------------------------------


def test_a_pinned_image_is_known_without_asking_anybody() -> None:
    found = identity(f"testbed/ml@{DIGEST}", cluster())
    assert found.identity == {"kind": "image", "digest": DIGEST, "platform": "linux/amd64"}
    assert found.image is None, "it is started as written"
    assert found.note is None
    assert identity(f"testbed/ml@{DIGEST}", no_engine()).identity == found.identity


def test_the_digest_says_it_all_wherever_the_image_is_kept_and_whatever_its_tag() -> None:
    same = [f"testbed/ml@{DIGEST}", f"testbed/ml:1.0@{DIGEST}", f"mirror.example.com/ml@{DIGEST}"]
    assert len({json.dumps(identity(image, cluster()).identity) for image in same}) == 1
    assert identity(f"testbed/ml@{OTHER}", cluster()).identity != identity(same[0], cluster()).identity


def test_one_digest_may_hold_images_for_several_platforms() -> None:
    arm = identity(f"ml@{DIGEST}", cluster(node_selector={"kubernetes.io/arch": "arm64"})).identity
    assert arm["platform"] == "linux/arm64"
    assert arm != identity(f"ml@{DIGEST}", cluster(node_selector={"pool": "gpu"})).identity
    here = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}[platform.machine()]
    assert identity(f"ml@{DIGEST}", target("docker", docker_url="unix:///nonexistent")).identity["platform"] == here


@pytest.mark.parametrize("pattern", ["testbed/*", "testbed/ml:1.0", "docker.io/testbed/ml:*", "*"])
def test_a_trusted_image_is_known_by_its_name_on_every_engine(pattern: str) -> None:
    found = identity("testbed/ml:1.0", no_engine(), pattern)
    assert found.identity == {"kind": "image", "reference": "docker.io/testbed/ml:1.0"}
    assert found.image is None
    assert found.note is not None
    assert "'testbed/ml:1.0'" in found.note
    assert identity("docker.io/testbed/ml:1.0", cluster(), "other/*", "*testbed/ml*").identity == found.identity


def test_an_untagged_image_is_trusted_by_its_tag_as_well() -> None:
    found = identity("testbed/ml", no_engine(), "testbed/ml:latest")
    assert found.identity == identity("testbed/ml:latest", cluster(), "testbed/ml:*").identity


def test_only_what_is_trusted_is() -> None:
    found = image_identity("testbed/ml:1.0", no_engine(), trusted=("testbed/ml:2*", "ml"))
    assert not found.known


def test_a_trusted_and_pinned_image_is_known_by_its_digest() -> None:
    found = identity(f"testbed/ml@{DIGEST}", cluster(), "testbed/*")
    assert found.identity["digest"] == DIGEST
    assert found.note is None


# --- nobody to ask --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", ["testbed/ml", "testbed/ml:latest", "testbed/ml:1.0"])
def test_a_tag_that_nobody_can_resolve_is_unknown(image: str) -> None:
    assert "does not answer" in why_not(image, no_engine())
    assert "unix:///nonexistent.sock" in why_not(image, target("docker", docker_url="unix:///nonexistent.sock"))


def test_a_registry_and_a_cluster_that_are_down() -> None:
    host = f"127.0.0.1:{free_port()}"
    why = why_not(f"{host}/ml:1", cluster())
    assert f"registry {host} cannot be reached" in why
    assert "'box'" in why


def test_image_pull_policy_never_asks_no_registry(images: Registry) -> None:
    images.push("never", "1", "a")
    assert "image_pull_policy is Never" in why_not(f"{images.host}/never:1", cluster(image_pull_policy="Never"))


def test_servers_that_never_answer_are_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.3)
    with silent() as host:
        assert "does not answer within" in why_not("ml:1", target("docker", docker_url=f"tcp://{host}"))
        config = kubeconfig(tmp_path, host)
        why = why_not(f"{host}/ml:1", cluster(config_file=config))
        assert f"registry {host} does not answer within" in why
        assert "'box' does not answer within" in why


@pytest.mark.parametrize("url", ["tcp://me:s3cret-word@127.0.0.1:1", "ssh://me:s3cret-word@127.0.0.1", "nonsense://"])
def test_an_engine_address_that_is_none_is_told_without_its_password(url: str) -> None:
    assert "s3cret-word" not in why_not("ml:1", target("docker", docker_url=url))


# --- what a registry says -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that is open to everybody on this machine."""
    with registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


def test_a_tag_is_known_by_the_digest_that_it_stands_for_and_started_by_it(images: Registry) -> None:
    digest = images.push("team/ml", "1.0", "first")
    found = identity(f"{images.host}/team/ml:1.0", cluster())
    assert found.identity == {"kind": "image", "digest": digest, "platform": "linux/amd64"}
    assert found.image == f"{images.host}/team/ml@{digest}"
    assert identity(str(found.image), cluster()).identity == found.identity


def test_a_tag_that_has_moved_is_another_image(images: Registry) -> None:
    images.push("moved", "latest", "first")
    before = identity(f"{images.host}/moved", cluster())
    images.push("moved", "latest", "second")
    after = identity(f"{images.host}/moved", cluster())
    assert before.identity != after.identity
    assert before.image != after.image


def test_one_image_under_two_names_is_one(images: Registry) -> None:
    images.push("one", "a", "same")
    images.push("one", "b", "same")
    images.push("two", "latest", "same")
    names = [f"{images.host}/one:a", f"{images.host}/one:b", f"{images.host}/two"]
    assert len({json.dumps(identity(name, cluster()).identity) for name in names}) == 1


def test_an_image_for_several_platforms_is_known_as_a_whole_beside_the_platform(images: Registry) -> None:
    digest = images.push_index("multi", "1", amd64="a", arm64="b")
    name = f"{images.host}/multi:1"
    on_amd = identity(name, cluster())
    on_arm = identity(name, cluster(node_selector={"kubernetes.io/arch": "arm64"}))
    assert on_amd.image == on_arm.image == f"{images.host}/multi@{digest}"
    assert on_amd.identity != on_arm.identity
    images.push_index("multi", "1", amd64="a", arm64="c")
    assert identity(name, cluster()).identity != on_amd.identity


def test_an_image_that_is_not_there(images: Registry) -> None:
    images.push("there", "1", "a")
    assert "has no such image" in why_not(f"{images.host}/there:2", cluster())
    assert "has no such image" in why_not(f"{images.host}/not/there:1", cluster())


def test_a_registry_on_this_machine_may_use_tls_with_a_certificate_of_its_own(images: Registry, tmp_path: Path) -> None:
    digest = images.push("ml", "1", "a")
    with registry(tmp_path, images.storage, tls=True) as secured:
        assert identity(f"{secured.host}/ml:1", cluster()).identity["digest"] == digest


def test_a_registry_that_knows_only_the_whole_question(images: Registry) -> None:
    body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST})

    def answer(handler: BaseHTTPRequestHandler) -> None:
        reply(handler, 405 if handler.command == "HEAD" else 200, body, Content_Type=MANIFEST)

    with answering(answer) as host:
        digest = identity(f"{host}/ml:1", cluster()).identity["digest"]
    assert digest == f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, "<html>Please sign in</html>", "is no registry"),
        (429, "", "asked too often"),
        (503, "", "answers 503"),
        (403, "", "does not show it"),
        (401, "", "does not show it"),
    ],
)
def test_what_else_may_answer_there(status: int, body: str, said: str) -> None:
    with answering(lambda handler: reply(handler, status, body)) as host:
        assert said in why_not(f"{host}/ml:1", cluster())


@pytest.mark.parametrize("where", ["ftp://[", "http://example.com/token", ""])
def test_a_login_is_sent_nowhere_without_encryption(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    challenge = f'Bearer realm="{where}",service="x"'

    with answering(lambda handler: reply(handler, 401, WWW_Authenticate=challenge)) as host:
        uri = f"docker://{USER}:{PASSWORD}@{host}"
        monkeypatch.setenv("AIRFLOW_CONN_REGISTRY", uri)
        why = why_not(f"{host}/ml:1", cluster(docker_conn_id="registry"))
    assert "without encryption" in why or "address that is none" in why


def test_a_redirection_to_an_address_that_is_none() -> None:
    with answering(lambda handler: reply(handler, 307, Location="http://[nonsense/")) as host:
        assert host in why_not(f"{host}/ml:1", cluster())


def test_a_proxy_that_cannot_be_used_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://me:s3cret-word@127.0.0.1:1")
    assert "s3cret-word" not in why_not("registry.invalid/ml:1", cluster())


# --- who asks -------------------------------------------------------------------------------------------------------

Allowed = Callable[[ResolvedCompute], EnvironmentIdentity]


@pytest.fixture(scope="module")
def private(images: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """The same images where a user and a password are needed."""
    folder = tmp_path_factory.mktemp("private")
    with registry(folder, images.storage, auth=with_password(folder)) as started:
        yield started


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    with token_server(tmp_path_factory.mktemp("tokens")) as started:
        yield started


@pytest.fixture(scope="module")
def cloud(images: Registry, tokens: TokenServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """The same images where another server gives tokens, as for Docker Hub and the clouds' registries."""
    with registry(tmp_path_factory.mktemp("cloud"), images.storage, auth=tokens.auth) as started:
        yield started


@pytest.fixture(autouse=True)
def docker_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration file of this test's user; there is none at first."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder / "config.json"


def login_entry(user: str = USER, password: str = PASSWORD) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("where", ["private", "cloud"])
def test_an_airflow_connection_gives_the_login(
    where: str, images: Registry, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = images.push("secret/ml", "1", "a")
    asked: Registry = request.getfixturevalue(where)
    name = f"{asked.host}/secret/ml:1"
    assert "docker_conn_id" in why_not(name, cluster())
    monkeypatch.setenv("AIRFLOW_CONN_MY_REGISTRY", f"docker://{USER}:{PASSWORD}@{asked.host}")
    assert identity(name, cluster(docker_conn_id="my_registry")).identity["digest"] == digest


@pytest.mark.parametrize("where", ["private", "cloud"])
def test_dockers_own_file_gives_the_login(
    where: str, images: Registry, request: pytest.FixtureRequest, docker_file: Path
) -> None:
    digest = images.push("secret/ml", "1", "a")
    asked: Registry = request.getfixturevalue(where)
    docker_file.write_text(json.dumps({"auths": {f"http://{asked.host}/v2/": login_entry()}}))
    assert identity(f"{asked.host}/secret/ml:1", cluster()).identity["digest"] == digest


def test_a_credential_helper_gives_the_login(
    images: Registry, private: Registry, docker_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = images.push("secret/ml", "1", "a")
    helper = docker_file.parent / "docker-credential-tests"
    said = json.dumps({"ServerURL": private.host, "Username": USER, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\ncat > /dev/null\necho '{said}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(docker_file.parent), prepend=":")
    docker_file.write_text(json.dumps({"credHelpers": {private.host: "tests"}}))
    assert identity(f"{private.host}/secret/ml:1", cluster()).identity["digest"] == digest
    helper.write_text(f"#!/bin/sh\necho 'no entry, but {PASSWORD}'\nexit 1\n")
    assert PASSWORD not in why_not(f"{private.host}/secret/ml:1", cluster())


def test_an_identity_token_gives_the_login(images: Registry, cloud: Registry, docker_file: Path) -> None:
    digest = images.push("secret/ml", "1", "a")
    entry = {**login_entry("0000", ""), "identitytoken": IDENTITY_TOKEN}
    docker_file.write_text(json.dumps({"auths": {cloud.host: entry}}))
    assert identity(f"{cloud.host}/secret/ml:1", cluster()).identity["digest"] == digest


def test_what_is_public_needs_no_login(images: Registry, cloud: Registry) -> None:
    digest = images.push("public/ml", "1", "a")
    assert identity(f"{cloud.host}/public/ml:1", cluster()).identity["digest"] == digest


@pytest.mark.parametrize("where", ["private", "cloud"])
@pytest.mark.parametrize("uri", ["docker://reader:wr0ng-word@{host}", "docker://reader:wr0ng-word@elsewhere:1"])
def test_a_wrong_login_is_refused_and_never_shown(
    where: str, uri: str, request: pytest.FixtureRequest, images: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.push("secret/ml", "1", "a")
    asked: Registry = request.getfixturevalue(where)
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", uri.replace("{host}", asked.host))
    why = why_not(f"{asked.host}/secret/ml:1", cluster(docker_conn_id="wrong"))
    assert "does not show it" in why
    assert "wr0ng-word" not in why


def test_a_connection_that_is_not_there_is_named(private: Registry) -> None:
    assert "'nobody'" in why_not(f"{private.host}/secret/ml:1", cluster(docker_conn_id="nobody"))


@pytest.mark.parametrize("text", ['{"auths": {"x": {"auth": "s3cret"}}}', "s3cret", '{"auths": [1]}', '["s3cret"]'])
def test_a_damaged_file_of_docker_is_no_traceback(text: str, private: Registry, docker_file: Path) -> None:
    docker_file.write_text(text)
    assert "s3cret" not in why_not(f"{private.host}/secret/ml:1", cluster())


# --- what the nodes of a cluster say --------------------------------------------------------------------------------


def kubeconfig(folder: Path, host: str) -> str:
    file = folder / "kubeconfig"
    known = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://{host}"}}],
        "users": [{"name": "u", "user": {"token": "s3cret-token"}}],
    }
    file.write_text(yaml.safe_dump(known))
    return str(file)


def node(*images: list[str], architecture: str = "amd64") -> dict[str, Any]:
    info = dict.fromkeys(
        [
            "bootID",
            "containerRuntimeVersion",
            "kernelVersion",
            "kubeProxyVersion",
            "kubeletVersion",
            "machineID",
            "operatingSystem",
            "osImage",
            "systemUUID",
        ],
        "",
    )
    status = {"nodeInfo": {**info, "architecture": architecture}, "images": [{"names": list(i)} for i in images]}
    return {"metadata": {"name": "n"}, "status": status}


class Nodes:
    """Answers for the API server of a cluster that has these nodes."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.secrets: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.status = 200
        self.config = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        kind, name = handler.path.partition("?")[0].split("/")[-2:]
        if kind == "secrets" and name in self.secrets:
            reply(handler, 200, json.dumps({"data": self.secrets[name]}), Content_Type="application/json")
        elif name == "nodes":
            body = {"kind": "NodeList", "apiVersion": "v1", "items": self.nodes}
            reply(handler, self.status, json.dumps(body), Content_Type="application/json")
        else:
            reply(handler, 403, "{}")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """The cluster behind :func:`loaded`. The test-bed has a cluster of one node only."""
    answers = Nodes()
    with answering(answers.answer) as host:
        answers.config = kubeconfig(tmp_path, host)
        yield answers


def loaded(nodes: Nodes, **settings: Any) -> ResolvedCompute:
    """A cluster whose nodes have their images already."""
    return target("kubernetes", image_pull_policy="Never", config_file=nodes.config, **settings)


def test_what_all_nodes_have_is_known_by_its_digest(nodes: Nodes) -> None:
    having = node(["docker.io/library/other:1"], [f"docker.io/testbed/ml@{DIGEST}", "docker.io/testbed/ml:1"])
    nodes.nodes = [having, node(["docker.io/library/other:1"]), having]
    found = identity("testbed/ml:1", loaded(nodes))
    assert found.identity == identity(f"testbed/ml@{DIGEST}", no_engine()).identity
    assert found.image == f"testbed/ml@{DIGEST}"


def test_the_architecture_is_that_of_the_nodes(nodes: Nodes) -> None:
    names = [f"ml@{DIGEST}", "ml:1"]
    nodes.nodes = [node(names, architecture="arm64")]
    assert identity("ml:1", loaded(nodes)).identity["platform"] == "linux/arm64"
    nodes.nodes += [node(names)]
    assert "node_selector" in why_not("ml:1", loaded(nodes))


def test_only_nodes_that_the_target_may_use_are_asked(nodes: Nodes) -> None:
    nodes.nodes = [node([f"ml@{DIGEST}", "ml:1"])]
    identity("ml:1", loaded(nodes, node_selector={"pool": "gpu", "zone": "a"}))
    assert "pool%3Dgpu%2Czone%3Da" in nodes.asked[-1]


def test_an_image_is_asked_for_by_a_name_that_the_nodes_have(nodes: Nodes) -> None:
    nodes.nodes = [node([f"docker.io/library/import-2026-01-01@{DIGEST}", "docker.io/testbed/ml:1"])]
    found = identity("testbed/ml:1", loaded(nodes))
    assert found.identity["digest"] == DIGEST
    assert found.image == f"docker.io/library/import-2026-01-01@{DIGEST}"


@pytest.mark.parametrize(
    ("have", "said"),
    [
        ([], "none of the cluster's nodes"),
        ([[f"ml@{DIGEST}", "ml:2"]], "none of the cluster's nodes"),
        ([["ml:1"]], "without a digest"),
        ([[f"ml@{DIGEST}", "ml:1"], ["ml:1"]], "without a digest"),
        ([[f"ml@{DIGEST}", "ml:1"], [f"ml@{OTHER}", "ml:1"]], "different images"),
        ([["<none>@<none>", "<none>:<none>"]], "none of the cluster's nodes"),
    ],
)
def test_nodes_that_do_not_agree(have: list[list[str]], said: str, nodes: Nodes) -> None:
    nodes.nodes = [node(names) for names in have]
    assert said in why_not("ml:1", loaded(nodes))


@given(st.lists(st.lists(st.sampled_from([DIGEST, OTHER]), max_size=2, unique=True), min_size=1, max_size=4))
def test_nodes_are_believed_exactly_when_one_image_is_on_all_of_them(digests: list[list[str]]) -> None:
    from aml_provider.reuse.node_images import _agreed, _Node

    name = ImageName.parse("ml:1")
    having = [_Node("amd64", [[name, *(ImageName.parse(f"ml@{d}") for d in has)]]) for has in digests]
    common = set.intersection(*map(set, digests))
    if common:
        assert _agreed(name, having).digest == min(common)
    else:
        with pytest.raises(asking.NotToldError):
            _agreed(name, having)


@pytest.mark.parametrize(("status", "said"), [(403, "does not let Airflow's account list nodes"), (500, "answers 500")])
def test_a_cluster_that_does_not_tell(status: int, said: str, nodes: Nodes) -> None:
    nodes.status = status
    why = why_not("ml:1", loaded(nodes))
    assert said in why
    assert "s3cret-token" not in why


def test_the_nodes_are_asked_when_the_registry_is_down(nodes: Nodes) -> None:
    name = f"127.0.0.1:{free_port()}/ml"
    nodes.nodes = [node([f"{name}@{DIGEST}", f"{name}:1"])]
    compute = target("kubernetes", config_file=nodes.config)
    assert identity(f"{name}:1", compute).identity["digest"] == DIGEST


def test_a_pull_secret_of_the_cluster_gives_the_login(nodes: Nodes, images: Registry, private: Registry) -> None:
    digest = images.push("secret/ml", "1", "a")
    file = json.dumps({"auths": {private.host: login_entry()}})
    nodes.secrets["pull"] = {".dockerconfigjson": base64.b64encode(file.encode()).decode()}
    compute = target(
        "kubernetes",
        namespace="ml",
        image_pull_secrets=["not-there", "pull"],
        config_file=nodes.config,
    )
    assert identity(f"{private.host}/secret/ml:1", compute).identity["digest"] == digest
    assert any("/namespaces/ml/secrets/pull" in path for path in nodes.asked)
    nodes.secrets["pull"] = {".dockerconfigjson": base64.b64encode(b"s3cret-word").decode()}
    why = why_not(f"{private.host}/secret/ml:1", compute)
    assert "'pull'" in why
    assert "s3cret-word" not in why


# --- a docker engine ------------------------------------------------------------------------------------------------


@pytest.mark.docker
def test_an_image_that_the_engine_would_pull_is_known_before(images: Registry) -> None:
    digest = images.push("not/pulled", "1", "a")
    found = identity(f"{images.host}/not/pulled:1", target("docker"))
    assert found.identity == identity(f"{images.host}/not/pulled:1", cluster()).identity
    assert found.image == f"{images.host}/not/pulled@{digest}"


@pytest.mark.docker
def test_an_image_that_is_nowhere(images: Registry) -> None:
    why = why_not(f"{images.host}/nowhere:1", target("docker"))
    assert "Docker at the local socket does not have it" in why
    assert "has no such image" in why


def test_docker_host_is_the_engine_when_the_file_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent-host.sock")
    assert "nonexistent-host.sock" in why_not("ml:1", target("docker"))


def engine(image: dict[str, Any] | None) -> Callable[[BaseHTTPRequestHandler], None]:
    """What a newer engine on an ARM machine answers. The test-bed's is older, and on this machine."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        what = handler.path.rpartition("/")[2]
        if what == "version":
            reply(handler, 200, json.dumps({"ApiVersion": "1.51", "Os": "linux", "Arch": "arm64"}))
        elif what == "json" and image is not None:
            reply(handler, 200, json.dumps(image))
        else:
            reply(handler, 404, json.dumps({"message": "No such image"}), Content_Type="application/json")

    return answer


def test_an_engine_that_names_images_by_their_manifests_agrees_with_the_registry(images: Registry) -> None:
    digest = images.push("newer", "1", "a")
    name = f"{images.host}/newer"
    seen = {"Id": digest, "RepoDigests": [f"{name}@{digest}"], "Os": "linux", "Architecture": "amd64"}
    with answering(engine(seen)) as host:
        found = identity(f"{name}:1", target("docker", docker_url=f"tcp://{host}"))
    assert found.identity == identity(f"{name}:1", cluster()).identity
    assert found.image == f"{name}@{digest}"


def test_an_image_that_was_pulled_under_another_name_is_the_same(images: Registry) -> None:
    seen = {"Id": OTHER, "RepoDigests": [f"mirror.example.com/ml@{DIGEST}"], "Os": "linux", "Architecture": "amd64"}
    with answering(engine(seen)) as host:
        found = identity("ml:1", target("docker", docker_url=f"tcp://{host}"))
    assert found.identity == identity(f"ml@{DIGEST}", cluster()).identity
    assert found.image == OTHER, "under its own name the engine may not find it by that digest"


def test_an_engine_elsewhere_is_asked_for_its_platform(images: Registry) -> None:
    digest = images.push_index("multi/remote", "1", amd64="a", arm64="b")
    with answering(engine(None)) as host:
        compute = target("docker", docker_url=f"tcp://{host}")
        found = identity(f"{images.host}/multi/remote:1", compute)
        assert found.identity == {"kind": "image", "digest": digest, "platform": "linux/arm64"}
        assert identity(f"ml@{digest}", compute).identity == found.identity
