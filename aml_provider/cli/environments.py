"""``aml env``: the versions that loosely written packages were resolved to, and how to get newer ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from aml_provider.spec.errors import AmlError

app = typer.Typer(
    name="env",
    help="Packages of local steps: the versions that they were resolved to, which every machine installs.",
    no_args_is_help=True,
)
File = Annotated[
    Path | None, typer.Option("-f", "--file", metavar="FILE", help="only the environments of this pipeline file")
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
Which = Annotated[list[str], typer.Argument(metavar="NAME|KEY...", help="names of environments, or beginnings of keys")]


@app.command()
def ls(file: File = None, as_json: AsJson = False) -> None:
    """List the environments whose packages have been resolved."""
    from aml_provider.cli.resolved import all_environments, listed, to_json

    found = all_environments(file)
    if as_json:
        print(to_json(found))
    elif found:
        print("\n".join(listed(found)))
    else:
        print("no environment has been resolved: the first step that runs with one does that", file=sys.stderr)


@app.command()
def show(names: Which, file: File = None, as_json: AsJson = False) -> None:
    """Print what environments ask for, and the versions they were resolved to."""
    from aml_provider.cli.resolved import chosen_environments, described, to_json

    found = chosen_environments(names, file)
    print(to_json(found) if as_json else "\n\n".join(described(f) for f in found))


@app.command()
def refresh(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME|KEY]...", help="names of environments, or beginnings of keys")
    ] = None,
    file: File = None,
    everything: Annotated[bool, typer.Option("--all", help="every environment")] = False,
) -> None:
    """Look for newer versions, and keep them: steps that get other packages then run again."""
    from aml_provider.cli.resolved import all_environments, chosen_environments, refreshed

    if not names and file is None and not everything:
        raise typer.BadParameter("name environments, or say --file FILE or --all", param_hint="NAME|KEY")
    failed = False
    for found in chosen_environments(names, file) if names else all_environments(file):
        try:
            print(f"{found}: {refreshed(found)}")
        except AmlError as problem:
            failed = True
            what = "is not resolved" if found.locked is None else "keeps its versions"
            print(f"aml: {found} {what}: {problem}", file=sys.stderr)
    if failed:
        sys.exit(1)


@app.command()
def forget(names: Which, file: File = None) -> None:
    """Forget resolved versions: the next step that runs with an environment resolves its packages anew."""
    from aml_provider.cli.resolved import chosen_environments

    for found in chosen_environments(names, file):
        print(f"{found}: {'forgotten' if found.place.locks.forget(found.key) else 'had not been resolved'}")
