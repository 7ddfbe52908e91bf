"""Put what the held steps wrote into one file."""

import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--gathered", type=Path, required=True)
parser.add_argument("held", type=Path, nargs="+")
options = parser.parse_args()

parts = [folder / name for folder in options.held for name in ("first", "second")]
options.gathered.write_text("".join(part.read_text() for part in parts))
