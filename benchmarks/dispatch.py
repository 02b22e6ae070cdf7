"""Items per second from dispatch-task to committed and enqueued allocations, at 1,000, 10,000 and 100,000 feeds.

One node of capacity 100 for each 100 feeds, so that every item is placed and an allocation has the same size everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from backend.dispatch.dispatching import DispatchReport, dispatch_tasks
from backend.dispatch.pump import Limits
from backend.domain.identifiers import new_id
from backend.store import nodes
from backend.store.columns import now
from backend.store.session import read, transact
from backend.store.tables import Allocation, Base, History, Node, Run, WorkItem
from benchmarks.harness import system
from benchmarks.harness.processes import cpu_seconds
from benchmarks.harness.report import Aim, BrokenResult, Options, Report, Table, Value, best, median, ratio
from benchmarks.harness.site import Site, site

SIZES, QUICK_SIZES = (1_000, 10_000, 100_000), (200, 1_000, 2_000)
CAPACITY = 100
LIMITS = Limits(work_seconds=120.0)
WERSS = {1_000: 90.0, 10_000: 28.0}
"""WeRSS's own parent on such a machine, in a run of another day: items per second by feeds."""
AIM_TIMES_WERSS = 50.0
AIM_LINEAR = 1.3


@dataclass
class Measured:
    """The rounds of one size."""

    seconds: list[float] = field(default_factory=list)
    own_cpu: list[float] = field(default_factory=list)
    database_cpu: list[float] = field(default_factory=list)
    allocations: int = 0


def run(options: Options) -> Report:
    """Measure."""
    sizes = QUICK_SIZES if options.quick else SIZES
    with site(options.database) as place:
        engine = place.migrated_engine()
        try:
            found = _measure(place, engine, sizes, options.rounds)
        finally:
            engine.dispose()
    table = Table(f"dispatch, {options.database}", _rows(found))
    table.notes = [
        f"median of {options.rounds} rounds, sizes in turns; the best round gives the ratio per item",
        "WeRSS's own parent on such a machine, measured on another day (not in this run): "
        + ", ".join(f"{rate:g}/s at {size:,}" for size, rate in WERSS.items()),
    ]
    return Report([table], _aims(found))


def _measure(place: Site, engine: Engine, sizes: Sequence[int], rounds: int) -> dict[int, Measured]:
    tasks = {size: _task_of(engine, size) for size in sizes}
    found = {size: Measured() for size in sizes}
    _dispatch(place, engine, tasks[min(sizes)], min(sizes), Measured())
    for _ in range(rounds):
        for size in sizes:
            _dispatch(place, engine, tasks[size], size, found[size])
    return found


def _task_of(engine: Engine, size: int) -> str:
    unique = new_id()[-12:]
    return system.make_task(engine, [f"https://feeds.example/{unique}/{number}" for number in range(size)])


def _dispatch(place: Site, engine: Engine, task_id: str, size: int, measured: Measured) -> None:
    _clear(engine)
    _make_nodes(engine, -(-size // CAPACITY))
    with place.redis.client() as redis:
        redis.flushall()
        before = cpu_seconds(place.database_pids())
        own, begin = time.process_time(), time.perf_counter()
        report = dispatch_tasks(engine, redis, limits=LIMITS, task_id=task_id, actor="bench")
        measured.seconds.append(time.perf_counter() - begin)
        measured.own_cpu.append(time.process_time() - own)
        measured.database_cpu.append(cpu_seconds(place.database_pids()) - before)
    measured.allocations = report.allocations_created
    _verify(engine, size, report)


def _clear(engine: Engine) -> None:
    tables: tuple[type[Base], ...] = (WorkItem, Allocation, Run, History, Node)
    truncate = "TRUNCATE TABLE" if engine.dialect.name == "mysql" else "DELETE FROM"
    with engine.begin() as connection:
        for table in tables:
            connection.exec_driver_sql(f"{truncate} {table.__tablename__}")


def _make_nodes(engine: Engine, count: int) -> None:
    def make(session: Session) -> None:
        for number in range(count):
            nodes.ensure_attached(session, f"node-{number}", CAPACITY)
        session.flush()
        # Nobody beats here: their last beat lies ahead, so that they stay available however long this takes.
        session.execute(update(Node).values(presence_at=now(3600), workers_alive=2))

    transact(engine, make)


def _verify(engine: Engine, size: int, report: DispatchReport) -> None:
    items = select(func.count()).where(WorkItem.state == "assigned", WorkItem.allocation_id.is_not(None))
    made = select(func.count()).select_from(Allocation)
    found = read(engine, lambda session: (session.scalar(items), session.scalar(made)))
    if found != (size, report.allocations_created):
        raise BrokenResult(f"of {size} items there are (assigned, allocations) {found}: {report}")


def _rows(found: dict[int, Measured]) -> list[dict[str, Value]]:
    smallest = min(found)
    base = best(found[smallest].seconds) / smallest
    rows: list[dict[str, Value]] = []
    for size, one in found.items():
        rate = size / median(one.seconds)
        rows.append(
            {
                "feeds": size,
                "allocations": one.allocations,
                "items/s": round(rate),
                "times WeRSS": ratio(rate, WERSS[size]) if size in WERSS else None,
                "time per item / smallest": ratio(best(one.seconds) / size, base),
                "CPU own s": round(median(one.own_cpu), 2),
                "CPU database s": round(median(one.database_cpu), 2),
            }
        )
    return rows


def _aims(found: dict[int, Measured]) -> list[Aim]:
    aims = [
        Aim(
            f"dispatch, {size:,} feeds: times WeRSS's items/s (of another day)",
            ratio(size / median(found[size].seconds), rate),
            "at least",
            AIM_TIMES_WERSS,
        )
        for size, rate in WERSS.items()
        if size in found
    ]
    small, large = min(found), max(found)
    growth = ratio(best(found[large].seconds) / large, best(found[small].seconds) / small)
    return [*aims, Aim("dispatch: time per item, largest / smallest", growth, "at most", AIM_LINEAR)]
