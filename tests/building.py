"""Builders of what tests of store and dispatch start from: nodes, feeds, tasks, runs, ledgers and outcomes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from redis import Redis
from sqlalchemy import Engine, func, select, update

from backend.dispatch.dispatching import DispatchReport, dispatch_tasks, expand
from backend.dispatch.forgetting import Forgetter
from backend.dispatch.pump import Limits, pump
from backend.domain.feeds import draft_feed
from backend.domain.identifiers import new_id
from backend.domain.message_tasks import CheckedTask, TaskContent, check_task
from backend.domain.orders import ArticleDraft, Failure, FetchResult, ItemOutcome, Outcome, WorkOrder
from backend.domain.retention import Retention
from backend.domain.retry import RetryPolicy
from backend.store import feeds, message_tasks, nodes, recovery, runs
from backend.store.allocations import Taker
from backend.store.cipher import Cipher
from backend.store.columns import now
from backend.store.deliveries import DeliveryPolicy
from backend.store.phases import Terms
from backend.store.session import read, transact
from backend.store.tables import (
    Allocation,
    Article,
    Base,
    Delivery,
    DeliveryArticle,
    Node,
    Pulse,
    WorkItem,
)
from backend.workers.ledger import SqlLedger

T = TypeVar("T")

KEY = "a key for tests only"
CIPHER = Cipher(KEY)
WEB_HOOK = "https://hooks.example.com/x"
ROBOT = "https://oapi.dingtalk.com/robot/send?access_token=abcdef"
SECONDS = dict.fromkeys(("update", "deliver", "publish", "account"), 120.0)
LIMITS = Limits(work_seconds=120.0)
ITEMS = RetryPolicy(attempts=3, base_seconds=5.0)
DELIVERIES = DeliveryPolicy(RetryPolicy(attempts=6, base_seconds=5.0))
PUBLISHERS = ("webhook", "zhihu")
BROKEN = Failure("http_status", "the server answered 503")
GONE = Failure("http_status", "the server answered 410", permanent=True)


def make_node(engine: Engine, name: str = "n", *, capacity: int = 10, **values: Any) -> str:
    """An attached node that just beat; its id. `values` are put into its row."""

    def make(session: Any) -> str:
        node_id = nodes.ensure_attached(session, name, capacity).id
        session.flush()
        nodes.beat(session, node_id, "instance", workers_alive=1, version="test", publishers=PUBLISHERS)
        if values:
            session.execute(update(Node).where(Node.id == node_id).values(**values))
        return node_id

    return transact(engine, make)


def make_third_party(engine: Engine, name: str = "werss", **values: Any) -> str:
    """A WeRSS child that just beat, without an instance; its id."""
    node_id = transact(engine, lambda session: nodes.create_node(session, name=name, transport="remote").id)
    change(engine, Node, node_id, **({"presence_at": now()} | values))
    return node_id


def make_feeds(engine: Engine, count: int, host: str = "example.com", *, kind: str = "rss") -> list[str]:
    """Feeds, oldest first; their ids."""
    drafts = [
        draft_feed(f"https://{host}/{number}", kind=kind, known_kinds={kind}) for number in range(count)
    ]
    return transact(engine, lambda session: [feeds.create_feed(session, draft).id for draft in drafts])


def make_task(
    engine: Engine,
    feed_ids: Iterable[str] | Literal["all"],
    *,
    url: str = WEB_HOOK,
    enabled: bool = True,
    message_type: int = 0,
    template: str = "{{ feed.mp_name }}",
    **content_of: Any,
) -> str:
    """A message task; its id. `content_of` are further fields of its content."""
    ids: tuple[str, ...] | Literal["all"] = "all" if feed_ids == "all" else tuple(feed_ids)
    content = TaskContent(
        "T",
        ids,
        message_type=message_type,
        message_template=template,
        web_hook_url=url,
        enabled=enabled,
        **content_of,
    )
    checked, task_id = check_task(content), new_id()
    transact(engine, lambda session: message_tasks.create_task(session, CIPHER, task_id, checked))
    return task_id


def checked(content: TaskContent, **values: Any) -> CheckedTask:
    """The content with other values, checked."""
    return check_task(replace(content, **values))


def start_run(engine: Engine, task_id: str) -> str:
    """A run with all its items; its id."""
    run = transact(engine, lambda session: runs.start_run(session, task_id, trigger="manual", actor="ana"))
    expand(engine, run.run_id)
    return run.run_id


def ledger_for(engine: Engine, node_id: str, *, lease_seconds: float = 45.0) -> SqlLedger:
    """The ledger of one of the node's workers."""
    taker = Taker(node_id, "instance", lease_seconds)
    return SqlLedger(engine, taker, Terms(CIPHER, ITEMS, DELIVERIES, SECONDS))


@dataclass(frozen=True)
class World:
    """A node with work: some feeds of one task, dispatched and planned."""

    engine: Engine
    node_id: str
    feed_ids: list[str]
    task_id: str
    run_id: str

    @property
    def ledger(self) -> SqlLedger:
        """A ledger of the node."""
        return ledger_for(self.engine, self.node_id)

    @property
    def queue(self) -> str:
        """The node's queue."""
        return "node:n"


def make_world(engine: Engine, feed_count: int = 1, *, capacity: int = 10, url: str = WEB_HOOK) -> World:
    """A node, a task over new feeds, its run, and the allocations that the pump made of it."""
    node_id = make_node(engine, capacity=capacity)
    feed_ids = make_feeds(engine, feed_count)
    task_id = make_task(engine, feed_ids, url=url)
    run_id = start_run(engine, task_id)
    pump(engine, None, LIMITS)
    return World(engine, node_id, feed_ids, task_id, run_id)


def allocation_ids(engine: Engine, state: str = "pending", kind: str = "update") -> list[str]:
    """The allocations in the state, oldest first."""
    query = select(Allocation.id).where(Allocation.state == state, Allocation.kind == kind)
    return list(read(engine, lambda session: session.scalars(query.order_by(Allocation.id)).all()))


def begin(world: World, execution: str = "x1") -> WorkOrder:
    """The oldest pending update allocation, begun."""
    order = world.ledger.begin(allocation_ids(world.engine)[0], 1, execution)
    assert order is not None
    return order


def drafts(*keys: str, content: str = "text") -> tuple[ArticleDraft, ...]:
    """Articles with these keys."""
    return tuple(ArticleDraft(key, f"title of {key}", f"https://a/{key}", content=content) for key in keys)


def outcome_of(
    order: WorkOrder,
    results: Mapping[str, FetchResult | Failure] | FetchResult | Failure | None = None,
    *,
    handed_back: Sequence[str] = (),
) -> Outcome:
    """The order's outcome: one result for all of its feeds, or by feed id; without one, an article per feed."""
    items = []
    for feed in order.feeds:
        found = results.get(feed.feed_id) if isinstance(results, Mapping) else results
        if isinstance(results, Mapping) and found is None:
            continue
        if isinstance(found, Failure):
            items.append(ItemOutcome(feed.item_id, feed.feed_id, failure=found))
        else:
            items.append(ItemOutcome(feed.item_id, feed.feed_id, result=found or FetchResult(drafts("a"))))
    return Outcome(
        order.allocation_id,
        order.attempt,
        order.execution,
        order.kind,
        tuple(items),
        handed_back=tuple(handed_back),
    )


def make_deliveries(engine: Engine, count: int = 1, *, url: str = WEB_HOOK) -> World:
    """A world whose first update is settled, so that one delivery per feed waits."""
    world = make_world(engine, count, capacity=max(10, count * 10), url=url)
    for allocation_id in allocation_ids(engine):
        order = world.ledger.begin(allocation_id, 1, new_id())
        assert order is not None
        world.ledger.settle(outcome_of(order))
    return world


def deliver_ledger(engine: Engine) -> SqlLedger:
    """A ledger of the parent's own workers."""
    return ledger_for(engine, transact(engine, lambda session: nodes.ensure_parent(session).id))


def begin_deliveries(engine: Engine, execution: str = "d1") -> WorkOrder:
    """What the pump plans of the waiting deliveries, begun by a worker of the parent."""
    pump(engine, None, LIMITS)
    order = deliver_ledger(engine).begin_next("default", execution, 100)
    assert order is not None
    return order


def states(engine: Engine, table: Any) -> dict[str, str]:
    """By id, the state of every row."""
    query = select(table.id, table.state)
    return read(engine, lambda session: {row.id: row.state for row in session.execute(query)})


def counted(engine: Engine, table: Any) -> dict[str, int]:
    """By state, how many rows are in it."""
    query = select(table.state, func.count()).group_by(table.state)
    return read(engine, lambda session: {row[0]: row[1] for row in session.execute(query)})


def row_of(engine: Engine, table: type[Base], one: str | None = None) -> Any:
    """One row as it stands now: the one of that id, or the only one."""
    query = select(table) if one is None else select(table).where(table.__table__.c.id == one)
    return read(engine, lambda session: session.scalars(query).one())


def rows_of(engine: Engine, table: type[Base]) -> list[Any]:
    """All rows of a table, in the order of its key."""
    query = select(table).order_by(*table.__table__.primary_key)
    return list(read(engine, lambda session: session.scalars(query).all()))


def change(engine: Engine, table: type[Base], one: str | int | None = None, **values: Any) -> None:
    """Write into rows beside the code under test: the one of that id, or all."""
    statement = update(table) if one is None else update(table).where(table.__table__.c.id == one)
    transact(engine, lambda session: session.execute(statement.values(**values)))


def expire(engine: Engine, allocation_id: str | None = None) -> None:
    """Put the lease into the past, at a time when renewals could have arrived."""
    transact(engine, lambda session: recovery.stamp_pulse(session, "beat", 45.0))
    change(engine, Pulse, recover_after=now(-1))
    change(engine, Allocation, allocation_id, lease_until=now(-1))


def delivered_articles(engine: Engine) -> dict[tuple[str, str], str]:
    """By task and article, the delivery that holds it."""
    return {(row.task_id, row.article_id): row.delivery_id for row in rows_of(engine, DeliveryArticle)}


def totals(engine: Engine) -> tuple[int, int, int]:
    """How many articles, deliveries, and articles in deliveries there are."""
    return (
        len(rows_of(engine, Article)),
        len(rows_of(engine, Delivery)),
        len(rows_of(engine, DeliveryArticle)),
    )


def items_of(engine: Engine) -> list[WorkItem]:
    """Every work item, oldest first."""
    return rows_of(engine, WorkItem)


def together(*works: Callable[[], T]) -> list[T]:
    """Run the works in threads that start at the same moment; their results, or the first error."""
    barrier = threading.Barrier(len(works))

    def start(work: Callable[[], T]) -> T:
        barrier.wait(10)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(60) for future in [pool.submit(start, work) for work in works]]


def forget(engine: Engine, **days: float) -> dict[str, int]:
    """Keep history for so many days by kind, otherwise for as long as by default; by repair, how much went."""
    findings = [repair.run() for repair in Forgetter(engine, Retention(**days)).repairs]
    return {one.name: one.mended for one in findings if one.mended}


def dispatch(engine: Engine, task_id: str | None, redis: Redis | None = None) -> DispatchReport:
    """What dispatch-task does."""
    return dispatch_tasks(engine, redis, limits=LIMITS, task_id=task_id, actor="ana")
