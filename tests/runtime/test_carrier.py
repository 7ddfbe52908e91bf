"""The program that carries a step's files in a pod, run as a pod runs it, with a store that does what it is told."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from aml_provider.execution.carrying import PROGRAM

SECRET = "sig=a-secret-signature"
PART = 4096
#: What the store answers to a request for a path: a status in the place of what it would do.
Fault = Callable[[str, int], int | None]


class Shop(ThreadingHTTPServer):
    """Keeps what is put there. ``fault`` is asked with the path and how often it has been asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.kept: dict[str, bytes] = {}
        self.asked: dict[str, int] = {}
        self.fault: Fault = lambda path, times: None
        self.cut_after: int | None = None
        self.changed = threading.Condition()

    def request(self, path: str) -> dict[str, Any]:
        return {
            "url": f"http://127.0.0.1:{self.server_port}/{quote(path)}?{SECRET}",
            "headers": {"x-of-the-store": "1"},
        }

    def wait_for(self, path: str) -> bytes:
        with self.changed:
            assert self.changed.wait_for(lambda: path in self.kept, timeout=30), path
            return self.kept[path]


class _Request(BaseHTTPRequestHandler):
    server: Shop
    protocol_version = "HTTP/1.1"

    def _answer(self, status: int, content: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        cut, self.server.cut_after = self.server.cut_after, None
        self.wfile.write(content if cut is None else content[:cut])
        self.close_connection = cut is not None

    def _refused(self, path: str) -> bool:
        with self.server.changed:
            times = self.server.asked[path] = self.server.asked.get(path, 0) + 1
            self.server.changed.notify_all()
        if SECRET not in self.path or (self.headers["x-of-the-store"] != "1" and "order" not in path):
            self._answer(403)
            return True
        status = self.server.fault(path, times)
        if status is not None:
            self._answer(status)
        return status is not None

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0][1:])
        if self._refused(path):
            return
        content = self.server.kept.get(path)
        if content is None:
            self._answer(404)
            return
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self._answer(206 if start else 200, content[start:])

    def do_PUT(self) -> None:
        path = unquote(self.path.partition("?")[0][1:])
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self._refused(path):
            return
        with self.server.changed:
            self.server.kept[path] = content
            self.server.changed.notify_all()
        self._answer(200)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the tests ask the store itself."""


@pytest.fixture
def shop() -> Iterator[Shop]:
    server = Shop()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Pod:
    """A pod's volume, and the containers that are started in it."""

    shop: Shop
    folder: Path
    order: dict[str, Any] = field(default_factory=dict)
    steps: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.volume = self.folder / "volume"
        self.volume.mkdir()
        self.files: dict[str, bytes] = {"job/job.json": b"{}", "job/code/run.py": b"print()"}
        self.order = {
            "version": 1,
            "signed": time.time(),
            "base": str(self.volume),
            "bundle": self.shop.request("bundle.tar"),
            "objects": [],
            "life": ".life",
            "begun": ".begun",
            "report": "job/report.json",
            "log": "job/log.txt",
            "journal": "job/events.jsonl",
            "live": self.shop.request("live"),
            "receipt": self.shop.request("receipt"),
            "start_seconds": 60,
            "part_bytes": PART,
            "archives": [
                self._archive("job", "", ["job/log.txt", "job/report.json", "job/absent"], ""),
                self._archive("output-0", "model", ["outputs/model/model"], "data"),
            ],
        }

    def _archive(self, key: str, name: str, roots: list[str], flat: str) -> dict[str, Any]:
        parts = [self.shop.request(f"{key}.{number}") for number in range(20)]
        return {"key": key, "name": name, "output": bool(name), "roots": roots, "flat": flat, "parts": parts}

    def add_object(self, path: str, content: bytes, *, size: int | None = None) -> None:
        self.shop.kept[path] = content
        self.order["objects"].append(
            {
                **self.shop.request(path),
                "input": "raw",
                "datastore": "blobs",
                "path": path,
                "size": len(content) if size is None else size,
                "target": f"inputs/{path}",
                "mode": 0o444,
            }
        )

    def start(self, direction: str, **environment: str) -> subprocess.Popen[str]:
        """The program, as the pod starts it."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, content in self.files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        self.shop.kept["bundle.tar"] = packed.getvalue()
        self.tell("order")
        known = {"AML_ORDER": str(self.folder / "order"), "AML_TERMINATION_LOG": str(self.folder / "last-word")}
        return subprocess.Popen(
            [sys.executable, "-ES", str(PROGRAM), direction],
            env={**os.environ, **known, "AML_CARRIER_PAUSE": "0.01", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def tell(self, name: str) -> None:
        """Put the order into the store, and its address into the secret."""
        self.shop.kept[name] = json.dumps(self.order).encode()
        part = self.folder / "order.part"
        part.write_text(self.shop.request(name)["url"] + "\n")
        part.replace(self.folder / "order")

    def bring(self) -> tuple[int, str]:
        process = self.start("in")
        said, _ = process.communicate(timeout=60)
        return process.returncode, said

    def step(self, script: str) -> subprocess.Popen[bytes]:
        """The step's container: it holds the pipe open for as long as it lives."""
        held = 'exec 9>.life && : >.begun && exec /bin/sh -c "$0"'
        self.steps.append(subprocess.Popen(["/bin/sh", "-c", held, script], cwd=self.volume))
        return self.steps[-1]

    @property
    def last_word(self) -> str:
        return (self.folder / "last-word").read_text()

    def received(self, key: str) -> dict[str, bytes]:
        """What has come into the store as one archive, checked against the receipt."""
        parts = json.loads(self.shop.kept["receipt"])["archives"][key]
        found = [self.shop.kept[f"{key}.{number}"] for number in range(len(parts))]
        for part, content in zip(parts, found, strict=True):
            assert part == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            assert len(content) <= PART
        with tarfile.open(fileobj=io.BytesIO(b"".join(found))) as archive:
            opened = {m.name: archive.extractfile(m) for m in archive if m.isfile()}
            return {name: file.read() for name, file in opened.items() if file is not None}


@pytest.fixture
def pod(shop: Shop, tmp_path: Path) -> Iterator[Pod]:
    made = Pod(shop, tmp_path)
    yield made
    for step in made.steps:
        step.wait()


REPORT = """echo '{"exit_code": 0, "error": null}' >job/report.json"""


# --- in ---------------------------------------------------------------------------------------------------------


def test_code_and_objects_are_laid_out(pod: Pod) -> None:
    pod.add_object("a b/ü.csv", b"1,2\n")
    pod.add_object("empty", b"")
    assert pod.bring()[0] == 0
    assert (pod.volume / "job/code/run.py").read_bytes() == b"print()"
    assert (pod.volume / "inputs/a b/ü.csv").read_bytes() == b"1,2\n"
    assert (pod.volume / "inputs/empty").read_bytes() == b""
    assert not os.access(pod.volume / "inputs/empty", os.W_OK) or os.getuid() == 0
    assert (pod.volume / ".life").is_fifo()


def test_an_answer_that_breaks_off_is_continued(pod: Pod) -> None:
    content = os.urandom(3_000_000)
    pod.add_object("big", content)
    pod.shop.fault = lambda path, times: (
        setattr(pod.shop, "cut_after", 1_500_000) if (path, times) == ("big", 1) else None
    )
    assert pod.bring()[0] == 0
    assert (pod.volume / "inputs/big").read_bytes() == content
    assert pod.shop.asked["big"] == 2


def test_a_store_that_is_busy_is_asked_again(pod: Pod) -> None:
    pod.add_object("a", b"1")
    pod.shop.fault = lambda path, times: 503 if times < 3 else None
    assert pod.bring()[0] == 0
    assert pod.shop.asked["a"] == 3


@pytest.mark.parametrize(
    ("status", "named"),
    [
        (404, "input 'raw', 'a' in datastore 'blobs', could not be read: the store answers 404"),
        (403, "input 'raw', 'a' in datastore 'blobs', could not be read: the store answers 403"),
        (500, "input 'raw', 'a' in datastore 'blobs', could not be read: the store answers 500"),
    ],
)
def test_an_object_that_cannot_be_read_is_named_without_its_address(pod: Pod, status: int, named: str) -> None:
    pod.add_object("a", b"1")
    pod.shop.fault = lambda path, times: status if path == "a" else None
    code, said = pod.bring()
    assert code == 1
    assert named in pod.last_word
    assert "Traceback" not in said
    assert SECRET not in said + pod.last_word


def test_an_object_that_has_changed_is_named(pod: Pod) -> None:
    pod.add_object("a", b"1", size=7)
    assert pod.bring()[0] == 1
    assert "'a' in datastore 'blobs', has changed while it was fetched" in pod.last_word


# --- out --------------------------------------------------------------------------------------------------------


def test_what_the_step_leaves_is_collected_and_its_log_followed(pod: Pod) -> None:
    pod.bring()
    step = pod.step(
        "mkdir -p 'outputs/model/model/deep ü'; head -c 10000 /dev/zero >outputs/model/model/zeros;"
        " echo text >'outputs/model/model/deep ü/text'; ln -s zeros outputs/model/model/link;"
        " mkfifo outputs/model/model/pipe;"
        f" echo hello >job/log.txt; {REPORT}"
    )
    process = pod.start("out")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert step.wait() == 0
    assert "hello\n" in said
    assert pod.received("job")["job/log.txt"] == b"hello\n"
    assert pod.received("output-0") == {"data/zeros": bytes(10000), "data/deep ü/text": b"text\n"}


@pytest.mark.parametrize("script", ["kill -9 $$", """echo '{"exit_code": 3, "error": "x"}' >job/report.json; exit 3"""])
def test_outputs_of_a_step_that_did_not_end_well_stay_where_they_are(pod: Pod, script: str) -> None:
    pod.bring()
    pod.step(f"mkdir -p outputs/model/model; echo said >job/log.txt; {script}")
    process = pod.start("out")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert set(json.loads(pod.shop.kept["receipt"])["archives"]) == {"job"}
    assert pod.received("job")["job/log.txt"] == b"said\n"


def test_metrics_are_seen_while_the_step_runs(pod: Pod) -> None:
    pod.bring()
    step = pod.step("echo '{\"seq\": 1}' >job/events.jsonl; read line <go; " + REPORT)
    os.mkfifo(pod.volume / "go")
    process = pod.start("out")
    assert pod.shop.wait_for("live") == b'{"seq": 1}\n'
    assert "receipt" not in pod.shop.kept
    (pod.volume / "go").write_text("on\n")
    process.communicate(timeout=60)
    assert step.wait() == 0
    assert "receipt" in pod.shop.kept


def test_an_output_that_cannot_be_written_is_named_and_there_is_no_receipt(pod: Pod) -> None:
    pod.bring()
    pod.shop.fault = lambda path, times: 507 if path.startswith("output-0") else None
    pod.step(f"mkdir -p outputs/model/model; {REPORT}")
    process = pod.start("out")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "output 'model' could not be written: the store answers 507" in pod.last_word
    assert SECRET not in said + pod.last_word
    assert "receipt" not in pod.shop.kept


def test_an_output_that_is_too_large_is_named(pod: Pod) -> None:
    pod.bring()
    pod.step(f"mkdir -p outputs/model; head -c 100000 /dev/zero >outputs/model/model; {REPORT}")
    process = pod.start("out")
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert "output 'model' is larger than" in pod.last_word


def test_addresses_that_were_never_good_are_told_at_once(pod: Pod) -> None:
    pod.bring()
    pod.shop.fault = lambda path, times: 403 if path.startswith("output-0") else None
    pod.step(f"mkdir -p outputs/model; {REPORT}")
    process = pod.start("out")
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert "output 'model' could not be written: the store answers 403" in pod.last_word


def test_expired_addresses_are_waited_for(pod: Pod) -> None:
    pod.order["signed"] = 0
    pod.bring()
    pod.shop.fault = lambda path, times: 403 if path.startswith("output-0") else None
    pod.step(f"mkdir -p outputs/model; echo text >outputs/model/model; {REPORT}")
    process = pod.start("out")
    with pod.shop.changed:
        assert pod.shop.changed.wait_for(lambda: pod.shop.asked.get("output-0.0"), timeout=30)
    for number, request in enumerate(pod.order["archives"][1]["parts"]):
        request["url"] = pod.shop.request(f"renewed.{number}")["url"]
    pod.tell("renewed-order")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert "renewed.0" in pod.shop.kept


def test_a_step_that_never_starts_is_given_up(pod: Pod) -> None:
    pod.order["start_seconds"] = 0
    pod.bring()
    process = pod.start("out")
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the container of the step did not start" in pod.last_word
