import argparse
import pathlib

parser = argparse.ArgumentParser()
parser.add_argument("--data")
parser.add_argument("--out")
given = parser.parse_args()
files = [p for p in pathlib.Path(given.data).rglob("*") if p.is_file()]
pathlib.Path(given.out).write_text(f"{len(files)} files, {sum(p.stat().st_size for p in files)} bytes")
