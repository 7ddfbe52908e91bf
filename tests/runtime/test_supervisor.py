"""A step runs, ends in whatever way, and leaves a report that says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Step, gone

MakeStep = Callable[..., Step]


@pytest.mark.parametrize("code", [0, 3])
def test_exit_code_is_the_commands(step: MakeStep, code: int) -> None:
    done = step(script=f"import sys; print('hello'); sys.exit({code})").run()
    assert done.exit_code == done.report["exit_code"] == code
    assert done.report["signal"] is None
    assert done.report["attempt"] == 1
    assert done.report["started"] <= done.report["ended"]
    assert done.log.startswith(b"hello\n")
    assert done.output == done.log
    if code == 0:
        assert done.report["error"] is None
    else:
        assert done.report["error"] == "The command ended with exit code 3."


def test_a_signal_that_kills_the_command_is_named(step: MakeStep) -> None:
    done = step(script="import os, signal; os.kill(os.getpid(), signal.SIGSEGV)").run()
    assert done.exit_code == done.report["exit_code"] == 139
    assert done.report["signal"] == 11
    assert "SIGSEGV" in done.report["error"]


def test_a_shell_line_runs_in_the_working_directory(step: MakeStep) -> None:
    done = step(line='echo "$PWD" | cat && exit 5').run()
    assert done.exit_code == 5
    assert done.log.startswith(str(done.code).encode())


def test_the_script_sees_its_arguments_folder_and_environment(step: MakeStep, tmp_path: Path) -> None:
    job = step(
        script="""
        import helper, json, os, sys
        json.dump([sys.argv, sys.path[0], dict(os.environ)], open("seen.json", "w"))
        """
    )
    (job.code / "helper.py").write_text("")
    job.job["command"]["arguments"] = ["--rate", "0.1", "a b", ""]
    job.job["environment"] = {"MINE": "yes", "PYTHONPATH": "/elsewhere"}
    job.job["inputs"] = {
        "data": {"path": "/in", "mode": "mount", "is_dataset": True, "environment_variable": "DATA"},
        "plain": {"path": "/p", "mode": "mount", "is_dataset": False, "environment_variable": None},
    }
    job.job["outputs"] = {
        "model": {"path": str(tmp_path / "o" / "model"), "directory": True, "environment_variable": "MODEL"}
    }
    assert job.run().exit_code == 0, job.log
    arguments, first_path, environment = json.loads((job.code / "seen.json").read_text())
    assert arguments == ["train.py", "--rate", "0.1", "a b", ""]
    assert first_path == str(job.code)
    expected = {
        "MINE": "yes",
        "DATA": "/in",
        "MODEL": str(tmp_path / "o" / "model"),
        "AZUREML_RUN_ID": "step-run-7",
        "AZUREML_ROOT_RUN_ID": "pipeline-run-3",
        "AZUREML_ARM_PROJECT_NAME": "digits",
        "AZUREML_ARM_WORKSPACE_NAME": "ws",
        "AZUREML_ARM_SUBSCRIPTION": "sub",
        "AZUREML_ARM_RESOURCEGROUP": "group",
        "AML_JOB_DIR": str(job.folder),
        "PYTHONUNBUFFERED": "1",
        "PWD": str(job.code),
    }
    assert {name: environment.get(name) for name in expected} == expected
    assert environment["PYTHONPATH"].split(":") == [str(job.runtime), str(job.runtime / "shim"), "/elsewhere"]
    assert "AML_PYTHON" not in environment


def test_modules_in_the_working_directory_do_not_disturb_the_supervisor(step: MakeStep) -> None:
    job = step(script="print('ran')")
    (job.code / "select.py").write_text("raise RuntimeError('the supervisor imported the script\\'s module')")
    job.environment["PYTHONPATH"] = str(job.code)
    assert job.run().exit_code == 0, job.log
    assert job.log == b"ran\n"


def test_outputs_are_created_and_described(step: MakeStep, tmp_path: Path) -> None:
    job = step(
        script="""
        import os
        os.makedirs(os.environ["TREE"] + "/a")
        for name in ("x", "a/y"):
            open(os.environ["TREE"] + "/" + name, "w").write("12345")
        open(os.environ["FILE"], "w").write("123")
        """
    )
    for name, directory in (("TREE", True), ("FILE", False), ("MISSING", False)):
        job.job["outputs"][name] = {
            "path": str(tmp_path / "data" / name / "deep"),
            "directory": directory,
            "environment_variable": name,
        }
    assert job.run().exit_code == 0, job.log
    assert job.report["outputs"] == {
        "TREE": {"exists": True, "directory": True, "files": 2, "bytes": 10},
        "FILE": {"exists": True, "directory": False, "files": 1, "bytes": 3},
        "MISSING": {"exists": False, "directory": False, "files": 0, "bytes": 0},
    }


def test_what_is_left_in_outputs_and_logs_is_collected(step: MakeStep) -> None:
    job = step(
        script="""
        import os
        open("outputs/model.pkl", "w").write("model")        # the folders are there, as in Azure ML
        open("logs/tb", "w").write("events")
        os.makedirs("outputs/deep/er")
        open("outputs/deep/er/f", "w").write("f")
        os.chmod("outputs/deep/er/f", 0o600)
        os.symlink("model.pkl", "outputs/link")
        os.symlink(".", "outputs/loop")
        os.symlink("/nowhere", "outputs/dangling")
        os.mkfifo("outputs/pipe")
        """
    )
    assert job.run().exit_code == 0, job.log
    artifacts = job.folder / "artifacts"
    found = {str(path.relative_to(artifacts)) for path in artifacts.rglob("*") if path.is_file()}
    assert found == {"outputs/model.pkl", "outputs/deep/er/f", "outputs/link", "logs/tb"}
    assert (artifacts / "outputs/link").read_text() == "model"
    assert (artifacts / "outputs/deep/er/f").stat().st_mode & 0o777 == 0o644
    assert not (job.folder / ".partial").exists()


def test_sigterm_is_forwarded_and_a_stopped_step_never_counts_as_done(step: MakeStep) -> None:
    job = step(
        script="""
        import signal, sys, time
        def stop(number, frame):
            print("saving", flush=True)
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        open("ready", "w").write("yes\\n")
        time.sleep(600)
        """
    )
    process = job.start()
    job.wait_for("ready")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert output.startswith(b"saving\n")
    assert process.returncode == job.report["exit_code"] == 143
    assert job.report["error"] == "The step was stopped by SIGTERM."


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace_period(step: MakeStep) -> None:
    job = step(line="trap '' TERM; echo yes > ready; sleep 600 & wait; sleep 600")
    job.environment["AML_GRACE_SECONDS"] = "0.3"
    process = job.start()
    job.wait_for("ready")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert 0.3 <= time.monotonic() - began < 60
    assert process.returncode == job.report["exit_code"] == 137
    assert job.report["oom_killed"] is False
    assert "SIGTERM" in job.report["error"]


def test_the_time_limit_stops_the_command(step: MakeStep) -> None:
    job = step(line="sleep 600")
    job.job["timeout_seconds"] = 0.5
    began = time.monotonic()
    job.run()
    assert time.monotonic() - began < 60
    assert job.report["timed_out"] is True
    assert job.exit_code == job.report["exit_code"] == 143
    assert "0.5 seconds" in job.report["error"]


def test_user_signals_are_passed_on(step: MakeStep) -> None:
    job = step(line="trap 'echo checkpoint; exit 0' USR1; echo yes > ready; while :; do sleep 0.05; done")
    process = job.start()
    job.wait_for("ready")
    process.send_signal(signal.SIGUSR1)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, b"checkpoint\n")


FAMILY = """
import os, subprocess, sys, time
children = [
    subprocess.Popen(["sleep", "300"]),
    subprocess.Popen(["sleep", "300"], start_new_session=True),
]
open("pids", "w").write(" ".join(str(p) for p in [os.getpid(), *(c.pid for c in children)]) + "\\n")
"""


def test_killing_the_supervisor_leaves_no_report_and_no_process(step: MakeStep) -> None:
    job = step(script=FAMILY + "time.sleep(300)")
    process = job.start()
    pids = [int(pid) for pid in job.wait_for("pids").split()]
    process.kill()
    process.wait()
    assert [pid for pid in pids if not gone(pid)] == []
    assert not (job.folder / "report.json").exists()
    process.communicate(timeout=5)  # the end of the output is seen: nobody holds the pipe


def test_killing_the_whole_group_of_the_supervisor_leaves_no_process(step: MakeStep) -> None:
    job = step(script=FAMILY + "time.sleep(300)")
    process = job.start(start_new_session=True)
    pids = [int(pid) for pid in job.wait_for("pids").split()]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=5)
    assert [pid for pid in pids if not gone(pid)] == []


@pytest.mark.parametrize("by_number", [False, True])
def test_the_step_ends_with_the_worker_that_started_it(step: MakeStep, by_number: bool) -> None:
    job = step(script=FAMILY + "time.sleep(300)")
    job.write()
    starter = f"""
import os, subprocess, time
environment = dict(os.environ, AML_DIE_WITH_PARENT=str(os.getpid()) if {by_number} else "1")
p = subprocess.Popen(["/bin/sh", {str(job.runtime / "launch.sh")!r}], env=environment, start_new_session=True)
print(p.pid, flush=True)
time.sleep(300)
"""
    environment = {**os.environ, "AML_JOB_DIR": str(job.folder), "AML_PYTHON": sys.executable}
    worker = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, env=environment)
    assert worker.stdout is not None
    supervisor = int(worker.stdout.readline())
    pids = [int(pid) for pid in job.wait_for("pids").split()]
    worker.kill()
    worker.communicate(timeout=60)
    assert [pid for pid in [*pids, supervisor] if not gone(pid)] == []
    assert "worker" in job.report["error"]
    assert job.report["exit_code"] == 143


def test_a_background_child_does_not_hang_the_step(step: MakeStep) -> None:
    job = step(script=FAMILY + "print('main is done')")
    began = time.monotonic()
    job.run()
    assert time.monotonic() - began < 60
    assert job.exit_code == 0
    assert b"main is done\n" in job.log
    assert all(gone(int(pid)) for pid in (job.code / "pids").read_text().split())


def test_late_output_of_a_background_child_is_kept(step: MakeStep) -> None:
    done = step(line="(sleep 0.3; echo late) & echo early").run()
    assert done.log == b"early\nlate\n"


def test_a_hundred_thousand_lines_arrive_complete(step: MakeStep) -> None:
    job = step(script="for i in range(100_000): print('line', i, 'x' * 60)")
    job.run()
    expected = b"".join(b"line %d %s\n" % (i, b"x" * 60) for i in range(100_000))
    assert job.log == expected
    assert job.output == expected


def test_output_is_kept_byte_by_byte_and_at_once(step: MakeStep) -> None:
    job = step(
        script="""
        import sys, time
        sys.stdout.buffer.write(bytes(range(256)) * 100 + b"no newline")
        sys.stdout.buffer.flush()
        open("ready", "w").write("yes\\n")
        time.sleep(600)
        """
    )
    process = job.start()
    job.wait_for("ready")
    until = time.monotonic() + 5
    while not job.log.endswith(b"no newline") and time.monotonic() < until:
        time.sleep(0.02)
    assert job.log == bytes(range(256)) * 100 + b"no newline"
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert output.startswith(bytes(range(256)) * 100 + b"no newline")


def test_a_reader_that_goes_away_loses_nothing(step: MakeStep) -> None:
    job = step(script="for i in range(20_000): print(i)")
    process = job.start()
    assert process.stdout is not None
    process.stdout.read(100)
    process.stdout.close()
    assert process.wait(timeout=20) == 0
    assert job.log == b"".join(b"%d\n" % i for i in range(20_000))
    assert job.report["exit_code"] == 0


def test_closed_standard_streams_lose_nothing(step: MakeStep) -> None:
    job = step(script="print('hello')")
    job.write()
    environment = {**os.environ, "AML_JOB_DIR": str(job.folder), "AML_PYTHON": sys.executable}
    line = f"exec /bin/sh {job.runtime}/launch.sh <&- >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", line], env=environment).returncode == 0
    assert job.log == b"hello\n"


def test_a_reader_that_never_reads_does_not_keep_the_step_from_ending(step: MakeStep) -> None:
    job = step(script="print('x' * 900_000)")  # more than a pipe holds, less than the supervisor's buffer
    process = job.start()
    assert process.wait(timeout=30) == 0
    assert job.log == b"x" * 900_000 + b"\n"
    process.communicate()


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"command": {"kind": "python", "interpreter": sys.executable, "script": "no.py"}}, 127, 'script "no.py"'),
        ({"command": {"kind": "python", "interpreter": "python9", "script": "train.py"}}, 127, '"python9" was not'),
        ({"command": {"kind": "python", "interpreter": "./train.py", "script": "train.py"}}, 126, "not executable"),
        ({"command": {"kind": "python", "interpreter": "./broken", "script": "train.py"}}, 126, "cannot be started"),
        ({"command": {"kind": "magic"}}, 125, "'magic'"),
        ({"command": {"kind": "shell"}}, 125, "line must be a str"),
        ({"working_directory": "/proc/no/such"}, 125, "/proc/no/such"),
        ({"job_version": 9}, 125, "job_version 9"),
        ({"timeout_seconds": "soon"}, 125, "timeout_seconds"),
        ({"outputs": {"o": {"path": "/proc/no/o"}}}, 125, 'output "o"'),
        ({"outputs": {"o": {}}}, 125, "outputs.o: path"),
    ],
)
def test_a_job_that_cannot_be_started_says_why(step: MakeStep, change: dict[str, Any], code: int, words: str) -> None:
    job = step(script="print('ran')")
    (job.code / "broken").write_text("#!/no/such/interpreter\n")
    (job.code / "broken").chmod(0o755)
    job.job.update(change)

    def write() -> None:
        (job.folder / "job.json").write_text(json.dumps(job.job))

    job.write = write  # type: ignore[method-assign]
    job.run()
    assert job.exit_code == job.report["exit_code"] == code
    assert words in job.report["error"]
    assert job.report["error"].encode() in job.log
    assert job.report["error"].encode() in job.output
    assert b"Traceback" not in job.output


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_job_that_cannot_be_read_says_so(step: MakeStep, content: str | None) -> None:
    job = step(script="")

    def write() -> None:
        if content is not None:
            (job.folder / "job.json").write_text(content)

    job.write = write  # type: ignore[method-assign]
    assert job.run().exit_code == 125
    assert "job.json" in job.report["error"]


def test_without_an_attempt_folder_there_is_a_sentence(runtime: Path) -> None:
    environment = {**os.environ, "AML_JOB_DIR": "/no/such/folder", "AML_PYTHON": sys.executable}
    done = subprocess.run(["/bin/sh", str(runtime / "launch.sh")], env=environment, capture_output=True, text=True)
    assert done.returncode == 125
    assert "AML_JOB_DIR" in done.stderr


def test_a_report_that_cannot_be_written_is_a_failure(step: MakeStep) -> None:
    job = step(script="print('hello')")
    (job.folder / "report.json").mkdir()
    job.run()
    assert job.exit_code == 125
    assert b"report.json could not be written" in job.output


def test_a_script_that_calls_fail_has_failed(step: MakeStep) -> None:
    done = step(
        script="""
        from azureml.core import Run
        Run.get_context().fail("no data for today", error_code="E1")
        """
    ).run()
    assert done.exit_code == done.report["exit_code"] == 1
    assert done.report["error"] == "E1: no data for today"


def test_a_child_run_that_fails_does_not_fail_the_step(step: MakeStep) -> None:
    done = step(
        script="""
        from azureml.core import Run
        Run.get_context().child_run("fold 1").fail("did not converge")
        """
    ).run()
    assert done.exit_code == 0
