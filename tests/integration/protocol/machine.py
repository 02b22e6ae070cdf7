"""The state machine: every call of the protocol, in any order.

Its moves are chosen by one rule, by weight and among those that can do something: rules of their own would be switched
off at random for whole examples, which leaves most of a small number of examples with nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.integration.protocol import beats, children, people, publishing, workers
from tests.integration.protocol.promises import Execution
from tests.integration.protocol.sight import HELD, UNSETTLED
from tests.integration.protocol.stage import open_stage
from tests.integration.protocol.world import World

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., None])

QUEUES = {"n1": "node:n1", "n2": "node:n2", "parent": "default"}
ENOUGH = 20
# Small numbers are the newest ones, and come most often.
picks = st.integers(0, 30)
ends = st.lists(st.sampled_from(workers.ENDS), min_size=3, max_size=3)
answers = st.lists(st.sampled_from(tuple(workers.ANSWERS)), min_size=2, max_size=4)
verdicts = st.lists(st.booleans(), min_size=2, max_size=2)


def picked(found: Sequence[T], pick: int) -> T:
    """One of them, counted from the newest."""
    return found[-1 - pick % len(found)]


@dataclass(frozen=True)
class Move:
    """One kind of call: how often it comes, whether it can do anything now, and its arguments."""

    weight: int
    ready: Callable[[Any], object]
    arguments: Mapping[str, st.SearchStrategy[Any]]


MOVES: dict[str, Move] = {}


def move(
    weight: int, ready: Callable[[Any], object] = lambda _: True, **arguments: st.SearchStrategy[Any]
) -> Callable[[F], F]:
    """Make the method one of the moves."""

    def register(method: F) -> F:
        MOVES[method.__name__] = Move(weight, ready, arguments)
        return method

    return register


class Protocol(RuleBasedStateMachine):
    """Random calls on one world; `Stage` judges each of them."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.stage = open_stage(world)
        self.troubled: list[tuple[str, str]] = []

    @property
    def executions(self) -> list[Execution]:
        """Whoever began something."""
        return self.stage.promises.executions

    def allocations(self, *states: str) -> list[str]:
        """The ids of those in the states, or all, oldest first; publishing is apart."""
        rows = self.stage.seen.allocations.items()
        return [one for one, row in rows if row.kind != "publish" and (not states or row.state in states)]

    def to_publish(self) -> list[str]:
        """The ids of the publish allocations, those that have ended too: whoever had them may wake up late."""
        return [one for one, row in self.stage.seen.allocations.items() if row.kind == "publish"]

    def articles(self) -> list[str]:
        """The ids of the publish tasks, oldest first."""
        return list(self.stage.seen.publishes)

    def running(self) -> list[Execution]:
        """Executions that hold their work."""
        seen = self.stage.seen
        return [one for one in self.executions if workers.is_held(seen, workers.outcome_so_far(one))]

    def sending(self) -> list[Execution]:
        """Executions that hold deliveries."""
        return [one for one in self.running() if one.order.deliveries]

    def past(self) -> list[Execution]:
        """Executions that hold their work no more: settled, lost or cancelled."""
        running = self.running()
        return [one for one in self.executions if one not in running]

    def waiting(self) -> bool:
        """Whether anything waits for nothing but the pump."""
        rows = (*self.stage.seen.items.values(), *self.stage.seen.deliveries.values())
        pending = any(row.state == "pending" for row in self.stage.seen.publishes.values())
        return pending or any(row.state == "waiting" and row.not_before is None for row in rows)

    def failed(self) -> list[str]:
        """Allocations with something that a person may try again."""
        rows = (*self.stage.seen.items.values(), *self.stage.seen.deliveries.values())
        found = {row.allocation_id for row in rows if row.state in ("failed", "unconfirmed")}
        return [one for one in self.allocations() if one in found]

    def claimable(self) -> bool:
        """Whether a claim may bring something: what waits for a child, or what one has."""
        children_ids = self.stage.world.children.values()
        rows = self.stage.seen.allocations.values()
        return any(row.node_id in children_ids and row.state in UNSETTLED for row in rows)

    def jobs(self) -> list[tuple[str, str, int]]:
        """What stands in queues: node, allocation, attempt."""
        names = {node_id: name for name, node_id in self.stage.world.attached.items()}
        return [
            (names[row.node_id], row.id, row.attempt)
            for row in self.stage.seen.allocations.values()
            if row.node_id in names and row.state == "pending" and row.kind != "publish"
        ]

    @initialize()
    def start(self) -> None:
        """Something is there to begin with."""
        for task in self.stage.world.tasks[:2]:
            people.dispatch(self.stage, task)

    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        """Something happens."""
        ready = [name for name, one in MOVES.items() if one.ready(self) for _ in range(one.weight)]
        name = data.draw(st.sampled_from(ready))
        arguments = data.draw(st.fixed_dictionaries(dict(MOVES[name].arguments)))
        getattr(self, name)(**arguments)

    @move(4, lambda self: self.stage.seen.open < ENOUGH, task=st.integers(0, 2))
    def dispatch(self, task: int) -> None:
        """A person dispatches."""
        people.dispatch(self.stage, self.stage.world.tasks[task])

    @move(10, lambda self: self.waiting())
    def pump(self) -> None:
        """Two beats pump, one after the other."""
        beats.plan(self.stage)
        beats.plan(self.stage)

    @move(20, lambda self: self.jobs(), pick=picks, size=st.sampled_from([1, 3, 100]), next_one=st.booleans())
    def begin(self, pick: int, size: int, next_one: bool) -> None:
        """A job begins, by its ids or as the next of its queue."""
        node, one, attempt = picked(self.jobs(), pick)
        if next_one:
            workers.begin_next(self.stage, node, QUEUES[node], size)
        else:
            workers.begin(self.stage, node, one, attempt)

    @move(
        3,
        lambda self: self.executions,
        pick=picks,
        how=st.sampled_from(["same", "other", "later", "elsewhere"]),
    )
    def begin_again(self, pick: int, how: str) -> None:
        """A duplicate of a job begins: its answer was lost, it was enqueued twice, or it is of another attempt or node."""
        execution = picked(self.executions, pick)
        order, node = execution.order, execution.node
        if how == "elsewhere":
            node = "n2" if node == "n1" else "n1"
        attempt = order.attempt + (how == "later")
        workers.begin(
            self.stage, node, order.allocation_id, attempt, order.execution if how == "same" else None
        )

    @move(8, lambda self: self.running(), pick=picks, ends=ends, answers=answers)
    def checkpoint(self, pick: int, ends: list[str], answers: list[str]) -> None:
        """A worker sends some messages, and tells what has ended so far."""
        execution = picked(self.running(), pick)
        workers.send(self.stage, execution, answers[:2])
        workers.checkpoint(self.stage, execution, ends)

    @move(10, lambda self: self.sending(), pick=picks, answers=answers)
    def send(self, pick: int, answers: list[str]) -> None:
        """A worker sends some messages, and tells nobody yet."""
        workers.send(self.stage, picked(self.sending(), pick), answers)

    @move(14, lambda self: self.running(), pick=picks, ends=ends, answers=answers, twice=st.booleans())
    def settle(self, pick: int, ends: list[str], answers: list[str], twice: bool) -> None:
        """A worker ends its work, twice when it did not hear the answer."""
        execution = picked(self.running(), pick)
        workers.send(self.stage, execution, answers)
        workers.settle(self.stage, execution, ends)
        if twice:
            workers.settle(self.stage, execution, ends)

    @move(6, lambda self: self.past(), pick=picks, ends=ends, part=st.booleans())
    def settle_late(self, pick: int, ends: list[str], part: bool) -> None:
        """An outbox is drained, or a frozen worker wakes: what it held is somebody else's, or has ended."""
        execution = picked(self.past(), pick)
        workers.send(self.stage, execution, ("heard",))
        if part and execution.outcome is None:
            workers.checkpoint(self.stage, execution, ends)
        else:
            workers.settle(self.stage, execution, ends)

    @move(2, lambda self: self.executions, pick=picks)
    def settle_as_stranger(self, pick: int) -> None:
        """Somebody settles who never began."""
        workers.settle_as_stranger(self.stage, picked(self.executions, pick))

    @move(2, lambda self: self.executions, pick=picks, everybody=st.booleans())
    def renew(self, pick: int, everybody: bool) -> None:
        """Processes renew what they think they hold."""
        chosen = self.executions if everybody else [picked(self.executions, pick)]
        workers.renew(self.stage, chosen)

    @move(3, seconds=st.sampled_from([46, 1900, 10, 200]), renewing=st.booleans())
    def time_passes(self, seconds: int, renewing: bool) -> None:
        """Time passes, and whoever works renews or not."""
        self.stage.pass_time(seconds)
        self.stage.see()
        if renewing and self.running():
            workers.renew(self.stage, self.running())

    @move(3, lambda self: self.allocations(*HELD), seconds=st.sampled_from([60, 21]), stamped=st.booleans())
    def system_is_away(self, seconds: int, stamped: bool) -> None:
        """Nothing can arrive for a while; then sweepers look, before or after the first stamp."""
        self.stage.go_away(seconds)
        self.stage.see()
        if stamped:
            beats.stamp(self.stage)
        beats.look(self.stage)

    @move(4, lambda self: self.allocations(*HELD), seconds=st.sampled_from([46, 0, 1900]))
    def sweeper_looks(self, seconds: int) -> None:
        """A sweeper reads, maybe after leases ran out."""
        if seconds:
            self.stage.pass_time(seconds)
            self.stage.see()
        beats.look(self.stage)

    @move(
        4,
        lambda self: self.running(),
        pick=picks,
        ends=ends,
        then=st.sampled_from(["renew", "settle", "recover"]),
    )
    def sweeper_is_slow(self, pick: int, ends: list[str], then: str) -> None:
        """A sweeper reads; before it acts, workers come back or settle, or another sweeper is faster."""
        self.stage.pass_time(46)
        self.stage.see()
        known = len(self.stage.looks)
        beats.look(self.stage)
        found = self.stage.looks[known:]
        if then == "renew":
            workers.renew(self.stage, self.running())
        elif then == "settle":
            workers.settle(self.stage, picked(self.running(), pick), ends)
        for expired in found * 2 if then == "recover" else found:
            beats.act(self.stage, expired)

    @move(2, lambda self: len(self.articles()) < 4, account=st.sampled_from(["a1", "a2"]))
    def publish(self, account: str) -> None:
        """Somebody wants something published, and a beat pumps."""
        publishing.want(self.stage, account)
        beats.plan(self.stage)

    @move(3, lambda self: self.articles(), pick=picks, what=st.sampled_from(publishing.ASKED))
    def person_decides(self, pick: int, what: str) -> None:
        """A person cancels a publish task, tries it again, or says how it ended."""
        publishing.ask(self.stage, picked(self.articles(), pick), what)

    @move(9, lambda self: self.to_publish(), pick=picks, step=st.sampled_from(publishing.STEPS))
    def publishing_goes_on(self, pick: int, step: str) -> None:
        """A worker takes a step of publishing."""
        publishing.go_on(self.stage, picked(self.to_publish(), pick), step)

    @move(3, lambda self: self.running(), pick=picks, blames=st.booleans(), now=st.booleans())
    def worker_dies(self, pick: int, blames: bool, now: bool) -> None:
        """A worker dies before its supervisor's eyes, which gives back what it held, at once or later."""
        beats.see_end(self.stage, picked(self.running(), pick).node, blames=blames)
        for expired in self.stage.looks[-3:] if now else ():
            beats.act(self.stage, expired)

    @move(5, lambda self: self.stage.looks, pick=picks)
    def sweeper_acts(self, pick: int) -> None:
        """A sweeper acts on what it read, maybe a second time."""
        beats.act(self.stage, picked(self.stage.looks, pick))

    @move(3, pumping=st.booleans())
    def sweep(self, pumping: bool) -> None:
        """A beat makes a whole pass."""
        beats.sweep(self.stage)
        if pumping:
            beats.plan(self.stage)

    @move(5, lambda self: self.running(), pick=picks, ends=ends, answers=answers, begun=st.booleans())
    def worker_is_replaced(self, pick: int, ends: list[str], answers: list[str], begun: bool) -> None:
        """A worker freezes past its lease, others take its work, and it wakes."""
        execution = picked(self.running(), pick)
        workers.send(self.stage, execution, answers)
        self.stage.pass_time(80.0)
        self.stage.see()
        beats.sweep(self.stage)
        beats.plan(self.stage)
        if begun:
            for node, one, attempt in self.jobs():
                workers.begin(self.stage, node, one, attempt)
        workers.settle(self.stage, execution, ends)

    @move(3, lambda self: self.allocations(), pick=picks, ends=ends, settling=st.booleans())
    def cancel(self, pick: int, ends: list[str], settling: bool) -> None:
        """A person cancels, and the worker settles without knowing of it."""
        one = picked(self.allocations(*UNSETTLED) or self.allocations(), pick)
        people.cancel(self.stage, one)
        running = [execution for execution in self.running() if execution.order.allocation_id == one]
        if settling and running:
            workers.settle(self.stage, running[0], ends)

    @move(6, lambda self: self.failed(), pick=picks, unconfirmed=st.booleans(), failed=st.booleans())
    def retry(self, pick: int, unconfirmed: bool, failed: bool) -> None:
        """A person tries again."""
        one = picked(self.failed() if failed else self.allocations(), pick)
        people.retry(self.stage, one, unconfirmed=unconfirmed)

    @move(1, lambda self: len(self.stage.seen.tasks) > 1, task=st.integers(0, 2))
    def delete_task(self, task: int) -> None:
        """A person deletes a message task."""
        people.delete_task(self.stage, self.stage.world.tasks[task])

    @move(2, name=st.sampled_from(["n2", "w1", "n1", "w2"]), how=st.sampled_from(["off", "silent", "drain"]))
    def switch_node(self, name: str, how: str) -> None:
        """A node is switched, or falls silent, and a sweeper comes by."""
        world = self.stage.world
        people.switch(self.stage, (world.attached | world.children)[name], how)
        self.troubled.append((name, how))
        beats.sweep(self.stage)

    @move(5, lambda self: self.troubled, pick=picks)
    def repair_node(self, pick: int) -> None:
        """A node is there again."""
        trouble = picked(self.troubled, pick)
        self.troubled.remove(trouble)
        name, how = trouble
        world = self.stage.world
        how = {"off": "on", "silent": "beat", "drain": "back"}[how]
        people.switch(self.stage, (world.attached | world.children)[name], how)

    @move(1, name=st.sampled_from(["n2", "w2"]), force=st.booleans())
    def delete_node(self, name: str, force: bool) -> None:
        """A person deletes a node."""
        world = self.stage.world
        people.delete_node(self.stage, (world.attached | world.children)[name], force=force)

    @move(
        6,
        lambda self: self.claimable(),
        asks=st.lists(
            st.tuples(st.sampled_from(["w1", "w2"]), st.sampled_from(["", "c1", "c2"]), st.integers(1, 2)),
            min_size=1,
            max_size=3,
        ),
        polls=st.booleans(),
    )
    def claim(self, asks: list[tuple[str, str, int]], polls: bool) -> None:
        """Children claim, in one group."""
        children.claim(self.stage, asks, polls=polls)

    @move(
        10,
        lambda self: self.stage.promises.claims,
        pick=picks,
        verb=st.sampled_from(children.VERBS),
        good=verdicts,
        elsewhere=st.integers(0, 5),
    )
    def child_calls(self, pick: int, verb: str, good: list[bool], elsewhere: int) -> None:
        """A child calls about what it claimed, or, seldom, about what another one did."""
        one = picked(list(self.stage.promises.claims), pick)
        node = self.stage.promises.claims[one][0]
        if elsewhere == 5:
            node = "w2" if node == "w1" else "w1"
        children.call(self.stage, node, one, verb, good)

    def teardown(self) -> None:
        """Faults stop, and everything ends."""
        beats.let_end(self.stage)
