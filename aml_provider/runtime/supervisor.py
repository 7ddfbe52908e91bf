"""One step from its job to its report: prepare, run and watch the command, collect, report."""

from __future__ import annotations

import contextlib
import os
import time

from . import artifacts
from .environment import step_environment
from .files import make_folder, sync_path
from .job import Job, JobError, load_job
from .journal import fail_message
from .memory import oom_kills
from .process import arguments_of
from .report import Report
from .signals import Inbox, name_of
from .tee import Tee
from .watch import Ending, Watch

_RUNTIME_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main() -> int:
    """Run the step of ``$AML_JOB_DIR``.

    :return: the command's exit code; 128 + n when signal n ended it, 125 when the job could not be run or reported.
    """
    _open_standard_streams()
    inbox = Inbox()
    folder = os.environ.get("AML_JOB_DIR", "")
    if not folder or not os.path.isdir(folder):
        _say(f"AML_JOB_DIR is {folder!r}, it must name the attempt's folder: the step was not started by a worker.")
        return 125
    report = Report(_attempt_of(folder), time.time())
    tee = Tee(_open_log(folder), 1)
    try:
        job = load_job(folder)
        report.attempt = job.attempt
        _run(job, tee, inbox, report)
    except JobError as error:
        report.fail(str(error), error.exit_code)
    report.ended = report.ended if report.ended > report.started else time.time()
    if report.error is not None:
        tee.say(report.error)
    _flush(tee)
    for name in ("events.jsonl", "logs"):
        _sync_quietly(os.path.join(folder, name))
    try:
        report.write(folder)
    except OSError as error:
        _say(
            f"The report {os.path.join(folder, 'report.json')} could not be written ({error.strerror}): "
            "the step does not count as done. Make room there, or check the rights of its folder."
        )
        return report.exit_code or 125
    return report.exit_code


def _run(job: Job, tee: Tee, inbox: Inbox, report: Report) -> None:
    """Run the command and fill in the report.

    :raises JobError: when there is nothing to run.
    """
    mark = f"{os.getpid()}-{os.urandom(8).hex()}"
    environment = step_environment(job, os.environ, _RUNTIME_FOLDER, mark)
    artifacts.prepare(job)
    arguments = arguments_of(job, environment)
    os.chdir(job.working_directory)
    kills_before = oom_kills()
    ending = Watch(job, tee, inbox, mark).run(arguments, environment)
    report.ended = time.time()
    report.usage = ending.usage.as_dict()
    # When this is process 1 the counter is the container's own; else neighbours may have raised it.
    killed = ending.signal == 9 or ending.exit_code == 137 or (os.getpid() == 1 and ending.exit_code != 0)
    report.oom_killed = killed and not ending.killed_by_us and oom_kills() > kills_before
    _judge(job, ending, report)
    failure = artifacts.collect(job)
    if failure is not None:
        report.fail(failure, 1)
    report.outputs = artifacts.describe_outputs(job)


def _judge(job: Job, ending: Ending, report: Report) -> None:
    """Exit code and error of an attempt. A command that was told to stop did not finish, whatever it says."""
    report.exit_code, report.signal, report.timed_out = ending.exit_code, ending.signal, ending.timed_out
    report.stopped = ending.stopped_by is not None and not ending.timed_out
    failed_by_script = fail_message(job.folder)
    if ending.timed_out:
        report.fail(f"The step ran longer than its limit of {job.timeout_seconds:g} seconds and was stopped.", 124)
    elif ending.stopped_by is not None:
        report.fail(ending.reason or "The step was stopped.", 128 + ending.stopped_by)
    elif report.oom_killed:
        report.fail(
            "Memory ran out: the kernel killed a process of the step. Give its compute target more memory, "
            "or let the script use less.",
            137,
        )
    elif failed_by_script is not None:
        report.fail(failed_by_script, 1)
    elif ending.signal is not None:
        report.fail(f"The command was killed by signal {ending.signal} ({name_of(ending.signal)}).", 1)
    elif ending.exit_code != 0:
        report.fail(f"The command ended with exit code {ending.exit_code}.", 1)


def _open_standard_streams() -> None:
    """A descriptor 0 to 2 that is closed would be given to the next file opened, which would then get output."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _open_log(folder: str) -> int | None:
    path = os.path.join(folder, "logs", "std_log.txt")
    before = os.umask(0)
    try:
        make_folder(os.path.dirname(path))
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as error:
        _say(f"The log file {path} cannot be opened ({error.strerror}): the output is only in the log stream.")
        return None
    finally:
        os.umask(before)


def _flush(tee: Tee) -> None:
    """Give stdout what it takes within a few seconds, and the log file to the disk."""
    import select

    poller = select.poll()
    poller.register(1, select.POLLOUT)
    while tee.pending:
        if poller.poll(5000):
            tee.mirror_some()
        else:
            tee.give_up_mirror()
    tee.sync()


def _sync_quietly(path: str) -> None:
    try:
        sync_path(path)
    except OSError as error:
        _say(f"{path} may not have reached the disk: {error.strerror}.")


def _attempt_of(folder: str) -> int:
    """The attempt's number from its folder's name (``.../attempts/3``), for a report without a readable job."""
    name = os.path.basename(os.path.normpath(folder))
    return int(name) if name.isdigit() else 1


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):  # stderr is closed: nobody to tell
        os.write(2, f"aml: {sentence}\n".encode("utf-8", "replace"))
