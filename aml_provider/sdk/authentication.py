"""v1's authentication classes: accepted everywhere, without a meaning.

There is no Azure identity here; credentials for stores and clusters are Airflow connections.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NoReturn

from aml_provider.spec.errors import NotSupportedError


class Audience(Enum):
    """For which Azure service a token is."""

    ARM = "ARM"
    AZUREML = "AZUREML"


class AbstractAuthentication:
    """Base of the classes that say who an author is to Azure."""

    def __init__(self, cloud: Any = None) -> None:
        self.cloud = cloud

    def get_authentication_header(self) -> NoReturn:
        """Not possible.

        :raises NotSupportedError: always.
        """
        raise _no_identity(self)

    def get_token(self, *scopes: Any, **kwargs: Any) -> Any:
        """Not possible.

        :raises NotSupportedError: always.
        """
        raise _no_identity(self)

    def signed_session(self, session: Any = None) -> NoReturn:
        """Not possible.

        :raises NotSupportedError: always.
        """
        raise _no_identity(self)


def _no_identity(auth: AbstractAuthentication) -> NotSupportedError:
    return NotSupportedError(
        f"{type(auth).__name__} has no Azure token: nothing here talks to Azure ML. Airflow's REST API and your stores "
        "have credentials of their own."
    )


class InteractiveLoginAuthentication(AbstractAuthentication):
    """A person at a browser."""

    def __init__(self, force: bool = False, tenant_id: str | None = None, cloud: Any = None) -> None:
        super().__init__(cloud)
        self.tenant_id = tenant_id


class AzureCliAuthentication(AbstractAuthentication):
    """Who is logged in with ``az``."""

    def __init__(self, cloud: Any = None) -> None:
        super().__init__(cloud)


class ArmTokenAuthentication(AbstractAuthentication):
    """The owner of a token. The token is not kept."""

    def __init__(self, arm_access_token: str, cloud: Any = "None") -> None:
        super().__init__(cloud)

    def update_arm_access_token(self, new_arm_access_token: str) -> None:
        """Nothing is kept."""


class ServicePrincipalAuthentication(AbstractAuthentication):
    """An application. The password is not kept."""

    def __init__(
        self, tenant_id: str, service_principal_id: str, service_principal_password: str, cloud: Any = "AzureCloud"
    ) -> None:
        super().__init__(cloud)
        self.tenant_id = tenant_id
        self.service_principal_id = service_principal_id


class AzureMLTokenAuthentication(AbstractAuthentication):
    """A run of Azure ML. The token is not kept."""

    EXPIRATION_THRESHOLD_IN_SECONDS = 300
    REFRESH_INTERVAL_IN_SECONDS = 30

    def __init__(
        self,
        azureml_access_token: str,
        expiry_time: Any = None,
        host: str | None = None,
        subscription_id: str | None = None,
        resource_group_name: str | None = None,
        workspace_name: str | None = None,
        experiment_name: str | None = None,
        run_id: str | None = None,
        user_email: str | None = None,
        experiment_id: str | None = None,
        cloud: Any = "AzureCloud",
    ) -> None:
        super().__init__(cloud)
        self.expiry_time = expiry_time

    @property
    def token(self) -> NoReturn:
        """Not possible.

        :raises NotSupportedError: always.
        """
        raise _no_identity(self)

    @classmethod
    def create(
        cls,
        azureml_access_token: str,
        expiry_time: Any,
        host: str,
        subscription_id: str,
        resource_group_name: str,
        workspace_name: str,
        experiment_name: str,
        run_id: str,
        user_email: str | None = None,
        experiment_id: str | None = None,
    ) -> AzureMLTokenAuthentication:
        """An object of this class."""
        return cls(azureml_access_token, expiry_time, host, subscription_id, resource_group_name, workspace_name)

    def set_token(self, token: str, expiry_time: Any) -> None:
        """Nothing but the time is kept."""
        self.expiry_time = expiry_time


class MsiAuthentication(AbstractAuthentication):
    """The identity of an Azure machine."""

    def __init__(self, cloud: Any = None, **kwargs: Any) -> None:
        super().__init__(cloud)


class TokenAuthentication(AbstractAuthentication):
    """Whoever the given function has tokens for."""

    def __init__(self, get_token_for_audience: Any, cloud: Any = None) -> None:
        super().__init__(cloud)
        self._get_token_for_audience = get_token_for_audience

    def get_token(self, audience: Any = Audience.ARM) -> Any:
        """What the given function answers."""
        return self._get_token_for_audience(audience)
