"""The ``aml`` command."""

from __future__ import annotations


def main() -> None:
    """Entry point of the console script."""
    from aml_provider.cli.app import run_app

    run_app()
