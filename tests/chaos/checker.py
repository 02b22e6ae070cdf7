"""Compares what the journals saw with what the tables say: pure, so that made-up histories can be checked too.

The counts are those of Jepsen's queue tests. `attempted`: asked for. `acknowledged`: the asker was told that it is
taken. `lost`: acknowledged, and not there. `recovered`: not acknowledged, and there all the same. `unexpected`: there,
and nobody asked for it. `duplicated`: there more than once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from backend.domain.states import ALLOCATION
from tests.chaos.facts import Leftovers, Message, Tables, Visited, World
from tests.chaos.journals import Journals
from tests.chaos.recoveries import Recovery

# The clocks are those of one machine; only the moments of writing differ from those of happening.
CLOCK_SECONDS = 1.0
# A worker that sleeps between its last look and its sending sends when it wakes: its key tells the receiver.
WAKING_SECONDS = 5.0
OPEN = {
    "runs": {"queued", "expanding", "running"},
    "items": {"waiting", "assigned"},
    "allocations": {"pending", "claimed", "executing"},
    "deliveries": {"waiting", "assigned"},
}
PAUSES = frozenset({"freeze_process", "freeze_past_lease", "silence_database", "slow_database"})
DEATHS = PAUSES | {"kill_process", "kill_part", "lose_host"}
OUTSIDE = PAUSES | {"cut_outside"}


@dataclass(frozen=True, slots=True)
class Counts:
    """See the module."""

    attempted: int
    acknowledged: int
    lost: int
    recovered: int
    unexpected: int
    duplicated: int


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, and by what."""

    promise: str
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found."""

    counts: Mapping[str, Counts]
    violations: Sequence[Violation]


@dataclass
class Evidence:
    """Everything that the checker looks at. `calm_at`: when the last fault was over."""

    journals: Journals = field(default_factory=Journals)
    tables: Tables = field(default_factory=Tables)
    messages: Sequence[Message] = ()
    visits: Sequence[Visited] = ()
    world: World = field(default_factory=World)
    leftovers: Leftovers = field(default_factory=Leftovers)
    recoveries: Sequence[Recovery] = ()
    calm_at: float = 0.0

    def faults_between(self, kinds: frozenset[str], start: float, end: float) -> int:
        """How many faults of the kinds were on in that time."""
        return sum(
            one.kind in kinds and one.at <= end and one.until >= start for one in self.journals.injected
        )


def check(evidence: Evidence) -> Verdict:
    """The verdict."""
    checks = (
        _unended,
        _life_cycles,
        _failed_items,
        _messages,
        _told,
        _answers,
        _leftovers,
    )
    counts, violations = {}, [one for look in checks for one in look(evidence)]
    for name, look_and_count in (
        ("allocations", _dispatches),
        ("articles", _articles),
        ("deliveries", _deliveries),
    ):
        counts[name], found = look_and_count(evidence)
        violations += found
    return Verdict(counts, violations)


def _unended(evidence: Evidence) -> Iterator[Violation]:
    tables = evidence.tables
    for noun, rows in (
        ("runs", tables.runs),
        ("items", tables.items),
        ("allocations", tables.allocations),
        ("deliveries", tables.deliveries),
    ):
        found = [one for one in rows if one.state in OPEN[noun]]
        if found:
            promise = "nothing executes without a live lease" if noun == "allocations" else "everything ends"
            yield Violation(promise, f"{len(found)} {noun} have not ended, {found[0]} among them")
    known = {one.run_id for one in tables.items}
    for run in tables.runs:
        if run.id not in known and run.state == "completed":
            yield Violation("everything ends", f"run {run.id} has ended without any item")


def _life_cycles(evidence: Evidence) -> Iterator[Violation]:
    """Each allocation's history is one unbroken line of legal moves: no two executions ended it."""
    states: dict[str, str] = {}
    for step in evidence.tables.steps:
        before = states.get(step.allocation_id, "")
        legal = (not before and not step.source) or ALLOCATION.allows(step.source, step.target)
        if step.source != before or not legal:
            detail = f"allocation {step.allocation_id} went {before or 'nowhere'}, then {step.source} -> {step.target}"
            yield Violation("an allocation ends once", detail)
        states[step.allocation_id] = step.target
    for one in evidence.tables.allocations:
        if states.get(one.id, one.state) != one.state:
            detail = f"allocation {one.id} is {one.state}, and its history ends with {states[one.id]}"
            yield Violation("an allocation ends once", detail)


def _dispatches(evidence: Evidence) -> tuple[Counts, list[Violation]]:
    asked, runs = evidence.journals.dispatched, {one.id: one for one in evidence.tables.runs}
    items = Counter(one.run_id for one in evidence.tables.items)
    taken = [one for one in asked if one.outcome == "acknowledged"]
    lost = [one for one in taken if one.run_id not in runs]
    wrong = [
        Violation("an accepted dispatch is there", f"dispatch {one.key} was accepted as run {one.run_id}")
        for one in lost
    ]
    alone = {task.task_id for task in evidence.world.tasks if task.alone}
    by_run = Counter(one.run_id for one in taken if one.task_id in alone)
    twice = [run_id for run_id, count in by_run.items() if count > 1]
    wrong += [
        Violation(
            "one key, one run", f"run {one} stands for {by_run[one]} dispatches that had keys of their own"
        )
        for one in twice
    ]
    wrong += [
        Violation("the counts are right", f"run {one.run_id} has {items[one.run_id]} items, not {one.items}")
        for one in taken
        if one.run_id in runs and items[one.run_id] != one.items
    ]
    told = {one.run_id for one in taken}
    unknown = Counter(one.task_id for one in asked if one.outcome == "unknown")
    untold = Counter(one.task_id for one in runs.values() if one.id not in told)
    recovered = sum(min(count, unknown[task_id]) for task_id, count in untold.items())
    unexpected = sum(max(0, count - unknown[task_id]) for task_id, count in untold.items())
    if unexpected:
        wrong.append(
            Violation("one key, one run", f"{unexpected} runs that nobody asked for: {dict(untold)}")
        )
    return Counts(len(asked), len(taken), len(lost), recovered, unexpected, len(twice)), wrong


def _articles(evidence: Evidence) -> tuple[Counts, list[Violation]]:
    names = evidence.world.feed_names
    stored: dict[tuple[str, str], list[float]] = defaultdict(list)
    for article in evidence.tables.articles:
        stored[names.get(article.feed_id, article.feed_id), article.link].append(article.stored_at)
    published = {(one.feed, one.link): one.at for one in evidence.journals.published}
    due = _due(evidence, published)
    lost = [key for key, until in due.items() if min(stored.get(key, [float("inf")])) > until]
    twice = [key for key, found in stored.items() if len(found) > 1]
    unexpected = [key for key in stored if key not in published]
    wrong = [
        *(
            Violation("what was collected is stored", f"{key} was there to collect and is not stored in time")
            for key in lost
        ),
        *(
            Violation("an article is stored once", f"{key} is stored {len(stored[key])} times")
            for key in twice
        ),
        *(Violation("nothing is invented", f"{key} is stored, and no source has it") for key in unexpected),
    ]
    recovered = sum(key not in due for key in stored)
    return Counts(len(published), len(due), len(lost), recovered, len(unexpected), len(twice)), wrong


def _due(evidence: Evidence, published: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """By article, when it must have been stored by: the end of the first collection that had to find it.

    A feed's work that ended well must have brought all that the feed showed before the work was made.
    """
    by_feed: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for (feed, link), at in published.items():
        by_feed[feed].append((link, at))
    due: dict[tuple[str, str], float] = {}
    for item in evidence.tables.items:
        if item.state == "done" and item.ended_at is not None:
            feed = evidence.world.feed_names.get(item.feed_id, item.feed_id)
            for link, at in by_feed[feed]:
                if at < item.created_at - CLOCK_SECONDS:
                    until = item.ended_at + CLOCK_SECONDS
                    due[feed, link] = min(due.get((feed, link), until), until)
    for upload in evidence.journals.uploaded:
        key = (evidence.world.feed_names.get(upload.feed_id, upload.feed_id), upload.link)
        due[key] = min(due.get(key, float("inf")), upload.at + CLOCK_SECONDS)
    return due


def _failed_items(evidence: Evidence) -> Iterator[Violation]:
    """An item may fail for what its source did, or for deaths of its workers, and for nothing else."""
    refused: dict[str, list[float]] = defaultdict(list)
    for visit in evidence.visits:
        if visit.status not in {200, 301, 302, 304, 307, 308}:
            refused[visit.feed].append(visit.at)
    for item in evidence.tables.items:
        feed = evidence.world.feed_names.get(item.feed_id, item.feed_id)
        if item.state != "failed" or feed in evidence.world.broken:
            continue
        start, end = item.created_at, item.ended_at or float("inf")
        theirs = sum(start <= at <= end for at in refused[feed])
        kinds = DEATHS if item.error_code == "worker_died" else OUTSIDE
        ours = evidence.faults_between(kinds, start, end)
        if not theirs + ours:
            detail = f"item {item.id} of {feed} failed with {item.error_code}, and its source was well"
            yield Violation("work fails for a reason", detail)


def _deliveries(evidence: Evidence) -> tuple[Counts, list[Violation]]:
    rows = {one.id: one for one in evidence.tables.deliveries}
    keyed: dict[str, list[Message]] = defaultdict(list)
    for message in evidence.messages:
        if message.key:
            keyed[message.key].append(message)
    taken = {key for key, found in keyed.items() if any(one.acknowledged for one in found)}
    lost = [key for key in taken if key in rows and rows[key].state != "delivered"]
    unexpected = [key for key in keyed if key not in rows]
    invented = [
        one.id for one in rows.values() if one.repeatable and one.state == "delivered" and one.id not in taken
    ]
    again = [
        key for key in taken & rows.keys() if _sent_after_record(evidence, keyed[key], rows[key].ended_at)
    ]
    recovered = sum(len(keyed[key]) > 1 for key in taken)
    wrong = [
        *(
            Violation(
                "what was acknowledged is recorded",
                f"delivery {one} was acknowledged and is {rows[one].state}",
            )
            for one in lost
        ),
        *(
            Violation("nothing is invented", f"a message has the key {one}, which no delivery has")
            for one in unexpected
        ),
        *(
            Violation("nothing is invented", f"delivery {one} is delivered, and its receiver never took it")
            for one in invented
        ),
        *(
            Violation("nothing is sent after its recorded acknowledgement", f"delivery {one}")
            for one in again
        ),
    ]
    counts = Counts(len(rows), len(taken), len(lost), recovered, len(unexpected) + len(invented), len(again))
    return counts, wrong


def _sent_after_record(evidence: Evidence, sent: Sequence[Message], recorded: float | None) -> bool:
    """Whether a message went out although its acknowledgement was in the database, and its worker had not slept."""
    if recorded is None:
        return False
    late = [one.at for one in sent if one.at > recorded + CLOCK_SECONDS]
    return any(not _just_woken(evidence, at) for at in late)


def _just_woken(evidence: Evidence, at: float) -> bool:
    return any(
        one.kind in PAUSES and one.target == "workers" and one.at < at <= one.until + WAKING_SECONDS
        for one in evidence.journals.injected
    )


def _messages(evidence: Evidence) -> Iterator[Violation]:
    """One key, one body; one article, one message for each task; and never twice to who can't know a repeat."""
    bodies: dict[str, set[bytes]] = defaultdict(set)
    tellers: dict[tuple[str, str], set[str]] = defaultdict(set)
    once = {task.path for task in evidence.world.tasks if not task.repeatable}
    arrived: Counter[tuple[str, str]] = Counter()
    for message in evidence.messages:
        bodies[message.key].add(message.body)
        for article in message.articles:
            tellers[message.path, article].add(message.key)
            arrived[message.path, article] += message.path in once
    for key, found in bodies.items():
        if key and len(found) > 1:
            yield Violation(
                "a repeat is the same message", f"{len(found)} different bodies have the key {key}"
            )
    for told, keys in tellers.items():
        if len(keys) > 1:
            yield Violation("an article is told once", f"{told} was told by {len(keys)} different messages")
    for told, count in arrived.items():
        if count > 1:
            yield Violation(
                "an article is told once", f"{told} arrived {count} times where repeats are not known"
            )


def _told(evidence: Evidence) -> Iterator[Violation]:
    """Each stored article is in one delivery of each task that names its feed, and that ended as it could."""
    tables = evidence.tables
    said: Counter[tuple[str, str]] = Counter(
        (one.task_id, article) for one in tables.deliveries for article in one.articles
    )
    by_feed: dict[str, list[str]] = defaultdict(list)
    for article in tables.articles:
        by_feed[article.feed_id].append(article.id)
    for task in evidence.world.tasks:
        for feed_id in task.feed_ids:
            for article_id in by_feed[feed_id]:
                if said[task.task_id, article_id] != 1:
                    detail = f"article {article_id} is in {said[task.task_id, article_id]} deliveries of {task.path}"
                    yield Violation("an article is told once", detail)
    for one in tables.deliveries:
        fine = {"delivered"} if one.repeatable else {"delivered", "unconfirmed"}
        if one.state not in fine | OPEN["deliveries"]:
            yield Violation("what is due is delivered", f"delivery {one.id} ended {one.state}")


def _answers(evidence: Evidence) -> Iterator[Violation]:
    for text in evidence.journals.broken_answers:
        yield Violation("callers get 503 and never 500", text)
    for text in evidence.journals.troubles:
        yield Violation("the harness itself works", text)


def _leftovers(evidence: Evidence) -> Iterator[Violation]:
    left = evidence.leftovers
    for text in left.processes:
        yield Violation("nothing is left running", text)
    for name, (count, allowed) in left.connections.items():
        if count > allowed:
            yield Violation("no connection leaks", f"{name} has {count} connections, more than {allowed}")
    if left.longest_overdue > left.overdue_allowed:
        detail = f"a lease was over for {left.longest_overdue:.1f} s before anybody did anything"
        yield Violation("nothing executes without a live lease", detail)
    for one in evidence.recoveries:
        if one.again_at is None:
            detail = (
                f"allocation {one.allocation_id} of {one.node} was lost, and its work was never held again"
            )
            yield Violation("everything ends", detail)
