"""Write half of the output, count until the gate is there, then write the other half."""

import argparse
import sys
import time
from pathlib import Path

from azureml.core import Run

LONGEST = 3000

parser = argparse.ArgumentParser()
parser.add_argument("--gates", type=Path, required=True)
parser.add_argument("--gate", required=True)
parser.add_argument("--held", type=Path, required=True)
options = parser.parse_args()

(options.held / "first").write_text("half\n")
ticks = 0
while not (options.gates / options.gate).exists():
    ticks += 1
    if ticks > LONGEST:
        sys.exit("nobody opened the gate")
    print("tick", ticks, flush=True)
    time.sleep(0.1)
(options.held / "second").write_text(f"{ticks} ticks\n")
Run.get_context().log("ticks", ticks)
print("end", ticks, flush=True)
