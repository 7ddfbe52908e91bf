"""The JSON Schema of ``workspace.yaml``, for editors and for docs/workspace.schema.json.

``python -m aml_provider.workspace.schema > docs/workspace.schema.json`` writes it anew.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .model import WorkspaceFile


def workspace_schema() -> str:
    """The schema as text; equal models give equal text."""
    schema = WorkspaceFile.model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    for section in (schema, *schema.get("$defs", {}).values()):
        _describe(section)
    # ComputeTargetConfig inherits fields whose docstring belongs to its base.
    shared = schema["$defs"]["ComputeSettings"]["properties"]
    for name, field in schema["$defs"]["ComputeTargetConfig"]["properties"].items():
        if "description" not in field and "description" in shared.get(name, {}):
            field["description"] = shared[name]["description"]
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _describe(section: dict[str, Any]) -> None:
    """Move what a docstring's ``:param x:`` lines say to the fields they are about."""
    text = section.pop("description", "")
    head, *params = re.split(r"^:param (\w+):", text, flags=re.MULTILINE)
    for name, meaning in zip(params[::2], params[1::2], strict=True):
        field = section.get("properties", {}).get(name)
        if field is not None:
            field["description"] = _plain(meaning)
    if head.strip():
        section["description"] = _plain(head)


def _plain(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


if __name__ == "__main__":
    print(workspace_schema(), end="")
