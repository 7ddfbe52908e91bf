"""Which image a registry has under a name: one question to its API (OCI distribution, version 2).

Only the headers of the manifest are asked for, which no registry counts as a pull.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aml_provider.reuse.asking import NotToldError, root, within
from aml_provider.reuse.image_names import DOCKER_HUB, ImageName, is_digest, is_this_machine
from aml_provider.reuse.registry_logins import ANONYMOUS, Login

if TYPE_CHECKING:
    import httpx

_HUB_HOST = "registry-1.docker.io"
_CLIENT_ID = "airflow-provider-aml"
# The forms that engines ask for when they pull: with fewer, a registry may convert, and tell another digest.
_ACCEPT = ", ".join(
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ]
)
_CHALLENGE = re.compile(r"\s*(Basic|Bearer)\b(.*)", re.IGNORECASE | re.DOTALL)
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class _LoginWantedError(Exception):
    """The registry wants to know who asks."""


def digest_in_registry(name: ImageName, login: Callable[[], Login | None]) -> str:
    """The digest by which a pull of ``name`` would find the image now.

    :param login: who asks; it is called only if the registry wants to know.
    :raises NotToldError: the registry does not tell.
    """
    import httpx  # noqa: F401 - not while somebody waits

    whom = f"registry {name.registry}"
    try:
        return within(lambda: _ask(name, None), whom)
    except _LoginWantedError:
        known = login() or ANONYMOUS
    return within(lambda: _ask(name, known), whom)


def _ask(name: ImageName, login: Login | None) -> str:
    import httpx

    problem: Exception | None = None
    for base in _bases(name.registry):
        try:
            with _client(name.registry) as client:
                return _Question(client, base, name, login).answer()
        except httpx.HTTPError as e:
            problem = e
        except (httpx.InvalidURL, ValueError):
            raise NotToldError(f"registry {name.registry} sends this worker to an address that is none") from None
    assert problem is not None
    raise NotToldError(f"registry {name.registry} cannot be reached ({root(problem)})")


def _bases(registry: str) -> list[str]:
    host = _HUB_HOST if registry == DOCKER_HUB else registry
    # As Docker does, which needs no settings for a registry on its own machine.
    schemes = ["https", "http"] if is_this_machine(registry) else ["https"]
    return [f"{scheme}://{host}" for scheme in schemes]


@contextmanager
def _client(registry: str) -> Iterator[httpx.Client]:
    import httpx

    here = is_this_machine(registry)
    try:
        client = httpx.Client(
            timeout=3,
            follow_redirects=True,
            verify=False if here else _trusted(),
            trust_env=not here,
            headers={"Accept": _ACCEPT},
        )
    except (ValueError, ImportError, OSError):
        # Their texts may hold the address of a proxy, with its password.
        raise NotToldError("the settings of this worker's proxy or certificates cannot be used") from None
    with client:
        yield client


def _trusted() -> ssl.SSLContext:
    import httpx

    context = httpx.create_ssl_context()
    # A company's own authority is in the system's store.
    context.load_default_certs()
    return context


class _Question:
    """One conversation with a registry; without a login it ends where one is wanted."""

    def __init__(self, client: httpx.Client, base: str, name: ImageName, login: Login | None) -> None:
        self._client = client
        self._base = base
        self._name = name
        self._login = login

    def answer(self) -> str:
        url = f"{self._base}/v2/{self._name.repository}/manifests/{self._name.tag}"
        response = self._client.head(url)
        headers: dict[str, str] = {}
        if response.status_code == 401:
            if self._login is None:
                raise _LoginWantedError
            headers = {"Authorization": self._authorization(response, self._login)}
            response = self._client.head(url, headers=headers)
        told = response.headers.get("Docker-Content-Digest", "")
        if response.is_success and is_digest(told):
            return str(told)
        if response.is_success or response.status_code in (400, 405, 501):
            response = self._client.get(url, headers=headers)
        if not response.is_success:
            raise NotToldError(self._refusal(response.status_code))
        if "manifest" not in response.headers.get("Content-Type", "") and "schemaVersion" not in response.text:
            raise NotToldError(f"what answers at {self._name.registry} is no registry")
        return f"sha256:{hashlib.sha256(response.content).hexdigest()}"

    def _refusal(self, status: int) -> str:
        place = f"registry {self._name.registry}"
        if status in (401, 403):
            return f"{place} has no such image, or does not show it to this worker (docker_conn_id names a login)"
        if status == 404:
            return f"{place} has no such image"
        if status == 429:
            return f"{place} has been asked too often (429)"
        return f"{place} answers {status}"

    # --- who asks -------------------------------------------------------------------------------------------

    def _authorization(self, response: httpx.Response, login: Login) -> str:
        found = (_CHALLENGE.match(text) for text in response.headers.get_list("WWW-Authenticate"))
        challenges = {match[1].lower(): dict(_PARAMETER.findall(match[2])) for match in found if match}
        if "bearer" in challenges:
            return f"Bearer {self._token(challenges['bearer'], login)}"
        if "basic" in challenges and login.user:
            return login.basic
        raise NotToldError(self._refusal(401))

    def _token(self, challenge: dict[str, str], login: Login) -> str:
        realm = challenge.get("realm", "")
        if not realm.startswith("https://") and not is_this_machine(urlsplit(realm).netloc):
            raise NotToldError(f"registry {self._name.registry} wants a login sent without encryption")
        asked = {"scope": f"repository:{self._name.repository}:pull"}
        if "service" in challenge:
            asked["service"] = challenge["service"]
        if login.token is not None:
            form = {**asked, "grant_type": "refresh_token", "refresh_token": login.token, "client_id": _CLIENT_ID}
            response = self._client.post(realm, data=form)
        else:
            headers = {"Authorization": login.basic} if login.user else {}
            response = self._client.get(realm, params=asked, headers=headers)
        if not response.is_success:
            raise NotToldError(self._refusal(response.status_code))
        try:
            body = response.json()
            return str(body.get("token") or body["access_token"])
        except (ValueError, KeyError, AttributeError):
            raise NotToldError(f"registry {self._name.registry} answers a login with no token") from None
