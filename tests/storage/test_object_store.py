"""Small blobs in a bucket are what they are in a folder: whole or not there, and of several who compete one wins."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from aml_provider.reuse.claims import Claims, Lease
from aml_provider.reuse.index import ReuseIndex
from aml_provider.spec.errors import NotSupportedError
from aml_provider.storage import store_for
from aml_provider.storage.faults import DatastoreError, Reason
from aml_provider.storage.record_store import record_store
from aml_provider.workspace.model import DatastoreConfig
from tests.reuse.machines import Warnings
from tests.stores import Place, connection, port_of, set_connection, wire

COMPETITORS = 6


# --- competitors ------------------------------------------------------------------------------------------------


@pytest.mark.stores
def test_one_of_many_processes_creates(s3: Place) -> None:
    code = (
        "import sys; from aml_provider.storage import store_for\n"
        "from aml_provider.workspace.model import DatastoreConfig\n"
        "from aml_provider.storage.record_store import record_store\n"
        "store = record_store(store_for(DatastoreConfig(url=sys.argv[1], conn_id=sys.argv[2]), 'blobs'))\n"
        "assert store.exclusive; print('ready', flush=True); sys.stdin.readline()\n"
        "print(*[int(store.create(str(name), sys.argv[3].encode())) for name in range(20)], flush=True)\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, s3.url, str(s3.conn_id), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    won = []
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        won.append([word == "1" for word in output.split()])
    store = record_store(s3.store)
    for name in range(20):
        (winner,) = [number for number in range(3) if won[number][name]]
        assert store.read(str(name)) == b"%d" % winner


def test_a_process_that_forks_goes_on(bucket: Place) -> None:
    store = bucket.store
    record_store(store).create("a", b"1")
    child = os.fork()
    if child == 0:
        # Nothing of the test runner's may run here.
        os._exit(0 if record_store(store).read("a") == b"1" and record_store(store).create("b", b"2") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert record_store(store).read("b") == b"2"


# --- stores and networks that do not do as they should -------------------------------------------------------------


def through(kind: str, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the connection to a store lead through a port."""
    known = connection(kind)
    url = re.sub(r":\d+", f":{port}", known["extra"]["endpoint_url"].replace("http:", "http+")).replace(
        "http+", "http:"
    )
    set_connection(monkeypatch, f"my_{kind}", connection(kind, extra={"endpoint_url": url}))


def test_an_answer_that_was_lost_is_no_loss(bucket: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with wire(port_of(bucket.kind)) as network:
        through(bucket.kind, network.port, monkeypatch)
        store = record_store(bucket.store)
        assert store.read("nothing") is None
        # The request arrives and is done, and the answer is not: the client asks again.
        network.cut_after(0)
        assert store.create("a", b"1")
        network.cut_after(0)
        assert not store.create("a", b"2")
        assert store.read("a") == b"1"
        network.cut_after(1000)
        assert store.swap("a", b"1", b"3")
        assert store.read("a") == b"3"
        network.cut_after(0)
        assert store.read("a") == b"3"


@pytest.mark.parametrize("after", [0, 600, 1200, 1800, 2400])
def test_a_store_that_minds_conditions_is_not_misjudged_because_an_answer_was_lost(
    bucket: Place, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wire(port_of(bucket.kind)) as network:
        through(bucket.kind, network.port, monkeypatch)
        store = record_store(bucket.store)
        assert store.read("nothing") is None
        network.cut_after(after)
        assert store.exclusive


IGNORED = {
    "no condition is minded": (rb"(?i)if-(none-)?match:", b"x-ignored:"),
    "only creation is minded": (rb"(?i)if-match:", b"x-ignored:"),
    "only replacing is minded": (rb"(?i)if-none-match:", b"x-ignored:"),
}


# Not Azure: it signs these headers, and has always minded them.
@pytest.mark.stores
@pytest.mark.parametrize("what", IGNORED)
def test_a_store_that_minds_no_conditions_says_so_once(
    s3: Place, what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pattern, instead = IGNORED[what]
    with wire(port_of("s3"), lambda data: re.sub(pattern, instead, data)) as network:
        through("s3", network.port, monkeypatch)
        warnings = Warnings(caplog)
        store = record_store(s3.store)
        with caplog.at_level(logging.WARNING):
            assert not store.exclusive
            assert not store.exclusive
            assert not record_store(s3.store).exclusive
        (said,) = warnings()
        assert said.startswith("datastore 'blobs' (s3://")
        assert "does not keep two writers apart" in said
        # What it can do it still does.
        store.replace("a", b"1")
        assert store.read("a") == b"1"
    assert [name for name in s3.names() if "probe" in name] == []


def test_a_store_that_is_away_is_an_error_in_words(bucket: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with wire(port_of(bucket.kind)) as network:
        through(bucket.kind, network.port, monkeypatch)
        store = record_store(bucket.store)
    calls: dict[str, Callable[[], object]] = {
        "reading 2 records": lambda: store.read_many(["a", "b"]),
        "writing 'a'": lambda: store.create("a", b"1"),
    }
    for doing, call in list(calls.items())[: 2 if bucket.kind == "s3" else 1]:
        with pytest.raises(DatastoreError, match=r"^datastore 'blobs' \(.*did not answer while") as caught:
            call()
        assert doing in str(caught.value)
        assert caught.value.reason is Reason.UNREACHABLE
        assert caught.value.transient
        assert isinstance(caught.value, OSError)


@pytest.mark.stores
def test_stores_that_cannot_keep_records() -> None:
    for url in ("sftp://host/x", "https://host/x"):
        config = DatastoreConfig(url=url)
        with pytest.raises((NotSupportedError, DatastoreError), match="'blobs'"):
            record_store(store_for(config, "blobs"))


# --- what stands on it -----------------------------------------------------------------------------------------------


def test_an_index_and_its_claims_in_a_bucket(bucket: Place, caplog: pytest.LogCaptureFixture) -> None:
    store = record_store(bucket.store, ".aml/reuse")
    claims = Claims(store, None)
    key = "ab" * 32
    mine = claims.acquire(key, owner="run 1", step="train", pipeline_run_id="r1")
    assert isinstance(mine, Lease)
    theirs = claims.acquire(key, owner="run 2", step="train", pipeline_run_id="r2")
    assert not isinstance(theirs, Lease)
    assert theirs.owner == "run 1"
    mine.renew()
    seen = claims.look(key)
    assert seen is not None
    assert seen.beat == 1
    # What was seen before it was renewed is not taken away.
    assert not isinstance(claims.acquire(theirs.key, theirs, owner="run 2", step="train", pipeline_run_id="r2"), Lease)
    taken = claims.acquire(seen.key, seen, owner="run 2", step="train", pipeline_run_id="r2")
    assert isinstance(taken, Lease)
    mine.renew()
    assert mine.lost
    taken.release()
    assert claims.look(key) is None
    assert ReuseIndex(store).read_many([key]) == {}
    assert ReuseIndex(store).pins() == {}
