"""Where a container of Azure's storage is, from what v1's registrations are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aml_provider.sdk.exceptions import UserErrorException

AZURE = "core.windows.net"


@dataclass(frozen=True)
class AzureLocation:
    """A container in a storage account.

    :param url: of the datastore.
    :param endpoint: URL of a service that is not Azure's public one.
    """

    url: str
    account: str
    endpoint: str | None

    def connection(self, conn_type: str, **fields: Any) -> dict[str, Any]:
        """The fields of a connection that leads there; its own ``extra`` is kept."""
        extra = {"account_name": self.account, "endpoint_url": self.endpoint, **fields.pop("extra", {})}
        return {"conn_type": conn_type, "login": self.account, **fields, "extra": extra}


def is_plain_name(value: Any) -> bool:
    """Whether it can be one name in a URL, as it is."""
    return isinstance(value, str) and bool(value.strip()) and not set("/@?#: ") & set(value)


def azure_location(
    what: str, container: str, account: str, protocol: str | None, endpoint: str | None
) -> AzureLocation:
    """The container's URL, and the service's where that is not Azure's public one.

    :param what: name of the argument that names the container, for messages.
    :param endpoint: a domain, to which Azure adds the account, or a URL of a service.
    :raises UserErrorException: one of them cannot be used.
    """
    for name, value in ((what, container), ("account_name", account)):
        if not is_plain_name(value):
            raise UserErrorException(f"{name} is {value!r}, which names nothing in Azure; give the plain name.")
    if protocol not in (None, "http", "https"):
        raise UserErrorException(f"protocol is {protocol!r}; give 'https', or 'http'.")
    scheme = protocol or "https"
    domain = (endpoint or AZURE).rstrip("/")
    if not any(character in domain for character in ":/"):
        host = f"{account}.blob.{domain}"
        own = None if domain == AZURE else f"{scheme}://{host}"
    else:
        own = domain if "://" in domain else f"{scheme}://{domain}"
        parts = urlsplit(own)
        if not parts.hostname or parts.password or parts.query:
            raise UserErrorException(
                "endpoint is neither a domain like core.windows.net nor a URL like http://host:10000/account without "
                "a signature; correct it."
            )
        # The account is part of the datastore's URL: two accounts may each have such a container.
        host = parts.netloc if parts.netloc.startswith(f"{account}.") else f"{account}.{parts.netloc}"
    return AzureLocation(f"abfs://{container}@{host}", account, own)
