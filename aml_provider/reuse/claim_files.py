"""A claim as it is written: one small JSON file for a fingerprint that is being computed."""

from __future__ import annotations

import json
import math
import os
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

CLAIM_VERSION = 1
DEFAULT_LEASE_SECONDS = 60.0
_TEXTS = ("owner", "token", "pipeline_run_id", "step")


@dataclass(frozen=True)
class Claim:
    """That somebody computes a fingerprint.

    :param owner: the step run that does.
    :param token: of this claim alone; empty when its file is damaged.
    :param beat: how often it was renewed.
    :param heartbeat: a file that changes while the step runs, relative to the run store.
    :param starting_seconds: while the heartbeat's file is not there yet, the claim may go without a sign of life for
        this long, where that is more than the lease: a pending pod has nobody who renews it.
    :param content: the bytes it was read from.
    """

    key: str
    owner: str
    token: str
    beat: int
    lease_seconds: float
    pipeline_run_id: str
    step: str
    heartbeat: str | None = None
    starting_seconds: float = 0.0
    content: bytes = field(default=b"", repr=False, compare=False)

    @property
    def damaged(self) -> bool:
        """Whether nobody can tell whose it is."""
        return not self.token

    @property
    def text(self) -> str:
        """What was read, as text that gives the same bytes back; for :meth:`from_text`."""
        return self.content.decode("latin-1")

    @classmethod
    def from_text(cls, key: str, text: str) -> Claim:
        """The claim that another process has seen."""
        return cls.from_bytes(key, text.encode("latin-1"))

    @classmethod
    def from_bytes(cls, key: str, content: bytes) -> Claim:
        """The claim in a file. One that cannot be read is held by nobody known, for the usual time."""
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            value = None
        if not _is_claim(value):
            return cls(key, "", "", 0, DEFAULT_LEASE_SECONDS, "", "", None, 0.0, content)
        return cls(
            key,
            value["owner"],
            value["token"],
            value["beat"],
            value["lease_seconds"],
            value["pipeline_run_id"],
            value["step"],
            value.get("heartbeat"),
            value.get("starting_seconds", 0.0),
            content,
        )

    def sealed(self) -> Claim:
        """The same with the bytes that its file is to have.

        :raises ValueError: it would last no time or for ever, or its heartbeat is not below the run store.
        """
        if not _is_time(self.lease_seconds) or self.lease_seconds == 0:
            raise ValueError(f"a lease lasts some seconds, not {self.lease_seconds!r}.")
        if not _is_time(self.starting_seconds):
            raise ValueError(f"a start lasts some seconds or none, not {self.starting_seconds!r}.")
        if self.heartbeat is not None and not _is_inside(self.heartbeat):
            raise ValueError(f"a heartbeat is a path relative to the run store, not {self.heartbeat!r}.")
        value = {name: v for name, v in asdict(self).items() if name not in ("key", "content")}
        text = json.dumps({"claim_version": CLAIM_VERSION, **value}, sort_keys=True, separators=(",", ":"))
        return Claim(**{**asdict(self), "content": text.encode("ascii")})


def claim_name(key: str) -> str:
    """The blob that the claim on a fingerprint is."""
    return f"claims/{key}.json"


def new_claim(
    key: str, owner: str, step: str, run: str, lease_seconds: float, heartbeat: str | None, starting_seconds: float
) -> Claim:
    """A claim that nobody has yet.

    :raises ValueError: see :meth:`Claim.sealed`.
    """
    return Claim(key, owner, uuid.uuid4().hex, 0, lease_seconds, run, step, heartbeat, starting_seconds).sealed()


def _is_claim(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("claim_version") != CLAIM_VERSION:
        return False
    lease, heartbeat = value.get("lease_seconds"), value.get("heartbeat")
    return (
        all(type(value.get(name)) is str for name in _TEXTS)
        and value["token"] != ""
        and type(value.get("beat")) is int
        and _is_time(lease)
        and lease != 0
        and _is_time(value.get("starting_seconds", 0.0))
        and (heartbeat is None or _is_inside(heartbeat))
    )


def _is_time(seconds: object) -> bool:
    """Whether it is a number of seconds that end."""
    return type(seconds) in (int, float) and 0 <= seconds < math.inf  # type: ignore[operator]


def _is_inside(path: object) -> bool:
    """Whether it is a path that stays below the run store."""
    if not isinstance(path, str) or not path or "\0" in path:
        return False
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts
