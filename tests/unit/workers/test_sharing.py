"""Reports that arrive while a transaction runs go together into the next, and each hears how its own ended."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from backend.domain.orders import ItemOutcome, Outcome
from backend.domain.ports import Standing
from backend.store.settlement import Report
from backend.workers.sharing import MOST_FEEDS, SharedTransactions
from tests.servers import wait_until
from tests.unit.workers.fakes import AWAY, LIMIT


def report(*feeds: str) -> Report:
    items = tuple(ItemOutcome(f"i-{feed}", feed) for feed in feeds)
    return Report(
        Outcome(f"allocation of {feeds[0]}", 1, f"execution of {feeds[0]}", "update", items), final=True
    )


@dataclass
class Database:
    """Takes transactions; the first one lasts until `go_on`."""

    errors: dict[str, Exception] = field(default_factory=dict)
    transactions: list[list[str]] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)

    def commit(self, reports: Sequence[Report]) -> list[Standing]:
        feeds = [feed for one in reports for feed in sorted(one.feed_ids)]
        self.transactions.append(feeds)
        if len(self.transactions) == 1:
            assert self.go_on.wait(LIMIT)
        for feed in feeds:
            if feed in self.errors:
                raise self.errors[feed]
        return [Standing.CANCELLED if one.feed_ids & {"cancelled"} else Standing.HELD for one in reports]


class Process:
    """Executions that report one after another while the first transaction runs."""

    def __init__(self, **errors: Exception) -> None:
        self.database = Database(errors)
        self.shared = SharedTransactions()

    def run(self, *reports: Report) -> list[Future[Standing]]:
        with ThreadPoolExecutor(len(reports) + 1) as pool:
            first = pool.submit(self.shared.submit, report("first"), self.database.commit)
            wait_until(lambda: bool(self.database.transactions), LIMIT, "the first transaction")
            futures = []
            for number, one in enumerate(reports):
                futures.append(pool.submit(self.shared.submit, one, self.database.commit))
                wait_until(lambda n=number: len(self.shared) > n, LIMIT, "its place in the line")  # type: ignore[misc]
            self.database.go_on.set()
        assert first.result() is Standing.HELD
        return futures


def test_what_arrives_while_a_transaction_runs_shares_the_next_one() -> None:
    process = Process()
    futures = process.run(report("a"), report("cancelled"), report("c"))
    assert process.database.transactions == [["first"], ["a", "cancelled", "c"]]
    assert [future.result() for future in futures] == [Standing.HELD, Standing.CANCELLED, Standing.HELD]


def test_no_transaction_tells_of_a_feed_twice() -> None:
    process = Process()
    process.run(report("a", "b"), report("b"), report("c"))
    assert process.database.transactions == [["first"], ["a", "b"], ["b", "c"]]


def test_a_transaction_stays_short() -> None:
    process = Process()
    large = [f"{number:03}" for number in range(MOST_FEEDS)]
    process.run(report("a"), report(*large), report("c"))
    assert process.database.transactions == [["first"], ["a"], large, ["c"]]


def test_a_report_that_the_database_refuses_takes_no_other_along() -> None:
    process = Process(b=ValueError("too long"))
    a, b, c = process.run(report("a"), report("b"), report("c"))
    assert process.database.transactions[1:] == [["a", "b", "c"], ["a"], ["b"], ["c"]]
    assert (a.result(), c.result()) == (Standing.HELD, Standing.HELD)
    with pytest.raises(ValueError, match="too long"):
        b.result()


def test_a_database_that_is_away_is_told_to_all_and_asked_once() -> None:
    process = Process(b=AWAY)
    futures = process.run(report("a"), report("b"))
    assert process.database.transactions[1:] == [["a", "b"]]
    assert [type(future.exception()) for future in futures] == [type(AWAY), type(AWAY)]
