"""What a step has used is in its report: processor time and memory, its own processes' and no others'."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from .conftest import Step

MakeStep = Callable[..., Step]
MEBIBYTE = 1 << 20
# One process that has much memory, then one that computes, and what they know of it themselves.
SCRIPT = """
import json, os, subprocess, sys
child = "held = b'x' * (200 << 20)"
subprocess.run([sys.executable, "-c", child], check=True)
while sum(os.times()[:4]) < 0.4:
    sum(range(10000))
with open("used.json", "w") as file:
    json.dump(sum(os.times()[:4]), file)
"""


def check(done: Step) -> None:
    assert done.exit_code == 0, done.log
    known = json.loads((done.code / "used.json").read_text())
    # What the processes used after they had looked themselves is little.
    assert known - 0.01 <= done.report["usage"]["cpu_seconds"] < known + 1
    assert 200 * MEBIBYTE <= done.report["usage"]["peak_memory_bytes"] < 300 * MEBIBYTE


def test_a_local_step_and_its_children(step: MakeStep) -> None:
    check(step(script=SCRIPT).run())


@pytest.mark.docker
def test_in_a_container(step: MakeStep) -> None:
    job = step(script=SCRIPT)
    job.job["command"]["interpreter"] = "python3"
    check(job.run_in("testbed/python:3.11"))


@pytest.mark.docker
def test_an_image_without_python_tells_processor_time(step: MakeStep) -> None:
    done = step(line="i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done").run_in("testbed/shell:latest")
    assert done.exit_code == 0, done.output
    user, system = re.findall(r"(\d+)m([\d.]+)s", done.report["usage"]["times"])
    assert float(user[1]) + float(system[1]) > 0
    assert not list(done.folder.glob("times*"))


def test_a_command_that_is_killed_has_used_something_too(step: MakeStep) -> None:
    done = step(script="import os; x = b'x' * (100 << 20); os.kill(os.getpid(), 9)").run()
    assert done.exit_code == 137
    assert done.report["usage"]["peak_memory_bytes"] > 100 * MEBIBYTE


def test_a_step_that_could_not_be_started_has_used_nothing(step: MakeStep) -> None:
    job = step(script="")
    job.job["command"]["script"] = "absent.py"
    assert job.run().report["usage"] == {}
