"""Tables on stdout, for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from backend.cli.output import as_json

WIDEST = 10_000


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table on stdout, as wide as the terminal; elsewhere as wide as its content."""
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # An identifier that is broken over two lines can't be copied.
        drawn.add_column(column, overflow="fold", no_wrap=column.endswith("id"))
    for row in rows:
        # Text, not a string: names of feeds may hold what rich would take for markup.
        drawn.add_row(*(Text(_cell(value)) for value in row))
    console = Console(file=sys.stdout, soft_wrap=False)
    if not console.is_terminal:
        console.width = console.measure(drawn, options=console.options.update(width=WIDEST)).maximum
    console.print(drawn)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S UTC")
    return str(value)


def listing(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, as_data: bool) -> None:
    """The rows as one line of JSON, or as a table of the named columns."""
    if as_data:
        as_json([dict(row) for row in rows])
    else:
        table(columns, [[row.get(column) for column in columns] for row in rows])
