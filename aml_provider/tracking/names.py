"""What MLflow lets keys and values be."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

# MLflow refuses longer ones; see mlflow/utils/validation.py.
MAX_KEY = 250
MAX_PARAM = 6000
MAX_TAG = 8000
MAX_EXPERIMENT = 500
METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
TAGS_PER_BATCH = 100
_FORBIDDEN = re.compile(r"[^/\w.\- :]")
_NOT_IN_MODEL_NAMES = re.compile(r"""[/:.%"']""")


def key(name: str, taken: dict[str, str] | None = None) -> str:
    """A legal MLflow key for a name: other characters become ``_``, and the path it forms is a plain one.

    :param taken: key -> the name it stands for, of the keys in use; the result is added. A key that already stands
        for another name gets the beginning of this name's hash at its end.
    """
    parts = [part.strip() for part in _FORBIDDEN.sub("_", name).split("/")]
    legal = "/".join("_" if part in (".", "..") else part for part in parts if part) or "_"
    if len(legal) > MAX_KEY:
        legal = f"{legal[: MAX_KEY - 9]}-{_hash(name)}"
    if taken is not None:
        if taken.get(legal, name) != name:
            legal = f"{legal[: MAX_KEY - 9]}-{_hash(name)}"
        taken[legal] = name
    return legal


def text(value: Any, limit: int) -> str:
    """A value as text of at most ``limit`` characters; what is cut off is marked by an ellipsis."""
    whole = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return whole if len(whole) <= limit else whole[: limit - 1] + "…"


def quoted(value: str) -> str:
    """A value in a search filter. MLflow's filters know no escapes, but two kinds of quotes."""
    return f'"{value}"' if "'" in value else f"'{value}'"


def model_name(name: str) -> str:
    """A legal name for a registered model."""
    return _NOT_IN_MODEL_NAMES.sub("_", name.strip())[:MAX_KEY] or "_"


def model_names(name: str) -> tuple[str, str]:
    """The names that a model may have in the registry: ``a.b`` and ``a_b`` are two models, and one comes first."""
    plain = model_name(name)
    return plain, f"{plain[: MAX_KEY - 9]}-{_hash(name)}"


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
