"""Why a step runs: what differs from the nearest earlier result, down to the file, value, package or input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aml_provider.reuse.fingerprint import Fingerprint
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.records import Record

# How many earlier results of a step are compared.
COMPARED = 20
_SHOWN = 60


@dataclass(frozen=True)
class Change:
    """One thing that differs.

    :param part: which ingredient: ``code``, ``parameter``, ``package``, ``input``...
    :param name: which of them: a file, a parameter, a package.
    :param old: what it was, ``None``: it was not there; :param new: what it is.
    """

    part: str
    name: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        what = f"{self.part} {self.name}".strip()
        if self.old is None:
            return f"{what}: new{f', {self.new}' if self.new else ''}"
        if self.new is None:
            return f"{what}: gone{f', was {self.old}' if self.old else ''}"
        return f"{what}: {self.old} -> {self.new}" if self.old != self.new else f"{what}: changed"


@dataclass(frozen=True)
class Difference:
    """The nearest earlier result and what differs from it.

    :param record: ``None``: the step has no earlier result.
    """

    record: Record | None
    changes: tuple[Change, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The kinds of ingredients that differ."""
        return tuple(dict.fromkeys(c.part for c in self.changes))


def nearest(fingerprint: Fingerprint, step: str, index: ReuseIndex, before: float | None = None) -> Difference:
    """The earlier result of the step with this name that differs in the fewest things; of equals, the newest.

    :param before: only results that are older than this moment (seconds since the epoch).
    """
    best: Difference | None = None
    candidates = [r for r in index.of_step(step) if r.fingerprint != fingerprint.key]
    for record in [r for r in candidates if before is None or r.created < before][:COMPARED]:
        changes = tuple(changes_between(record, fingerprint, index))
        if best is None or len(changes) < len(best.changes):
            best = Difference(record, changes)
    return best or Difference(None)


def changes_between(record: Record, now: Fingerprint, index: ReuseIndex) -> Iterable[Change]:
    """What differs between an earlier result's ingredients and today's, the author's own things first."""
    old, new = record.parts.get("key", {}), now.parts
    details = record.parts.get("details", {})
    if old.get("code") != new.get("code"):
        before = index.manifest(old["code"]) if old.get("code") else {}
        yield from _files(before, now.files)
    yield from _parameters(details, now, old, new)
    for part, what in (("params", "params"), ("runconfig", "run configuration")):
        yield from _mapping(what, old.get(part), new.get(part), _value)
    if old.get("command") != new.get("command"):
        yield from _command(
            old.get("command"), new.get("command"), details.get("parameters"), now.details["parameters"]
        )
    yield from _environment(old.get("environment") or {}, new["environment"])
    yield from _mapping("variable", old.get("variables"), new.get("variables"), lambda _: "")
    yield from _mapping("input", old.get("inputs"), new.get("inputs"), _input)
    yield from _mapping("output", old.get("outputs"), new.get("outputs"), _output)
    for name in ("type", "version"):
        before, after = (old.get("step") or {}).get(name), new["step"][name]
        if before != after:
            yield Change("step", name, _value(before), _value(after))


def _files(before: Mapping[str, str] | None, after: Mapping[str, str]) -> Iterable[Change]:
    if before is None:
        yield Change("code", "", "another snapshot, whose list of files is gone", "this one")
        return
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old != new:
            yield Change("code", name, _short(old), _short(new))


def _parameters(details: Mapping[str, Any], now: Fingerprint, old: Any, new: Any) -> Iterable[Change]:
    before, after = details.get("parameters") or {}, now.details["parameters"]
    if old.get("command") == new.get("command") and old.get("params") == new.get("params"):
        return  # another name for the same value is no change
    for name in sorted({*before, *after}):
        if name in before and name in after and _value(before[name]) != _value(after[name]):
            yield Change("parameter", name, _value(before[name]), _value(after[name]))


def _command(old: Any, new: Any, before: Any, after: Any) -> Iterable[Change]:
    """What differs in the command besides the parameters' values, which are told by name."""
    told = {name for name in {**(before or {}), **(after or {})} if (before or {}).get(name) != (after or {}).get(name)}
    if old is None or old[0] != new[0]:
        yield Change("command", "", _value(old[0] if old else None), _value(new[0]))
        return
    if len(new) == 3 and old[1] != new[1]:
        yield Change("command", "script", _value(old[1]), _value(new[1]))
    was, now = old[-1], new[-1]
    if len(was) != len(now):
        yield Change("command", "", f"{len(was)} arguments", f"{len(now)} arguments")
        return
    for number, (a, b) in enumerate(zip(was, now, strict=True), 1):
        if a != b and not (told and a[0] == b[0] == "value"):
            yield Change("command", f"argument {number}", _value(a[-1]), _value(b[-1]))


def _environment(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[Change]:
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if name == "packages" and isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _mapping("package", before, after, str)
        else:
            yield Change("environment", name, _value(before), _value(after))


def _mapping(part: str, old: Any, new: Any, told: Any) -> Iterable[Change]:
    before, after = old or {}, new or {}
    for name in sorted({*before, *after}):
        if name not in before or name not in after or before[name] != after[name]:
            yield Change(
                part,
                name,
                told(before[name]) if name in before else None,
                told(after[name]) if name in after else None,
            )


def _input(declared: Any) -> str:
    content = declared[-1]
    return f"{content[0]} {_short(content[-1])} ({declared[0]})"


def _output(declared: Any) -> str:
    return f"{declared[0]}:{declared[1]}"


def _short(digest: str | None) -> str | None:
    return None if digest is None else digest[:12] + digest[64:]


def _value(value: Any) -> str:
    text = repr(value[-1]) if isinstance(value, list) and value and value[0] in ("text", "value") else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
