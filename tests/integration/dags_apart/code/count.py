"""Write half of the output, count until there is something at an address, then write the other half."""

import argparse
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from azureml.core import Run

LONGEST = 3000

parser = argparse.ArgumentParser()
parser.add_argument("--who", required=True)
parser.add_argument("--gate", required=True)
parser.add_argument("--held", type=Path, required=True)
options = parser.parse_args()


def is_open():
    try:
        urllib.request.urlopen(options.gate).close()
    except urllib.error.HTTPError:
        return False
    return True


run = Run.get_context()
(options.held / "first").write_text("half\n")
run.log("begun", 1)
ticks = 0
while not is_open():
    ticks += 1
    if ticks > LONGEST:
        sys.exit("nobody opened the gate")
    print("tick", ticks, flush=True)
    time.sleep(0.1)
(options.held / "second").write_text(f"{ticks} ticks\n")
run.log("ticks", ticks)
print("end", ticks, flush=True)
