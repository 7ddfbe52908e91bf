"""Where a step's code is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from aml_provider.sdk.source import PipelineSource, candidates, portable
from aml_provider.sdk.steps.base import ScriptStep
from aml_provider.spec.errors import PipelineError


def script_directory(step: ScriptStep, script: str, default: str | None, source: PipelineSource) -> str:
    """The source directory of a script step, as a spec holds it.

    Of the places that the directory may mean, the first one that has the script is taken.

    :raises PipelineError: no such directory, or none with the script.
    """
    wanted = _wanted(step, default)
    places = [place for place in candidates(wanted, source) if os.path.isdir(place)]
    if not places:
        raise PipelineError(_missing(step, wanted, source))
    # Many steps ask for few files: plain os.path calls keep a pipeline of a hundred steps fast to build.
    for place in places:
        if os.path.isfile(os.path.join(place, script)):
            return _portable(place, wanted, source)
    raise PipelineError(
        f"Step {step.name!r}: script {script!r} does not exist in source_directory {wanted!r} "
        f"(looked in {' and '.join(places)}); script_name is relative to source_directory."
    )


def command_directory(step: ScriptStep, default: str | None, source: PipelineSource) -> str | None:
    """The source directory of a command step, ``None`` when the command needs no code.

    :raises PipelineError: a directory was given that does not exist.
    """
    if step.source_directory is not None or default is not None:
        wanted = _wanted(step, default)
        for place in candidates(wanted, source):
            if os.path.isdir(place):
                return _portable(place, wanted, source)
        raise PipelineError(_missing(step, wanted, source))
    for place in candidates(".", source):
        if any(os.path.isfile(os.path.join(place, word)) for word in _relative_words(step.arguments)):
            return _portable(place, ".", source)
    return None


def _wanted(step: ScriptStep, default: str | None) -> str:
    wanted = step.source_directory if step.source_directory is not None else default
    return os.fspath(wanted) if wanted else "."


def _missing(step: ScriptStep, wanted: str, source: PipelineSource) -> str:
    return (
        f"Step {step.name!r}: source_directory {wanted!r} does not exist; looked in "
        f"{' and '.join(candidates(wanted, source))}."
    )


def _portable(place: str, wanted: str, source: PipelineSource) -> str:
    return portable(place, source, absolute=Path(wanted).expanduser().is_absolute())


def _relative_words(arguments: list[Any]) -> list[str]:
    """The words of a command that may name a file beside it."""
    texts = [text for text in arguments if isinstance(text, str)]
    words = [word.strip("'\"") for text in texts for word in re.split(r"[\s;|&<>()=]+", text)]
    return [word for word in words if word and not word.startswith(("-", "/", "$", "~"))]
