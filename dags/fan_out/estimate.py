"""Estimate the mean and how sure that is, by drawing again and again from the numbers."""

import argparse
import random
import statistics
from pathlib import Path

from azureml.core import Run

ROUNDS = 50

parser = argparse.ArgumentParser()
parser.add_argument("--numbers", type=Path, required=True)
parser.add_argument("--mean", type=Path, required=True)
options = parser.parse_args()

run = Run.get_context()
numbers = [float(line) for line in options.numbers.read_text().split()]
generator = random.Random(1)
means = []
for _ in range(ROUNDS):
    means.append(statistics.fmean(generator.choices(numbers, k=len(numbers))))
    run.log("round_mean", means[-1])

mean, error = statistics.fmean(means), statistics.stdev(means)
run.log("mean", mean)
run.log("standard_error", error)
options.mean.write_text(f"mean {mean:.3f} +- {error:.3f}\n")
