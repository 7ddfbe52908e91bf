"""Was a process of this step killed because memory ran out? The kernel counts such kills per control group."""

from __future__ import annotations


def oom_kills() -> int:
    """Kills so far in this process's memory control group (version 1 or 2); 0 where the kernel does not tell."""
    for path in _counter_files():
        try:
            with open(path, encoding="ascii") as file:
                for line in file:
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        except (OSError, ValueError):
            continue  # not this version, or not visible in this container: try the next place
    return 0


def _counter_files() -> list[str]:
    """Own group first; the mount's root is the own group in a container that has no cgroup namespace."""
    paths = []
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            for line in file:
                _, controllers, group = line.rstrip("\n").split(":", 2)
                if controllers == "":
                    paths.append(f"/sys/fs/cgroup{group}/memory.events")
                elif "memory" in controllers.split(","):
                    paths.append(f"/sys/fs/cgroup/memory{group}/memory.oom_control")
    except (OSError, ValueError):
        return []  # no /proc (not Linux): nothing to count
    return [*paths, "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"]
