"""What was promised to whoever called: kept in plain Python from the answers, and nowhere read from the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from backend.domain.identifiers import digest
from backend.domain.orders import ItemOutcome, Outcome, Receipt, WorkOrder
from tests.integration.protocol.sight import Sight
from tests.integration.protocol.world import Task


@dataclass(eq=False)
class Execution:
    """One call of `run()` that was given an order, with what it did of it so far.

    `ends` and `receipts` hold how its feeds and messages ended; `outcome` what its settle tells, again and again.
    """

    node: str
    order: WorkOrder
    ends: dict[str, ItemOutcome] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    outcome: Outcome | None = None

    @property
    def id(self) -> str:
        """Its fencing token."""
        return self.order.execution


@dataclass
class Promises:
    """Everything that may not be broken any more.

    `holders`: by allocation and attempt, who began it. `last`: by item, who began it last. `settled`: whose settle
    counted. `done`: items whose success counted. `heard`: deliveries whose acknowledgement was recorded.
    `ended`: items whose success was acknowledged while others were at work: done, or cancelled by a person before.
    `doubtful`: sent to somebody who can't tell a repeat, and nobody knows how it ended.
    """

    tasks: Sequence[Task]
    runs: dict[str, frozenset[str]] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    holders: dict[tuple[str, int], str] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    articles: set[str] = field(default_factory=set)
    due: set[tuple[str, str]] = field(default_factory=set)
    heard: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)
    sent: Counter[str] = field(default_factory=Counter)
    claims: dict[str, tuple[str, str]] = field(default_factory=dict)

    def began(self, node: str, order: WorkOrder) -> Execution:
        """An execution was given an order: nobody else has it, and nothing of it is done."""
        self.begun(order.allocation_id, order.attempt, order.execution, [one.item_id for one in order.feeds])
        heard = self.heard & {one.delivery_id for one in order.deliveries}
        assert not heard, f"to be sent again after their acknowledgement: {heard}"
        known = next((one for one in self.executions if one.id == order.execution), None)
        if known is None:
            known = Execution(node, order)
            self.executions.append(known)
        return known

    def begun(self, allocation_id: str, attempt: int, execution: str, item_ids: Iterable[str]) -> None:
        """An execution holds the attempt; the items are still to be collected."""
        holder = self.holders.setdefault((allocation_id, attempt), execution)
        assert holder == execution, (
            f"two executions of {allocation_id}, attempt {attempt}: {holder}, {execution}"
        )
        for one in item_ids:
            assert one not in self.done, f"collected again after its settle: {one}"
            self.last[one] = execution

    def claimed(self, allocation_ids: Iterable[str], node: str, claim_id: str) -> None:
        """A claim gave these to the node."""
        for one in allocation_ids:
            owner = self.claims.setdefault(one, (node, claim_id))
            assert owner == (node, claim_id), f"given twice: {one} to {owner} and {(node, claim_id)}"

    def stored(self, articles: Mapping[str, Iterable[str]], tasks: frozenset[str]) -> None:
        """Articles were told, by feed; `tasks` are those that exist."""
        for feed_id, keys in articles.items():
            fresh = {digest(feed_id, key) for key in keys} - self.articles
            self.articles |= fresh
            listening = [
                one.task_id
                for one in self.tasks
                if one.heard and one.task_id in tasks and feed_id in one.feed_ids
            ]
            self.due |= {(task_id, key) for task_id in listening for key in fresh}

    def told(self, outcome: Outcome, tasks: frozenset[str]) -> None:
        """An outcome was told whatever became of it: its articles are stored, its acknowledgements recorded."""
        self.stored(
            {
                one.feed_id: [draft.key for draft in one.result.articles]
                for one in outcome.items
                if one.result
            },
            tasks,
        )
        acknowledged = {one.delivery_id for one in outcome.receipts if one.failure is None}
        self.heard |= acknowledged
        self.doubtful -= acknowledged

    def sending(self, delivery_id: str, receiver_kind: str, known: frozenset[str]) -> None:
        """The ledger allowed it to be sent; `known` is what had been acknowledged when it was asked."""
        assert delivery_id not in known, f"sent again after its acknowledgement: {delivery_id}"
        assert delivery_id not in self.doubtful, f"sent again, but it may have arrived: {delivery_id}"
        self.sent[delivery_id] += 1
        if receiver_kind != "webhook":
            self.doubtful.add(delivery_id)

    def check(self, sight: Sight) -> None:
        """Nothing of it is broken. Raises `AssertionError`."""
        self._check_items(sight)
        assert set(sight.articles) == self.articles, (
            f"articles lost: {self.articles - set(sight.articles)}; from nowhere: {set(sight.articles) - self.articles}"
        )
        assert sight.pairs == Counter(self.due), (
            f"not due: {sight.pairs - Counter(self.due)}; missing: {Counter(self.due) - sight.pairs}"
        )
        ends = {one: sight.deliveries[one].state for one in self.heard}
        lost = {one: state for one, state in ends.items() if state not in ("delivered", "cancelled")}
        assert not lost, f"acknowledged, but {lost}"

    def _check_items(self, sight: Sight) -> None:
        for run_id, feed_ids in self.runs.items():
            made = {row.feed_id for row in sight.items.values() if row.run_id == run_id}
            assert made <= feed_ids, f"run {run_id} has items of other feeds"
            if sight.runs[run_id].state in ("running", "completed"):
                lost = feed_ids - made - sight.paused.keys()
                assert not lost, f"run {run_id} lost the items of {lost}"
        undone = {one: sight.items[one].state for one in self.done if sight.items[one].state != "done"}
        assert not undone, f"acknowledged as done, but {undone}"
        open_again = {one: sight.items[one].state for one in self.ended}
        left = {one: state for one, state in open_again.items() if state not in ("done", "cancelled")}
        assert not left, f"acknowledged as done, but {left}"
        for one in self.cancelled:
            assert sight.items[one].state == "cancelled", f"cancelled, but {sight.items[one]}"
