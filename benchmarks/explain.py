"""Every statement that the system runs in a loop, explained by MariaDB with 100,000 rows in each table that grows.

The loops really run, on tables of which a third waits. Each statement is explained right before it runs, and the server's own counters
say afterwards how many rows it read and sorted. What reads or sorts a large table fails the run, unless `EXEMPT` says why it may.
"""

from __future__ import annotations

from backend.store.migrate import upgrade
from backend.store.session import create_engine_for
from benchmarks.harness.capture import Recorder, Statement, findings, table_sizes
from benchmarks.harness.filling import fill
from benchmarks.harness.loops import Loops
from benchmarks.harness.report import Options, Report, Table, Value
from benchmarks.harness.site import Site, site
from tests.integration.api.harness import Api, build

ROWS, QUICK_ROWS = 100_000, 50_000
LARGE_SHARE = 10
TEXT_WIDTH = 110

EXEMPT: dict[str, str] = {
    "SELECT work_items.node_id, count(*)": "what is in flight: an index alone, no more than the nodes' capacities",
}
"""The beginning of a statement as the report shows it -> why it may read so much."""


def run(options: Options) -> Report:
    """Measure; a finding that is not exempt is a broken result."""
    rows = QUICK_ROWS if options.quick else ROWS
    large = rows // LARGE_SHARE
    with site("mariadb") as place:
        url = place.new_database()
        empty = create_engine_for(url, pooled=False)
        upgrade(empty)
        fill(empty, rows)
        sizes = table_sizes(empty)
        api = build(url, place.folder / "data", place.redis.url)
        try:
            recorder = _recorded(api, place)
        finally:
            api.close()
    return report_of(list(recorder.statements.values()), sizes, large, EXEMPT)


def _recorded(api: Api, place: Site) -> Recorder:
    recorder = Recorder(api.engine)
    with place.redis.client() as redis:
        for name, drive in Loops(api, redis).all.items():
            with recorder.loop(name):
                drive()
    return recorder


def report_of(
    statements: list[Statement], sizes: dict[str, int], large: int, exempt: dict[str, str]
) -> Report:
    """The statements that read most first; every finding without an exemption is broken."""
    report, used = Report(), set()
    table = Table(f"{len(statements)} statements that run in loops; a table of {large} rows is large")
    for statement in sorted(statements, key=lambda one: -one.read):
        found = findings(statement, sizes, large)
        reason = next((start for start in exempt if statement.text.startswith(start)), None)
        table.rows.append(_row(statement, found, exempt.get(reason or "", "")))
        if found and reason is not None:
            used.add(reason)
        elif found:
            report.broken.append(f"{', '.join(found)}: {statement.text}")
    table.notes = [
        "read, sorted: rows, by the server's counters, the most of the first three runs in a loop",
        "path: how each table is reached, the worst plan seen",
        *(f"the exemption of {start!r} was not needed" for start in sorted(exempt.keys() - used)),
    ]
    report.tables.append(table)
    return report


def _row(statement: Statement, found: list[str], reason: str) -> dict[str, Value]:
    verdict = "ok" if not found else f"exempt: {reason}" if reason else ", ".join(found)
    return {
        "statement": statement.text[:TEXT_WIDTH],
        "loops": ", ".join(statement.loops),
        "times": statement.times,
        "read": statement.read,
        "sorted": statement.sorted,
        "path": "; ".join(map(str, statement.plan)),
        "verdict": verdict,
    }
