"""uv, which resolves packages and installs them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from aml_provider.reuse.packages import without_credentials
from aml_provider.runs.errors import StepError


def uv(arguments: list[str], name: str, *, lines: Iterable[str] = (), folder: Path | None = None) -> str:
    """What uv printed.

    :param name: the environment, for the error.
    :param lines: requirements and options, for a command that reads them from its standard input: they may hold
        passwords, which belong into no file and no list of processes.
    :param folder: what relative paths in ``lines`` are relative to.
    :raises StepError: it failed; holds its own words.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        # The settings of a project that happens to be around the folder are nothing that the author asked for.
        [_binary(), "--project", "/", *arguments],
        input="".join(f"{line}\n" for line in lines),
        cwd=folder if folder is not None and folder.is_dir() else None,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise StepError(
            f"the Python environment {name!r} could not be built (uv {' '.join(arguments[:2])}):\n"
            f"{without_credentials(done.stderr.strip())[-2000:]}\n"
            "Correct its packages, or set user_managed_dependencies=True."
        )
    return done.stdout


def _binary() -> str:
    import uv

    return str(uv.find_uv_bin())
