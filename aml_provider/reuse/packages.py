"""What an environment asks to have installed, as pip writes it. No version is looked up here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version

from aml_provider.spec.models import PythonSpec

# What conda itself and v1's defaults bring along; a virtual environment has or needs none of it.
NOT_PACKAGES = {"python", "pip", "conda", "anaconda", "nomkl", "blas"}

# git@ is how every SSH address begins, and no secret; neither is the name of an environment variable. A password may
# hold an @, or a slash that should have been written as %2F.
_USER = re.compile(r"://(?!git@|\*\*\*@|\$\{\w+\}(?::\$\{\w+\})?@)(?:[^/\s]+|[^/\s:@]+:(?!\d+/)[^\s@]*)@")
_SECRET = re.compile(r"([?&][^=&#\s]*(?:sig|token|secret|key|passw|credential)[^=&#\s]*=)[^&#\s]+", re.IGNORECASE)
_ADDRESS = re.compile(r"[A-Za-z][\w.+-]*://[^\s;]+")
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*((?:[<>=!~;@,( ].*)?)")
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)")
_FROM_URL = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) @ (\S+)")
# The content behind such an address cannot change: uv fetches that commit, or checks that hash.
_FIXED_URL = re.compile(r"git\+\S+@[0-9a-f]{40}(#\S*)?|\S+#(\S*&)?sha256=[0-9a-f]{64}(&\S*)?")
_HASHES = re.compile(r"--hash[=\s]\S+")
# Options that say where something is: an address, or a path.
_PLACE = re.compile(
    r"(?:-[cefir]|--(?:constraint|editable|find-links|index-url|extra-index-url|requirement))[\s=]+(\S.*)"
)


def pip_name(conda_package: str) -> str | None:
    """A conda package specification as pip writes it; ``None`` for what is not a Python package.

    ``scikit-learn=1.3`` means any 1.3.x to conda, so it becomes ``scikit-learn==1.3.*``.
    """
    text = conda_package.rsplit("::", maxsplit=1)[-1].strip()
    match = re.fullmatch(r"([A-Za-z0-9._-]+)\s*(.*)", text)
    if not match or match[1].lower() in NOT_PACKAGES:
        return None
    name, rest = match[1], match[2].strip()
    exact = re.fullmatch(r"=([0-9][\w.]*)(=\S+)?", rest)
    if exact:
        return f"{name}=={exact[1]}.*"
    return f"{name}{rest}"


def wanted_packages(python: PythonSpec) -> list[str]:
    """The packages that a virtual environment for ``python`` is asked to have, sorted; none: it needs none."""
    packages = sorted({*python.pip_packages, *(p for c in python.conda_packages if (p := pip_name(c)))})
    # Two versions of MLflow on one database do not understand each other.
    return [f"mlflow=={version('mlflow')}" if normal_requirement(p) == "mlflow" else p for p in packages]


def normal_name(name: str) -> str:
    """A package's name in the form in which equal names are equal text."""
    return re.sub(r"[-_.]+", "-", name).lower()


def normal_requirement(requirement: str) -> str:
    """A requirement without differences that mean nothing; a path or an address stays as it is."""
    text = " ".join(requirement.split())
    match = _NAMED.fullmatch(text)
    if match is None or "://" in text:
        return text
    name, extras, rest = match[1], match[2] or "", match[3].strip()
    if re.fullmatch(r"[<>=!~][^;@(]*", rest) and "--" not in rest:
        rest = ",".join(sorted(part.replace(" ", "") for part in rest.split(",")))
    extras = extras.replace(" ", "").lower()
    return f"{normal_name(name)}{extras}{rest if rest[:1] in '<>=!~' else ' ' + rest}".rstrip()


def resolved_package(line: str) -> tuple[str, str, bool]:
    """``(name, version, fixed)`` of a line that uv resolved a requirement to.

    The version of what does not come from an index is its address. ``fixed`` says whether name and version together
    leave no doubt about the content: those of a folder, or of an address without a hash, do.
    """
    if pinned := _PINNED.fullmatch(line):
        return normal_name(pinned[1]), pinned[2], True
    if at := _FROM_URL.fullmatch(line):
        return normal_name(at[1]), at[2], _FIXED_URL.fullmatch(at[2]) is not None
    return line, "", False


def without_credentials(text: str) -> str:
    """``text`` with ``***`` for users, passwords and tokens in its addresses."""
    return _SECRET.sub(r"\1***", _USER.sub("://***@", text))


def with_credentials(text: str, asked: Iterable[str]) -> str:
    """``text`` with the users, passwords and tokens that the same addresses have in ``asked``."""
    known: dict[str, str] = {}
    for address in (found for source in asked for found in _ADDRESS.findall(source)):
        # What follows the last @ of a git address is a branch, for which uv writes the commit.
        place = address.partition("#")[0]
        for part in (address, place, place.rpartition("@")[0]):
            known[without_credentials(part)] = part
    for hidden in sorted((h for h, part in known.items() if h != part), key=len, reverse=True):
        text = text.replace(hidden, known[hidden])
    return text


def hashes_of(requirements: Iterable[str]) -> dict[str, str]:
    """Normal name, or address without a name -> the ``--hash`` options that the author wrote behind it."""
    found = {}
    for requirement in requirements:
        hashes = _HASHES.findall(requirement)
        if not hashes:
            continue
        what = _HASHES.sub("", requirement).strip()
        named = None if _ADDRESS.match(what) else _NAMED.match(what)
        found[normal_name(named[1]) if named else without_credentials(what)] = " ".join(hashes)
    return found


def is_editable(option: str) -> bool:
    """Whether an option has a folder installed as it is."""
    return re.match(r"(?:-e|--editable)[\s=]", option) is not None


def is_relative(line: str) -> bool:
    """Whether a requirement or an option names a file or a folder by a path from somewhere."""
    option = _PLACE.fullmatch(line)
    place = option[1] if option else line.partition(";")[0].rpartition(" @ ")[2]
    if "://" in place or place.startswith(("/", "file:/")):
        return False
    return option is not None or (not line.startswith("-") and "/" in place)
