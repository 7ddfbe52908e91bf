"""Airflow's own pages, in a browser, show the pipeline as its author wrote it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .machine import eventually
from .server import Server, free_port

pytestmark = [pytest.mark.airflow, pytest.mark.browser]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1600,1000",
]


class Browser:
    """A Chromium behind ChromeDriver, spoken to in the W3C's WebDriver protocol."""

    def __init__(self, port: int, profile: Path) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        options = {"args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        self._session = f"/session/{self._post('/session', wanted)['sessionId']}"

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._client.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()["value"]

    def open(self, url: str) -> None:
        self._post(f"{self._session}/url", {"url": url})

    def text(self) -> str:
        """What a person reads on the page."""
        script = "return document.body ? document.body.innerText : ''"
        return str(self._post(f"{self._session}/execute/sync", {"script": script, "args": []}))

    def close(self) -> None:
        self._client.delete(self._session)
        self._client.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A fresh browser."""
    port = free_port()
    with (tmp_path / "chromedriver.log").open("wb") as log:
        driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=log, stderr=subprocess.STDOUT)
    try:
        eventually("ChromeDriver answers", lambda: _answers(port), seconds=60)
        started = Browser(port, tmp_path / "profile")
        yield started
        started.close()
    finally:
        driver.terminate()
        driver.wait(20)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/status", trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_the_grid_shows_the_authors_steps(server: Server, browser: Browser) -> None:
    # Unknown parameter: the run ends at once, and its page shows all tasks all the same.
    run = server.trigger("fan-out", cuont=1)
    run.wait()
    browser.open(f"{server.url}/dags/fan-out/runs/{run.run_id}")
    names = {"draw", "estimate", "histogram", "smallest", "report"}
    eventually("the page shows the steps", lambda: names <= set(browser.text().split()), seconds=120)
