"""Datastores that are databases: PostgreSQL, MySQL, SQLite and SQL Server, through SQLAlchemy."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from aml_provider.spec.errors import NotSupportedError
from aml_provider.workspace.model import DatastoreConfig

from .connections import CONNECTION_TYPE, Credentials, credentials_of
from .faults import DatastoreError, Origin, Reason
from .sql_faults import told_by_database

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine

DISTRIBUTION = "airflow-provider-aml"
#: Seconds that a server may take to answer a call.
CONNECT_SECONDS = 10
#: Seconds that SQLite waits for another program that writes.
_BUSY_SECONDS = 30


@dataclass(frozen=True)
class Dialect:
    """One kind of database.

    :param name: as its users call it, :param key: as SQLAlchemy does, with the driver.
    :param extra: which extra of this distribution brings the driver; empty: Python has it.
    :param types: Airflow's connection types that fit.
    :param options: what a connection's extra may say to the driver.
    """

    name: str
    schemes: tuple[str, ...]
    key: str
    extra: str
    driver: str
    types: tuple[str, ...]
    options: tuple[str, ...] = ()


DIALECTS = (
    Dialect(
        "PostgreSQL",
        ("postgresql", "postgres"),
        "postgresql+psycopg",
        "postgres",
        "psycopg",
        ("postgres",),
        ("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "options", "application_name", "connect_timeout"),
    ),
    Dialect("MySQL", ("mysql", "mariadb"), "mysql+pymysql", "mysql", "pymysql", ("mysql",), ("charset", "ssl")),
    Dialect(
        "SQL Server",
        ("mssql",),
        "mssql+pymssql",
        "mssql",
        "pymssql",
        ("mssql",),
        ("tds_version", "encryption", "appname"),
    ),
    Dialect("SQLite", ("sqlite",), "sqlite+pysqlite", "", "sqlite3", ("sqlite",)),
)


def dialect_of(config: DatastoreConfig) -> Dialect | None:
    """The kind of database that a datastore is; ``None``: it is none."""
    return next((dialect for dialect in DIALECTS if config.scheme in dialect.schemes), None)


def database_for(config: DatastoreConfig, name: str) -> Database:
    """The database behind a declared datastore. Nothing is asked of it yet.

    :raises NotSupportedError: the datastore holds files.
    """
    dialect = dialect_of(config)
    if dialect is None:
        raise NotSupportedError(
            f"datastore {name!r} ({config.url}) holds files and cannot be queried; databases have URLs like "
            "postgresql://host/database, mysql://host/database, mssql://host/database or sqlite:///file.db."
        )
    return Database(config, name, dialect)


class Database:
    """A datastore's tables.

    What goes wrong is a :class:`~aml_provider.storage.faults.DatastoreError`, in a sentence without the password.

    :param name: the datastore's name.
    """

    def __init__(self, config: DatastoreConfig, name: str, dialect: Dialect) -> None:
        self.name = name
        self.url = config.url
        self.dialect = dialect
        self._config = config
        self._engine: Engine | None = None
        self.origin = Origin(name, config.url, config.conn_id)

    def __repr__(self) -> str:
        return f"Database({self.name!r}, {self.url!r})"

    def check(self) -> None:
        """Connect.

        :raises DatastoreError: what is wrong with the datastore, in a sentence.
        """
        with self.connected("connecting to it") as connection:
            connection.exec_driver_sql("SELECT 1")

    @contextmanager
    def connected(self, doing: str, *, writing: bool = False) -> Iterator[Connection]:
        """A connection in a transaction, which is rolled back unless it is committed.

        :param doing: what is done, after "while", :param writing: whether that changes something.
        :raises DatastoreError: the database, or its driver, complains meanwhile.
        """
        engine = self._opened()
        with told_by_database(self.origin, doing), engine.connect() as connection:
            yield connection.execution_options(writing=writing)

    def _opened(self) -> Engine:
        if self._engine is None:
            self._have_driver()
            found = credentials_of(self._config, self.name)
            if found is not None:
                self._fitting(found)
                self.origin = replace(self.origin, secrets=found.secrets)
            self._engine = _engine(self.dialect, self._address(found), found)
        return self._engine

    def _have_driver(self) -> None:
        if importlib.util.find_spec(self.dialect.driver) is None:
            raise DatastoreError(
                f"{self.origin} needs the package {self.dialect.driver}, which is not installed here; run: pip install "
                f"'{DISTRIBUTION}[{self.dialect.extra}]'",
                Reason.BACKEND,
            )

    def _fitting(self, found: Credentials) -> None:
        types = (*self.dialect.types, CONNECTION_TYPE, "generic")
        if found.conn_type and found.conn_type not in types:
            raise DatastoreError(
                f"{self.origin}: Airflow connection {found.conn_id!r} has the type {found.conn_type!r}, which does not "
                f"fit; make it one of {', '.join(types)}.",
                Reason.CONNECTION,
            )

    def _address(self, found: Credentials | None) -> URL:
        """Where the database is: what the datastore's URL leaves out, the connection says."""
        from sqlalchemy.engine import URL

        parts = urlsplit(self._config.url)
        if self.dialect.driver == "sqlite3":
            return URL.create(self.dialect.key, database=self._file(parts.path))
        said = found or Credentials("", "")
        # The connection type of this package keeps its host inside the URL that it is for.
        other = said.conn_type == CONNECTION_TYPE
        host = parts.hostname or (None if other else said.host) or None
        database = unquote(parts.path.lstrip("/")) or (None if other else said.schema) or None
        if host is None or database is None:
            what = "host" if host is None else "database"
            raise DatastoreError(
                f"{self.origin}: its url names no {what}, and neither does its connection; write "
                f"{self.dialect.schemes[0]}://host/database.",
                Reason.NO_CONTAINER,
            )
        port = parts.port or (None if other else said.port)
        address = f"{host}:{port}" if port else host
        self.origin = replace(self.origin, container=f"database {database!r}", address=f"host {address}")
        return URL.create(
            self.dialect.key,
            username=said.login or (unquote(parts.username) if parts.username else None),
            password=said.password or None,
            host=host,
            port=port,
            database=database,
            query=dict(parse_qsl(parts.query)),
        )

    def _file(self, path: str) -> str:
        # SQLAlchemy's form: a slash, and then the file's path, which begins with a slash of its own.
        file = Path(unquote(path[1:]))
        self.origin = replace(self.origin, container=f"file {str(file)!r}", address=f"file {str(file)!r}")
        if not path[1:] or not file.is_absolute():
            raise DatastoreError(
                f"{self.origin}: its url names no file; write sqlite:////absolute/file.db, or take the datastore from "
                "a loaded workspace, which knows what a relative file is relative to.",
                Reason.NO_CONTAINER,
            )
        return str(file)


def _engine(dialect: Dialect, url: URL, found: Credentials | None) -> Engine:
    import sqlalchemy
    from sqlalchemy import event
    from sqlalchemy.pool import NullPool

    told: dict[str, Any] = {}
    if found is not None:
        told = {name: found.get(name) for name in dialect.options if found.get(name) is not None}
    more: dict[str, Any] = {}
    if dialect.extra == "postgres":
        told.setdefault("connect_timeout", CONNECT_SECONDS)
        # JSON stays the text that it is: reading and writing it again would change numbers.
        more["json_deserializer"] = _as_text
    elif dialect.extra == "mysql":
        told.setdefault("connect_timeout", CONNECT_SECONDS)
    elif dialect.extra == "mssql":
        told.setdefault("login_timeout", CONNECT_SECONDS)
    else:
        # A file that is not there is a mistake: SQLite would make an empty database of it.
        file = f"file:{_quoted(url.database or '')}?mode=rw"
        url = url.set(database=file, query={"uri": "true"})
        told["timeout"] = _BUSY_SECONDS
    told = {name: _number(value) if name.endswith("timeout") else value for name, value in told.items()}
    # A connection is used for one thing. None is kept: it would not outlive a fork.
    engine = sqlalchemy.create_engine(url, connect_args=told, poolclass=NullPool, hide_parameters=True, **more)
    if dialect.driver == "sqlite3":

        @event.listens_for(engine, "connect")
        def connected(connection: Any, _: Any) -> None:
            # Python's own transactions leave out CREATE and DROP.
            connection.isolation_level = None

        @event.listens_for(engine, "begin")
        def begun(connection: Connection) -> None:
            # Who reads first and writes then is turned away when another one has written meanwhile.
            writing = connection.get_execution_options().get("writing")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdigit() else value


def _as_text(value: Any) -> str:
    return bytes(value).decode() if isinstance(value, (bytes, bytearray, memoryview)) else str(value)
