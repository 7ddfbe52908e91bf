"""What Airflow's provider manager is told about this distribution."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": ["string", "null"]}
_SECRET = {"type": ["string", "null"], "format": "password"}
_SWITCH = {"type": ["boolean", "null"]}

# The form of the connection type, in the order in which it is shown.
_DATASTORE_FIELDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "url": ("Datastore URL", _TEXT, "Where the data is, like s3://bucket/folder. The test button looks there."),
    "endpoint_url": ("Endpoint URL", _TEXT, "S3, Azure, Google Cloud: a service other than the cloud's own."),
    "region_name": ("Region", _TEXT, "S3: the region of the bucket."),
    "session_token": ("Session token", _SECRET, "S3: belongs to temporary keys."),
    "profile_name": ("Profile", _TEXT, "S3: a profile of the workers' AWS configuration, in place of keys."),
    "sas_token": ("SAS token", _SECRET, "Azure: in place of the account's key."),
    "connection_string": ("Connection string", _SECRET, "Azure: in place of account and key."),
    "tenant_id": (
        "Tenant",
        _TEXT,
        "Azure: of a service principal; its id is the login, its secret the password.",
    ),
    "keyfile_dict": ("Service account key", _SECRET, "Google Cloud: the JSON of the key file."),
    "key_path": ("Key file", _TEXT, "Google Cloud: its path on the workers."),
    "private_key": ("Private key", _SECRET, "SFTP: the key itself."),
    "key_file": ("Private key file", _TEXT, "SFTP: its path on the workers."),
    "private_key_passphrase": ("Passphrase", _SECRET, "SFTP: of the private key."),
    "host_key": ("Host key", _TEXT, "SFTP: the host's public key, like 'ssh-ed25519 AAAA...'."),
    "no_host_key_check": ("Trust any host key", _SWITCH, "SFTP: anybody on the way can then pose as the host."),
    "anonymous": ("Anonymous", _SWITCH, "S3, Azure, Google Cloud: use no credentials, for public data."),
}


def get_provider_info() -> dict[str, Any]:
    """Describe the provider: its name, its connection type, links, and its section of Airflow's configuration."""
    return {
        "package-name": "airflow-provider-aml",
        "name": "Azure ML pipelines",
        "description": "Runs Azure ML SDK v1 pipelines, unmodified, as DAGs.\n",
        "connection-types": [
            {
                # The class says the same, but Airflow shows the form without importing it.
                "connection-type": "aml_datastore",
                "hook-class-name": "aml_provider.hooks.datastore.DatastoreHook",
                "hook-name": "Azure ML datastore",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema"],
                    "relabeling": {
                        "host": "Host",
                        "login": "Key id, account or user",
                        "password": "Secret, account key or password",
                    },
                    "placeholders": {
                        "url": "s3://bucket/folder, abfs://container/folder, sftp://host/folder ...",
                        "host": "SFTP: as in the URL; may be left empty",
                        "login": "S3: access key id; Azure: account name; SFTP, HTTP: user",
                    },
                },
                "conn-fields": {
                    name: {"label": label, "schema": schema, "description": description}
                    for name, (label, schema, description) in _DATASTORE_FIELDS.items()
                },
            }
        ],
        "extra-links": [
            "aml_provider.links.MLflowRunLink",
            "aml_provider.links.OutputsLink",
            "aml_provider.links.ReusedFromLink",
        ],
        "config": {
            "aml": {
                "description": "Azure ML SDK v1 pipelines.",
                "options": {
                    "workspace": {
                        "description": (
                            "Path of the workspace file: datastores, compute targets and tracking for every\n"
                            "pipeline file in the dags folder. When empty, a ``workspace.yaml`` is looked for\n"
                            "beside each pipeline file and in the folders above it.\n"
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/opt/airflow/workspace.yaml",
                        "default": "",
                    },
                },
            },
        },
    }
