"""What every test stands on: a private Airflow home, and markers that know whether their component is up."""

from __future__ import annotations

import atexit
import functools
import gc
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import yaml

if TYPE_CHECKING:
    from tests.stores import Place

# How fast a machine is decides no test: the first call of a property may pay for an import.
hypothesis.settings.register_profile("aml", deadline=None)
hypothesis.settings.load_profile("aml")

# Airflow, MLflow and Kubernetes make a million objects that stay; Python would look through them again and again.
gc.set_threshold(50_000)

ROOT = Path(__file__).resolve().parents[1]
TESTBED = ROOT.parent / "shared" / "testbed"
TESTBED_HOME = Path(os.environ.get("TESTBED_HOME", "/var/tmp/testbed"))

# Airflow reads its environment when it is first imported, so all this comes before any test module is.
_PRIVATE = Path(tempfile.mkdtemp(prefix="aml-tests-"))
atexit.register(shutil.rmtree, _PRIVATE, ignore_errors=True)
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    # Hundreds of processes import Airflow and MLflow here: each would compile them again.
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(_PRIVATE / "bytecode")
    sys.dont_write_bytecode = False
for _name in ("AML_WORKSPACE", "AIRFLOW__AML__WORKSPACE", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "AIRFLOW_CONFIG"):
    os.environ.pop(_name, None)
os.environ.update(
    AIRFLOW_HOME=str(_PRIVATE / "airflow"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING",
    AIRFLOW__LOGGING__COLORED_CONSOLE_LOG="False",
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
    AML_HOME=str(_PRIVATE / "aml"),
    MLFLOW_DISABLE_TELEMETRY="true",
    NO_COLOR="1",
)


def _docker() -> str | None:
    try:
        seen = subprocess.run(["docker", "image", "inspect", "testbed/ml"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no Docker engine ({error}): run {TESTBED}/docker-up, then {TESTBED}/images"
    if seen.returncode == 0:
        return None
    if "No such image" in seen.stderr:
        return f"the image testbed/ml is missing: run {TESTBED}/images"
    return f"no Docker engine ({seen.stderr.strip()}): run {TESTBED}/docker-up, then {TESTBED}/images"


def _kubernetes() -> str | None:
    config = TESTBED_HOME / "kubeconfig-airflow"
    if not config.is_file():
        return f"no test cluster ({config} is missing): run {TESTBED}/k8s-up"
    known = yaml.safe_load(config.read_text())
    request = urllib.request.Request(
        known["clusters"][0]["cluster"]["server"] + "/api/v1/namespaces/ml/pods?limit=1",
        headers={"Authorization": f"Bearer {known['users'][0]['user']['token']}"},
    )
    unverified = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(request, timeout=10, context=unverified):
            return None
    except (OSError, urllib.error.URLError) as error:
        return f"the test cluster does not answer ({error}): run {TESTBED}/k8s-up"


def _stores() -> str | None:
    file = TESTBED_HOME / "stores.env"
    return None if file.is_file() else f"no test stores ({file} is missing): run {TESTBED}/stores-up"


def _browser() -> str | None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium and shutil.which("chromedriver"):
        return None
    return f"no Chromium with ChromeDriver: run {TESTBED}/browser-up"


#: marker -> why the component cannot be used, ``None`` when it can; each is looked at once.
PROBES: dict[str, Callable[[], str | None]] = {
    "docker": functools.cache(_docker),
    "kubernetes": functools.cache(_kubernetes),
    "stores": functools.cache(_stores),
    "browser": functools.cache(_browser),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes do the tests, those of the running Airflow are the first: they take longest."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not _needs_airflow(item.nodeid.partition("::")[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Have one process do all tests of the running Airflow, of which there is one, and one do those of a file."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "airflow" if _needs_airflow(file) else file

    return Scheduling(config, log)


@functools.cache
def _needs_airflow(file: str) -> bool:
    # Other servers are called so, too.
    return file.startswith("tests/integration/") and "server: Server" in (ROOT / file).read_text(encoding="utf-8")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose component is absent; where CI has a test-bed, that is a failure."""
    must_be_there = os.environ.get("CI") == "true" and TESTBED.is_dir()
    for marker, probe in PROBES.items():
        if item.get_closest_marker(marker) is None:
            continue
        reason = probe()
        if reason is None:
            continue
        if must_be_there:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def testbed_home() -> Path:
    """Where the test-bed keeps kubeconfigs and the stores' addresses."""
    return TESTBED_HOME


@pytest.fixture(params=[*(pytest.param(kind, marks=pytest.mark.stores) for kind in ("s3", "azure")), "gcs"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A fresh root in each kind of store that keeps objects."""
    from tests.stores import place

    with place(request.param, tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A fresh root in S3."""
    from tests.stores import place

    with place("s3", tmp_path, monkeypatch) as made:
        yield made
