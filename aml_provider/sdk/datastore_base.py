"""What all v1 datastores have in common: a name in a workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from aml_provider.sdk.life import is_program
from aml_provider.sdk.unavailable import PartOfV1

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace


class AbstractDatastore(PartOfV1):
    """A named root for data.

    What v1 keeps of credentials in its objects (``account_key``, ``client_secret``, ...) is ``None`` here: it is in a
    connection.
    """

    NOT_BUILT: ClassVar[dict[str, str]] = {}

    def __init__(self, workspace: Workspace, name: str, datastore_type: str) -> None:
        self.workspace = workspace
        self.name = name
        self.datastore_type = datastore_type

    def set_as_default(self) -> None:
        """Make it the workspace's default datastore for the rest of this file."""
        self.workspace.set_default_datastore(self.name)

    def unregister(self) -> None:
        """Forget the datastore and the credentials that were registered with it. Its data stays.

        :raises NotSupportedError: the workspace file declares it.
        """
        from aml_provider.sdk.datastore_registering import unregister

        if is_program():
            unregister(self.workspace, self.name)

    @property
    def store(self) -> Any:
        """The storage behind the name."""
        from aml_provider.storage.datastores import store_for

        return store_for(self.workspace.loaded.datastore(self.name), self.name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, workspace={self.workspace.name!r})"
