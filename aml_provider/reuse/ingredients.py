"""Everything that a fingerprint was made of, in lines that a person can read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ingredient:
    """One thing that counts.

    :param part: its kind, in the same words as a change of it.
    """

    part: str
    name: str
    value: str


def ingredients(parts: Mapping[str, Any], files: Mapping[str, str] | None) -> Iterator[Ingredient]:
    """What a fingerprint's ``parts`` say.

    :param files: the snapshot's files; ``None`` when they are not known any more.
    """
    for name, value in (parts.get("step") or {}).items():
        if value is not None:
            yield Ingredient("step", name, str(value))
    if parts.get("code"):
        yield Ingredient("code", "", short(parts["code"]))
        for name, digest in sorted((files or {}).items()):
            yield Ingredient("code", name, short(digest))
    yield from _command(parts.get("command") or [])
    for part, title in (("params", "params"), ("runconfig", "run configuration")):
        for name, value in (parts.get(part) or {}).items():
            yield Ingredient(title, name, argument(value))
    yield from _environment(parts.get("environment") or {})
    for name, digest in sorted((parts.get("variables") or {}).items()):
        yield Ingredient("variable", name, f"digest {short(digest)}")
    for name, declared in (parts.get("inputs") or {}).items():
        content = declared[-1]
        yield Ingredient("input", name, f"{content[0]} {short(content[-1])} ({declared[0]})")
    for name, declared in (parts.get("outputs") or {}).items():
        yield Ingredient("output", name, f"{declared[0]}:{declared[1]} ({declared[3]})")


def argument(value: Any) -> str:
    """A word of a command line as a fingerprint has it."""
    if not isinstance(value, list) or len(value) != 2:
        return repr(value)
    kind, content = value
    if kind == "concat":
        return " + ".join(argument(part) for part in content)
    if kind in ("text", "value"):
        return repr(content)
    if kind == "ignored parameter":
        return f"parameter {content} (its value does not count)"
    return f"the path of {kind} {content}"


def short(digest: str) -> str:
    """A digest as it is shown: its beginning, and what is behind it."""
    return digest[:12] + digest[64:]


def _command(command: list[Any]) -> Iterable[Ingredient]:
    if len(command) == 3:
        yield Ingredient("command", "script", repr(command[1]))
    for number, word in enumerate(command[-1] if command else [], 1):
        yield Ingredient("command", f"argument {number}", argument(word))


def _environment(environment: Mapping[str, Any]) -> Iterable[Ingredient]:
    for name, value in environment.items():
        if name == "packages" and isinstance(value, Mapping):
            for package, version in sorted(value.items()):
                yield Ingredient("package", package, str(version))
        elif value is not None:
            yield Ingredient("environment", name, value if isinstance(value, str) else repr(value))
