"""The checker finds each broken promise in a made-up history, and none in a right one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checker import Counts, Evidence, Verdict, check
from tests.chaos.facts import (
    AllocationFact,
    ArticleFact,
    DeliveryFact,
    ItemFact,
    Leftovers,
    Message,
    RunFact,
    Step,
    Tables,
    Visited,
    World,
)
from tests.chaos.journals import Dispatched, Injected, Journals, Published, Uploaded
from tests.chaos.load import Task
from tests.chaos.recoveries import LOST, UNSEEN, Least, Recovery, recoveries
from tests.chaos.report import report

LEAST = Least(9.0, 15.0)
HOOK = Task("t", "/hook", ("f",))
ROBOT = Task("r", "/push", ("f",), repeatable=False)


def evidence() -> Evidence:
    """One dispatch, of one feed with one article that was told to a web hook and to a robot; all went well."""
    journals = Journals(
        dispatched=[Dispatched("k", "t", 100.0, 1, "acknowledged", "run", 1)],
        published=[Published("/feeds/1", "http://a/1", 10.0)],
    )
    tables = Tables(
        runs=[RunFact("run", "t", "completed", 100.0, 110.0)],
        items=[ItemFact("i", "run", "f", "done", "", 1, 100.0, 110.0)],
        allocations=[AllocationFact("a", "update", "node-1", "completed", "run", ("f",))],
        steps=[
            Step("a", 101.0, "", "pending", ""),
            Step("a", 102.0, "pending", "executing", "begun"),
            Step("a", 110.0, "executing", "completed", "the work ran to its end"),
        ],
        articles=[ArticleFact("art", "f", "http://a/1", 110.0)],
        deliveries=[
            DeliveryFact("d", "t", "f", "delivered", True, 112.0, ("art",)),
            DeliveryFact("e", "r", "f", "delivered", False, 112.0, ("art",)),
        ],
    )
    return Evidence(
        journals=journals,
        tables=tables,
        messages=[
            Message("/hook", "d", 111.0, True, ("art",), b"{}"),
            Message("/push", "", 111.0, True, ("art",), b"{}"),
        ],
        visits=[Visited("/feeds/1", 200, 109.0)],
        world=World([HOOK, ROBOT], {"f": "/feeds/1"}, frozenset({"/feeds/9"})),
        leftovers=Leftovers([], {"node-1 to MariaDB": (1, 1)}, 2, 4.0, 60.0),
    )


def with_rows(**rows: Any) -> Evidence:
    """The same with other rows in some of the tables."""
    found = evidence()
    found.tables = replace(found.tables, **rows)
    return found


def promises(verdict: Verdict) -> set[str]:
    """What was broken."""
    return {one.promise for one in verdict.violations}


def test_a_right_history_breaks_nothing() -> None:
    verdict = check(evidence())
    assert verdict.violations == []
    assert verdict.counts == {
        "allocations": Counts(1, 1, 0, 0, 0, 0),
        "articles": Counts(1, 1, 0, 0, 0, 0),
        "deliveries": Counts(2, 1, 0, 0, 0, 0),
    }


ITEM, RUN, ALLOCATION = (
    evidence().tables.items[0],
    evidence().tables.runs[0],
    evidence().tables.allocations[0],
)
ARTICLE, (DELIVERY, MESSAGE_OF_ROBOT) = evidence().tables.articles[0], evidence().tables.deliveries
STEPS = list(evidence().tables.steps)
LATE_SETTLE = Step("a", 130.0, "executing", "completed", "the work ran to its end")
EXPIRED = f"{LOST}the worker {UNSEEN}"
RECOVERED = Step("a", 120.0, "executing", "failed", EXPIRED)

BROKEN_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "an open item": ({"items": [replace(ITEM, state="assigned", ended_at=None)]}, "everything ends"),
    "an open run": ({"runs": [replace(RUN, state="running", ended_at=None)]}, "everything ends"),
    "a run without items": ({"items": []}, "everything ends"),
    "an open delivery": (
        {"deliveries": [replace(DELIVERY, state="waiting"), MESSAGE_OF_ROBOT]},
        "everything ends",
    ),
    "an executing allocation": (
        {"allocations": [replace(ALLOCATION, state="executing")], "steps": STEPS[:2]},
        "nothing executes without a live lease",
    ),
    "a settle after its recovery": (
        {"steps": [*STEPS[:2], RECOVERED, LATE_SETTLE]},
        "an allocation ends once",
    ),
    "two settles": ({"steps": [*STEPS, LATE_SETTLE]}, "an allocation ends once"),
    "a state without its move": (
        {"allocations": [replace(ALLOCATION, state="failed")]},
        "an allocation ends once",
    ),
    "a lost dispatch": ({"runs": []}, "an accepted dispatch is there"),
    "a run that nobody asked for": (
        {"runs": [RUN, replace(RUN, id="other")], "items": [ITEM, replace(ITEM, id="j", run_id="other")]},
        "one key, one run",
    ),
    "too few items": ({"items": [replace(ITEM, id="j", run_id="another")]}, "the counts are right"),
    "an article twice": (
        {"articles": [ARTICLE, replace(ARTICLE, id="again")]},
        "an article is stored once",
    ),
    "an article that no source has": (
        {"articles": [ARTICLE, replace(ARTICLE, id="x", link="http://a/2")]},
        "nothing is invented",
    ),
    "a lost article": ({"articles": []}, "what was collected is stored"),
    "an article that only a later run brought": (
        {"articles": [replace(ARTICLE, stored_at=500.0)]},
        "what was collected is stored",
    ),
    "an item that failed without a reason": (
        {"items": [replace(ITEM, state="failed", error_code="timed_out")]},
        "work fails for a reason",
    ),
    "an acknowledged delivery that is not recorded": (
        {"deliveries": [replace(DELIVERY, state="failed"), MESSAGE_OF_ROBOT]},
        "what was acknowledged is recorded",
    ),
    "an article that nobody was told": ({"deliveries": [DELIVERY]}, "an article is told once"),
    "an article in two deliveries": (
        {"deliveries": [DELIVERY, replace(DELIVERY, id="d2"), MESSAGE_OF_ROBOT]},
        "an article is told once",
    ),
    "a delivery that failed": (
        {"deliveries": [DELIVERY, replace(MESSAGE_OF_ROBOT, state="failed")]},
        "what is due is delivered",
    ),
}


@pytest.mark.parametrize(("rows", "promise"), BROKEN_ROWS.values(), ids=BROKEN_ROWS)
def test_the_checker_finds_broken_rows(rows: dict[str, Any], promise: str) -> None:
    assert promise in promises(check(with_rows(**rows)))


def acknowledged_again(found: Evidence) -> None:
    """Sent once more, well after its acknowledgement was recorded."""
    found.messages = [*found.messages, replace(found.messages[0], at=120.0)]


def unknown_message(found: Evidence) -> None:
    """A message under a key that no delivery has."""
    found.messages = [*found.messages, replace(found.messages[0], key="z", articles=())]


def never_taken(found: Evidence) -> None:
    """Recorded as delivered, although the receiver refused it."""
    found.messages = [replace(found.messages[0], acknowledged=False), *found.messages[1:]]


def another_body(found: Evidence) -> None:
    """A repeat that says something else."""
    found.messages = [*found.messages, replace(found.messages[0], at=111.1, body=b"[]")]


def another_message(found: Evidence) -> None:
    """The same article, told by a message of its own."""
    found.tables = replace(
        found.tables, deliveries=[*found.tables.deliveries, replace(DELIVERY, id="d2", articles=())]
    )
    found.messages = [*found.messages, replace(found.messages[0], key="d2")]


def robot_twice(found: Evidence) -> None:
    """A robot got the same article twice."""
    found.messages = [*found.messages, replace(found.messages[1], at=111.5)]


def one_run_for_two(found: Evidence) -> None:
    """Two dispatches were told the same run."""
    found.journals.dispatched.append(Dispatched("k2", "t", 100.0, 1, "acknowledged", "run", 1))


def upload_lost(found: Evidence) -> None:
    """A child was told that its article was taken."""
    found.journals.published.append(Published("/feeds/1", "http://a/7", 105.0))
    found.journals.uploaded.append(Uploaded("f", "http://a/7", 106.0))


def traceback(found: Evidence) -> None:
    """The API answered 500."""
    found.journals.answer("person", 500, "Internal Server Error")


def trouble(found: Evidence) -> None:
    """The harness failed itself."""
    found.journals.trouble("a fault could not be injected")


def leak(found: Evidence) -> None:
    """More connections than its processes have use for."""
    found.leftovers = replace(found.leftovers, connections={"node-1 to MariaDB": (9, 1)})


def left_running(found: Evidence) -> None:
    """A process outlived the stop."""
    found.leftovers = replace(found.leftovers, processes=["123: python"])


def overdue(found: Evidence) -> None:
    """A lease was over for long, and nobody did anything."""
    found.leftovers = replace(found.leftovers, longest_overdue=61.0)


def never_again(found: Evidence) -> None:
    """Lost work was never held again."""
    found.recoveries = [Recovery("a", "node-1", "kill_process", 100.0, 115.0, None)]


BROKEN: dict[Callable[[Evidence], None], str] = {
    acknowledged_again: "nothing is sent after its recorded acknowledgement",
    unknown_message: "nothing is invented",
    never_taken: "nothing is invented",
    another_body: "a repeat is the same message",
    another_message: "an article is told once",
    robot_twice: "an article is told once",
    one_run_for_two: "one key, one run",
    upload_lost: "what was collected is stored",
    traceback: "callers get 503 and never 500",
    trouble: "the harness itself works",
    leak: "no connection leaks",
    left_running: "nothing is left running",
    overdue: "nothing executes without a live lease",
    never_again: "everything ends",
}


@pytest.mark.parametrize(("breaks", "promise"), BROKEN.items(), ids=[one.__name__ for one in BROKEN])
def test_the_checker_finds_what_only_the_journals_know(
    breaks: Callable[[Evidence], None], promise: str
) -> None:
    found = evidence()
    breaks(found)
    verdict = check(found)
    assert promises(verdict) == {promise}
    text = report(found, verdict, 7, 120, 3.0)
    assert promise in text
    assert "./cascade test tests/chaos --chaos-seed 7 --chaos-seconds 120" in text


def test_an_unanswered_dispatch_that_made_a_run_is_recovered() -> None:
    found = with_rows(
        runs=[RUN, replace(RUN, id="other")], items=[ITEM, replace(ITEM, id="j", run_id="other")]
    )
    found.journals.dispatched.append(Dispatched("k2", "t", 100.0, 9))
    verdict = check(found)
    assert verdict.violations == []
    assert verdict.counts["allocations"] == Counts(2, 1, 0, 1, 0, 0)


def test_a_message_whose_answer_was_lost_may_be_repeated_until_one_is_recorded() -> None:
    found = evidence()
    found.messages = [replace(found.messages[0], at=105.0), *found.messages]
    verdict = check(found)
    assert verdict.violations == []
    assert verdict.counts["deliveries"] == Counts(2, 1, 0, 1, 0, 0)


def test_only_a_sender_that_has_just_woken_may_repeat_a_recorded_message() -> None:
    found = evidence()
    acknowledged_again(found)
    asleep = Injected("freeze_past_lease", "workers", 105.0, 119.0)
    found.journals.injected.append(asleep)
    assert check(found).violations == []
    found.journals.injected[0] = replace(asleep, until=110.0)
    assert promises(check(found)) == {"nothing is sent after its recorded acknowledgement"}


def test_items_may_fail_for_what_their_source_did_and_for_deaths_of_their_workers() -> None:
    failed = with_rows(
        items=[replace(ITEM, state="failed", error_code="http_status")], articles=[], deliveries=[]
    )
    failed.messages = []
    failed.visits = [Visited("/feeds/1", 503, 105.0)]
    assert check(failed).violations == []
    failed.visits = []
    assert promises(check(failed)) == {"work fails for a reason"}
    failed.tables = replace(failed.tables, items=[replace(ITEM, state="failed", error_code="worker_died")])
    failed.journals.injected.append(Injected("kill_process", "node-1", 105.0, 105.0))
    assert check(failed).violations == []


def test_a_recovery_counts_from_its_fault_until_the_last_of_the_work_is_held_again() -> None:
    tables = Tables(
        items=[replace(ITEM, ended_at=160.0), replace(ITEM, id="j", feed_id="g", ended_at=170.0)],
        allocations=[
            replace(ALLOCATION, state="failed", feed_ids=("f", "g")),
            replace(ALLOCATION, id="b"),
            replace(ALLOCATION, id="c", feed_ids=("g",)),
        ],
        steps=[
            *STEPS[:2],
            RECOVERED,
            Step("b", 124.0, "pending", "executing", "begun"),
            Step("c", 131.0, "pending", "executing", "begun"),
        ],
    )
    faults = [
        Injected("kill_process", "node-2", 104.0, 104.0),
        Injected("kill_process", "node-1", 105.0, 105.0),
        Injected("flush_redis", "redis", 106.0, 106.0),
        # Too late to be the cause: what was renewed then would have been held for longer.
        Injected("kill_process", "node-1", 118.0, 118.0),
    ]
    [found] = recoveries(tables, faults, LEAST)
    assert (found.fault, found.fault_at, found.lost_at, found.again_at) == (
        "kill_process",
        105.0,
        120.0,
        131.0,
    )
    assert found.seconds == 26.0


def test_an_end_that_was_seen_may_have_come_right_before() -> None:
    seen = replace(RECOVERED, reason=f"{LOST}signal 9")
    tables = Tables(items=[ITEM], allocations=[ALLOCATION], steps=[*STEPS[:2], seen])
    [found] = recoveries(tables, [Injected("kill_process", "node-1", 119.0, 119.0)], LEAST)
    assert (found.fault, found.fault_at) == ("kill_process", 119.0)


def test_work_that_was_lost_and_is_in_nobodys_hands_has_not_recovered() -> None:
    tables = Tables(
        items=[replace(ITEM, state="waiting", ended_at=None)],
        allocations=[replace(ALLOCATION, state="failed")],
        steps=[*STEPS[:2], RECOVERED],
    )
    [found] = recoveries(tables, [], LEAST)
    assert found.again_at is None


def test_a_lost_delivery_batch_has_recovered_when_its_next_attempt_begins() -> None:
    tables = Tables(
        allocations=[AllocationFact("a", "deliver", "parent", "completed", None, ())],
        steps=[
            *STEPS[:2],
            Step("a", 120.0, "executing", "pending", EXPIRED),
            Step("a", 123.0, "pending", "executing", "begun"),
            Step("a", 125.0, "executing", "completed", ""),
        ],
    )
    [found] = recoveries(tables, [Injected("freeze_past_lease", "workers", 103.0, 125.0)], LEAST)
    assert (found.fault, found.seconds) == ("freeze_past_lease", 20.0)
