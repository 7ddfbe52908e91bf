"""What differs between two results' ingredients, down to the file, value, package or input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from aml_provider.reuse.canonical import canonical
from aml_provider.reuse.fingerprint import Fingerprint
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.ingredients import argument, short
from aml_provider.reuse.manifests import tree_of
from aml_provider.reuse.records import Record

_SHOWN = 60
Told = set[tuple[str | None, str | None]]


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


def changes_between(record: Record, now: Fingerprint, index: ReuseIndex) -> Iterable[Change]:
    """What differs between an earlier result's ingredients and today's, the author's own things first."""
    old, new = record.parts.get("key", {}), now.parts
    details = record.parts.get("details", {})
    if old.get("code") != new.get("code"):
        before = index.manifest(old["code"]) if old.get("code") else {}
        # A folder without files has none to list; of one that has some, the list may be gone.
        yield from _files("code", "", before, now.files if now.files or not new.get("code") else None)
    told = list(_parameters(details.get("parameters") or {}, now.details["parameters"], old, new))
    yield from told
    values = {(change.old, change.new) for change in told}
    for part, what in (("params", "params"), ("runconfig", "run configuration")):
        yield from _arguments(what, old.get(part) or {}, new.get(part) or {}, values)
    yield from _command(old.get("command"), new.get("command"), values)
    yield from _environment(old.get("environment") or {}, new["environment"])
    yield from _mapping("variable", old.get("variables"), new.get("variables"), lambda _: "")
    yield from _inputs(old.get("inputs") or {}, new.get("inputs") or {})
    yield from _mapping("output", old.get("outputs"), new.get("outputs"), _output)
    for name in ("type", "version"):
        before, after = (old.get("step") or {}).get(name), new["step"][name]
        if not _same(before, after):
            yield Change("step", name, _maybe(before), _maybe(after))


def input_files(
    record: Record, parts: Mapping[str, Any], index: ReuseIndex, files: Callable[[str, str], Mapping[str, str] | None]
) -> list[Change]:
    """Which files have changed in folders that a step reads, where that is known.

    :param parts: today's ingredients.
    :param files: the files of an input as it is now, by its name and its folder's digest.
    """
    old, new = (record.parts.get("key") or {}).get("inputs") or {}, parts.get("inputs") or {}
    found: list[Change] = []
    for name in sorted({*old} & {*new}):
        was, now = tree_of(old[name][-1]), tree_of(new[name][-1])
        if was is None or now is None or was == now:
            continue
        before = index.manifest(was)
        after = index.manifest(now) or files(name, now)
        if before is not None and after is not None:
            found += _files("input file", f"{name}/", before, after)
    return found


def _files(
    part: str, folder: str, before: Mapping[str, str] | None, after: Mapping[str, str] | None
) -> Iterable[Change]:
    if before is None or after is None:
        lost = "another snapshot, whose list of files is gone"
        yield Change(part, folder, lost if before is None else "an earlier one", "this one" if after else lost)
        return
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old != new:
            yield Change(part, folder + name, _short(old), _short(new))


def _parameters(before: Mapping[str, Any], after: Mapping[str, Any], old: Any, new: Any) -> Iterable[Change]:
    used = ("command", "params", "runconfig")
    if all(_same(old.get(part), new.get(part)) for part in used):
        return  # another name for the same value is no change
    for name in sorted({*before} & {*after}):
        if not _same(before[name], after[name]):
            yield Change("parameter", name, _value(before[name]), _value(after[name]))


def _arguments(part: str, old: Mapping[str, Any], new: Mapping[str, Any], told: Told) -> Iterable[Change]:
    for name in sorted({*old, *new}):
        if name not in old or name not in new:
            yield Change(part, name, _word(old.get(name)), _word(new.get(name)))
        elif not _is_told(old[name], new[name], told):
            yield Change(part, name, _word(old[name]), _word(new[name]))


def _command(old: Any, new: Any, told: Told) -> Iterable[Change]:
    """What differs in the command besides the parameters' values, which are told by name."""
    if old is None or old[0] != new[0]:
        yield Change("command", "", None if old is None else _value(old[0]), _value(new[0]))
        return
    if len(new) == 3 and old[1] != new[1]:
        yield Change("command", "script", _value(old[1]), _value(new[1]))
    was, now = old[-1], new[-1]
    if len(was) == len(now):
        blocks = [(n, n + 1, n, n + 1) for n in range(len(was))]
    else:
        matcher = SequenceMatcher(None, list(map(canonical, was)), list(map(canonical, now)), autojunk=False)
        blocks = [block[1:] for block in matcher.get_opcodes() if block[0] != "equal"]
    for i, j, k, m in blocks:
        if not _is_told(was[i:j], now[k:m], told):
            yield Change("command", f"argument {k + 1}", _words(was[i:j]), _words(now[k:m]))


def _same(old: Any, new: Any) -> bool:
    """Whether a fingerprint takes two values for the same: 3 and 3.0 are not."""
    return canonical(old) == canonical(new)


def _is_told(old: Any, new: Any, told: Told) -> bool:
    """Whether two words of a command are equal but for values of parameters that have been told."""
    if _same(old, new):
        return True
    if not (isinstance(old, list) and isinstance(new, list) and len(old) == len(new)):
        return False
    if old[:1] == new[:1] == ["value"]:
        return (_value(old[1]), _value(new[1])) in told
    return all(_is_told(a, b, told) for a, b in zip(old, new, strict=True))


def _environment(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[Change]:
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if _same(before, after):
            continue
        if name == "packages" and isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _mapping("package", before, after, str)
        elif name == "loose":
            yield from _mapping("module", before, after, short)
        else:
            yield Change("environment", name, _maybe(before), _maybe(after))


def _mapping(part: str, old: Any, new: Any, told: Any) -> Iterable[Change]:
    before, after = old or {}, new or {}
    for name in sorted({*before, *after}):
        if name not in before or name not in after or not _same(before[name], after[name]):
            yield Change(
                part,
                name,
                told(before[name]) if name in before else None,
                told(after[name]) if name in after else None,
            )


def _inputs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[Change]:
    for change in _mapping("input", old, new, _input):
        was, now = old.get(change.name), new.get(change.name)
        if was and now and was[-1][:2] == now[-1][:2] and len(was[-1]) == len(now[-1]) == 3 and was[-1] != now[-1]:
            yield Change("input", f"{change.name}, order of its files", "", "")
        else:
            yield change


def _input(declared: Any) -> str:
    content = declared[-1]
    return f"{content[0]} {short(tree_of(content) or content[-1])} ({declared[0]})"


def _output(declared: Any) -> str:
    return f"{declared[0]}:{declared[1]}"


def _short(digest: str | None) -> str | None:
    return None if digest is None else short(digest)


def _words(words: list[Any]) -> str | None:
    return _cut(" ".join(argument(word) for word in words)) if words else None


def _word(word: Any) -> str | None:
    return None if word is None else _words([word])


def _value(value: Any) -> str:
    return _cut(repr(value))


def _maybe(value: Any) -> str | None:
    return None if value is None else _value(value)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
