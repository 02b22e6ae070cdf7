"""What is measured in turns: subjects that do the same load on the same servers, and the rows of their table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.harness.feed_server import FeedServer, address
from benchmarks.harness.ideal import list_schedule
from benchmarks.harness.report import UNMEASURED, Value, best, median, ratio
from benchmarks.harness.site import Site

Groups = dict[str, Callable[[], Iterable[int]]]


@dataclass(frozen=True)
class Load:
    """Items in the order of dispatch, each with the seconds that its feed takes; without `fetch` their work is nothing."""

    name: str
    delays: tuple[float, ...]
    slots: int
    fetch: bool = True

    @property
    def ideal(self) -> float:
        """What slots that cost nothing would need."""
        return list_schedule(self.delays, self.slots)

    def part(self, count: int) -> Load:
        """The first items only."""
        return Load(self.name, self.delays[:count], self.slots, self.fetch)


@dataclass(frozen=True)
class Measured:
    """One subject's one run of a load. `share` is the part of the items that it really did: the rest is extrapolated."""

    seconds: float
    megabytes: float
    cpu: dict[str, float]
    share: float = 1.0

    @property
    def whole_seconds(self) -> float:
        """Seconds for all items."""
        return self.seconds / self.share


class Subject(AbstractContextManager["Subject"], Protocol):
    """Something that is started, does loads, and is stopped. The names of the rows come with the measurements."""

    def measure(self, load: Load) -> dict[str, Measured]:
        """Do the load; by row name. Raises `BrokenResult` when it was not done right."""


@dataclass
class Results:
    """By load and row name, every round's measurement; and what went wrong."""

    found: dict[str, dict[str, list[Measured]]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def add(self, load: Load, measured: dict[str, Measured]) -> None:
        """Keep one round of one subject."""
        rows = self.found.setdefault(load.name, {})
        for name, one in measured.items():
            rows.setdefault(name, []).append(one)

    def of(self, load: Load) -> dict[str, list[Measured]]:
        """The rows of a load."""
        return self.found.get(load.name, {})


def in_turns(subjects: Sequence[Callable[[], Subject]], loads: Sequence[Load], rounds: int) -> Results:
    """Every subject does every load once a round, so that a disturbance of the machine does not hit one of them only."""
    results = Results()
    for _ in range(rounds):
        for start in subjects:
            try:
                with start() as subject:
                    for load in loads:
                        results.add(load, subject.measure(load))
            except UNMEASURED as error:
                # The others' figures stand; the run fails for it at the end.
                results.broken.append(f"{type(error).__name__}: {error}")
    return results


def wall_row(name: str, rounds: Sequence[Measured], load: Load) -> dict[str, Value]:
    """Wall time against the load's ideal, memory and CPU."""
    seconds = [one.whole_seconds for one in rounds]
    return {
        "name": name,
        "wall s": round(median(seconds), 2),
        "wall / ideal": ratio(median(seconds), load.ideal),
        "best / ideal": ratio(best(seconds), load.ideal),
        "MB": round(max(one.megabytes for one in rounds)),
        **cpu_columns(rounds),
    }


def cpu_columns(rounds: Sequence[Measured]) -> dict[str, Value]:
    """Median CPU seconds of all items by part."""
    parts = dict.fromkeys(part for one in rounds for part in one.cpu)
    return {
        f"CPU {part}": round(median([one.cpu.get(part, 0.0) / one.share for one in rounds]), 2)
        for part in parts
    }


def groups(place: Site, server: FeedServer | None, workers: Iterable[int], others: Iterable[int]) -> Groups:
    """The parts whose CPU is counted."""
    fixed = {
        "workers": frozenset(workers),
        "others": frozenset(others),
        "database": frozenset(place.database_pids()),
        "Redis": frozenset(place.redis_pids()),
    }
    if server is not None:
        fixed["feeds"] = frozenset([server.process.pid])
    return {name: _constant(pids) for name, pids in fixed.items()}


def _constant(pids: frozenset[int]) -> Callable[[], Iterable[int]]:
    return lambda: pids


def urls(server: FeedServer | None, load: Load, unique: str) -> list[str]:
    """A URL for each item that nobody has asked for before."""
    if server is None:
        # Each on a host of its own: on one host, the product's politeness would be measured.
        return [f"http://{address(number)}:9/{unique}" for number in range(len(load.delays))]
    return [server.url(number, f"{unique}-{number}", delay) for number, delay in enumerate(load.delays)]
