"""200 remote children on one parent: from a claim's answer to the order in hand, and the parent's CPU for each allocation, beside 10."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sqlalchemy import func, select

from backend.store.session import read
from backend.store.tables import Allocation
from benchmarks.harness import system
from benchmarks.harness.child_load import Children, Seen
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
    with_ratios,
)
from benchmarks.harness.site import site
from tests.e2e.system import Visitor

MANY, FEW = 200, 10
WAVES = {MANY: 8, FEW: 15}
QUICK_WAVES = 2
# All are back at their polls by then.
PAUSE_SECONDS = 0.3
AIM_CPU_RATIO = 2.0


@dataclass
class Measured:
    """One measurement: what the children saw, seconds from each allocation's making to its begin, and CPU seconds by part."""

    seen: Seen
    waits: list[float]
    cpu: dict[str, float] = field(default_factory=dict)

    @property
    def cpu_each(self) -> float:
        """The parent's CPU for each allocation, in milliseconds."""
        return self.cpu["parent"] * 1000 / len(self.waits)


def run(options: Options) -> Report:
    """Measure; work that is handed out twice, refused or not done is a broken result."""
    table = Table(f"dispatches of one allocation for each child, {options.database}")
    rows: list[dict[str, Value]] = []
    for children in (FEW, MANY):
        rounds = [
            _measure(options, children, QUICK_WAVES if options.quick else WAVES[children])
            for _ in range(options.rounds)
        ]
        rows.append(_row(f"{children} children", rounds))
    base = f"{FEW} children"
    for column in ("claim to begin p50 ms", "claim to begin p99 ms", "parent CPU ms"):
        rows = with_ratios(rows, column, base)
    table.rows = rows
    table.notes = [
        f"median of {options.rounds} rounds; parent: {PROCESSES} processes; all children poll when a dispatch makes work for them",
        "claim to begin: from the answer that hands work out to the answer with its order, with everybody else's at the same moment",
        "waited: from the commit that made the allocation to its begin, by the database's clock; who finds no place to wait at the parent asks again after its Retry-After",
        "parent CPU: user and system time of the HTTP processes for each allocation, with its share of polls, beats and dispatches",
    ]
    reached = float(rows[1]["parent CPU ms ratio"] or 0)
    aim = Aim(f"children: parent CPU of {MANY} / {FEW}", reached, "at most", AIM_CPU_RATIO)
    return Report([table], [aim])


def _row(name: str, rounds: list[Measured]) -> dict[str, Value]:
    row: dict[str, Value] = {"name": name}
    for column, lists in (
        ("claim to begin", [one.seen.begins for one in rounds]),
        ("settle", [one.seen.settles for one in rounds]),
        ("waited", [one.waits for one in rounds]),
    ):
        for share in (0.5, 0.99):
            found = median([percentile(values, share) for values in lists])
            row[f"{column} p{share * 100:.0f} ms"] = round(found * 1000, 1)
    row["asked again"] = round(median([_again(one.seen) for one in rounds]))
    row["parent CPU ms"] = round(median([one.cpu_each for one in rounds]), 2)
    for part in ("beat", "database", "clients"):
        row[f"CPU {part} s"] = round(median([one.cpu[part] for one in rounds]), 2)
    return row


def _again(seen: Seen) -> int:
    return sum(count for status, count in seen.statuses.items() if status.endswith(" 503"))


def _measure(options: Options, children: int, waves: int) -> Measured:
    with site(options.database) as place, parent(place) as asked:
        urls = [f"http://h{number}.example.com/feed" for number in range(children)]
        task_id = system.make_task(asked.engine, urls)
        with (
            Children(asked.port, asked.children(children, 10)) as clients,
            Visitor(asked.running.url) as visitor,
        ):
            visitor.log_in()
            system.collect(asked.engine, visitor, task_id)
            warm = _allocations(asked)
            with Watch(lambda: (), asked.groups(clients.process.pid)) as watch:
                for _ in range(waves):
                    time.sleep(PAUSE_SECONDS)
                    system.collect(asked.engine, visitor, task_id)
            seen = clients.stop()
        _verify(asked, seen)
        return Measured(seen, _waits(asked, warm), watch.cpu)


def _allocations(asked: Parent) -> set[str]:
    return set(read(asked.engine, lambda session: session.scalars(select(Allocation.id)).all()))


def _waits(asked: Parent, warm: set[str]) -> list[float]:
    query = select(Allocation.id, Allocation.created_at, Allocation.started_at)
    rows = read(asked.engine, lambda session: session.execute(query).all())
    return [(row.started_at - row.created_at).total_seconds() for row in rows if row.id not in warm]


def _verify(asked: Parent, seen: Seen) -> None:
    query = select(Allocation.state, func.count()).group_by(Allocation.state)
    states = read(asked.engine, lambda session: {row[0]: row[1] for row in session.execute(query)})
    refused = {
        status: count for status, count in seen.statuses.items() if not status.endswith((" 200", " 503"))
    }
    twice = len(seen.given) - len(set(seen.given))
    if refused or twice or states != {"completed": len(seen.given)}:
        raise BrokenResult(
            f"{len(seen.given)} allocations were handed out, {twice} of them again; states {states}, refused {refused}"
        )
