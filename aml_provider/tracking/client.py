"""Getting at MLflow: imported late, created once per process, never waited for without bound."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow's own defaults let one call to a server that is down take more than four minutes.
_BOUNDS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    # Else MLflow prints a link for every run that ends: hundreds of lines in the log of the closing task.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# A server answers an upload when it has stored the file, which a large one makes it take its time for.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "600"}
#: What becomes of what steps report, for errors.
KEPT = "The run's folder keeps what was logged; it goes to MLflow when this works again."
_PROBE_SECONDS = 3.0
_PROBE_HOLDS_SECONDS = 30.0
_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_CREATE_SECONDS = 120.0


@contextmanager
def mlflow_client(tracking_uri: str, consequence: str = KEPT) -> Iterator[MlflowClient]:
    """A client for the duration of a few calls, with bounded times.

    :param consequence: what it means for the caller that MLflow cannot be used, as a sentence.
    :raises TrackingError: MLflow cannot be reached or refuses; the message says which URI and why.
    """
    with _bounded(tracking_uri):
        try:
            _probe(tracking_uri, consequence)
            from filelock import Timeout

            client = _client(tracking_uri, os.getpid())
            from mlflow.exceptions import MlflowException
            from sqlalchemy.exc import SQLAlchemyError

            expected = (MlflowException, SQLAlchemyError, OSError, Timeout)
        except TrackingError:
            raise
        except Exception as error:
            raise _unusable(tracking_uri, error, consequence) from error
        try:
            yield client
        except expected as error:
            raise _unusable(tracking_uri, error, consequence) from error


def is_remote(tracking_uri: str) -> bool:
    """Whether the URI is a server's, so that it means the same on every machine."""
    return urlsplit(tracking_uri).scheme in ("http", "https")


def artifact_location(tracking_uri: str, store_root: Path) -> str | None:
    """Where a new experiment keeps its artifacts; ``None``: the server decides.

    MLflow's default for a database is a folder in the current directory, another one in every process. Here it is
    beside the SQLite file, and for other databases in the run store.

    :param store_root: the root of the run store.
    """
    parts = urlsplit(tracking_uri)
    if database := _sqlite_file(tracking_uri):
        return (database.parent / "mlartifacts").as_uri()
    if parts.scheme.split("+")[0] in ("postgresql", "mysql", "mssql"):
        return (store_root.absolute() / "mlartifacts").as_uri()
    return None


def _unusable(tracking_uri: str, error: BaseException, consequence: str) -> TrackingError:
    why = str(error).strip().split("\n", 1)[0][:300] or type(error).__name__
    return TrackingError(f"MLflow at {without_password(tracking_uri)} cannot be used: {why}. {consequence}")


def without_password(uri: str) -> str:
    """A URI as it may be shown."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()


@lru_cache(maxsize=8)
def _client(tracking_uri: str, process: int) -> MlflowClient:
    """One client per process: a database connection must not be shared with a forked child."""
    # A worker may have no way to the internet, and nobody asked the user.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    database = _sqlite_file(tracking_uri)
    if database is None:
        return MlflowClient(tracking_uri=tracking_uri)
    # The first process makes the database; two of them at once would both try.
    # What a client of a database imports late, it imports before it makes all others wait.
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    from filelock import FileLock

    database.parent.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(f"{database}.creating", timeout=_CREATE_SECONDS),
        nullcontext() if database.exists() else _quiet("alembic", "mlflow.store.db.utils"),
    ):
        return MlflowClient(tracking_uri=tracking_uri)


@contextmanager
def _quiet(*loggers: str) -> Iterator[None]:
    """No line per migration in the log of the task that happens to be the first."""
    import logging

    before = {name: logging.getLogger(name).level for name in loggers}
    for name in loggers:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _sqlite_file(tracking_uri: str) -> Path | None:
    parts = urlsplit(tracking_uri)
    if parts.scheme.split("+")[0] != "sqlite" or len(parts.path) < 2:
        return None
    return Path(parts.path[1:]).absolute()


# --- bounds -----------------------------------------------------------------------------------------------------

_bounds_lock = threading.Lock()
_bounds_users = 0
_patient_users = 0
_bounds_set: list[str] = []


@contextmanager
def _bounded(tracking_uri: str) -> Iterator[None]:
    """MLflow's HTTP bounds while somebody talks to a server.

    They can only be set in the environment, where steps must not find them; what the user has set is kept.
    """
    global _bounds_users
    if not is_remote(tracking_uri):
        yield
        return
    with _bounds_lock:
        _bounds_users += 1
        if _bounds_users == 1:
            _bounds_set[:] = [name for name in _BOUNDS if name not in os.environ]
            os.environ.update({name: _BOUNDS[name] for name in _bounds_set})
    try:
        yield
    finally:
        with _bounds_lock:
            _bounds_users -= 1
            if _bounds_users == 0:
                for name in _bounds_set:
                    os.environ.pop(name, None)
                _bounds_set.clear()


@contextmanager
def patient() -> Iterator[None]:
    """While a file goes to a server or comes from it, inside of :func:`mlflow_client`."""
    _be_patient(1)
    try:
        yield
    finally:
        _be_patient(-1)


def _be_patient(more: int) -> None:
    global _patient_users
    with _bounds_lock:
        _patient_users += more
        bounds = _BOUNDS | (_PATIENCE if _patient_users else {})
        os.environ.update({name: bounds[name] for name in _bounds_set})


_answered: dict[str, float] = {}


def _probe(tracking_uri: str, consequence: str) -> None:
    """Ask a server, of MLflow or of a database, for any answer at all before MLflow, which retries for minutes, does.

    :raises TrackingError: there is none within three seconds.
    """
    if time.monotonic() - _answered.get(tracking_uri, -1e9) < _PROBE_HOLDS_SECONDS:
        return
    try:
        if is_remote(tracking_uri):
            _ask_server(f"{tracking_uri.rstrip('/')}/health")
        elif address := _database_server(tracking_uri):
            socket.create_connection(address, timeout=_PROBE_SECONDS).close()
        else:
            return
    except (OSError, ValueError) as error:
        raise _unusable(tracking_uri, getattr(error, "reason", None) or error, consequence) from error
    _answered[tracking_uri] = time.monotonic()


def _ask_server(url: str) -> None:
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(url, timeout=_PROBE_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()  # an answer: a proxy's 401 or 404 says that somebody is there


def _database_server(tracking_uri: str) -> tuple[str, int] | None:
    """Where a database listens; ``None``: it is none, or the driver knows it by other means than host and port."""
    parts = urlsplit(tracking_uri)
    port = _DATABASE_PORTS.get(parts.scheme.split("+")[0])
    return (parts.hostname, parts.port or port) if port and parts.hostname else None
