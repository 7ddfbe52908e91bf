"""Pipeline files: Python as it is, notebooks cell by cell without IPython's own lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aml_provider.spec.errors import PipelineError
from aml_provider.submission.files import notebook_cells, run_file


def notebook(path: Path, *cells: str) -> Path:
    """A notebook with these code cells, and a text cell before each."""
    blocks = []
    for cell in cells:
        blocks.append({"cell_type": "markdown", "source": ["# words"]})
        blocks.append({"cell_type": "code", "source": cell.splitlines(keepends=True), "outputs": []})
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": blocks}))
    return path


def test_a_notebook_runs_its_code_cells_in_order(tmp_path: Path) -> None:
    """Names of one cell are there in the next; magics, shell lines and questions are passed over."""
    out = tmp_path / "out.txt"
    path = notebook(
        tmp_path / "n.ipynb",
        "%matplotlib inline\nimport os\nvalue = 20",
        "!pip install azureml-sdk\nif value:\n    %time\nvalue += 1",
        "%%bash\nexit 3",
        "len?\nfrom pathlib import Path\nname = os.path.basename(__file__)",
        f"Path({str(out)!r}).write_text(f'{{value * 2}} {{__name__}} {{name}}')",
    )
    run_file(path)
    assert out.read_text() == "42 __main__ n.ipynb"


def test_a_python_file_runs_as_a_program_with_its_folder_importable(tmp_path: Path) -> None:
    """As ``python FILE`` does: its neighbours can be imported, its main block runs."""
    (tmp_path / "neighbour_of_it.py").write_text("ANSWER = 42\n")
    out = tmp_path / "out.txt"
    (tmp_path / "p.py").write_text(
        "import sys\nfrom pathlib import Path\nfrom neighbour_of_it import ANSWER\n"
        f"if __name__ == '__main__':\n    Path({str(out)!r}).write_text(f'{{ANSWER}} {{len(sys.argv)}}')\n"
    )
    run_file(tmp_path / "p.py")
    assert out.read_text() == "42 1"


def test_files_that_are_no_pipelines_are_refused_in_words(tmp_path: Path) -> None:
    """No such file, another kind of file, a broken notebook."""
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.ipynb").write_text('{"cells": 3}')
    with pytest.raises(PipelineError, match="no file"):
        run_file(tmp_path / "none.py")
    with pytest.raises(PipelineError, match="neither a Python file"):
        run_file(tmp_path / "a.txt")
    with pytest.raises(PipelineError, match="not a Jupyter notebook"):
        notebook_cells(tmp_path / "b.ipynb")
