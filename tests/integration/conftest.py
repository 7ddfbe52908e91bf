"""One real Airflow for all tests of this folder, and its logs when one of them fails."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .machine import remove_leftovers
from .server import LOG_CHARACTERS, Server, free_port

HERE = Path(__file__).parent
TARGETS = {
    "docker": "{kind: docker, image: 'testbed/ml:latest', network: none}",
    "kubernetes": "{kind: kubernetes, deferrable: false, KUBERNETES}",
    "deferred": "{kind: kubernetes, deferrable: true, KUBERNETES}",
}
KUBERNETES = "image: 'testbed/ml:latest', image_pull_policy: Never, namespace: ml, config_file: KUBECONFIG"


def absent(config: pytest.Config, component: str) -> str | None:
    """Why a component cannot be used; the parent folder's conftest knows."""
    probes: dict[str, Callable[[], str | None]] = next(
        plugin.PROBES for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "PROBES")
    )
    return probes[component]()


@pytest.fixture(scope="session")
def kubeconfig(testbed_home: Path) -> Path:
    """A kubeconfig that may do what Airflow should need, and no more."""
    return testbed_home / "kubeconfig-airflow"


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datastores, MLflow's database and step environments of every workspace here."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="session")
def available(request: pytest.FixtureRequest) -> set[str]:
    """Which of docker and kubernetes this machine has."""
    return {kind for kind in ("docker", "kubernetes") if absent(request.config, kind) is None}


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, repository: Path, state: Path, kubeconfig: Path, available: set[str]
) -> Iterator[Server]:
    """A running Airflow with the sample pipelines and those of this folder in its dags folder."""
    folder = tmp_path_factory.mktemp("airflow")
    dags = folder / "dags"
    shutil.copytree(repository / "dags", dags, ignore=shutil.ignore_patterns("workspace.yaml", "__pycache__"))
    shutil.copytree(HERE / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    port = free_port()
    targets = sorted(available) + ["deferred"] * ("kubernetes" in available)
    compute = "".join(f"  {t}: {TARGETS[t]}\n" for t in targets).replace("KUBERNETES", KUBERNETES)
    workspace = folder / "workspace.yaml"
    workspace.write_text(
        f"name: tests\nstate: {state}\nairflow: {{url: 'http://127.0.0.1:{port}'}}\n"
        + "".join(f"{kind}: {{retry_delay_seconds: 1}}\n" for kind in ("local", "docker", "kubernetes"))
        # A build number must not count; the test images' tags do not move.
        + "reuse: {lease_seconds: 5, ignore_parameters: [build_number], trusted_images: ['testbed/*']}\n"
        + "compute:\n  local: {kind: local, max_nodes: 8}\n"
        + compute.replace("KUBECONFIG", str(kubeconfig)).replace("{kind", "{max_nodes: 8, kind")
    )
    started = Server(folder / "home", dags, workspace, port, kubeconfig)
    (started.store / "gates").mkdir(parents=True, exist_ok=True)
    shutil.copytree(dags / "digits" / "data", started.store / "digits" / "raw", dirs_exist_ok=True)
    # Tests that are ended by a time limit end their server first.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        started.start()
        started.ready({"digits", "fan-out", "hold", "counted-local", "by-hand"})
        yield started
    finally:
        started.stop()
        signal.signal(signal.SIGTERM, before)
        remove_leftovers(started.store / ".aml", available, kubeconfig)


@pytest.fixture(scope="session")
def pools(server: Server) -> None:
    """The pools of the compute targets that the workspace file declares."""
    done = server.aml("pools")
    assert done.returncode == 0, done.stderr


def readable(log: Path) -> str:
    """A task's log without what Airflow adds to each line."""
    lines = [json.loads(line) for line in log.read_text(errors="replace").splitlines() if line.endswith("}")]
    return "\n".join(
        " ".join(map(str, [x["timestamp"][11:23], x["event"], *(e["exc_value"] for e in x.get("error_detail", ()))]))
        for x in lines
        if "timestamp" in x
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """Add what the server and its tasks said last to the report of a failure."""
    report = yield
    server = getattr(item, "funcargs", {}).get("server")
    if report.failed and isinstance(server, Server):
        report.sections.append((f"end of {server.log}", server.log.read_text(errors="replace")[-LOG_CHARACTERS:]))
        logs = [f for f in (server.home / "logs").rglob("attempt=*.log") if f.stat().st_mtime > call.start - 60]
        for file in sorted(logs, key=lambda f: f.stat().st_mtime)[-6:]:
            report.sections.append((f"end of {file}", readable(file)[-LOG_CHARACTERS:]))
    return report
