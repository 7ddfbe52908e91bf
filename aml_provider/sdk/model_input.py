"""What authors give to ``Model``: names, tags, filters and files, checked before anything happens."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Number
from pathlib import Path
from typing import Any

from aml_provider.sdk.exceptions import WebserviceException
from aml_provider.sdk.source import calling_source, find_file, looked_in
from aml_provider.spec.errors import NotSupportedError, PipelineError

# Azure ML's rule for names of models.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-._]{0,254}")
# What MLflow's registry holds.
MAX_VALUE = 100_000
MAX_DESCRIPTION = 5000


def check_name(name: Any, call: str) -> str:
    """A name that a model can be registered under.

    :raises WebserviceException: it is none in Azure ML.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise WebserviceException(
            f"{call}: the model's name is {name!r}, but must consist of letters, digits, dashes, periods and "
            "underscores, begin with a letter or a digit, and have 255 characters at most."
        )
    return name


def check_texts(what: str, values: Any, call: str) -> dict[str, str]:
    """Tags or properties; numbers become text.

    :param what: ``tags`` or ``properties``.
    :raises WebserviceException: they are no dictionary, or something in it is no text.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise WebserviceException(f"{call}: {what} must be a dictionary of texts, but are {values!r}.")
    return {_key(what, key, call): _text(what, key, value, call) for key, value in values.items()}


def _key(what: str, key: Any, call: str) -> str:
    if not isinstance(key, str) or not key.strip():
        raise WebserviceException(f"{call}: a name in {what} is {key!r}, but must be text that is not empty.")
    return key


def _text(what: str, key: str, value: Any, call: str) -> str:
    plain = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
    if plain is None:
        return ""
    if not isinstance(plain, (str, bool, Number)):
        raise WebserviceException(
            f"{call}: the value of {key!r} in {what} is {_short(value)}, but must be text or a number; write it as "
            "text, with json.dumps for example."
        )
    if len(text := str(plain)) > MAX_VALUE:
        raise WebserviceException(
            f"{call}: the value of {key!r} in {what} has {len(text)} characters; {MAX_VALUE} is the most. "
            "Keep it in a file of the model."
        )
    return text


def check_description(description: Any, call: str) -> str | None:
    """A description.

    :raises WebserviceException: it is no text, or too long.
    """
    if description is None:
        return None
    if not isinstance(description, str) or len(description) > MAX_DESCRIPTION:
        raise WebserviceException(
            f"{call}: the description must be text of {MAX_DESCRIPTION} characters at most, but is "
            f"{_short(description)}."
        )
    return description


def check_framework(framework: Any, version: Any, call: str) -> tuple[str | None, str | None]:
    """A model's framework and its version, as text.

    :raises WebserviceException: there is a version without a framework.
    """
    if framework is None and version is not None:
        raise WebserviceException(f"{call}: model_framework_version is given without model_framework.")
    return None if framework is None else str(framework), None if version is None else str(version)


def check_version(version: Any, call: str) -> int | None:
    """A version; ``None`` for the newest.

    :raises WebserviceException: it is no number.
    """
    if version is None:
        return None
    if isinstance(version, bool) or not str(version).isdigit():
        raise WebserviceException(f"{call}: the version is {version!r}, but must be a number such as 1.")
    return int(version)


def refuse_resources(resource_configuration: Any, call: str) -> None:
    """Azure ML keeps with a model on what it is to be deployed.

    :raises NotSupportedError: that is given.
    """
    if resource_configuration is not None:
        raise NotSupportedError(
            f"{call}: resource_configuration says on what Azure is to deploy the model, which is not part of this "
            "package; leave it out, and say it to what serves the model."
        )


# --- filters ----------------------------------------------------------------------------------------------------


def check_filter(what: str, wanted: Any, call: str) -> list[tuple[str, str | None]]:
    """A filter of v1: a list of names, and of lists of a name and a value.

    :raises WebserviceException: it is something else.
    """
    if wanted is None:
        return []
    parts: Iterable[Any] = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(wanted, Mapping):
        parts = wanted.items()
    found: list[tuple[str, str | None]] = []
    for part in parts if isinstance(parts, Iterable) else [None]:
        if isinstance(part, str):
            found.append((part, None))
        elif isinstance(part, (list, tuple)) and len(part) == 2:
            found.append((str(part[0]), str(part[1])))
        else:
            raise WebserviceException(
                f"{call}: {what} must be a list such as ['key', ['key2', 'value']], but are {wanted!r}."
            )
    return found


def matches(values: Mapping[str, str], wanted: list[tuple[str, str | None]]) -> bool:
    """Whether all of a filter is there."""
    return all(name in values and value in (None, values[name]) for name, value in wanted)


# --- files ------------------------------------------------------------------------------------------------------


def check_files(model_path: Any, child_paths: Sequence[str] | None, name: str) -> tuple[str, dict[str, Path]]:
    """What a model consists of: the name of its file or folder, and path -> file, each path with that name in front.

    :param child_paths: only these files of the folder; the folder then has the model's name, as in Azure ML.
    :raises WebserviceException: there is no such path, or no file in it.
    """
    if not isinstance(model_path, (str, os.PathLike)) or not os.fspath(model_path):
        raise WebserviceException(f"Model.register: model_path is {model_path!r}, but must be a file or a folder.")
    source = calling_source()
    place = find_file(model_path, source)
    if place is None:
        raise WebserviceException(
            f"Model.register: model_path {os.fspath(model_path)!r} does not exist; looked in "
            f"{looked_in(model_path, source)}."
        )
    if child_paths:
        arcname = name
        files = {f"{name}/{child}": place / child for child in (_child(place, child) for child in child_paths)}
    else:
        arcname = os.path.basename(os.path.abspath(place))
        files = files_of(place, arcname) if place.is_dir() else {arcname: place}
    if not files:
        raise WebserviceException(f"Model.register: the folder {os.fspath(model_path)!r} has no files.")
    for file in files.values():
        if not os.access(file, os.R_OK):
            raise WebserviceException(f"Model.register: {file} may not be read by this user.")
    return arcname, files


def files_of(folder: Path, prefix: str) -> dict[str, Path]:
    """The files below a folder, those behind links too, by their path below ``prefix``.

    :raises WebserviceException: something in it cannot be read.
    """
    from aml_provider.storage.tree_walk import walk

    try:
        found = [
            (os.fsdecode(below.prefix + name), Path(os.fsdecode(os.path.join(below.path, name))))
            for below in walk(os.fsencode(folder), frozenset())
            for name in below.files
        ]
    except (OSError, PipelineError) as error:
        raise WebserviceException(f"The files of {folder} cannot be read: {error}.") from None
    return {f"{prefix}/{path}": file for path, file in sorted(found)}


def _child(folder: Path, child: Any) -> str:
    path = os.path.normpath(os.fspath(child))
    inside = not os.path.isabs(path) and path.split(os.sep)[0] != os.pardir
    if not inside or not (folder / path).is_file():
        raise WebserviceException(
            f"Model.register: child path {os.fspath(child)!r} is no file in {folder}; give paths of files relative "
            "to model_path."
        )
    return Path(path).as_posix()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
