"""The few calls of Airflow's REST API (v2) that programs and the command line make."""

from __future__ import annotations

import os
from typing import Any

import httpx

from aml_provider.spec.errors import AmlError
from aml_provider.workspace.model import AirflowConfig

TIMEOUT_SECONDS = 30
# Airflow's server closes a connection after five idle seconds; a request that meets that moment is lost.
KEEP_ALIVE_SECONDS = 2.0


class AirflowApiError(AmlError):
    """Airflow's API server did not do what it was asked."""


class NotFoundError(AirflowApiError):
    """Airflow knows no such object."""


class AirflowApi:
    """A client of one API server, logged in at its first call.

    :param config: where it is and who we are.
    """

    def __init__(self, config: AirflowConfig) -> None:
        self._config = config
        limits = httpx.Limits(keepalive_expiry=KEEP_ALIVE_SECONDS)
        self._client = httpx.Client(base_url=config.url.rstrip("/"), timeout=TIMEOUT_SECONDS, limits=limits)
        self._token: str | None = None

    @property
    def url(self) -> str:
        """The server's base URL."""
        return self._config.url.rstrip("/")

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """GET ``/api/v2/PATH``."""
        return self._call("GET", path, params=query)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST ``body`` to ``/api/v2/PATH``."""
        return self._call("POST", path, json=body)

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """PATCH ``/api/v2/PATH`` with ``body``."""
        return self._call("PATCH", path, json=body)

    def delete(self, path: str) -> dict[str, Any]:
        """DELETE ``/api/v2/PATH``."""
        return self._call("DELETE", path)

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        answer = self._send(method, path, **arguments)
        if answer.status_code == 401:
            # Tokens expire during long runs.
            self._token = None
            answer = self._send(method, path, **arguments)
        if answer.status_code == 404:
            raise NotFoundError(f"Airflow at {self.url} has no {path}")
        if answer.is_error:
            raise AirflowApiError(f"Airflow at {self.url} refused {method} {path}: {_detail(answer)}")
        value = answer.json() if answer.content else {}
        return value if isinstance(value, dict) else {"value": value}

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        if self._token is None:
            self._token = self._log_in()
        headers = {"Authorization": f"Bearer {self._token}"}
        return self._request(method, f"/api/v2/{path}", headers=headers, **arguments)

    def _log_in(self) -> str:
        user = self._config.username
        if user is None:
            answer = self._request("GET", "/auth/token")
        else:
            password = os.environ.get(self._config.password_env)
            if password is None:
                raise AirflowApiError(
                    f"no password for Airflow user {user!r}: set the environment variable {self._config.password_env}"
                )
            answer = self._request("POST", "/auth/token", json={"username": user, "password": password})
        if answer.is_error:
            raise AirflowApiError(
                f"Airflow at {self.url} does not let {user or 'an anonymous user'} in: {_detail(answer)}. "
                "Set airflow: username in the workspace file and its password in the environment."
            )
        return str(answer.json()["access_token"])

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            try:
                return self._client.request(method, path, **arguments)
            except (httpx.RemoteProtocolError, httpx.ReadError):
                # The server closed a connection that was kept. What only reads may be asked twice (RFC 9110, 9.2.2);
                # of what changes something nobody knows whether it was done.
                if method != "GET":
                    raise
                return self._client.request(method, path, **arguments)
        except httpx.HTTPError as e:
            raise AirflowApiError(
                f"Airflow at {self.url} does not answer ({e}). Start it, correct airflow: url in the workspace file, "
                "or remove that section to run without a server."
            ) from None


def _detail(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.reason_phrase}"
    if isinstance(detail, dict):
        detail = detail.get("reason") or detail.get("message") or detail
    return f"{answer.status_code}, {detail}"
