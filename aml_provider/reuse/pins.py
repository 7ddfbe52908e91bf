"""A person's word about what a step is to use."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from aml_provider.reuse.records import is_key
from aml_provider.reuse.sealing import DamagedError
from aml_provider.spec.names import folder_name

PIN_VERSION = 1
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("experiment", "step", "key", "note"), (str,)),
    "created": (int, float),
}


@dataclass(frozen=True)
class Pin:
    """That a step of an experiment is to use one record.

    :param note: why.
    :param created: seconds since the epoch.
    """

    experiment: str
    step: str
    key: str
    note: str
    created: float

    @classmethod
    def from_json(cls, value: Any) -> Pin:
        """The pin that a JSON value is.

        :raises ValueError: it is none, or one of another version.
        """
        if not isinstance(value, dict) or value.get("pin_version") != PIN_VERSION:
            raise DamagedError("it is no pin of this version")
        for word, kinds in _TYPES.items():
            if type(value.get(word)) not in kinds:
                raise DamagedError(f"{word} is {value.get(word)!r}")
        if not is_key(value["key"]):
            raise DamagedError(f"its key is {value['key']!r}")
        return cls(**{word: value[word] for word in _TYPES})

    def to_json(self) -> dict[str, Any]:
        """The pin as a JSON value."""
        return {"pin_version": PIN_VERSION, **asdict(self)}


def pin_name(experiment: str, step: str) -> str:
    """The blob that the pin of a step is."""
    return f"pins/{folder_name(experiment)}/{folder_name(step)}.json"
