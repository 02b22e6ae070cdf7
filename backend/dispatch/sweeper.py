"""The sweeper process: makes passes until it is told to stop, beside the beats or from cron.

`python -m backend.dispatch.sweeper [--once] [--interval 15] [--dry-run] [--json]`
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from backend import bootstrap, bootstrap_parent, metrics
from backend.dispatch.sweeping import line_of
from backend.domain.errors import CascadeError, Unavailable
from backend.domain.messages import render
from backend.store.schema import require_current

if TYPE_CHECKING:
    from backend.dispatch.sweeping import Pass, Sweeper

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 15.0
# Between the two looks of a single pass: longer than a worker needs from taking a job to beginning its work.
LOOKS_APART_SECONDS = 3.0

AWAY = {"redis": "sweep_without_redis", "database": "sweep_without_database"}

Tell = Callable[["Pass"], None]


def sweep_once(sweeper: Sweeper, stop: threading.Event, *, dry: bool) -> Pass:
    """A pass by itself: what must be seen twice is looked at twice."""
    try:
        if sweeper.look_ahead():
            stop.wait(LOOKS_APART_SECONDS)
    except (Unavailable, RedisError) as error:
        # The pass says so itself.
        log.debug("the first look failed: %s", error)
    return sweeper.sweep(dry=dry)


def sweep_often(sweeper: Sweeper, stop: threading.Event, tell: Tell, interval: float, *, dry: bool) -> None:
    """Passes until told to stop; what is away is tried again with the next one."""
    while not stop.is_set():
        tell(sweeper.sweep(dry=dry))
        stop.wait(interval)


def serve(sweeper: Sweeper, tell: Tell, *, once: bool, interval: float, dry: bool) -> int:
    """Sweep until SIGTERM or SIGINT, or once; 1 when a single pass could not look at everything."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if not once:
        sweep_often(sweeper, stop, tell, interval, dry=dry)
        return 0
    made = sweep_once(sweeper, stop, dry=dry)
    tell(made)
    return 0 if made.complete else 1


def lines_of(made: Pass, language: str) -> list[str]:
    """What a pass says: a line for each repair that found something, and one for all."""
    lines = [line_of(one, language, dry=made.dry) for one in made.found]
    lines += [render(AWAY[part], language, {}) for part in made.away]
    lines += [render("sweep_broken", language, {"what": render(name, language, {})}) for name in made.broken]
    mended = sum(one.mended for one in made.findings)
    counts = {"repairs": len(made.findings), "found": len(made.found), "mended": mended}
    return [*lines, render("sweep_dry_total" if made.dry else "sweep_total", language, counts)]


def data_of(made: Pass) -> dict[str, Any]:
    """The pass for scripts."""
    return asdict(made) | {"complete": made.complete}


def _tell(made: Pass, *, as_json: bool) -> None:
    text = json.dumps(data_of(made)) if as_json else "\n".join(lines_of(made, "en"))
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m backend.dispatch.sweeper", description=__doc__)
    parser.add_argument(
        "--once", action="store_true", help="one pass, for cron; exit code 1: it was not complete"
    )
    parser.add_argument("--interval", type=float, default=INTERVAL_SECONDS, help="seconds between passes")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done; change nothing")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each pass")
    chosen = parser.parse_args(arguments)
    if chosen.interval <= 0:
        parser.error("--interval must be above 0")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sweeper process: 0 after a stop or a whole pass, 1 after an incomplete one, 2 when it can't start."""
    chosen = _options(sys.argv[1:] if arguments is None else arguments)
    try:
        settings = bootstrap.load_settings()
        bootstrap.configure_logging(settings, "sweeper")
        metrics.share(settings.metrics_dir)
        sweeper = bootstrap_parent.build_sweeper(settings)
        require_current(sweeper.engine)
        code = serve(
            sweeper,
            lambda made: _tell(made, as_json=chosen.json),
            once=chosen.once,
            interval=chosen.interval,
            dry=chosen.dry_run,
        )
        # As in the beat: a stop does not wait for the last collections.
        gc.freeze()
    except CascadeError as error:
        log.error("%s", error)  # noqa: TRY400
        return 2
    return code


if __name__ == "__main__":
    sys.exit(main())
