"""Count the numbers in bins ten wide."""

import argparse
from collections import Counter
from pathlib import Path

from azureml.core import Run

WIDTH = 10

parser = argparse.ArgumentParser()
parser.add_argument("--numbers", type=Path, required=True)
parser.add_argument("--histogram", type=Path, required=True)
options = parser.parse_args()

bins = Counter(int(float(line) // WIDTH) * WIDTH for line in options.numbers.read_text().split())
table = sorted(bins.items())
run = Run.get_context()
for start, seen in table:
    run.log_row("bins", start=start, seen=seen)

options.histogram.mkdir()
(options.histogram / "bins.txt").write_text("".join(f"{start:4d} {seen}\n" for start, seen in table))
