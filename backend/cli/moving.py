"""`cascade import-werss`: what is in a WeRSS database moves in."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

from backend.cli import options
from backend.cli.language import language, say
from backend.cli.opening import opened
from backend.cli.output import as_json, note, result
from backend.cli.tables import table
from backend.cli.werss_database import TABLES, opened_werss
from backend.cli.werss_import import Tally, WerssImport
from backend.domain.errors import InvalidInput
from backend.domain.schedules import check_time_zone

EXAMPLES = 3
TOTALS = ("what", "taken", "already here", "left")


@click.command("import-werss")
@click.argument("database_url", envvar="WERSS_DATABASE_URL")
@click.option("--apply", "applied", is_flag=True, help="Write; without it nothing is written.")
@click.option("--dry-run", is_flag=True, help="Only say what would be taken (the default).")
@click.option(
    "--time-zone",
    default="Asia/Shanghai",
    show_default=True,
    help="The zone of the WeRSS server: of its times without zone and of its schedules.",
)
@click.option(
    "--tables",
    "chosen",
    default=",".join(TABLES),
    show_default=True,
    help="What to take, separated by commas.",
)
@options.as_json
@options.data_dir
def import_werss(
    database_url: str,
    applied: bool,
    dry_run: bool,
    time_zone: str,
    chosen: str,
    as_data: bool,
    data_dir: Path | None,
) -> None:
    """Import the feeds, articles, users, child nodes and message tasks of a WeRSS database.

    DATABASE_URL (or WERSS_DATABASE_URL in the environment, where no process list shows it) is what the DB setting
    of WeRSS says, such as sqlite:///data/db.db. The source is only read. What is here already, by its id, is never
    touched, so running it again adds what is new and changes nothing. The number of rows taken is the last line.
    """
    if applied and dry_run:
        raise click.UsageError("--apply and --dry-run exclude each other.")
    kinds = _kinds(chosen)
    zone = check_time_zone(time_zone)
    with opened_werss(database_url) as source, opened(data_dir) as place:
        tallies = WerssImport(source, place.engine, place.cipher, zone, applied=applied).run(kinds)
    if as_data:
        as_json({"applied": applied, "tables": {one.kind: _data(one) for one in tallies}})
    else:
        _show(tallies)
        result(sum(one.taken for one in tallies))
    if not applied:
        note(say("nothing_written"))


def _kinds(chosen: str) -> list[str]:
    wanted = [one.strip() for one in chosen.split(",") if one.strip()]
    unknown = [one for one in wanted if one not in TABLES]
    if unknown or not wanted:
        raise InvalidInput(
            "werss_unknown_table", name=(unknown or [chosen or "''"])[0], existing=", ".join(TABLES)
        )
    # Feeds before what belongs to them; tasks last, so that none fires before the articles are known.
    return [one for one in TABLES if one in wanted]


def _data(tally: Tally) -> dict[str, Any]:
    return {
        "taken": tally.taken,
        "already_here": tally.already,
        "left": [_row(one) for one in tally.left],
        "remarks": [_row(one) for one in tally.remarks],
    }


def _row(one: Any) -> dict[str, str]:
    return {"id": one.id, "name": one.name, "code": one.why.code, "reason": one.why.sentence(language())}


def _show(tallies: list[Tally]) -> None:
    table(TOTALS, [(one.kind, one.taken, one.already, len(one.left)) for one in tallies])
    for title, rows in (
        (say("werss_left"), [(one.kind, row) for one in tallies for row in one.left]),
        (say("werss_remarks"), [(one.kind, row) for one in tallies for row in one.remarks]),
    ):
        if rows:
            click.echo()
            table(("what", "rows", "why", "for example"), _grouped(rows), title=title)


def _grouped(rows: list[tuple[str, Any]]) -> list[tuple[str, int, str, str]]:
    """Rows with the same reason as one line: there may be many thousands."""
    counts = Counter((kind, row.why.sentence(language())) for kind, row in rows)
    examples: dict[tuple[str, str], list[str]] = {}
    for kind, row in rows:
        found = examples.setdefault((kind, row.why.sentence(language())), [])
        if len(found) < EXAMPLES:
            found.append(f"{row.name} ({row.id})" if row.name else row.id)
    return [(kind, count, why, ", ".join(examples[kind, why])) for (kind, why), count in counts.items()]
