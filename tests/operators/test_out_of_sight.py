"""A cluster that does not answer for a while: the step runs on there, is followed again, and is computed once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.operators.one_step import lay_out
from tests.reuse.machines import until
from tests.stores import Wire

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.kubernetes,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]
AML = Path(sys.executable).with_name("aml")
WORKSPACE = """
name: lab
default_kind: kubernetes
kubernetes: {image: 'testbed/python:3.11', namespace: ml, image_pull_policy: Never, config_file: KUBECONFIG}
compute: {c: {retries: 20, retry_delay_seconds: 1, deferrable: false}}
reuse: {lease_seconds: 20, trusted_images: ['testbed/python:3.11']}
"""


def test_a_pod_whose_cluster_was_away_is_followed_again(tmp_path: Path, testbed_home: Path) -> None:
    known = yaml.safe_load((testbed_home / "kubeconfig-airflow").read_text())
    server = known["clusters"][0]["cluster"]["server"]
    wire = Wire(urlsplit(server).port or 443)
    known["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{wire.port}"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(known))
    lay_out(tmp_path, WORKSPACE.replace("KUBECONFIG", str(tmp_path / "kubeconfig")), 45)
    kept = tmp_path / ".aml" / "datastores" / "workspaceblobstore" / ".aml"
    # The client asks some times more, for half a minute.
    environment = {**os.environ, "AIRFLOW__WORKERS__API_RETRIES": "1"}

    def text() -> str:
        return (tmp_path / "said").read_text(encoding="utf-8")

    with open(tmp_path / "said", "w", encoding="utf-8") as said:
        run = subprocess.Popen(
            [AML, "run", "pipeline.py"], cwd=tmp_path, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        until(lambda: any("it began" in log.read_text() for log in kept.glob("runs/**/std_log.txt")), "it has begun")
        away = time.time()
        wire.close()
        until(lambda: "step: Queued" in text(), "the task has given up")
        assert list(kept.glob("**/claims/*.json")), "others may compute the same"
        wire = Wire(urlsplit(server).port or 443, at=wire.port)
        assert run.wait(240) == 0, text()
        wire.close()
    assert text().count("it ended") == 1, text()
    (result,) = [p for p in kept.parent.glob("azureml/**/out*") if p.is_file()]
    assert float(result.read_text()) < away, "it has been computed twice"
