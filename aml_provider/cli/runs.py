"""``aml runs``: the runs of a workspace, wherever they were started."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(name="runs", help="Runs of the workspace, wherever they were started.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
RunName = Annotated[
    str,
    typer.Argument(metavar="RUN", help="a run: its id or its beginning, DAG id/run id, or `latest`"),
]


@app.command()
def ls(
    experiment: Annotated[str | None, typer.Argument(metavar="[EXPERIMENT]", help="only of this experiment")] = None,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="only those that are Running, Finished, Failed, Canceled...")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="NAME[=VALUE]", help="only those with this tag")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="no more than so many")] = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    from aml_provider.cli.runs_shown import print_runs

    print_runs(experiment, status, tag or [], limit, as_json)


@app.command()
def show(run: RunName, as_json: AsJson = False) -> None:
    """Print a run: how it went, what it was told, its steps and what they logged."""
    from aml_provider.cli.runs_shown import print_run

    print_run(run, as_json)


@app.command()
def logs(
    run: RunName,
    step: Annotated[str | None, typer.Argument(metavar="[STEP]", help="name of a step; default: all")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until the run has ended")] = False,
) -> None:
    """Print what steps have printed."""
    from aml_provider.cli.runs_logs import print_logs

    print_logs(run, step, follow)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="two runs or more")],
    differing: Annotated[bool, typer.Option("--differing", help="only rows in which they differ")] = False,
    as_json: AsJson = False,
) -> None:
    """Print parameters, metrics and results of runs side by side."""
    from aml_provider.cli.runs_compared import print_comparison

    print_comparison(runs, differing, as_json)


@app.command()
def cancel(run: RunName) -> None:
    """Stop a run: what it runs is stopped, containers and pods too."""
    from aml_provider.cli.runs_shown import cancel_run

    cancel_run(run)
