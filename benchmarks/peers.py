"""Programs that copy files, for comparison: the AWS CLI in an environment of its own, rclone where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.measure import BIN, ROOT

ENVIRONMENT = ROOT / ".aml" / "bench" / "aws"
_LAST_LINES = 300


@cache
def aws() -> Path:
    """The AWS CLI, which is installed when there is none.

    :raises LookupError: it cannot be installed; the reason is its text.
    """
    found, python, uv = ENVIRONMENT / "bin" / "aws", ENVIRONMENT / "bin" / "python", str(BIN / "uv")
    if found.exists():
        return found
    commands = [
        *([] if python.exists() else [[uv, "venv", "--quiet", "--python", sys.executable, str(ENVIRONMENT)]]),
        [uv, "pip", "install", "--quiet", "--python", str(python), "--group", "bench-aws"],
    ]
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise LookupError(f"the AWS CLI cannot be installed: {done.stderr.strip()[-_LAST_LINES:]}")
    return found


@cache
def rclone() -> Path:
    """The rclone of this machine.

    :raises LookupError: it has none.
    """
    found = shutil.which("rclone")
    if found is None:
        raise LookupError("rclone is not installed; Debian's package is called so")
    return Path(found)
