"""Wall time, memory and CPU of collecting many slow feeds at once, beside other queues with as many slots.

1,000 feeds of 20 KB that answer after 0.5 s, two nodes of capacity 100; then with 5 % of them ten times as slow. Ideal: 200 slots
that take the feeds in their order and cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from backend.domain.identifiers import new_id
from backend.store.session import create_engine_for
from benchmarks.harness import system
from benchmarks.harness.feed_server import ARTICLES, FeedServer
from benchmarks.harness.ideal import list_schedule, lower_bound
from benchmarks.harness.processes import Watch
from benchmarks.harness.report import Aim, Options, Report, Table, Value, median, ratio
from benchmarks.harness.site import Site, site
from tests.e2e.system import Visitor

NODES = 2
DELAY = 0.5
SLOW_EVERY = 20
SLOW_FACTOR = 10
AIM_RATIO = 1.3
AIM_MEGABYTES = 250.0


@dataclass(frozen=True)
class Size:
    """How much there is to do."""

    feeds: int
    slots: int


FULL, QUICK = Size(1000, 200), Size(200, 40)


@dataclass(frozen=True)
class Scenario:
    """How long each feed takes, in the order of dispatch."""

    name: str
    delays: tuple[float, ...]
    slots: int

    @property
    def ideal(self) -> float:
        """What slots that cost nothing would need."""
        return list_schedule(self.delays, self.slots)


@dataclass
class Figures:
    """The rounds of one subject."""

    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    cpu: list[dict[str, float]] = field(default_factory=list)


def scenarios(size: Size) -> list[Scenario]:
    """Every feed alike; and every twentieth ten times as slow."""
    slow = tuple(DELAY * (SLOW_FACTOR if number % SLOW_EVERY == 7 else 1) for number in range(size.feeds))
    return [
        Scenario("all alike", (DELAY,) * size.feeds, size.slots),
        Scenario("5 % take 10 times as long", slow, size.slots),
    ]


def run(options: Options) -> Report:
    """Measure."""
    size = QUICK if options.quick else FULL
    report = Report()
    with ExitStack() as stack:
        place = stack.enter_context(site(options.database))
        server = stack.enter_context(FeedServer(size.feeds))
        for scenario in scenarios(size):
            table = Table(f"{size.feeds} feeds, {scenario.name}; {size.slots} slots, {options.database}")
            table.notes = _notes(scenario, options)
            first, again = _cascade(place, server, scenario, options)
            table.rows = [
                _row("Cascade, first time", first, scenario),
                _row("Cascade, again", again, scenario),
            ]
            report.tables.append(table)
            report.aims += _aims(first, scenario)
    return report


def _notes(scenario: Scenario, options: Options) -> list[str]:
    return [
        f"ideal {scenario.ideal:.2f} s: each feed starts in its order as soon as a slot is free",
        f"who knew every delay could reach {lower_bound(scenario.delays, scenario.slots):.2f} s",
        f"median of {options.rounds} rounds",
        f"first time: {ARTICLES} new articles a feed are stored; again: all of them are known",
        "MB: PSS of supervisors, workers and presences of both nodes, the largest sum seen",
        "CPU: seconds of all processes of the part",
    ]


def _aims(figures: Figures, scenario: Scenario) -> list[Aim]:
    reached = ratio(median(figures.seconds), scenario.ideal)
    return [
        Aim(f"fan-out, {scenario.name}: wall / ideal", reached, "at most", AIM_RATIO),
        Aim(f"fan-out, {scenario.name}: MB of all workers", max(figures.megabytes), "at most", AIM_MEGABYTES),
    ]


def _row(name: str, figures: Figures, scenario: Scenario) -> dict[str, Value]:
    seconds = median(figures.seconds)
    cpu = {part: median([one[part] for one in figures.cpu]) for part in figures.cpu[0]}
    return {
        "name": name,
        "wall": round(seconds, 2),
        "wall / ideal": ratio(seconds, scenario.ideal),
        "best / ideal": ratio(min(figures.seconds), scenario.ideal),
        "MB": round(max(figures.megabytes)),
        **{f"CPU {part}": round(used, 2) for part, used in cpu.items()},
    }


def _cascade(
    place: Site, server: FeedServer, scenario: Scenario, options: Options
) -> tuple[Figures, Figures]:
    capacity = scenario.slots // NODES
    first, again = Figures(), Figures()
    with system.running(place, nodes=NODES, capacity=capacity, workers=options.workers) as running:
        engine = create_engine_for(running.environment["DATABASE_URL"], pooled=True)
        system.wait_for_nodes(engine, NODES, options.workers)
        with Visitor(running.url) as visitor:
            visitor.log_in()
            for _ in range(options.rounds):
                task_id = system.make_task(engine, _urls(server, scenario))
                for figures in (first, again):
                    groups = _groups(place, server, system.parts(running))
                    with Watch(groups["nodes"], groups) as watch:
                        collected = system.collect(engine, visitor, task_id)
                    figures.seconds.append(collected.seconds)
                    figures.megabytes.append(watch.peak)
                    figures.cpu.append(watch.cpu)
                system.verify_articles(engine, task_id, len(scenario.delays) * ARTICLES)
        engine.dispose()
    return first, again


def _urls(server: FeedServer, scenario: Scenario) -> list[str]:
    unique = new_id()[-12:]
    return [server.url(number, f"{unique}-{number}", delay) for number, delay in enumerate(scenario.delays)]


def _groups(
    place: Site, server: FeedServer, parts: dict[str, set[int]]
) -> dict[str, Callable[[], Iterable[int]]]:
    fixed = {
        **parts,
        "database": set(place.database_pids()),
        "Redis": set(place.redis_pids()),
        "feeds": {server.process.pid},
    }
    return {name: _constant(pids) for name, pids in fixed.items()}


def _constant(pids: set[int]) -> Callable[[], Iterable[int]]:
    return lambda: pids
