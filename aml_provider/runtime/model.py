"""``azureml.core.Model`` inside a step: models that were put where ``AZUREML_MODEL_DIR`` says, and no registry."""

from __future__ import annotations

import os

from .exceptions import ModelNotFoundException, UserErrorException
from .unavailable import Unavailable, unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MODEL_DIR = "AZUREML_MODEL_DIR"
"""The folder of one model, or of several: ``NAME`` or ``NAME/VERSION``, as in Azure ML's containers."""


class Model(metaclass=Unavailable):
    """Its frameworks' names and :meth:`get_model_path` work; everything else raises a sentence."""

    class Framework:
        """Names of frameworks; any other text will do, too."""

        CUSTOM = "Custom"
        TENSORFLOW = "TensorFlow"
        SCIKITLEARN = "ScikitLearn"
        ONNX = "Onnx"
        TFKERAS = "TfKeras"

    @staticmethod
    def get_model_path(model_name: str, version: int | None = None, _workspace: Any = None) -> str:
        """Path of a model's file or folder below ``AZUREML_MODEL_DIR``.

        :param version: default: the newest that is there.
        :raises NotAvailableInStepError: ``AZUREML_MODEL_DIR`` is not set.
        :raises ModelNotFoundException: there is no such model.
        """
        if not isinstance(model_name, str) or not model_name:
            raise UserErrorException(f"Model.get_model_path: the name of a model is text, not {model_name!r}.")
        if version is not None and not str(version).isdigit():
            raise UserErrorException(f"Model.get_model_path: a version is a number, not {version!r}.")
        folder = os.environ.get(MODEL_DIR, "")
        if not folder:
            raise unavailable(f'Model.get_model_path("{model_name}")')
        found = _find(os.path.abspath(folder), model_name, None if version is None else str(version))
        if found is None:
            said = model_name if version is None else f"{model_name}, version {version},"
            there = ", ".join(_names(folder)) or "nothing"
            raise ModelNotFoundException(f"There is no model {said} in {folder} ({MODEL_DIR}); it holds: {there}.")
        return found


def _find(folder: str, name: str, version: str | None) -> str | None:
    above, last = os.path.split(folder)
    if os.path.basename(above) == name and last.isdigit() and version in (None, last):
        return _content(folder)
    place = os.path.join(folder, name)
    versions = [found for found in _names(place) if found.isdigit()]
    if version is not None:
        return _content(os.path.join(place, version)) if version in versions else None
    if versions:
        return _content(os.path.join(place, max(versions, key=int)))
    return place if os.path.exists(place) else None


def _content(folder: str) -> str:
    """The one file or folder in the folder of a version; where there are more, the folder itself."""
    names = _names(folder)
    return os.path.join(folder, names[0]) if len(names) == 1 else folder


def _names(folder: str) -> list[str]:
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
