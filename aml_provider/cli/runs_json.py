"""What ``--json`` prints of runs."""

from __future__ import annotations

import json
import math
from typing import Any


def print_json(value: Any) -> None:
    """Print as JSON; ``NaN`` and the infinities, which JSON has not, as texts."""
    print(json.dumps(_with_texts(value), indent=2, default=str, allow_nan=False))


def _with_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_texts(item) for item in value]
    return json.dumps(value) if isinstance(value, float) and not math.isfinite(value) else value
