"""Split the raw digits into a training and a test file, with the pixels scaled to 0..1."""

import argparse
import csv
from pathlib import Path

from azureml.core import Run

parser = argparse.ArgumentParser()
parser.add_argument("--raw", type=Path, required=True)
parser.add_argument("--prepared", type=Path, required=True)
parser.add_argument("--test-share", type=float, required=True)
options = parser.parse_args()

rows = []
for file in sorted(options.raw.glob("**/*.csv")):
    with file.open(newline="") as stream:
        rows += [[int(cell) for cell in row] for row in csv.reader(stream)]

# Every row has its place by its number alone, so the files come out the same, byte for byte, on every machine.
every = max(2, round(1 / options.test_share))
parts = {
    "test": [row for number, row in enumerate(rows) if number % every == 0],
    "train": [row for number, row in enumerate(rows) if number % every],
}
header = [*(f"pixel_{number}" for number in range(64)), "digit"]
for name, part in parts.items():
    with (options.prepared / f"{name}.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([*(f"{pixel / 16:.4f}" for pixel in row[:-1]), row[-1]] for row in part)

run = Run.get_context()
for name, part in parts.items():
    run.log(f"{name}_rows", len(part))
    print(f"{name}: {len(part)} rows")
