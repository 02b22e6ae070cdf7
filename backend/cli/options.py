"""Options that many commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

data_dir: Decorator = click.option(
    "--data-dir",
    type=click.Path(file_okay=True, path_type=Path),
    envvar="CASCADE_DATA_DIR",
    help="Where everything is kept (default: CASCADE_DATA_DIR, else var beside ./cascade).",
)
as_json: Decorator = click.option(
    "--json", "as_data", is_flag=True, help="One line of JSON instead of a table."
)
