"""Moving files between datastores: bounded in memory, side by side, checked; an interruption costs little."""

from __future__ import annotations

from .engine import transfer
from .errors import TransferError
from .options import Options, Overwrite, PlaceType, Summary, Verify
from .places import Place
from .tables_places import TablePlace, place_for

__all__ = [
    "Options",
    "Overwrite",
    "Place",
    "PlaceType",
    "Summary",
    "TablePlace",
    "TransferError",
    "Verify",
    "place_for",
    "transfer",
]
