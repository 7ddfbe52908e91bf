"""What stores and their client libraries complain of, as one sentence about the datastore."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from aml_provider.spec.errors import AmlError


class Reason(str, Enum):
    """Why a datastore could not do what it was asked to."""

    BACKEND = "backend"
    CONNECTION = "connection"
    CREDENTIALS = "credentials"
    FORBIDDEN = "forbidden"
    NO_CONTAINER = "no container"
    MISSING = "missing"
    UNREACHABLE = "unreachable"
    HOST_KEY = "host key"
    NAME = "name"
    CHANGED = "changed"
    FULL = "full"
    OTHER = "other"


class DatastoreError(AmlError, OSError):
    """A datastore that could not do what it was asked to.

    :ivar reason: what kind of trouble it is.
    """

    reason: Reason = Reason.OTHER

    def __init__(self, message: str, reason: Reason = Reason.OTHER) -> None:
        super().__init__(message)
        self.reason = reason

    @property
    def transient(self) -> bool:
        """Whether the same may work a little later."""
        return self.reason is Reason.UNREACHABLE


class NothingThereError(DatastoreError, FileNotFoundError):
    """There is nothing at a path of a datastore."""


@dataclass(frozen=True)
class Origin:
    """Which datastore it is, for messages.

    :param url: its root as the workspace file has it.
    :param conn_id: the Airflow connection of its credentials.
    :param container: what it is in, named as its users call it: ``bucket 'data'``.
    :param address: the host that is talked to.
    :param secrets: what is in no message.
    """

    name: str
    url: str
    conn_id: str | None = None
    container: str = ""
    address: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return f"datastore {self.name!r} ({self.url})"


@contextmanager
def told(origin: Origin, doing: str, target: Path | None = None) -> Iterator[None]:
    """Around work on a store: whatever its libraries raise becomes a :class:`DatastoreError`, its cause kept.

    :param doing: what is done, after "while": ``reading 'a.csv'``.
    :param target: the file of this machine that is written.
    """
    try:
        yield
    except DatastoreError as error:
        if f"datastore {origin.name!r}" in str(error):
            raise
        # What speaks of a bucket does not know whose it is.
        raise type(error)(f"{origin}: {error}", error.reason) from error
    except AmlError:
        raise
    except Exception as error:
        if target is not None and isinstance(error, OSError) and error.filename == str(target):
            # This machine's disk complains, and names the file.
            raise
        raise fault(origin, doing, error, target) from error


def fault(origin: Origin, doing: str, error: BaseException, target: Path | None = None) -> DatastoreError:
    """The sentence for an exception of a store's client library."""
    reason, detail = _classified(error)
    code = f" ({detail})" if detail else ""
    if reason is Reason.NO_CONTAINER:
        text = f"{origin.container or 'the container'} does not exist; create it, or correct the datastore's url"
    elif reason is Reason.CREDENTIALS:
        text = _credentials(origin, code)
    elif reason is Reason.FORBIDDEN:
        text = f"the store forbids {doing}{code}; have {_who(origin)} granted that"
    elif reason is Reason.UNREACHABLE:
        host = origin.address or "the store"
        text = f"{host} did not answer while {doing}{code}; check the address and the network, or try again later"
    elif reason is Reason.HOST_KEY:
        text = (
            f"{origin.address or 'the host'} shows a host key that is not the known one{code}; if it is the right "
            "host, put its key into the connection's extra as host_key, or into ~/.ssh/known_hosts"
        )
    elif reason is Reason.MISSING:
        return NothingThereError(f"{origin}: the store says that there is nothing, while {doing}.", reason)
    elif reason is Reason.NAME:
        text = f"a name is too long for it while {doing}{code}; shorten it"
    elif reason is Reason.FULL:
        where = f"the disk of {str(target)!r}" if target is not None else "the store"
        text = f"{where} is full while {doing}; make room and try again"
    else:
        text = f"{_shown(error, origin)} while {doing}"
    return DatastoreError(f"{origin}: {text}.", reason)


def _credentials(origin: Origin, code: str) -> str:
    if origin.conn_id is None:
        return (
            f"this machine has no credentials that the store takes{code}; give the datastore a conn_id, the name of an "
            "Airflow connection that has them"
        )
    return f"the store does not take the credentials of Airflow connection {origin.conn_id!r}{code}; correct them there"


def _who(origin: Origin) -> str:
    return f"Airflow connection {origin.conn_id!r}" if origin.conn_id else "this machine's identity"


def _shown(error: BaseException, origin: Origin) -> str:
    """The first line of what a library says, without what must not be seen."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    for secret in origin.secrets:
        text = text.replace(secret, "***")
    text = text[:200].rstrip(". ")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# --- what kind of trouble -----------------------------------------------------------------------------------------

# The codes of S3, Azure Blob Storage and Google Cloud Storage.
_CODES = {
    **dict.fromkeys(
        ("NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "FilesystemNotFound"), Reason.NO_CONTAINER
    ),
    **dict.fromkeys(("InvalidBucketName", "InvalidResourceName"), Reason.NO_CONTAINER),
    **dict.fromkeys(
        (
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "ExpiredToken",
            "InvalidToken",
            "TokenRefreshRequired",
            "InvalidClientTokenId",
            "AuthFailure",
            "AuthenticationFailed",
            "AuthorizationFailure",
            "InvalidAuthenticationInfo",
            "NoAuthenticationInformation",
            "PublicAccessNotPermitted",
        ),
        Reason.CREDENTIALS,
    ),
    **dict.fromkeys(
        (
            "AccessDenied",
            "AllAccessDisabled",
            "AuthorizationPermissionMismatch",
            "AuthorizationProtocolMismatch",
            "AuthorizationSourceIPMismatch",
            "AuthorizationResourceTypeMismatch",
            "InsufficientAccountPermissions",
            "AccountIsDisabled",
        ),
        Reason.FORBIDDEN,
    ),
    **dict.fromkeys(("NoSuchKey", "BlobNotFound", "PathNotFound", "ResourceNotFound"), Reason.MISSING),
    **dict.fromkeys(("KeyTooLongError", "KeyTooLong", "OutOfRangeInput"), Reason.NAME),
    **dict.fromkeys(
        ("SlowDown", "ServiceUnavailable", "ServerBusy", "InternalError", "OperationTimedOut", "RequestTimeout"),
        Reason.UNREACHABLE,
    ),
}
_STATUS = {401: Reason.CREDENTIALS, 403: Reason.FORBIDDEN, 404: Reason.MISSING, 410: Reason.MISSING}
# By name, because the libraries are not imported here: they may not be installed.
_CLASSES = {
    "NoBucketError": Reason.NO_CONTAINER,
    "ParamValidationError": Reason.NO_CONTAINER,  # botocore, of a bucket's name: every other parameter is ours
    **dict.fromkeys(
        (
            "NoCredentialsError",
            "PartialCredentialsError",
            "CredentialRetrievalError",
            "TokenRetrievalError",
            "ProfileNotFound",
            "SSOError",
            "ClientAuthenticationError",
            "CredentialUnavailableError",
            "DefaultCredentialsError",
            "RefreshError",
            "PermissionDenied",  # asyncssh: of a login
            "KeyImportError",
            "KeyEncryptionError",
        ),
        Reason.CREDENTIALS,
    ),
    **dict.fromkeys(("HostKeyNotVerifiable",), Reason.HOST_KEY),
    **dict.fromkeys(("SFTPPermissionDenied", "SFTPWriteProtect"), Reason.FORBIDDEN),
    **dict.fromkeys(("SFTPNoSuchFile", "SFTPNoSuchPath"), Reason.MISSING),
    **dict.fromkeys(("SFTPNoSpaceOnFilesystem", "SFTPQuotaExceeded"), Reason.FULL),
    **dict.fromkeys(("SFTPInvalidFilename",), Reason.NAME),
    **dict.fromkeys(
        (
            "HTTPClientError",  # botocore: a connection that cannot be made, or breaks off
            "ServiceRequestError",
            "ServiceResponseError",
            "IncompleteReadError",
            "ClientConnectionError",
            "ClientPayloadError",
            "TransportError",
            "FSTimeoutError",
            "ConnectionLost",
            "SFTPConnectionLost",
            "SFTPNoConnection",
            "DisconnectError",
            "ChannelOpenError",
        ),
        Reason.UNREACHABLE,
    ),
    "gaierror": Reason.UNREACHABLE,
    "TimeoutError": Reason.UNREACHABLE,
    "ConnectionError": Reason.UNREACHABLE,
}
_NUMBERS = {
    **dict.fromkeys(
        (
            errno.ECONNREFUSED,
            errno.ECONNRESET,
            errno.EHOSTUNREACH,
            errno.ENETUNREACH,
            errno.ETIMEDOUT,
            errno.EPIPE,
            errno.ECONNABORTED,
        ),
        Reason.UNREACHABLE,
    ),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), Reason.FULL),
    errno.ENAMETOOLONG: Reason.NAME,
}
# How far causes are followed.
_DEPTH = 8


def _classified(error: BaseException) -> tuple[Reason, str]:
    """The kind of trouble, and the store's own short word for it."""
    chain = _chain(error)
    for found in chain:
        code = _code(found)
        if code in _CODES:
            return _CODES[code], code
    for found in chain:
        if isinstance(found, OSError) and found.errno in _NUMBERS:
            return _NUMBERS[found.errno], type(found).__name__
    for found in chain:
        for kind in type(found).__mro__:
            if kind.__name__ in _CLASSES:
                return _CLASSES[kind.__name__], type(found).__name__
    for found in chain:
        status = _status(found)
        if status in _STATUS:
            return _STATUS[status], _code(found) or f"HTTP {status}"
        if status is not None and status >= 500:
            return Reason.UNREACHABLE, f"HTTP {status}"
    if any(isinstance(found, FileNotFoundError) for found in chain):
        return Reason.MISSING, ""
    if any(isinstance(found, PermissionError) for found in chain):
        return Reason.FORBIDDEN, ""
    return Reason.OTHER, ""


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    here: BaseException | None = error
    while here is not None and here not in found and len(found) < _DEPTH:
        found.append(here)
        here = here.__cause__ or here.__context__
    return found


def _code(error: BaseException) -> str:
    response = getattr(error, "response", None)
    if isinstance(response, dict) and isinstance(response.get("Error"), dict):
        return str(response["Error"].get("Code", ""))
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code)) if code else ""


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(error, "status_code", None) or getattr(error, "status", None) or getattr(error, "code", None)
    return status if isinstance(status, int) else None
