"""``aml data``: what is in the datastores, and bringing data there, back and from one to another."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

app = typer.Typer(
    name="data",
    help="Data in datastores. A place is written DATASTORE:PATH, like workspaceblobstore:titanic/.",
    no_args_is_help=True,
)
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
Include = Annotated[
    list[str] | None, typer.Option("--include", metavar="PATTERN", help="only such files, as in .gitignore")
]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="no such files and folders, as in .gitignore")
]


class OnExisting(str, Enum):
    """What ``--overwrite`` may be."""

    ALWAYS = "always"
    DIFFERENT = "different"
    NEVER = "never"
    FAIL = "fail"
    APPEND = "append"


class DatasetKind(str, Enum):
    """What ``--type`` may be."""

    FILE = "file"
    DELIMITED = "delimited"
    PARQUET = "parquet"
    JSON_LINES = "json-lines"


Overwrite = Annotated[
    OnExisting,
    typer.Option(
        "--overwrite",
        help="what happens to a file that is there: replaced; replaced if it is different; kept; nothing is copied "
        "when one is different; or, of a table, rows are added",
    ),
]


@app.command()
def ls(
    place: Annotated[
        str | None, typer.Argument(metavar="[PLACE]", help="a place, or a pattern; default: the datastores")
    ] = None,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="everything below")] = False,
    long: Annotated[bool, typer.Option("-l", "--long", help="with size and time")] = False,
    as_json: AsJson = False,
) -> None:
    """List the files and folders at PLACE, or the datastores."""
    from aml_provider.cli.data_listing import print_datastores, print_listing

    if place is None:
        print_datastores(as_json=as_json)
    else:
        print_listing(place, recursive=recursive, long=long, as_json=as_json)


@app.command()
def cp(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="a place, a pattern, or a path of this machine")],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help="a place, or a path of this machine")],
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="copy what is below a folder")] = False,
    overwrite: Overwrite = OnExisting.DIFFERENT,
    include: Include = None,
    exclude: Exclude = None,
    as_json: AsJson = False,
) -> None:
    """Copy a file, a table, or what is below a folder, from any store to any other. Run it again to go on."""
    from aml_provider.cli.data_moving import copy

    copy(source, destination, recursive, _options(overwrite, include, exclude), as_json=as_json)


@app.command()
def upload(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="files and folders of this machine")],
    destination: Annotated[str, typer.Argument(metavar="PLACE", help="the folder that they go to")],
    overwrite: Overwrite = OnExisting.DIFFERENT,
    include: Include = None,
    exclude: Exclude = None,
    as_json: AsJson = False,
) -> None:
    """Copy files, and what is below folders, of this machine to a folder of a datastore."""
    from aml_provider.cli.data_moving import upload_paths

    upload_paths(paths, destination, _options(overwrite, include, exclude), as_json=as_json)


@app.command()
def register(
    name: Annotated[str, typer.Argument(metavar="NAME", help="name of the dataset")],
    places: Annotated[list[str], typer.Argument(metavar="PLACE...", help="files, folders or patterns")],
    kind: Annotated[DatasetKind, typer.Option("--type", help="files, or a table of such files")] = DatasetKind.FILE,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="what it is")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="a tag of the version")] = None,
    new_version: Annotated[
        bool, typer.Option("--new-version", help="where the name is taken or the data has changed, a new version")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Register what is at PLACE as a dataset, or say which version of it that is already."""
    from aml_provider.cli.data_registering import register_dataset

    tags = {}
    for item in tag or []:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{item!r} is not NAME=VALUE", param_hint="--tag")
        tags[key] = value
    register_dataset(name, places, kind.value, description, tags, new_version=new_version, as_json=as_json)


def _options(overwrite: OnExisting, include: list[str] | None, exclude: list[str] | None) -> dict[str, object]:
    from aml_provider.storage.transfer import Overwrite as Policy

    return {
        "overwrite": Policy(overwrite.value),
        "include": tuple(include or ()),
        "exclude": tuple(exclude or ()),
    }
