"""What v1's authors catch of ``msrest``, through which v1 talked to its service: ``msrest.exceptions``.

Where that is installed, its own classes are taken, which are the ones that a file has imported then.
"""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any


class ClientException(Exception):
    """The root of them."""


class AuthenticationError(ClientException):
    """Never raised here: there is no service."""


class ClientRequestError(ClientException):
    """Never raised here: there is no service."""


class TokenExpiredError(ClientException):
    """Never raised here: there is no service."""


class ValidationError(ClientException):
    """Never raised here: there is no service."""


class HttpOperationError(ClientException):
    """What the service refused.

    :ivar message: the sentence; :ivar response: with ``status_code``, ``reason`` and ``text``.
    """

    message: str
    response: Any


def not_found(kind: type[Exception], message: str) -> Exception:
    """An exception that is both ``kind`` and what v1 raised when its service did not find something."""
    # Imported only now: the installed one takes long.
    http = import_module("msrest.exceptions").HttpOperationError
    both: Any = type(kind.__name__, (kind, http), {"__module__": kind.__module__, "__doc__": kind.__doc__})
    made: Exception = both(message)
    made.__dict__.update(error=None, response=SimpleNamespace(status_code=404, reason="Not Found", text=message))
    return made
