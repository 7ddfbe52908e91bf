"""The peer that makes pipelines again: DVC, in a virtual environment of its own, so that its pins disturb nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.measure import BIN, ROOT, clean_environment, program

ENVIRONMENT = ROOT / ".aml" / "bench" / "dvc"
AGAIN = ROOT / "benchmarks" / "children" / "again.py"
_LAST_LINES = 400


@dataclass(frozen=True)
class Dvc:
    """An installed DVC that asks nobody over the network and keeps its caches in ``home``."""

    home: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """What its processes see."""
        told = {"DVC_SITE_CACHE_DIR": str(self.home / "site"), "DVC_GLOBAL_CONFIG_DIR": str(self.home / "config")}
        bin_folder = ENVIRONMENT / "bin"
        inherited = clean_environment(self.home)
        return {**inherited, "PATH": f"{bin_folder}:{inherited['PATH']}", "DVC_NO_ANALYTICS": "1", **told}

    def __call__(self, *arguments: str, folder: Path) -> dict[str, Any]:
        """Run ``dvc ARGUMENTS``; the figures are those of :func:`benchmarks.measure.program`."""
        return program(ENVIRONMENT / "bin" / "dvc", *arguments, folder=folder, environment=self.environment)

    def again(self, *arguments: str, folder: Path) -> dict[str, Any]:
        """The same twice in one process, which prints the seconds of the second time last."""
        python = ENVIRONMENT / "bin" / "python"
        return program(python, "-P", AGAIN, "dvc", *arguments, folder=folder, environment=self.environment)

    def init(self, folder: Path) -> None:
        """Make ``folder`` a repository whose cache links to the files, which is quickest.

        DVC links at once only when that is the first of its ways; after ``reflink`` it copies first.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self("init", "--no-scm", "--quiet", folder=folder)
        settings = {"cache.type": "hardlink,symlink", "core.analytics": "false", "core.check_update": "false"}
        for name, value in settings.items():
            self("config", name, value, folder=folder)


@cache
def version() -> str:
    """The version of the DVC that is installed, which is done when there is none.

    :raises LookupError: it cannot be installed; the reason is its text.
    """
    python = ENVIRONMENT / "bin" / "python"
    uv = str(BIN / "uv")
    commands = [
        *([] if python.exists() else [[uv, "venv", "--quiet", "--python", sys.executable, str(ENVIRONMENT)]]),
        [uv, "pip", "install", "--quiet", "--python", str(python), "--group", "bench"],
        [str(python), "-c", "import importlib.metadata as m; print(m.version('dvc'))"],
    ]
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise LookupError(f"dvc cannot be installed: {done.stderr.strip()[-_LAST_LINES:]}")
    return done.stdout.strip()
