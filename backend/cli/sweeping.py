"""`cascade sweep`: look for what is stuck and mend it, beside the beats, from cron, or to see what would be done."""

from __future__ import annotations

from pathlib import Path

import click

from backend.bootstrap import load_settings
from backend.bootstrap_parent import build_sweeper
from backend.cli import options
from backend.cli.language import language, say
from backend.cli.opening import address_of
from backend.cli.output import as_json
from backend.dispatch.sweeper import INTERVAL_SECONDS, data_of, lines_of, serve
from backend.dispatch.sweeping import Pass
from backend.domain.errors import ConfigurationError
from backend.store.schema import require_current


@click.command()
@click.option("--once", is_flag=True, help="One pass, for cron; exit code 1: it was not complete.")
@click.option(
    "--interval",
    type=click.FloatRange(0, min_open=True),
    default=INTERVAL_SECONDS,
    show_default=True,
    help="Seconds between passes.",
)
@click.option("--dry-run", "dry", is_flag=True, help="Say what would be done; change nothing.")
@options.as_json
@options.data_dir
@click.pass_context
def sweep(
    context: click.Context, once: bool, interval: float, dry: bool, as_data: bool, data_dir: Path | None
) -> None:
    """Find what is stuck, mend it, and say what was done; Ctrl-C ends it.

    A running beat does the same: this is for cron, for a second machine, and to look."""

    def tell(made: Pass) -> None:
        if as_data:
            as_json(data_of(made))
        else:
            click.echo("\n".join(lines_of(made, language())))

    settings = load_settings(data_dir=data_dir)
    # Whoever looks for what is stuck does not want a database to be made.
    if settings.embedded_database and not Path(address_of(settings.database_url)).exists():
        raise ConfigurationError("refused", sentence=say("nothing_here", data_dir=settings.data_dir))
    sweeper = build_sweeper(settings)
    try:
        require_current(sweeper.engine)
        context.exit(serve(sweeper, tell, once=once, interval=interval, dry=dry))
    finally:
        sweeper.engine.dispose()
