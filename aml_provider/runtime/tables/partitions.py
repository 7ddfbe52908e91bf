"""v1's ``partition_format``: parts of a file's path that are values, like ``{country}/{day:yyyy/MM/dd}/*.csv``."""

from __future__ import annotations

import re
from datetime import datetime

from .problems import TableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from .files import File

_KEY = re.compile(r"\{([^{}:]+)(?::([^{}]+))?\}")
_WILD = re.compile(r"\*\*/?|\*|\?")
_TIME = re.compile(r"y{3,4}|MM|dd|HH|mm|ss")
_PARTS = {"y": "year", "M": "month", "d": "day", "H": "hour", "m": "minute", "s": "second"}
_ORDER = ("year", "month", "day", "hour", "minute", "second")
_NULL, _EMPTY = "__null__", "__empty__"


class PartitionFormat:
    """A compiled format; it describes the end of a path.

    :param quoted: values are as :func:`quoted` writes them.
    :raises TableError: it is no format.
    """

    def __init__(self, text: str, quoted: bool = False) -> None:
        self.text = text
        self._quoted = quoted
        #: Key -> the parts of a point in time that it has; ``None`` for a text.
        self.keys: dict[str, list[str] | None] = {}
        pattern, end = "", 0
        for found in _KEY.finditer(text):
            pattern += _literal(text[end : found.start()], text)
            pattern += self._key(found.group(1), found.group(2))
            end = found.end()
        pattern += _literal(text[end:], text)
        if not self.keys:
            raise TableError(f"partition_format {text!r} has no {{key}}; write one like '{{country}}/*.csv'")
        self._regex = re.compile((".*" if text.startswith("/") else "(?:.*/)?") + pattern, re.DOTALL)

    def _key(self, name: str, form: str | None) -> str:
        if name in self.keys:
            raise TableError(f"partition_format {self.text!r} has the key {name!r} twice")
        if form is None:
            self.keys[name] = None
            return "([^/]+?)"
        parts: list[str] = []
        pattern, end = "", 0
        for found in _TIME.finditer(form):
            pattern += re.escape(_between(form[end : found.start()], form))
            part = _PARTS[found.group(0)[0]]
            if part in parts:
                raise TableError(f"the format {form!r} of a partition key has its {part} twice")
            parts.append(part)
            # Where the next digits follow at once, the width says where these end.
            alone = not _TIME.match(form, found.end())
            pattern += r"(\d{4})" if part == "year" else r"(\d{1,2})" if alone else r"(\d{2})"
            end = found.end()
        pattern += re.escape(_between(form[end:], form))
        if "year" not in parts:
            raise TableError(f"the format {form!r} of a partition key has no year (yyyy)")
        self.keys[name] = parts
        return pattern

    def values(self, path: str) -> dict[str, Any]:
        """The values in a file's path, by key: texts, and points in time.

        :raises TableError: the path is not of this format.
        """
        found = self._regex.fullmatch(path if path.startswith("/") else "/" + path)
        if found is None:
            raise TableError(f"the path of file {path!r} does not end like the partition_format {self.text!r}")
        groups = iter(found.groups())
        return {key: self._value(key, parts, groups, path) for key, parts in self.keys.items()}

    def _value(self, key: str, parts: list[str] | None, groups: Any, path: str) -> Any:
        if parts is None:
            text = next(groups)
            return unquoted(text) if self._quoted else text
        numbers = {part: int(next(groups)) for part in parts}
        try:
            return datetime(**{"month": 1, "day": 1, **numbers})  # type: ignore[arg-type]
        except ValueError as error:
            raise TableError(f"the partition key {key!r} in the path of file {path!r} is no time: {error}") from None

    def floored(self, key: str, moment: datetime) -> datetime:
        """The last value of a key of points in time that is not after ``moment``."""
        parts = self.keys.get(key)
        if parts is None:
            return moment
        kept = {part: getattr(moment, part) for part in _ORDER[: _ORDER.index(max(parts, key=_ORDER.index)) + 1]}
        return datetime(**{"month": 1, "day": 1, **kept})


def combinations(
    files: Sequence[File], form: str | None, quoted: bool, keys: Sequence[str] | None
) -> list[dict[str, Any]]:
    """Each combination of the values of partition keys in the files' paths, once, in the files' order.

    :param keys: those that count; default: all.
    :raises TableError: there is no such key.
    """
    partition = None if form is None else PartitionFormat(form, quoted)
    known = [] if partition is None else list(partition.keys)
    wanted = known if keys is None else list(keys)
    missing = [key for key in wanted if key not in known]
    if missing or partition is None:
        raise TableError(
            f"there is no partition key {', '.join(map(repr, missing)) or 'at all'}; its partition_format has "
            f"{', '.join(map(repr, known)) or 'none'}"
        )
    found: list[dict[str, Any]] = []
    seen = set()
    for file in files:
        values = partition.values(file.path)
        chosen = tuple(values[key] for key in wanted)
        if chosen not in seen:
            seen.add(chosen)
            found.append(dict(zip(wanted, chosen)))
    return found


def _literal(text: str, form: str) -> str:
    if "{" in text or "}" in text:
        raise TableError(f"partition_format {form!r} has a brace without its other half")
    return _wild(text)


def _wild(text: str) -> str:
    pattern, end = "", 0
    for found in _WILD.finditer(text):
        pattern += re.escape(text[end : found.start()])
        pattern += {"*": "[^/]*", "?": "[^/]"}.get(found.group(0), "(?:.*/)?" if found.group(0) == "**/" else ".*")
        end = found.end()
    return pattern + re.escape(text[end:])


def _between(text: str, form: str) -> str:
    if re.search("[A-Za-z]", text):
        raise TableError(f"the format {form!r} of a partition key may have yyyy, MM, dd, HH, mm, ss, not {text!r}")
    return text


def quoted(value: str | None) -> str:
    """A value as one folder's name, whatever is in it."""
    from urllib.parse import quote

    if value is None:
        return _NULL
    if not value:
        return _EMPTY
    text = quote(value, safe=" ")
    # No folder of ours, and not this folder or the one above.
    return f"%{ord(text[0]):02X}{text[1:]}" if text[0] in "_." else text


def unquoted(text: str) -> str | None:
    """The value that :func:`quoted` wrote so."""
    from urllib.parse import unquote

    if text == _NULL:
        return None
    return "" if text == _EMPTY else unquote(text)


def glob_pattern(glob: str) -> Any:
    """What a pattern of paths matches: ``*`` and ``?`` stay in a folder, ``**`` crosses folders."""
    return re.compile(_wild(glob.strip("/")), re.DOTALL)
