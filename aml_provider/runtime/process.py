"""Starting the command in a process group of its own, and ending everything it started."""

from __future__ import annotations

import os
import signal

from .environment import MARK
from .job import Job, JobError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping


def arguments_of(job: Job, environment: Mapping[str, str]) -> list[str]:
    """The command as an argument list whose first item is the path of an executable.

    :raises JobError: when the working directory, the script or the interpreter is not there.
    """
    if not os.path.isdir(job.working_directory):
        raise JobError(f"The working directory {job.working_directory} does not exist in the step.")
    command = job.command
    if command["kind"] == "shell":
        return ["/bin/sh", "-c", command["line"]]
    script = command["script"]
    if not os.path.isfile(os.path.join(job.working_directory, script)):
        raise JobError(
            f'The script "{script}" does not exist in {job.working_directory}. Check script_name and source_directory '
            "of the step, and that .amlignore does not leave the script out.",
            127,
        )
    interpreter = _find(command["interpreter"], environment.get("PATH", os.defpath), job.working_directory)
    return [interpreter, "-u", script, *command["arguments"]]


def start(arguments: list[str], environment: Mapping[str, str], output: int) -> int:
    """Start the command in the current directory, as leader of a new process group; its output goes to ``output``.

    :return: the process id, which is also the group's.
    :raises JobError: when the system cannot start it.
    """
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    try:
        return os.posix_spawn(
            arguments[0],
            arguments,
            environment,
            file_actions=actions,
            setpgroup=0,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them; a command expects the defaults
        )
    except OSError as error:
        raise JobError(f"The command {arguments[0]} cannot be started: {error.strerror}.", 126) from error


def signal_group(group: int, number: int) -> bool:
    """Send a signal to all of a group; 0 only asks. False when nothing is left in it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # only processes of another user are left (a setuid program): there, but out of reach
    return True


def group_lives(group: int) -> bool:
    """Whether a process of the group still runs. Ended ones that nobody has reaped yet (zombies) do not count."""
    if not signal_group(group, 0):
        return False
    entries = _process_ids()
    for entry in entries:
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                state, _, its_group = file.read().rpartition(b")")[2].split()[:3]
        except OSError:
            continue  # ended meanwhile
        if int(its_group) == group and state not in (b"Z", b"X"):
            return True
    return not entries  # not Linux: believe what the signal said


def kill_marked(mark: str) -> None:
    """Kill what the command started and moved out of its group (daemons), found by the mark in its environment."""
    needle = f"{MARK}={mark}".encode()
    own = os.getpid()
    for entry in _process_ids():
        if entry == own:
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if needle in file.read().split(b"\0"):
                    os.kill(entry, signal.SIGKILL)
        except OSError:
            continue  # ended meanwhile, or another user's


def _process_ids() -> list[int]:
    """All processes that can be seen; none where there is no /proc."""
    if not os.path.isdir("/proc/self"):
        return []
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _find(interpreter: str, search_path: str, working_directory: str) -> str:
    if "/" in interpreter:
        candidates = [os.path.join(working_directory, interpreter)]
    else:
        candidates = [os.path.join(entry or ".", interpreter) for entry in search_path.split(os.pathsep)]
    for path in candidates:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    found = [path for path in candidates if os.path.isfile(path)]
    if found:
        raise JobError(f'The interpreter "{found[0]}" exists in the step but is not executable.', 126)
    where = "" if "/" in interpreter else f" in PATH ({search_path})"
    raise JobError(
        f'The interpreter "{interpreter}" was not found in the step{where}. Use an image with Python, or set '
        "environment.python.interpreter_path to where the image has it.",
        127,
    )
