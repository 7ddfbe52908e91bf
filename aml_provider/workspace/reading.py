"""Reading ``workspace.yaml``: fast when it is right, with file, line and key for everything that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from aml_provider.spec.errors import WorkspaceFileError

from .model import WorkspaceFile

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml: ten times slower, equal otherwise.
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]


def read_workspace_file(path: Path) -> WorkspaceFile:
    """The validated content of one file; an empty file means all defaults.

    :raises WorkspaceFileError: the file cannot be read, is not YAML, or holds something a workspace file cannot.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise WorkspaceFileError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise WorkspaceFileError(f"{path} line {line}: is not UTF-8 text; save the file as UTF-8.") from error
    try:
        data = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.MarkedYAMLError as error:
        raise WorkspaceFileError(_syntax_error(path, text, error)) from error
    except yaml.YAMLError as error:
        raise WorkspaceFileError(f"{path}: is not YAML: {error}") from error
    if data is None:
        return WorkspaceFile()
    if not isinstance(data, dict):
        raise WorkspaceFileError(
            f"{path} line 1: must be a mapping of `key: value` lines, not {_kind_of(data)}; "
            "see the example in docs/workspace-file.md."
        )
    try:
        return WorkspaceFile.model_validate(data)
    except ValidationError as error:
        from .complaints import complaints

        root = yaml.compose(text, Loader=_Loader)
        raise WorkspaceFileError("\n".join(complaints(path, root, error))) from error


class _DuplicateKeyError(yaml.constructor.ConstructorError):
    """A key that is there twice."""


class _UniqueKeyLoader(_Loader):
    """YAML lets a mapping repeat a key and keeps the last; here that is a mistake worth a sentence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            seen: set[str] = set()
            for key, _ in node.value:
                if key.value in seen:
                    raise _DuplicateKeyError(
                        None, None, f"key {key.value!r} is there twice; remove one of them", key.start_mark
                    )
                seen.add(key.value)
        return mapping


def _syntax_error(path: Path, text: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    line = 1 if mark is None else mark.line + 1
    lines = text.splitlines()
    problem = (error.problem or error.context or "is not YAML").strip()
    if line <= len(lines) and "\t" in lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]:
        problem = "a tab is used for indentation; YAML allows blanks only"
    elif not isinstance(error, _DuplicateKeyError):
        problem = f"is not YAML: {problem}"
        if error.context and error.context_mark and error.problem:
            problem += f" ({error.context}, from line {error.context_mark.line + 1})"
    return f"{path} line {line}: {problem}."


def _kind_of(data: object) -> str:
    if isinstance(data, str):
        return "text"
    return "a list" if isinstance(data, list) else f"the value {data!r}"
