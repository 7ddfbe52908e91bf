"""Keeping credentials and places of this machine out of what MLflow gets from us."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


class Hiding:
    """Writes words like ``<run store>`` for folders of this machine.

    What a script itself reports as a metric, a tag or a file stays as it is: it is the author's.

    :param words: folder -> what is written for it.
    """

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = {folder.rstrip("/"): word for folder, word in words.items() if len(folder.rstrip("/")) > 1}
        # The longest first, and whole names only: /data is not the beginning of /database.
        folders = sorted(self._words, key=len, reverse=True)
        names = "|".join(map(re.escape, folders)) or "(?!)"
        self._pattern = re.compile(rf"(?<![\w.-])({names})(?![\w-]|\.\w)")

    @classmethod
    def of(cls, run_folder: Path, record: Mapping[str, Any] | None) -> Hiding:
        """For a run.

        :param record: the content of run.json, whose ``hidden`` says which folders its workspace has.
        """
        store = run_folder.absolute().parents[2]
        return cls({str(store): "<run store>", **((record or {}).get("hidden") or {})})

    def text(self, value: Any) -> str:
        """A value as text without any of it."""
        whole = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        return self._pattern.sub(lambda found: self._words[found[1]], _without_secrets(whole))

    def lines(self, lines: Iterable[str]) -> Iterator[str]:
        """Lines of a text likewise."""
        return map(self.text, lines)


def _without_secrets(text: str) -> str:
    # Where Airflow is not loaded, no connection's secret is known.
    if "airflow.sdk._shared.secrets_masker" not in sys.modules:
        return text
    from airflow.sdk._shared.secrets_masker import redact

    return str(redact(text))
