"""Wall time, memory and CPU of collecting many slow feeds at once, beside other queues with as many slots.

1,000 feeds of 20 KB that answer after 0.5 s, two nodes of capacity 100; then with 5 % of them ten times as slow.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness.feed_server import ARTICLES, FeedServer
from benchmarks.harness.ideal import lower_bound
from benchmarks.harness.ours import Cascade
from benchmarks.harness.report import Aim, Options, Report, Table, median, ratio
from benchmarks.harness.site import Site, site
from benchmarks.harness.subjects import Load, Measured, Subject, in_turns, wall_row
from benchmarks.peers.running import BareClient, started

FULL, QUICK = (1000, 200), (200, 40)
DELAY = 0.5
SLOW_EVERY = 20
SLOW_FACTOR = 10
AIM_RATIO = 1.3
AIM_MEGABYTES = 250.0


def loads(feeds: int, slots: int) -> list[Load]:
    """Every feed alike; and every twentieth ten times as slow."""
    slow = tuple(DELAY * (SLOW_FACTOR if number % SLOW_EVERY == 7 else 1) for number in range(feeds))
    return [Load("all alike", (DELAY,) * feeds, slots), Load("5 % take 10 times as long", slow, slots)]


def run(options: Options) -> Report:
    """Measure."""
    feeds, slots = QUICK if options.quick else FULL
    chosen = loads(feeds, slots)
    with site(options.database) as place, FeedServer(feeds) as server:
        results = in_turns(_subjects(place, server, slots, options), chosen, options.rounds)
    report = Report(broken=results.broken)
    for load in chosen:
        rows = results.of(load)
        report.tables.append(_table(load, rows, options))
        report.aims += _aims(load, rows.get("Cascade", []))
    return report


def _subjects(place: Site, server: FeedServer, slots: int, options: Options) -> list[Callable[[], Subject]]:
    found: list[Callable[[], Subject]] = [lambda: Cascade(place, server, slots, options)]
    if options.peers and place.mariadb is not None:
        found += [lambda: BareClient(place, server, slots), *started(place, server, slots)]
    return found


def _table(load: Load, rows: dict[str, list[Measured]], options: Options) -> Table:
    title = f"{len(load.delays)} feeds, {load.name}; {load.slots} slots, {options.database}"
    table = Table(title, [wall_row(name, rounds, load) for name, rounds in rows.items()])
    table.notes = [
        f"ideal {load.ideal:.2f} s: each feed starts in its order as soon as a slot is free",
        f"who knew every delay could reach {lower_bound(load.delays, load.slots):.2f} s",
        f"wall and CPU: seconds, median of {options.rounds} rounds; each feed brings {ARTICLES} articles",
        "MB: PSS of all worker processes (ours: supervisors, workers and presences of both nodes), the most seen",
        "others: parent, beat and the parent's own workers; for the peers the process that hands in",
        "extrapolated: did fewer items, by the factor that is missing",
    ]
    return table


def _aims(load: Load, rounds: list[Measured]) -> list[Aim]:
    if not rounds:
        return []
    reached = ratio(median([one.whole_seconds for one in rounds]), load.ideal)
    megabytes = round(max(one.megabytes for one in rounds))
    return [
        Aim(f"fan-out, {load.name}: wall / ideal", reached, "at most", AIM_RATIO),
        Aim(f"fan-out, {load.name}: MB of all workers", megabytes, "at most", AIM_MEGABYTES),
    ]
