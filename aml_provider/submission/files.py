"""Running a pipeline file: a Python file, or a notebook's code cells in order."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from aml_provider.spec.errors import PipelineError

# IPython's own lines: magics, shell escapes, help. They are no part of the pipeline.
_MAGIC = re.compile(r"^\s*(%|!|\?)|\?\s*$")


def run_file(path: Path) -> None:
    """Run ``path`` as a program, as ``python FILE`` would.

    :raises PipelineError: there is no such file, or it is neither a ``.py`` nor a readable ``.ipynb``.
    """
    if not path.is_file():
        raise PipelineError(f"there is no file {path}")
    if path.suffix not in (".py", ".ipynb"):
        raise PipelineError(f"{path} is neither a Python file (.py) nor a notebook (.ipynb)")
    with _as_main(path):
        if path.suffix == ".py":
            runpy.run_path(str(path), run_name="__main__")
        else:
            _run_notebook(path)


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
            code = compile(source, f"{module.__file__}, code cell {number}", "exec")
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
    except (ValueError, KeyError, TypeError) as e:
        raise PipelineError(f"{path} is not a Jupyter notebook of format 4: {type(e).__name__} {e}") from None
    return [_without_magics(s) for s in sources]


def _without_magics(source: str) -> str:
    if source.lstrip().startswith("%%"):
        return ""
    # A line in an indented block leaves a statement behind, or the block might end up empty.
    return "\n".join(_indent(line) + "pass" if _MAGIC.search(line) else line for line in source.splitlines())


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
