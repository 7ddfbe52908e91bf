"""The ``aml`` command."""

from __future__ import annotations

import atexit
import gc


def main() -> None:
    """Entry point of the console script."""
    # What is imported stays: looking through it for garbage, again and again, is a tenth of the time that it takes.
    gc.disable()
    from aml_provider.cli.app import run_app

    gc.freeze()
    gc.enable()
    # At its end the interpreter would look once more through all that the process is about to drop.
    atexit.register(gc.freeze)
    run_app()
