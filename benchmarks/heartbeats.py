"""Beats per second of 1,000 nodes over 32 connections to a parent of two processes; and whether 200 long polls slow admins down."""

from __future__ import annotations

from contextlib import ExitStack

from sqlalchemy import func, select

from backend.store.session import read
from backend.store.tables import Node
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
    best,
    median,
    percentile,
    ratio,
)
from benchmarks.harness.site import site
from tests.e2e.system import Visitor

NODES, CONNECTIONS = 1_000, 32
BEATS, QUICK_BEATS = 10_000, 1_000
POLLERS = 200
ADMIN_REQUESTS, QUICK_ADMIN_REQUESTS = 1_000, 200
HEARTBEAT = "/api/v1/wx/cascade/heartbeat"
LONG_POLL = "/api/v1/cascade/claim-task?wait=25"
ADMIN = "/api/v1/cascade/allocations?limit=20"
WERSS_PER_SECOND, WERSS_P99_MS = 112.0, 363.0
"""WeRSS's own parent on such a machine, in a run of another day."""
AIM_TIMES_WERSS, AIM_P99_SHARE, AIM_ADMIN_P99 = 8.0, 0.25, 2.0


def run(options: Options) -> Report:
    """Measure; a beat that is not answered or not counted is a broken result."""
    beats = QUICK_BEATS if options.quick else BEATS
    with site(options.database) as place, parent(place) as asked:
        headers = asked.children(NODES, 10)
        _beat(asked, headers, NODES)
        rounds = [_beat(asked, headers, beats) for _ in range(options.rounds)]
        admin = QUICK_ADMIN_REQUESTS if options.quick else ADMIN_REQUESTS
        idle, polled, polls = _admins(asked, headers, admin, options.rounds)
    report = Report()
    _report_beats(report, rounds, beats, options)
    _report_admins(report, idle, polled, polls)
    return report


def _beat(asked: Parent, headers: list[dict[str, str]], count: int) -> tuple[Answered, dict[str, float]]:
    before = _counted(asked)
    job = Job("asyncio", asked.port, "POST", HEARTBEAT, headers, CONNECTIONS, count, "{}")
    with Clients(job) as clients, Watch(lambda: (), asked.groups(clients.process.pid)) as watch:
        clients.start()
        answered = clients.result()
    counted = _counted(asked) - before
    if answered.statuses != {"200": count} or counted != count:
        raise BrokenResult(f"of {count} beats {counted} were counted; answers {answered.statuses}")
    return answered, watch.cpu


def _counted(asked: Parent) -> int:
    query = select(func.sum(Node.beat_count)).where(Node.transport == "remote")
    return int(read(asked.engine, lambda session: session.scalar(query)) or 0)


def _admins(
    asked: Parent, headers: list[dict[str, str]], count: int, rounds: int
) -> tuple[list[float], list[float], dict[str, int]]:
    """The p99 of each round, idle and with long polls, in turns; and the last answers that the pollers got."""
    idle, polled, answers = [], [], {}
    with Visitor(asked.running.url) as visitor:
        visitor.log_in()
        token = str(visitor.session.headers["Authorization"])
    _ask_as_admin(asked, token, count)
    for _ in range(rounds):
        idle.append(_ask_as_admin(asked, token, count))
        with ExitStack() as stack:
            job = Job("asyncio", asked.port, "POST", LONG_POLL, headers[:POLLERS], POLLERS, body="{}")
            pollers = stack.enter_context(Clients(job))
            pollers.start()
            # The first answers of those that found no place to wait in.
            _ask_as_admin(asked, token, count)
            polled.append(_ask_as_admin(asked, token, count))
            answers = pollers.stop().statuses
    return idle, polled, answers


def _ask_as_admin(asked: Parent, token: str, count: int) -> float:
    job = Job("asyncio", asked.port, "GET", ADMIN, [{"Authorization": token}], 1, count)
    with Clients(job) as clients:
        clients.start()
        answered = clients.result()
    if answered.statuses != {"200": count}:
        raise BrokenResult(f"admin requests were answered {answered.statuses}")
    return percentile(answered.latencies, 0.99)


def _report_beats(
    report: Report, rounds: list[tuple[Answered, dict[str, float]]], beats: int, options: Options
) -> None:
    rates = [beats / answered.seconds for answered, _ in rounds]
    p99 = [percentile(answered.latencies, 0.99) * 1000 for answered, _ in rounds]
    row: dict[str, Value] = {
        "beats/s": round(median(rates)),
        "times WeRSS": ratio(median(rates), WERSS_PER_SECOND),
        "p50 ms": round(median([percentile(one.latencies, 0.5) * 1000 for one, _ in rounds]), 1),
        "p99 ms": round(median(p99), 1),
        "p99 / WeRSS's": ratio(median(p99), WERSS_P99_MS),
        **{f"CPU {part} s": round(median([cpu[part] for _, cpu in rounds]), 2) for part in rounds[0][1]},
    }
    title = f"{beats} beats of {NODES} nodes, {CONNECTIONS} connections, {options.database}"
    notes = [
        f"median of {options.rounds} rounds; parent: {PROCESSES} processes",
        "WeRSS's own parent was measured on another day on such a machine (not in this run)",
        f"it made {WERSS_PER_SECOND:g}/s with a p99 of {WERSS_P99_MS:g} ms",
    ]
    report.tables.append(Table(title, [row], notes))
    report.aims += [
        Aim(
            "heartbeats: times WeRSS's beats/s (of another day)",
            ratio(median(rates), WERSS_PER_SECOND),
            "at least",
            AIM_TIMES_WERSS,
        ),
        Aim(
            "heartbeats: p99 / WeRSS's (of another day)",
            ratio(median(p99), WERSS_P99_MS),
            "at most",
            AIM_P99_SHARE,
        ),
    ]


def _report_admins(report: Report, idle: list[float], polled: list[float], polls: dict[str, int]) -> None:
    reached = ratio(median(polled), median(idle))
    rows: list[dict[str, Value]] = [
        {
            "admin requests while": name,
            "p99 ms": round(median(values) * 1000, 1),
            "best p99 ms": round(best(values) * 1000, 1),
            "p99 / idle": ratio(median(values), median(idle)),
        }
        for name, values in (("idle", idle), (f"{POLLERS} children poll", polled))
    ]
    notes = [
        f"one connection asks for {ADMIN}; median over rounds of each round's p99",
        f"what the polling children were answered meanwhile, by status: {polls}; who finds no place to wait comes again when told",
    ]
    report.tables.append(Table("admin requests beside long polls", rows, notes))
    report.aims.append(Aim("heartbeats: admin p99 with long polls / idle", reached, "at most", AIM_ADMIN_P99))
