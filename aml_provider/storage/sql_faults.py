"""What databases and their drivers complain of, as one sentence about the datastore."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aml_provider.spec.errors import AmlError

from .faults import DatastoreError, Origin, Reason

# The first that is found in the driver's code, then in its text, decides.
_CODES = {
    # PostgreSQL
    "28P01": Reason.CREDENTIALS,
    "28000": Reason.CREDENTIALS,
    "3D000": Reason.NO_CONTAINER,
    "42P01": Reason.MISSING,
    "42501": Reason.FORBIDDEN,
    "25006": Reason.FORBIDDEN,
    "53100": Reason.FULL,
    # MySQL
    "1045": Reason.CREDENTIALS,
    "1698": Reason.CREDENTIALS,
    "1049": Reason.NO_CONTAINER,
    "1146": Reason.MISSING,
    "1044": Reason.FORBIDDEN,
    "1142": Reason.FORBIDDEN,
    "1114": Reason.FULL,
    **dict.fromkeys(("2002", "2003", "2006", "2013", "2055"), Reason.UNREACHABLE),
    # SQL Server
    "18456": Reason.CREDENTIALS,
    "4060": Reason.NO_CONTAINER,
    "208": Reason.MISSING,
    "229": Reason.FORBIDDEN,
    "20009": Reason.UNREACHABLE,
    "20003": Reason.UNREACHABLE,
}
_TEXTS = (
    (r"password authentication failed|no password supplied|no pg_hba\.conf|role .* does not exist", Reason.CREDENTIALS),
    (r"database .* does not exist|unable to open database file|file is not a database", Reason.NO_CONTAINER),
    (r"no such table|relation .* does not exist", Reason.MISSING),
    (r"readonly database|attempt to write", Reason.FORBIDDEN),
    (r"disk is full|No space left", Reason.FULL),
    (
        (
            r"connection (failed|refused|reset|timeout|is (lost|bad))|the connection is closed|lost connection|"
            r"server closed the connection|terminating connection|consuming input failed|SSL .*closed|"
            r"could not (connect|translate)|failed to resolve"
        ),
        Reason.UNREACHABLE,
    ),
)
# A connection that cannot be encrypted as asked; not one that was closed, which they tell likewise.
_UNENCRYPTED = re.compile(r"not support SSL|SSL is required|certificate", re.IGNORECASE)
_LATE = ("57014", "1969", "3024", "1317")


@contextmanager
def told_by_database(origin: Origin, doing: str) -> Iterator[None]:
    """Around work on a database: what it or its driver raises becomes a :class:`DatastoreError`, its cause kept.

    :param doing: what is done, after "while".
    """
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        yield
    except AmlError:
        raise
    except DBAPIError as error:
        raise _fault(origin, doing, error.orig or error, error.connection_invalidated) from error
    except SQLAlchemyError as error:
        raise DatastoreError(f"{origin}: {_shown(error, origin)} while {doing}.") from error
    except Exception as error:
        # A driver that is talked to directly raises its own.
        if not _is_drivers(error):
            raise
        raise _fault(origin, doing, error, False) from error


def _is_drivers(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in ("psycopg", "pymysql", "pymssql", "sqlite3")


def _fault(origin: Origin, doing: str, error: BaseException, broken: bool) -> DatastoreError:
    reason, said = _reason(error), _shown(error, origin)
    if broken and reason is Reason.OTHER:
        reason = Reason.UNREACHABLE
    if _code(error) in _LATE or "interrupted" in said:
        text = f"the database took too long while {doing}; ask for less, or allow more time"
    elif reason in (Reason.UNREACHABLE, Reason.OTHER) and _UNENCRYPTED.search(said):
        reason = Reason.OTHER
        text = (
            f"there is no encrypted connection: {said}; switch it on there, or correct sslmode and sslrootcert in the "
            "extra of the Airflow connection (enforce_ssl where the datastore is registered)"
        )
    elif reason is Reason.CREDENTIALS:
        text = (
            f"the database does not take the user and password of Airflow connection {origin.conn_id!r}; correct them "
            "there"
            if origin.conn_id
            else "the database wants a user and a password; give the datastore a conn_id, the name of an Airflow "
            "connection that has them"
        )
    elif reason is Reason.NO_CONTAINER:
        text = f"{origin.container or 'the database'} does not exist or is none; create it, or correct the url"
    elif reason is Reason.UNREACHABLE:
        text = (
            f"{origin.address or 'the server'} did not answer, or broke off, while {doing}; check the address and the "
            "network, or try again later"
        )
    elif reason is Reason.FORBIDDEN:
        text = f"the database forbids {doing} ({said}); have the user granted that"
    elif reason is Reason.FULL:
        text = f"the database's disk is full while {doing}; make room and try again"
    elif reason is Reason.MISSING:
        text = f"there is no such table: {said}; correct the name, or the query"
    else:
        text = f"the database refuses {doing}: {said}"
    return DatastoreError(f"{origin}: {text}.", reason)


def _reason(error: BaseException) -> Reason:
    found = _CODES.get(_code(error))
    if found is not None:
        return found
    code = _code(error)
    if code[:2] == "08" or code[:3] == "57P":
        return Reason.UNREACHABLE
    text = str(error)
    return next((reason for words, reason in _TEXTS if re.search(words, text, re.IGNORECASE)), Reason.OTHER)


def _code(error: Any) -> str:
    code = getattr(error, "sqlstate", None)
    if code:
        return str(code)
    first = error.args[0] if getattr(error, "args", None) else ""
    return str(first) if isinstance(first, int) else ""


def _shown(error: BaseException, origin: Origin) -> str:
    """The first line of what a driver says, without what must not be seen."""
    args = error.args
    text = args[1] if len(args) > 1 and isinstance(args[0], int) else str(error)
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    text = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    for secret in origin.secrets:
        text = text.replace(secret, "***")
    return text[:300].rstrip(". ")
