"""Turning pydantic's errors about a workspace file into sentences with file, line and key."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from .model import WorkspaceFile

_PATTERNS = {
    "memory": "must be an amount like 4Gi, 512Mi or 2G",
    "pool": "must be 1 to 250 letters, digits, dots, dashes or underscores",
    "image_pull_policy": "must be Always, IfNotPresent or Never",
}
_Loc = tuple[Any, ...]


def complaints(path: Path, root: yaml.Node | None, error: ValidationError) -> Iterator[str]:
    """One sentence for everything that is wrong: ``FILE line N, key a.b.c: what is wrong``, in the file's order.

    :param root: the composed document, whose nodes know their lines.
    """
    found = []
    for detail in error.errors(include_url=False):
        loc: _Loc = tuple(part for part in detail["loc"] if part != "[key]")
        message = _message(detail, loc)
        loc, message = _blame(root, loc, message)
        found.append((_line_of(root, loc), ".".join(map(str, loc)), message))
    for line, key, message in sorted(found):
        where = f", key {key}" if key else ""
        yield f"{path} line {line}{where}: {message}."


def _message(detail: Any, loc: _Loc) -> str:
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "extra_forbidden":
        return _unknown_key(loc)
    if kind == "missing":
        return "is missing and has no default"
    if kind == "enum":
        allowed = [word.strip(" '") for word in context["expected"].replace(" or ", ",").split(",")]
        return f"must be one of {', '.join(allowed)}, not {value!r}{_did_you_mean(str(value), allowed)}"
    if kind == "string_pattern_mismatch":
        return f"{_PATTERNS.get(str(loc[-1]), detail['msg'])}, not {value!r}"
    if kind == "string_type":
        if isinstance(value, (bool, int, float)):
            return f"must be text, not {_shown(value)}; put it in quotes"
        return f"must be text, not {_shown(value)}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"must be a mapping of `key: value` lines, not {_shown(value)}"
    if kind == "tuple_type":
        cure = f"; write [{value}]" if isinstance(value, str) else ""
        return f"must be a list, not {_shown(value)}{cure}"
    if kind == "value_error":
        return str(detail["msg"]).removeprefix("Value error, ").rstrip(".")
    text = str(detail["msg"]).replace("Input should be", "must be").replace("Value should", "must")
    return f"{text[:1].lower()}{text[1:]}, not {_shown(value)}"


def _shown(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else repr(value)


def _blame(root: yaml.Node | None, loc: _Loc, message: str) -> tuple[_Loc, str]:
    """A rule about a whole section starts its message with the key at fault: point there."""
    first, _, rest = message.partition(" ")
    _, section = _find(root, loc)
    if isinstance(section, yaml.MappingNode) and any(key.value == first for key, _ in section.value):
        return (*loc, first), rest
    return loc, message


# --- keys -------------------------------------------------------------------------------------------------------


def _unknown_key(loc: _Loc) -> str:
    section = _section(loc[:-1])
    known = list(section.model_fields) if section else []
    close = _did_you_mean(str(loc[-1]), known)
    return f"unknown key{close}" if close else f"unknown key; known here: {', '.join(known)}"


def _did_you_mean(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}" if close else ""


def _section(loc: _Loc) -> type[BaseModel] | None:
    """The model that describes the section at ``loc``."""
    here: Any = WorkspaceFile
    for part in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = None if field is None else field.annotation
        else:
            # A mapping or a list of models: its last type argument is the model.
            here = get_args(here)[-1] if get_args(here) else None
        here = _without_none(here)
        if get_origin(here) is tuple:
            here = list[get_args(here)[0]]  # type: ignore[misc]
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _without_none(annotation: Any) -> Any:
    if type(None) in get_args(annotation):
        return next(arg for arg in get_args(annotation) if arg is not type(None))
    return annotation


# --- lines ------------------------------------------------------------------------------------------------------


def _line_of(root: yaml.Node | None, loc: _Loc) -> int:
    line, _ = _find(root, loc)
    return line


def _find(root: yaml.Node | None, loc: _Loc) -> tuple[int, yaml.Node | None]:
    """The line (from 1) of the deepest part of ``loc`` that the file has, and the node there."""
    node, line = root, 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line, node
