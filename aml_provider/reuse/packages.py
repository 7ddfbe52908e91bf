"""What an environment asks to have installed, as pip writes it. No version is looked up here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version

from aml_provider.spec.models import PythonSpec

# What conda itself and v1's defaults bring along; a virtual environment has or needs none of it.
NOT_PACKAGES = {"python", "pip", "conda", "anaconda", "nomkl", "blas"}

# git@ is how every SSH address begins, and no secret.
_CREDENTIALS = re.compile(r"://(?!git@|\*\*\*@)([^/@\s]+)@([^@#;\s]+)")
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*((?:[<>=!~;@,( ].*)?)")
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)")
_FROM_URL = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) @ (\S+)")
# The content behind such an address cannot change: uv fetches that commit, or checks that hash.
_FIXED_URL = re.compile(r"git\+\S+@[0-9a-f]{40}(#\S*)?|\S+#(\S*&)?sha256=[0-9a-f]{64}(&\S*)?")
_HASHES = re.compile(r"--hash[=\s]\S+")


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
    if "mlflow" in packages:
        # Two versions of MLflow on one database do not understand each other.
        packages[packages.index("mlflow")] = f"mlflow=={version('mlflow')}"
    return packages


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
    """``text`` with ``***`` for users and passwords in its addresses."""
    return _CREDENTIALS.sub(r"://***@\2", text)


def with_credentials(text: str, asked: Iterable[str]) -> str:
    """``text`` with the users and passwords that the same addresses have in ``asked``."""
    found = {rest: credentials for source in asked for credentials, rest in _CREDENTIALS.findall(source)}
    for rest in sorted(found, key=len, reverse=True):
        text = text.replace(f"://***@{rest}", f"://{found[rest]}@{rest}")
    return text


def hashes_of(requirements: Iterable[str]) -> dict[str, str]:
    """Normal name -> the ``--hash`` options that the author wrote behind a requirement."""
    found = {}
    for requirement in requirements:
        hashes = _HASHES.findall(requirement)
        named = _NAMED.match(requirement)
        if hashes and named:
            found[normal_name(named[1])] = " ".join(hashes)
    return found
