"""Child process: leave behind what a run of every step of a file would. Argument: the file."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.cached import compute_all
from benchmarks.measure import tell

if __name__ == "__main__":
    tell(steps=len(compute_all(Path(sys.argv[1])).spec.steps))
