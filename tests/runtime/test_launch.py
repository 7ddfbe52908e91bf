"""``launch.sh`` as a container's process 1, with Python and without it."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Step

MakeStep = Callable[..., Step]
SHELL = "testbed/shell:latest"
PYTHON = "testbed/python:3.11"
PROGRAMS = ["sh", "ls", "cat", "echo", "cp", "mv", "rm", "mkdir", "sleep", "env", "test", "true", "false", "wc", "date"]
PROGRAMS += ["sed", "grep", "tar", "touch", "chmod", "id"]
EITHER = pytest.mark.parametrize("image", [SHELL, PYTHON])


def stop(job: Step, image: str, *options: str, signal: str = "TERM", ready: str = "ready") -> tuple[bytes, float]:
    """Start in a container, send a signal when the command is ready, wait; output and seconds from signal to end."""
    name = f"aml-test-{uuid.uuid4().hex[:12]}"
    process = subprocess.Popen(
        job.docker(image, "--name", name, *options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        job.wait_for(ready)
        began = time.monotonic()
        subprocess.run(["docker", "kill", "-s", signal, name], check=True, capture_output=True)
        output, _ = process.communicate(timeout=30)
        job.exit_code = process.returncode
        return output, time.monotonic() - began
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True)


@pytest.mark.docker
@EITHER
@pytest.mark.parametrize("code", [0, 3, 139])
def test_exit_codes(step: MakeStep, image: str, code: int) -> None:
    line = {0: "echo hi; echo err >&2", 3: "echo hi; echo err >&2; exit 3", 139: "echo hi; echo err >&2; kill -SEGV $$"}
    job = step(line=line[code]).run_in(image)
    assert job.exit_code == job.report["exit_code"] == code
    assert job.report["signal"] == (11 if code == 139 else None)
    assert (job.report["error"] is None) == (code == 0)
    assert job.log.startswith(b"hi\nerr\n")
    assert {b"hi", b"err"} <= set(job.output.splitlines())  # the runtime's own sentence may come in between


@pytest.mark.docker
@EITHER
def test_environment_outputs_and_artifacts(step: MakeStep, image: str) -> None:
    job = step(
        line="""
        echo "$MINE" && pwd && echo 12345 > "$OUT/it's" && mkdir "$OUT/d" && echo 1 > "$OUT/d/.hidden"
        echo 123 > "$ONE"; echo m > outputs/model; mkdir -p outputs/deep; echo d > outputs/deep/d; echo l > logs/l
        """
    )
    job.job["environment"] = {"MINE": 'it\'s "quoted" $HOME\nand more'}
    for name, directory in (("OUT", True), ("ONE", False), ("NONE", False)):
        path = str(job.folder / "data" / name)
        job.job["outputs"][name] = {"path": path, "directory": directory, "environment_variable": name}
        job.job["environment"][name] = path
    job.run_in(image)
    assert job.exit_code == 0, job.output
    assert job.log.decode() == f'it\'s "quoted" $HOME\nand more\n{job.code}\n'
    assert job.report["outputs"] == {
        "OUT": {"exists": True, "directory": True, "files": 2, "bytes": 8},
        "ONE": {"exists": True, "directory": False, "files": 1, "bytes": 4},
        "NONE": {"exists": False, "directory": False, "files": 0, "bytes": 0},
    }
    artifacts = job.folder / "artifacts"
    found = {str(path.relative_to(artifacts)) for path in artifacts.rglob("*") if path.is_file()}
    assert found == {"outputs/model", "outputs/deep/d", "logs/l"}


@pytest.mark.docker
@EITHER
@pytest.mark.parametrize("signal", ["TERM", "INT"])
def test_a_signal_reaches_the_command(step: MakeStep, image: str, signal: str) -> None:
    job = step(line="trap 'echo saving; exit 0' TERM INT; echo yes > ready; while :; do sleep 0.1; done")
    output, seconds = stop(job, image, signal=signal)
    assert b"saving\n" in output
    assert b"saving\n" in job.log
    assert seconds < 60
    assert job.exit_code == job.report["exit_code"] == (143 if signal == "TERM" or image == SHELL else 130)
    assert job.report["error"] == f"The step was stopped by SIG{signal}."


@pytest.mark.docker
@EITHER
def test_a_command_that_ignores_signals_is_killed(step: MakeStep, image: str) -> None:
    job = step(line="trap '' TERM; echo yes > ready; while :; do sleep 0.1; done")
    _, seconds = stop(job, image, "-e", "AML_GRACE_SECONDS=0.5")
    assert 0.5 <= seconds < 60
    assert job.exit_code == job.report["exit_code"] == 137
    assert job.report["oom_killed"] is False


@pytest.mark.docker
@EITHER
def test_the_time_limit(step: MakeStep, image: str) -> None:
    job = step(line="echo before; sleep 600")
    job.job["timeout_seconds"] = 1
    began = time.monotonic()
    job.run_in(image)
    assert time.monotonic() - began < 60
    assert job.report["timed_out"] is True
    assert job.exit_code == 143
    assert b"before\n" in job.log


@pytest.mark.docker
@EITHER
def test_a_background_child_does_not_hang_the_container(step: MakeStep, image: str) -> None:
    began = time.monotonic()
    job = step(line="sleep 300 & (sleep 300 &) ; echo main is done").run_in(image)
    assert time.monotonic() - began < 60
    assert (job.exit_code, job.report["exit_code"]) == (0, 0)
    assert b"main is done\n" in job.log


@pytest.mark.docker
@EITHER
def test_memory_that_runs_out_is_named(step: MakeStep, image: str) -> None:
    # A variable that doubles: the shell itself grows until the kernel steps in.
    job = step(line="x=0123456789abcdef; while :; do x=$x$x; done").run_in(image, "-m", "64m", "--memory-swap", "64m")
    assert job.exit_code == job.report["exit_code"] == 137
    assert job.report["oom_killed"] is True
    assert "Memory ran out" in job.report["error"]


@pytest.mark.docker
@EITHER
def test_much_output_and_bytes(step: MakeStep, image: str) -> None:
    line = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; cat blob"
    job = step(line=line)
    blob = bytes(range(256)) * 1000
    (job.code / "blob").write_bytes(blob)
    job.run_in(image)
    expected = b"".join(b"line %d\n" % i for i in range(20000)) + blob
    assert job.log == expected
    assert job.output == expected


@pytest.mark.docker
@EITHER
def test_a_closed_stdout_loses_nothing(step: MakeStep, image: str) -> None:
    job = step(line="i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done")
    command = job.docker(image)
    at = command.index("/bin/sh")
    command[at:] = ["/bin/sh", "-c", f"exec /bin/sh {command[at + 1]} >&- 2>&-"]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    assert job.log == b"".join(b"line %d\n" % i for i in range(20000))


@pytest.mark.docker
def test_a_python_step_in_an_image_without_python(step: MakeStep) -> None:
    job = step(script="print('hi')").run_in(SHELL)
    assert job.exit_code == job.report["exit_code"] == 127
    assert "no Python" in job.report["error"]
    assert job.report["outputs"] == {}


@pytest.mark.docker
def test_a_python_step_logs_metrics_in_a_container(step: MakeStep) -> None:
    job = step(script="from azureml.core import Run; run = Run.get_context(); run.log('loss', 0.5); print(run.id)")
    job.job["command"]["interpreter"] = "python3"
    job.run_in(PYTHON)
    assert job.exit_code == 0, job.output
    assert job.output == job.log == b"step-run-7\n"
    assert [event["value"] for event in job.events] == [0.5]


@pytest.mark.docker
@EITHER
def test_the_worker_can_read_what_another_user_wrote(step: MakeStep, image: str) -> None:
    job = step(line="umask 077; echo m > outputs/m; mkdir outputs/d; echo m > outputs/d/m; echo out")
    for folder in (job.folder.parents[1], job.folder, job.code):
        folder.chmod(0o777)
    job.run_in(image, "--user", "4321:4321")
    assert job.exit_code == 0, job.output
    for path in job.folder.rglob("*"):
        if "code" in path.parts:
            continue
        mode = path.stat().st_mode & 0o777
        assert mode & 0o444 == 0o444, path
        if path.is_dir():
            assert mode & 0o555 == 0o555, path


@pytest.mark.docker
def test_process_1_reaps_orphans(step: MakeStep) -> None:
    job = step(
        script="""
        import os, subprocess, time
        for _ in range(20):
            subprocess.run(["/bin/sh", "-c", "sleep 0.05 &"])     # its parent ends first: process 1 inherits it
        time.sleep(0.5)
        states = [open(f"/proc/{p}/stat").read().split()[2] for p in os.listdir("/proc") if p.isdigit()]
        print(states.count("Z"))
        """
    )
    job.job["command"]["interpreter"] = "python3"
    assert job.run_in(PYTHON).log == b"0\n"


def without_python(tmp_path: Path) -> dict[str, str]:
    """A PATH with a shell's programs only."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in [
        "sh",
        "ls",
        "cat",
        "echo",
        "cp",
        "mv",
        "rm",
        "mkdir",
        "sleep",
        "env",
        "test",
        "true",
        "false",
        "wc",
        "date",
        "sed",
        "grep",
        "tar",
        "touch",
        "chmod",
        "id",
    ]:
        for folder in ("/bin", "/usr/bin"):
            if Path(folder, name).exists():
                (programs / name).symlink_to(Path(folder, name))
                break
    return {"PATH": str(programs)}


@pytest.mark.parametrize("code", [0, 7])
def test_without_python_outside_a_container(step: MakeStep, tmp_path: Path, code: int) -> None:
    job = step(line=f"echo 'back\\\\slash'; exit {code}")
    job.environment = {**without_python(tmp_path), "AML_PYTHON": ""}
    job.run()
    assert job.exit_code == job.report["exit_code"] == code
    assert job.output == job.log
    assert job.log.startswith(b"back")


def test_without_python_a_signal_stops_the_command(step: MakeStep, tmp_path: Path) -> None:
    job = step(line="trap 'echo saving; exit 0' TERM; echo yes > ready; while :; do sleep 0.1; done")
    job.environment = {**without_python(tmp_path), "AML_PYTHON": ""}
    process = job.start()
    job.wait_for("ready")
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == job.report["exit_code"] == 143
    assert b"saving\n" in output


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"working_directory": '/proc/no "such" \\folder'}, 'directory /proc/no "such" \\folder does not'),
        ({"command": {"kind": "shell", "line": ""}}, "has no AML_SHELL_LINE"),
        ({"outputs": {"o": {"path": "/proc/no/o", "directory": True}}}, "output o cannot be created"),
    ],
)
def test_without_python_a_broken_job_is_a_sentence(
    step: MakeStep, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    job = step(line="echo ran")
    job.job.update(change)
    job.environment = {**without_python(tmp_path), "AML_PYTHON": ""}
    job.run()
    assert job.exit_code == job.report["exit_code"] == 125
    assert words in job.report["error"]
    assert words.encode() in job.output


def test_a_broken_or_old_python_is_passed_over(step: MakeStep, tmp_path: Path) -> None:
    job = step(line="echo ran")
    job.environment = {**without_python(tmp_path), "AML_PYTHON": ""}
    for name, text in (("python3", "exit 1"), ("python", "echo broken; exit 127")):
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    assert job.run().exit_code == 0
    assert job.log == b"ran\n"
    script = step(script="print('ran')")
    script.environment = job.environment
    script.run()
    assert script.exit_code == 127
    assert "tried python3 python" in script.report["error"]


def test_every_shell_around_reads_launch_sh(runtime: Path) -> None:

    script = str(runtime / "launch.sh")
    for shell in ("/bin/sh", "/bin/dash", "/bin/bash", "/usr/bin/busybox"):
        if os.path.exists(shell):
            command = [shell, "sh", "-n", script] if shell.endswith("busybox") else [shell, "-n", script]
            assert subprocess.run(command, capture_output=True, text=True).stderr == ""
