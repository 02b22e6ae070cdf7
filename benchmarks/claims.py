"""Claims per second of 32 processes that drain 5,000 allocations over HTTP from a parent of two processes, each once."""

from __future__ import annotations

from sqlalchemy import Engine, func, select, update

from backend.dispatch.dispatching import expand
from backend.dispatch.pump import pump
from backend.store import runs
from backend.store.session import read, transact
from backend.store.tables import Allocation, WorkItem
from benchmarks.harness.http_load import Answered, Clients, Job
from benchmarks.harness.parent import PROCESSES, Parent, parent
from benchmarks.harness.processes import Watch
from benchmarks.harness.report import (
    Aim,
    BrokenResult,
    Options,
    Report,
    Table,
    Value,
    median,
    percentile,
    ratio,
)
from benchmarks.harness.site import site
from tests.building import LIMITS, make_task
from tests.integration.api.playing import make_accounts

CLAIMERS = 32
ALLOCATIONS, QUICK_ALLOCATIONS = 5_000, 400
CLAIM = "/api/v1/wx/cascade/claim-task"
WERSS_PER_SECOND = 61.0
"""WeRSS's own parent on such a machine, in a run of another day, from one process."""
AIM_TIMES_WERSS = 6.0


def run(options: Options) -> Report:
    """Measure; an allocation that was handed out twice or never is a broken result."""
    count = QUICK_ALLOCATIONS if options.quick else ALLOCATIONS
    table = Table(f"{CLAIMERS} claimers drain {count} allocations, {options.database}")
    report, rates = Report([table]), []
    for name, nodes in (("all of one node", 1), (f"of {CLAIMERS} nodes", CLAIMERS)):
        rows = [_measure(options, count, nodes) for _ in range(options.rounds)]
        per_second = median([count / answered.seconds for answered, _ in rows])
        rates.append(per_second)
        table.rows.append(_row(name, per_second, rows))
    table.notes = [
        f"median of {options.rounds} rounds; parent: {PROCESSES} processes; claimers: forked processes on this machine",
        f"WeRSS's own parent on such a machine, measured on another day (not in this run): {WERSS_PER_SECOND:g}/s",
        "that was from one process; from two or more it hands up to a quarter out twice",
    ]
    reached = ratio(min(rates), WERSS_PER_SECOND)
    report.aims = [Aim("claims: times WeRSS's (of another day)", reached, "at least", AIM_TIMES_WERSS)]
    return report


def _row(name: str, per_second: float, rounds: list[tuple[Answered, dict[str, float]]]) -> dict[str, Value]:
    latencies = [latency for answered, _ in rounds for latency in answered.latencies]
    cpu = rounds[0][1]
    return {
        "claimers": name,
        "claims/s": round(per_second),
        "times WeRSS": ratio(per_second, WERSS_PER_SECOND),
        "p50 ms": round(percentile(latencies, 0.5) * 1000, 1),
        "p99 ms": round(percentile(latencies, 0.99) * 1000, 1),
        **{f"CPU {part} s": round(median([used[part] for _, used in rounds]), 2) for part in cpu},
    }


def _measure(options: Options, count: int, nodes: int) -> tuple[Answered, dict[str, float]]:
    with site(options.database) as place, parent(place) as asked:
        _plan(asked, count)
        headers = asked.children(nodes, -(-count // nodes))
        pump(asked.engine, None, LIMITS)
        job = Job("processes", asked.port, "POST", CLAIM, headers, CLAIMERS, body="{}")
        with Clients(job) as clients:
            groups = asked.groups(clients.process.pid)
            with Watch(lambda: (), groups) as watch:
                clients.start()
                answered = clients.result()
        _verify(asked.engine, answered, count)
        return answered, watch.cpu


def _plan(asked: Parent, count: int) -> None:
    """Items for allocations of one feed each; before there are nodes, or the running beat would place them in batches."""
    engine = asked.engine
    task_id = make_task(engine, make_accounts(engine, count))
    started = transact(
        engine, lambda session: runs.start_run(session, task_id, trigger="manual", actor="bench")
    )
    expand(engine, started.run_id)
    one_each = update(WorkItem).where(WorkItem.run_id == started.run_id).values(batch_limit=1)
    transact(engine, lambda session: session.execute(one_each))


def _states(engine: Engine) -> dict[str, int]:
    query = select(Allocation.state, func.count()).group_by(Allocation.state)
    return read(engine, lambda session: {row[0]: row[1] for row in session.execute(query)})


def _verify(engine: Engine, answered: Answered, count: int) -> None:
    twice = len(answered.given) - len(set(answered.given))
    found = _states(engine)
    if twice or len(answered.given) != count or found != {"claimed": count}:
        raise BrokenResult(
            f"of {count} allocations {len(answered.given)} were handed out, {twice} of them again; "
            f"states {found}, answers {answered.statuses}"
        )
