"""A pass of the sweeper over 1,000 stuck allocations, with 1,000,000 finished ones beside them and with 10,000."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from redis import Redis
from sqlalchemy import Engine, event

from backend.dispatch.sweeping import Sweeper
from benchmarks.harness import stuck
from benchmarks.harness.report import Aim, BrokenResult, Options, Report, Table, Value, best, median, ratio
from benchmarks.harness.site import site

FEW, MANY = 10_000, 1_000_000
QUICK_FEW, QUICK_MANY = 1_000, 20_000
AIM_RATIO = 1.5
MENDED = {
    "sweep_expired": stuck.EXPIRED,
    "sweep_gone": stuck.STRANDED,
    "sweep_lost": stuck.LOST,
    "sweep_due_items": stuck.DUE,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One pass: its statements, the rows that the server read for them, and its seconds."""

    statements: int
    rows: int
    seconds: float


def run(options: Options) -> Report:
    """Measure; a pass that mends less or more than is stuck is a broken result."""
    sizes = (QUICK_FEW, QUICK_MANY) if options.quick else (FEW, MANY)
    measured, idle = {}, {}
    with site("mariadb") as place, place.redis.client() as redis:
        for finished in sizes:
            engine = place.migrated_engine()
            served, gone = stuck.make_nodes(engine)
            stuck.fill_finished(engine, finished, served)
            measured[finished] = [
                _round(engine, redis, number, served, gone) for number in range(options.rounds + 1)
            ][1:]
            stuck.clear_stuck(engine)
            stuck.refresh(engine)
            idle[finished] = [_pass(engine, _sweeper(engine, redis), {}) for _ in range(options.rounds)]
            engine.dispose()
    return _report(measured, idle, options)


def _round(engine: Engine, redis: Redis, number: int, served: str, gone: str) -> Measured:
    """The first one warms up the server; it is not counted."""
    redis.flushall()
    stuck.clear_stuck(engine)
    stuck.make_stuck(engine, number, served, gone)
    stuck.refresh(engine)
    sweeper = _sweeper(engine, redis)
    sweeper.look_ahead()
    return _pass(engine, sweeper, MENDED)


def _sweeper(engine: Engine, redis: Redis) -> Sweeper:
    return Sweeper(engine, redis, delivery_attempts=6, work_seconds=120.0)


def _pass(engine: Engine, sweeper: Sweeper, mended: dict[str, int]) -> Measured:
    before = _rows_read(engine)
    with _counted(engine) as statements:
        begin = time.perf_counter()
        made = sweeper.sweep()
        seconds = time.perf_counter() - begin
    found = {one.name: one.mended for one in made.findings if one.name in MENDED and one.mended}
    if found != mended or not made.complete:
        raise BrokenResult(f"a pass mended {found}; away: {made.away}, broken: {made.broken}")
    return Measured(len(statements), _rows_read(engine) - before, seconds)


def _rows_read(engine: Engine) -> int:
    with engine.connect() as connection:
        shown = connection.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Handler_read%%'")
        return sum(int(row[1]) for row in shown)


@contextmanager
def _counted(engine: Engine) -> Iterator[list[str]]:
    seen: list[str] = []

    def count(_connection: object, _cursor: object, text: str, *_: object) -> None:
        seen.append(text)

    event.listen(engine, "before_cursor_execute", count)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", count)


def _report(measured: dict[int, list[Measured]], idle: dict[int, list[Measured]], options: Options) -> Report:
    few, many = sorted(measured)
    report = Report()
    for title, rounds in (
        (f"a pass over {stuck.STUCK} stuck ones", measured),
        ("a pass with nothing to do", idle),
    ):
        base = rounds[few]
        report.tables.append(Table(title, [_row(size, rounds[size], base) for size in (few, many)]))
    kinds = ", ".join(
        (
            f"{stuck.EXPIRED} expired leases",
            f"{stuck.STRANDED} in the queue of a gone node",
            f"{stuck.LOST} that Redis lost",
            f"{stuck.DUE} items whose wait is over",
        )
    )
    report.tables[-1].notes = [
        f"median of {options.rounds} rounds on MariaDB; rows: what the whole server read meanwhile",
        f"stuck: {kinds}",
    ]
    for name, value in (("statements", "statements"), ("rows read", "rows"), ("seconds", "seconds")):
        reached = ratio(_median(measured[many], value), _median(measured[few], value))
        report.aims.append(
            Aim(f"sweeper: {name} with {many} finished / with {few}", reached, "at most", AIM_RATIO)
        )
    return report


def _median(rounds: list[Measured], name: str) -> float:
    return median([float(getattr(one, name)) for one in rounds])


def _row(size: int, rounds: list[Measured], base: list[Measured]) -> dict[str, Value]:
    return {
        "finished": size,
        "statements": round(_median(rounds, "statements")),
        "rows read": round(_median(rounds, "rows")),
        "ms": round(_median(rounds, "seconds") * 1000, 1),
        "best ms": round(best([one.seconds for one in rounds]) * 1000, 1),
        "statements ratio": ratio(_median(rounds, "statements"), _median(base, "statements")),
        "rows ratio": ratio(_median(rounds, "rows"), max(1.0, _median(base, "rows"))),
        "ms ratio": ratio(_median(rounds, "seconds"), _median(base, "seconds")),
    }
