"""From the dispatch request of one feed to its begin in a worker, while the system is idle and under load.

Load: half of all slots are busy with slow feeds, whose runs are dispatched again as soon as they end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select

from backend.domain.identifiers import new_id
from backend.store.columns import now
from backend.store.session import read
from backend.store.tables import Allocation
from benchmarks.harness import system
from benchmarks.harness.feed_server import FeedServer
from benchmarks.harness.ours import Cascade
from benchmarks.harness.report import Aim, Options, Report, Table, Value, percentile
from benchmarks.harness.site import site
from tests.e2e.system import Visitor

PROBES, QUICK_PROBES = 200, 20
SLOTS = 200
BUSY_FEEDS = SLOTS // 2
BUSY_SECONDS = 1.0
PAUSE_SECONDS = 0.05
AIM_P50_IDLE_MS = 50.0


def run(options: Options) -> Report:
    """Measure."""
    probes = QUICK_PROBES if options.quick else PROBES
    with (
        site(options.database) as place,
        FeedServer(BUSY_FEEDS + 1) as server,
        Cascade(place, server, SLOTS, options) as ours,
    ):
        task_id = system.make_task(ours.engine, [server.url(BUSY_FEEDS, "probe", 0)])
        _probe(ours, task_id)
        idle = [_probe(ours, task_id) for _ in range(probes)]
        with _busy(ours, server):
            loaded = [_probe(ours, task_id) for _ in range(probes)]
    table = Table(f"dispatch-task to begin, {probes} probes, {options.database}")
    table.rows = [_row("idle", idle), _row(f"{BUSY_FEEDS} of {SLOTS} slots busy", loaded)]
    table.notes = [
        "begin: what the database's clock says of the allocation's start",
        "answered: until the dispatch request is answered; it plans and enqueues before",
    ]
    p50 = round(percentile([begun for begun, _ in idle], 0.5) * 1000, 1)
    return Report([table], [Aim("latency: p50 idle, ms", p50, "at most", AIM_P50_IDLE_MS)])


def _row(name: str, probes: list[tuple[float, float]]) -> dict[str, Value]:
    row: dict[str, Value] = {"name": name}
    for column, values in (
        ("begin", [begun for begun, _ in probes]),
        ("answered", [answered for _, answered in probes]),
    ):
        for share in (0.5, 0.99):
            row[f"{column} p{share * 100:.0f} ms"] = round(percentile(values, share) * 1000, 1)
    return row


def _probe(ours: Cascade, task_id: str) -> tuple[float, float]:
    """Seconds to the begin and to the answer."""
    time.sleep(PAUSE_SECONDS)
    asked = read(ours.engine, lambda session: session.scalar(select(now())))
    assert asked is not None
    collected = system.collect(ours.engine, ours.visitor, task_id)
    query = select(Allocation.started_at).where(Allocation.run_id == collected.run_id)
    started = read(ours.engine, lambda session: session.scalar(query))
    assert started is not None
    return (started - asked).total_seconds(), collected.answered


@contextmanager
def _busy(ours: Cascade, server: FeedServer) -> Iterator[None]:
    unique = new_id()[-12:]
    urls = [server.url(number, f"{unique}-{number}", BUSY_SECONDS) for number in range(BUSY_FEEDS)]
    task_id = system.make_task(ours.engine, urls)
    stop = threading.Event()

    def keep_busy() -> None:
        with Visitor(ours.running.url) as visitor:
            visitor.log_in()
            while not stop.is_set():
                system.collect(ours.engine, visitor, task_id)

    thread = threading.Thread(target=keep_busy, name="load")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
