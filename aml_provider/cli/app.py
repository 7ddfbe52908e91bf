"""The commands of ``aml`` and how they end: a sentence and an exit code, never a traceback of ours."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from aml_provider.azureml_compat import bootstrap  # noqa: F401  (makes `import azureml` work in this process)
from aml_provider.cli import cache, data, environments, runs
from aml_provider.spec.errors import AmlError

app = typer.Typer(
    name="aml",
    help="Azure ML SDK v1 pipelines on Apache Airflow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(environments.app)
app.add_typer(cache.app)
app.add_typer(data.app)
app.add_typer(runs.app)
PipelineFile = Annotated[Path, typer.Argument(metavar="FILE", help="a pipeline file: .py or .ipynb")]
Parameters = Annotated[
    list[str] | None, typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="a pipeline parameter's value")
]
Regenerate = Annotated[bool, typer.Option("--regenerate", help="run every step, whatever has been computed before")]
AssumeUnchanged = Annotated[
    list[str] | None,
    typer.Option("--assume-unchanged", metavar="STEP", help="take this step's latest result, whatever has changed"),
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def run_app() -> None:
    """Run the command line; what we report in words ends with exit code 1."""
    try:
        app(standalone_mode=True)
    except AmlError as e:
        print(f"aml: {e}", file=sys.stderr)
        sys.exit(1)
    except OSError as e:
        # What can be said better is said where it happens; a file that cannot be read or written needs no traceback.
        if e.filename is None or e.strerror is None:
            raise
        names = [os.fsdecode(name) for name in (e.filename, e.filename2) if name is not None]
        print(f"aml: {' -> '.join(names)}: {e.strerror}", file=sys.stderr)
        sys.exit(1)


@app.command()
def run(
    file: PipelineFile,
    parameter: Parameters = None,
    experiment: Annotated[str | None, typer.Option(help="experiment name instead of the file's")] = None,
    regenerate: Regenerate = False,
    assume_unchanged: AssumeUnchanged = None,
    as_json: AsJson = False,
) -> None:
    """Run every pipeline that FILE submits, and follow it to its end."""
    from aml_provider.cli.run import run_pipelines
    from aml_provider.submission.overrides import Overrides

    overrides = Overrides(_values(parameter), experiment, regenerate, tuple(assume_unchanged or ()))
    sys.exit(run_pipelines(file, overrides, as_json))


def _values(parameters: list[str] | None) -> dict[str, str]:
    """Parameter values as typed, by name."""
    values: dict[str, str] = {}
    for item in parameters or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise typer.BadParameter(f"{item!r} is not NAME=VALUE", param_hint="-p")
        values[name] = value
    return values


@app.command()
def plan(
    file: PipelineFile,
    parameter: Parameters = None,
    regenerate: Regenerate = False,
    assume_unchanged: AssumeUnchanged = None,
    as_json: AsJson = False,
) -> None:
    """Say for every step of FILE whether it would run or be reused, and why, running nothing."""
    with _without_plugins():
        from aml_provider.cli.plan import print_plans
    from aml_provider.submission.overrides import Overrides

    print_plans(file, Overrides(_values(parameter), None, regenerate, tuple(assume_unchanged or ())), as_json)


@contextmanager
def _without_plugins() -> Iterator[None]:
    """Nothing of ours needs pydantic's plugins; a search for them reads what each installed package says of itself."""
    name = "PYDANTIC_DISABLE_PLUGINS"
    before = os.environ.get(name)
    os.environ[name] = "__all__"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@app.command()
def explain(
    target: Annotated[
        str, typer.Argument(metavar="FILE|RUN", help="a pipeline file, or a run: its id, DAG id/run id, or latest")
    ],
    step: Annotated[str | None, typer.Argument(metavar="STEP", help="name of a step; of a run, default: all")] = None,
    parameter: Parameters = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="print everything that the key is made of")] = False,
    as_json: AsJson = False,
) -> None:
    """Say why a step would run, or ran: what differs from its nearest earlier result."""
    from aml_provider.cli.explain import print_explanation

    print_explanation(target, step, _values(parameter), verbose, as_json)


@app.command()
def spec(file: PipelineFile, as_json: AsJson = False) -> None:
    """Print what FILE submits or publishes, running nothing."""
    from aml_provider.cli.inspect import collect, described

    found = collect(file)
    if as_json:
        values: list[Any] = [s.model_dump(mode="json") for s, _, _ in found]
        print(json.dumps(values, indent=2, sort_keys=True))
    else:
        print("\n\n".join(described(s, w) for s, _, w in found))


@app.command()
def validate(file: PipelineFile) -> None:
    """Check FILE and its workspace, running nothing."""
    from aml_provider.cli.inspect import collect, problems

    found = collect(file)
    wrong = [p for s, source, w in found for p in problems(s, source, w)]
    for problem in wrong:
        print(f"aml: {problem}", file=sys.stderr)
    if wrong:
        sys.exit(1)
    for s, _, _ in found:
        print(f"{file}: {s.submit.experiment}: {len(s.steps)} step{'s' if len(s.steps) > 1 else ''}, valid")


@app.command()
def pools(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="pipeline files")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="only say what is missing; exit code 1 if anything is")
    ] = False,
) -> None:
    """Create the Airflow pools that the compute targets need."""
    from aml_provider.cli.pools import ensure_pools

    sys.exit(ensure_pools(files or [], check=check))


@app.command()
def reap(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be removed")] = False,
) -> None:
    """Remove containers and pods of steps that are over or whose run is gone."""
    from aml_provider.cli.reap import reap_everywhere

    sys.exit(reap_everywhere(dry_run=dry_run))
