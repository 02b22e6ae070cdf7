"""What commands print: JSON on stdout, notes on stderr, and what scripts need as the last line of stdout."""

from __future__ import annotations

import json
from datetime import datetime

import click


def note(sentence: str) -> None:
    """Tell the person something that no script reads."""
    click.echo(sentence, err=True)


def result(line: object) -> None:
    """The last line of stdout."""
    click.echo(str(line))


def as_json(value: object) -> None:
    """One line of JSON on stdout; times are ISO 8601."""
    click.echo(json.dumps(value, ensure_ascii=False, default=_plain))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
