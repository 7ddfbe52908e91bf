"""Child process: how long a command takes when its program has been started before. Arguments: the command's.

Run by path, also by the interpreter of a peer that knows nothing of this repository.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

# Once to import all that it needs.
TIMES = 2


def main(program: str, *arguments: str) -> None:
    """Run it twice, and tell the time of the second."""
    run = {"aml": _aml, "dvc": _dvc}[program]()
    for _ in range(TIMES):
        start = time.perf_counter()
        run(list(arguments))
        seconds = time.perf_counter() - start
    print(json.dumps(seconds))


def _aml() -> Callable[[list[str]], object]:
    from aml_provider.cli.app import app

    return lambda arguments: app(arguments, standalone_mode=False)


def _dvc() -> Callable[[list[str]], object]:
    from dvc.cli import main as dvc

    def run(arguments: list[str]) -> None:
        if code := dvc(arguments):
            raise SystemExit(code)

    return run


if __name__ == "__main__":
    main(*sys.argv[1:])
