"""``aml cache``: the results that later runs can reuse, and how to be rid of them or hold on to them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="cache", help="Results that later runs can reuse.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
Step = Annotated[str | None, typer.Option("--step", metavar="GLOB", help="only results of steps with such a name")]
Experiment = Annotated[
    str | None, typer.Option("--experiment", metavar="GLOB", help="only results of experiments with such a name")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="only say what would be removed")]
PipelineFile = Annotated[Path, typer.Argument(metavar="FILE", help="a pipeline file: .py or .ipynb")]
StepName = Annotated[str, typer.Argument(metavar="STEP", help="name of a step")]


@app.command()
def ls(step: Step = None, experiment: Experiment = None, as_json: AsJson = False) -> None:
    """List the results, the newest first."""
    from aml_provider.cli.results_shown import print_results

    print_results(step, experiment, as_json)


@app.command()
def show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="the key of a result, or its beginning")],
    as_json: AsJson = False,
) -> None:
    """Print one result: who computed it, what it is made of, and whether its outputs are still there."""
    from aml_provider.cli.results_shown import print_result

    print_result(key, as_json)


@app.command()
def forget(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="keys of results, or their beginnings")
    ] = None,
    step: Step = None,
    experiment: Experiment = None,
    dry_run: DryRun = False,
) -> None:
    """Have results reused no more. Their data stays."""
    from aml_provider.cli.removing import forget_results

    forget_results(keys or [], step, experiment, dry_run=dry_run)


@app.command()
def gc(
    older_than: Annotated[
        str | None, typer.Option(metavar="P30D", help="only results that were recorded longer ago (ISO 8601)")
    ] = None,
    larger_than: Annotated[
        str | None, typer.Option(metavar="SIZE", help="only results whose outputs are larger together")
    ] = None,
    keep_bytes: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="of all these, keep the newest as long as they fit into so much"),
    ] = None,
    step: Step = None,
    experiment: Experiment = None,
    dry_run: DryRun = False,
) -> None:
    """Remove results with their data, except what runs, pins, registered datasets or other results need."""
    from aml_provider.cli.amounts import bytes_of, seconds_of
    from aml_provider.cli.removing import collect_results
    from aml_provider.reuse.gc import Selection

    selection = Selection(
        None if older_than is None else seconds_of(older_than, "--older-than"),
        None if larger_than is None else bytes_of(larger_than, "--larger-than"),
        None if keep_bytes is None else bytes_of(keep_bytes, "--keep-bytes"),
        step,
        experiment,
    )
    collect_results(selection, dry_run=dry_run)


@app.command()
def pin(
    file: PipelineFile,
    step: StepName,
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="the key of a result of that step, or its beginning")
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="the newest result of that step")] = False,
    note: Annotated[str, typer.Option(metavar="TEXT", help="why, for those who meet the pin")] = "",
) -> None:
    """Have a step of FILE use one result, whatever changes, until it is unpinned."""
    from aml_provider.cli.pinning import pin_step

    pin_step(file, step, key, latest=latest, note=note)


@app.command()
def unpin(file: PipelineFile, step: StepName) -> None:
    """Let a step of FILE be judged by what it depends on again."""
    from aml_provider.cli.pinning import unpin_step

    unpin_step(file, step)
