"""Write ``count`` random numbers, one a line: always the same ones."""

import argparse
import random
from pathlib import Path

from azureml.core import Run

parser = argparse.ArgumentParser()
parser.add_argument("--count", type=int, required=True)
parser.add_argument("--numbers", type=Path, required=True)
options = parser.parse_args()

generator = random.Random(20)
options.numbers.write_text("".join(f"{generator.gauss(100, 15):.6f}\n" for _ in range(options.count)))
Run.get_context().log("count", options.count)
