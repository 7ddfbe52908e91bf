"""Names: keys that Airflow and file systems accept, and the names of data objects."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from urllib.parse import quote

from aml_provider.spec.errors import PipelineError

MAX_KEY = 250
#: Tasks that every DAG has besides the author's steps: the one that decides what is reused, and the closing one.
HEAD_KEY = "reuse"
END_KEY = "pipeline_end"
METRICS_XCOM = "metrics"
#: XCom of the head task: where the run is recorded, for who closes its MLflow runs from outside.
RECORD_XCOM = "aml_record"
#: XCom of the task that has closed the run's MLflow runs: how the run ended.
CLOSED_XCOM = "aml_closed"
#: XCom of a hand-written DAG's sensor: the claim that it has taken for the tasks behind it.
CLAIM_XCOM = "aml_claim"
#: Airflow's states of tasks that have come to their end.
FINAL_STATES = ("success", "failed", "skipped", "upstream_failed", "removed")
RESERVED_KEYS = frozenset({HEAD_KEY, END_KEY})

_ILLEGAL = re.compile(r"[^A-Za-z0-9_.-]+")
# Airflow refuses them in ids.
_DOTS = re.compile(r"\.{2,}")
_DATA_NAME = re.compile(r"[A-Za-z0-9_]+")


def asset_name(workspace: str, dataset: str) -> str:
    """What a registered dataset, all its versions, is called as an Airflow asset: Airflow takes no other characters."""
    return f"{quote(workspace, safe='')}/{quote(dataset, safe='')}"


def legal_key(name: str) -> str:
    """``name`` with everything replaced that an Airflow task id or a folder name may not hold.

    A legal name stays as it is. The result never starts with a dot, so it cannot mean a parent folder.
    """
    key = _DOTS.sub(".", _ILLEGAL.sub("_", name)).lstrip(".")[:MAX_KEY]
    return key or "step"


def folder_name(name: str) -> str:
    """A folder's name for ``name``: itself when it is legal, else its legal form and a hash.

    No two names share a folder.
    """
    key = legal_key(name)
    return key if key == name else f"{key[:200]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def unique_keys(names: Iterable[str], reserved: Iterable[str] = RESERVED_KEYS) -> list[str]:
    """One key for each name, in order: the name made legal, numbered from 2 where it is taken.

    A name that is legal and occurs once is its own key, whatever the other names are numbered to.
    """
    wanted = [legal_key(name) for name in names]
    reserved = frozenset(reserved)
    taken = {*reserved, *wanted}
    used = set(reserved)
    keys = []
    for key in wanted:
        if key in used:
            key = _numbered(key, taken)
            taken.add(key)
        used.add(key)
        keys.append(key)
    return keys


def _numbered(key: str, taken: set[str]) -> str:
    number = 2
    while True:
        suffix = f"_{number}"
        candidate = key[: MAX_KEY - len(suffix)] + suffix
        if candidate not in taken:
            return candidate
        number += 1


def unique_name(name: str, taken: set[str]) -> str:
    """``name``, numbered from 2 when it is taken; the answer is added to ``taken``."""
    unique = name if name not in taken else _numbered(name, taken)
    taken.add(unique)
    return unique


def data_name_part(text: str) -> str:
    """``text`` as part of a data object's name."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")


def check_data_name(name: object, what: str) -> str:
    """``name`` if it may name a data object: it becomes an environment variable.

    :param what: the kind of object, for the message.
    :raises PipelineError: it holds anything but letters, digits and underscores.
    """
    if not isinstance(name, str) or not _DATA_NAME.fullmatch(name):
        raise PipelineError(
            f"{what} cannot be named {name!r}: use letters, digits and underscores only, "
            f"for example {data_name_part(str(name)) or 'data'!r}."
        )
    return name
