"""Measure what a parse, a step and its reuse cost here, and print the table."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from aml_provider.spec.errors import AmlError
from benchmarks.measure import KINDS, ROOT, Failed, Options, busy
from benchmarks.parts import PARTS


def main() -> int:
    """Measure, print the table, and end with 1 when a part failed, or a goal was missed and ``--strict`` was given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--runs", type=int, default=5, help="times that each side is measured (default 5)")
    parser.add_argument("--kinds", default=",".join(KINDS), help="compute kinds whose steps are measured")
    parser.add_argument("--strict", action="store_true", help="fail when a goal is missed")
    asked = parser.parse_args()
    parts = asked.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {unknown.pop()!r}; parts are {', '.join(PARTS)}")
    options = Options(asked.runs, tuple(asked.kinds.split(",")))
    print(f"{os.cpu_count()} processors, {busy()}; medians of {asked.runs}, in fresh processes, taken in turns.")
    if os.getloadavg()[0] > (os.cpu_count() or 1) / 2:
        print("The machine is busy: seconds are too long and vary; ratios, taken in the same minutes, say more.")
    missed = failed = False
    # In the checkout: this machine's Docker daemon and cluster node see it, which a private /tmp they may not.
    (ROOT / ".aml").mkdir(exist_ok=True)
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / ".aml") as folder:
            try:
                for row in PARTS[part](Path(folder), options):
                    missed |= row.missed
                    print(row, flush=True)
            except (Failed, AmlError) as reason:
                failed = True
                print(f"{part}: could not be measured: {reason}", flush=True)
    print(f"At the end: {busy()}.")
    return 1 if failed or (missed and asked.strict) else 0


if __name__ == "__main__":
    raise SystemExit(main())
