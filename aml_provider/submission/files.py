"""Running a pipeline file: a Python file, or a notebook's code cells in order."""

from __future__ import annotations

import json
import re
import runpy
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from aml_provider.sdk import plain
from aml_provider.spec.errors import AmlError, PipelineError

# Between the name of a notebook and the number of a cell, where a traceback shows a file.
CELL = ", code cell "
# IPython's own lines: magics, shell escapes, help. They are no part of the pipeline.
_MAGIC = re.compile(r"^\s*(%|!|\?)|\?\s*$")
# Magics of whole cells that are Python all the same.
_AROUND_PYTHON = ("time", "capture", "prun", "timeit")
# A variable in the path of %%writefile.
_VARIABLE = re.compile(r"\$(\w+)|\{(\w+)\}")


class PipelineFileError(PipelineError):
    """An exception that the pipeline file's own code let pass; the message is Python's, from the file's lines on."""


def run_file(path: Path) -> int:
    """Run ``path`` as a program, as ``python FILE`` would.

    :return: the exit code that the file ended itself with; 0 when it came to its end.
    :raises PipelineError: there is no such file, or it is neither a ``.py`` nor a readable ``.ipynb``.
    :raises PipelineFileError: the file's code failed.
    """
    if path.is_dir():
        raise PipelineError(f"{path} is a folder; give a pipeline file in it")
    if not path.is_file():
        raise PipelineError(f"there is no file {path}")
    if path.suffix not in (".py", ".ipynb"):
        raise PipelineError(
            f"{path} is neither a Python file (.py) nor a notebook (.ipynb); give the file that submits the pipeline"
        )
    try:
        with _as_main(path):
            if path.suffix == ".py":
                runpy.run_path(str(path), run_name="__main__")
            else:
                _run_notebook(path)
    except AmlError:
        raise
    except SystemExit as e:
        return _exit_code(e)
    except Exception as e:
        raise PipelineFileError(_told(path, e)) from e
    return 0


def _exit_code(ending: SystemExit) -> int:
    if ending.code is None or isinstance(ending.code, int):
        return ending.code or 0
    print(ending.code, file=sys.stderr)
    return 1


def _told(path: Path, error: Exception) -> str:
    """A traceback that begins in the user's file: what called it is of no use to the reader."""
    names = {str(path), str(path.resolve())}
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.split(CELL)[0] not in names:
        frames = frames.tb_next
    shown = traceback.TracebackException(type(error), error, frames)
    # What stands between the file's call and our function is not where anything went wrong.
    shown.stack = traceback.StackSummary.from_list([f for f in shown.stack if f.filename != plain.__file__])
    return f"{path} failed:\n{''.join(shown.format()).rstrip()}"


@contextmanager
def _as_main(path: Path) -> Iterator[None]:
    arguments, first = sys.argv, sys.path[0]
    sys.argv, sys.path[0] = [str(path)], str(path.resolve().parent)
    try:
        yield
    finally:
        sys.argv, sys.path[0] = arguments, first


def _run_notebook(path: Path) -> None:
    module = ModuleType("__main__")
    module.__file__ = str(path.resolve())
    previous = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        for number, source in enumerate(notebook_cells(path), 1):
            # Lines keep their place in the cell, so that a traceback tells the right one.
            code = compile(source, f"{module.__file__}{CELL}{number}", "exec")
            exec(code, module.__dict__)
    finally:
        sys.modules["__main__"] = previous


def notebook_cells(path: Path) -> list[str]:
    """The code cells of a notebook, without IPython's own lines.

    :raises PipelineError: the file is no notebook.
    """
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    except ValueError as e:
        raise PipelineError(
            f"{path} is not a Jupyter notebook: it is not JSON ({e}). Save it again in Jupyter."
        ) from None
    except (KeyError, TypeError):
        raise PipelineError(
            f"{path} is not a Jupyter notebook of format 4: it has no list of cells. Save it again in Jupyter."
        ) from None
    return [_without_magics(s, n) for n, s in enumerate(sources, 1)]


def _without_magics(source: str, number: int) -> str:
    """A cell as Python; the lines keep their places."""
    if source.lstrip().startswith("%%"):
        first, _, rest = source.lstrip().partition("\n")
        kind, _, target = first[2:].strip().partition(" ")
        if kind in ("writefile", "file"):
            return f"__import__({__name__!r}, fromlist=['write_cell']).write_cell({target!r}, {rest!r}, globals())"
        if kind not in _AROUND_PYTHON:
            print(f"code cell {number} is left out: it is not Python but %%{kind}", file=sys.stderr)
            return ""
        source = f"\n{rest}"
    # A line in an indented block leaves a statement behind, or the block might end up empty.
    return "\n".join(_indent(line) + "pass" if _MAGIC.search(line) else line for line in source.splitlines())


def write_cell(target: str, text: str, names: dict[str, Any]) -> None:
    """What IPython's ``%%writefile`` does: the cell becomes a file, by a path from the notebook's folder on.

    :param target: ``-a`` to append, then the path; ``$name`` and ``{name}`` in it stand for the notebook's variables.
    :raises PipelineError: it cannot be written.
    """
    append, path = target.startswith("-a "), target.removeprefix("-a ").strip().strip("\"'")
    try:
        told = _VARIABLE.sub(lambda found: str(names[found[1] or found[2]]), path)
        file = Path(names["__file__"]).parent / Path(told).expanduser()
        with file.open("a" if append else "w", encoding="utf-8") as opened:
            opened.write(text if text.endswith("\n") else f"{text}\n")
    except KeyError as e:
        raise PipelineError(f"%%writefile {target}: the notebook has no variable {e.args[0]!r} yet") from None
    except OSError as e:
        raise PipelineError(f"%%writefile {target}: {e.filename} cannot be written ({e.strerror})") from None


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
