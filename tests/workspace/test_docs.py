"""The schema and the documentation say what the code does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from aml_provider.workspace.model import (
    ComputeKind,
    ComputeSettings,
    ComputeTargetConfig,
    ReuseConfig,
    StepReuseConfig,
    WorkspaceFile,
)
from aml_provider.workspace.reading import read_workspace_file
from aml_provider.workspace.resolved import LoadedWorkspace
from aml_provider.workspace.schema import workspace_schema


def blocks(repository: Path) -> list[str]:
    text = (repository / "docs/workspace-file.md").read_text()
    return re.findall(r"^```yaml\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def test_the_schema_in_docs_is_current(repository: Path) -> None:
    assert (repository / "docs/workspace.schema.json").read_text() == workspace_schema(), (
        "write it anew: python -m aml_provider.workspace.schema > docs/workspace.schema.json"
    )


def test_every_example_is_a_workspace_file_and_fits_the_schema(repository: Path, tmp_path: Path) -> None:
    examples = blocks(repository)
    assert examples
    schema = json.loads(workspace_schema())
    for example in examples:
        file = tmp_path / "workspace.yaml"
        file.write_text(example)
        read_workspace_file(file)
        jsonschema.validate(yaml.safe_load(example), schema)


def sections(value: Any) -> Iterator[BaseModel]:
    """A section of the file and all that are in it."""
    if isinstance(value, BaseModel):
        yield value
        value = {name: getattr(value, name) for name in value.model_fields_set}
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for inner in value:
            yield from sections(inner)


def test_the_complete_example_shows_every_key(repository: Path, tmp_path: Path) -> None:
    file = tmp_path / "workspace.yaml"
    file.write_text(blocks(repository)[0])
    parsed = read_workspace_file(file)
    shown: dict[type[BaseModel], set[str]] = {}
    for section in sections(parsed):
        # Settings of a kind and of a target are the same keys.
        kind = ComputeTargetConfig if isinstance(section, ComputeSettings) else type(section)
        shown.setdefault(kind, set()).update(section.model_fields_set)
    assert {WorkspaceFile, ComputeTargetConfig, ReuseConfig, StepReuseConfig} <= set(shown)
    assert {kind.__name__: set(kind.model_fields) - keys for kind, keys in shown.items()} == {
        kind.__name__: set() for kind in shown
    }
    workspace = LoadedWorkspace(parsed, file, tmp_path)
    assert {workspace.compute(name).kind for name in parsed.compute} == set(ComputeKind)


def test_the_schema_refuses_what_the_code_refuses(repository: Path) -> None:
    schema = json.loads(workspace_schema())
    for wrong in ({"nmae": "x"}, {"compute": {"a": {"memory": "4g"}}}, {"datastores": {"a": {}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_every_field_of_a_target_is_described(repository: Path) -> None:
    fields = json.loads(workspace_schema())["$defs"]["ComputeTargetConfig"]["properties"]
    assert [name for name, field in fields.items() if not field.get("description")] == []
