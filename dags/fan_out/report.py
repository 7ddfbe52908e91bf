"""Put what the other steps found into one text: each part is a file, or a folder of files."""

import argparse
from pathlib import Path

from azureml.core import Run

parser = argparse.ArgumentParser()
parser.add_argument("--count", type=int, required=True)
parser.add_argument("--parts", type=Path, nargs="+", required=True)
parser.add_argument("--report", type=Path, required=True)
options = parser.parse_args()

lines = [f"{options.count} numbers"]
for part in options.parts:
    files = sorted(part.iterdir()) if part.is_dir() else [part]
    lines += [f"-- {part.name}", *(line for file in files for line in file.read_text().splitlines())]

options.report.write_text("\n".join(lines) + "\n")
Run.get_context().upload_file("outputs/report.txt", str(options.report))
print(options.report.read_text(), end="")
