"""Rows in aligned columns, for eyes on a terminal and for programs behind a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

Row = Sequence[str]


def print_table(header: Row, rows: Sequence[Row], colors: dict[str, str] | None = None) -> None:
    """Print rows; a cell of the last column may have several lines.

    On a terminal its text is folded to fit. Behind a pipe every line is as long as it is: nothing is folded or cut.

    :param colors: text of a cell -> the colour it has on a terminal.
    """
    if sys.stdout.isatty():
        _on_terminal(header, rows, colors or {})
        return
    cells = [header, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header) - 1)]
    indent = " " * sum(width + 2 for width in widths)
    for row in cells:
        first, *more = row[-1].split("\n")
        start = "".join(f"{cell:<{width}}  " for cell, width in zip(row, widths, strict=False))
        for line in (start + first, *(indent + line for line in more)):
            print(line.rstrip())


def _on_terminal(header: Row, rows: Sequence[Row], colors: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in header[:-1]:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    table.add_column(header[-1], overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=colors.get(cell, "")) for cell in row))
    Console().print(table)
