"""`cascade feed`: add, import, list, pause and resume."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine

from backend.bootstrap import SOURCES
from backend.cli import options
from backend.cli.language import language, say
from backend.cli.main import sentence_of
from backend.cli.opening import opened
from backend.cli.output import note, result
from backend.cli.tables import listing
from backend.domain.errors import CascadeError, ConfigurationError, InvalidInput
from backend.domain.feeds import FeedDraft, draft_feed
from backend.domain.opml import parse_opml
from backend.store.feeds import FeedView, create_feed, feeds_after, import_feeds, update_feed
from backend.store.session import read, transact

MAXIMUM_FILE_BYTES = 20 * 1024 * 1024
PAGE = 1000
COLUMNS = ("id", "kind", "name", "url", "is_active", "collected_at", "next_check_at", "error_message")


@click.group()
def feed() -> None:
    """Add, import, list, pause and resume feeds."""


@feed.command()
@click.argument("url")
@click.option("--name", default="", help="What to call it (default: its host, later its own title).")
@click.option("--kind", default="rss", show_default=True, help="The kind of source.")
@options.data_dir
def add(url: str, name: str, kind: str, data_dir: Path | None) -> None:
    """Add one feed; its id is the last line."""
    draft = draft_feed(url, kind=kind, name=name, known_kinds=known_kinds())
    with opened(data_dir) as place:
        result(transact(place.engine, lambda session: create_feed(session, draft)).id)


@feed.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@options.data_dir
def import_(file: Path, data_dir: Path | None) -> None:
    """Import the feeds of an OPML file (- for stdin); the number of added ones is the last line."""
    found = parse_opml(_content(file))
    drafts: list[FeedDraft] = []
    refused: list[tuple[int, str, CascadeError]] = [
        (entry.line, entry.title or entry.url, entry.trouble) for entry in found.refused
    ]
    for entry in found.entries:
        try:
            drafts.append(draft_feed(entry.url, kind="rss", name=entry.title, known_kinds=known_kinds()))
        except InvalidInput as error:
            refused.append((entry.line, entry.url, error))
    with opened(data_dir) as place:
        count = transact(place.engine, lambda session: import_feeds(session, drafts))
    for line, what, trouble in sorted(refused, key=lambda one: one[0]):
        note(f"{file}:{line}: {what}: {sentence_of(trouble, language())}")
    note(say("feeds_imported", added=count.added, existing=count.existing, refused=len(refused)))
    result(count.added)


@feed.command()
@click.argument("feed_id")
@options.data_dir
def pause(feed_id: str, data_dir: Path | None) -> None:
    """Stop collecting a feed; it is kept with its articles."""
    _switch(feed_id, data_dir, on=False)


@feed.command()
@click.argument("feed_id")
@options.data_dir
def resume(feed_id: str, data_dir: Path | None) -> None:
    """Collect a feed again, also one that was gone or waits for its next check."""
    _switch(feed_id, data_dir, on=True)


def _switch(feed_id: str, data_dir: Path | None, *, on: bool) -> None:
    with opened(data_dir) as place:
        transact(place.engine, lambda session: update_feed(session, feed_id, is_active=on))


@feed.command("list")
@options.as_json
@options.data_dir
def list_(as_data: bool, data_dir: Path | None) -> None:
    """List every feed."""
    with opened(data_dir) as place:
        rows = [_row(one) for one in every_feed(place.engine)]
    listing(COLUMNS, rows, as_data=as_data)


def every_feed(engine: Engine) -> list[FeedView]:
    """All feeds, read in short transactions."""
    found: list[FeedView] = []
    while True:
        last = found[-1].id if found else ""
        page = read(engine, lambda session, last=last: feeds_after(session, last, PAGE))  # type: ignore[misc]
        found += page
        if len(page) < PAGE:
            return found


def known_kinds() -> set[str]:
    """The kinds of source that are installed."""
    return {entry.name for entry in entry_points(group=SOURCES)}


def _content(file: Path) -> bytes:
    try:
        with click.open_file(str(file), "rb") as opened_file:
            content: bytes = opened_file.read(MAXIMUM_FILE_BYTES + 1)
    except OSError as error:
        detail = error.strerror or str(error)
        raise ConfigurationError("unreadable_file", path=file, detail=detail) from error
    if len(content) > MAXIMUM_FILE_BYTES:
        detail = f"more than {MAXIMUM_FILE_BYTES} bytes"
        raise ConfigurationError("unreadable_file", path=file, detail=detail)
    return content


def _row(view: FeedView) -> dict[str, Any]:
    return asdict(view)
