"""uv, which resolves packages and installs them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from aml_provider.reuse.packages import without_credentials
from aml_provider.runs.errors import StepError


def uv(arguments: list[str], name: str) -> str:
    """What uv printed.

    :param name: the environment, for the error.
    :raises StepError: it failed; holds its own words.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run([_binary(), *arguments], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise StepError(
            f"the Python environment {name!r} could not be built (uv {' '.join(arguments[:2])}):\n"
            f"{without_credentials(done.stderr.strip()[-2000:])}\n"
            "Correct its packages, or set user_managed_dependencies=True."
        )
    return done.stdout


@contextmanager
def requirements_file(lines: Iterable[str]) -> Iterator[str]:
    """The path of a file with these lines, for as long as it is needed."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False, encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    try:
        yield f.name
    finally:
        os.unlink(f.name)


def _binary() -> str:
    import uv

    return str(uv.find_uv_bin())
