"""Says that it computes, takes its time, and writes what its parameters say."""

import argparse
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--salt")
parser.add_argument("--seconds", type=float)
parser.add_argument("--gate", help="a file; the script waits until it is there")
parser.add_argument("--fails-without", help="a file; where it is missing, this run makes it and fails")
parser.add_argument("--before")
parser.add_argument("--build")
parser.add_argument("--out")
given = parser.parse_args()

print("computed", flush=True)
end = time.monotonic() + given.seconds
while time.monotonic() < end or not (given.gate == "nothing" or Path(given.gate).exists()):
    time.sleep(0.1)
if given.fails_without != "nothing" and not Path(given.fails_without).exists():
    Path(given.fails_without).touch()
    sys.exit("failing as asked")
earlier = (Path(given.before) / "text").read_text() if given.before else ""
(Path(given.out) / "text").write_text(earlier + given.salt + "\n")
