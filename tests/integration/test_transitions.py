"""State changes: legal moves only, guarded, counted, recorded, and written in one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from backend.domain.identifiers import new_id
from backend.domain.states import LIFE_CYCLES
from backend.store import transitions
from backend.store.session import read, transact
from backend.store.tables import Allocation, Delivery, History, PublishTask, Run, WorkItem
from backend.store.transitions import Change, IllegalMoveError, Noun
from tests import building
from tests.building import outcome_of, row_of, rows_of

BACKEND = Path(__file__).resolve().parents[2] / "backend"
ILLEGAL = [
    (table, source, target)
    for table, noun in transitions.NOUNS.items()
    for source in sorted(LIFE_CYCLES[noun].states)
    for target in sorted(LIFE_CYCLES[noun].states)
    if not LIFE_CYCLES[noun].allows(source, target)
]


def make_allocations(engine: Engine, count: int) -> list[str]:
    rows = [{"id": new_id(), "kind": "update", "queue": "q", "node_id": "n"} for _ in range(count)]
    transact(engine, lambda session: transitions.create(session, Allocation, rows, "maker", "made"))
    return [str(row["id"]) for row in rows]


def move(engine: Engine, ids: list[str], change: Change, table: Noun = Allocation, **values: object) -> int:
    return transact(engine, lambda session: transitions.move(session, table, ids, change, **values))


def history_of(engine: Engine, one: str) -> list[tuple[str, str, str, str]]:
    query = (
        select(History.actor, History.from_state, History.to_state, History.reason)
        .where(History.subject_id == one)
        .order_by(History.id)
    )
    return [(a, b, c, d) for a, b, c, d in read(engine, lambda session: session.execute(query).all())]


@given(st.sampled_from(ILLEGAL))
def test_a_move_that_the_life_cycle_does_not_have_raises_before_it_touches_anything(
    illegal: tuple[Noun, str, str],
) -> None:
    table, source, target = illegal
    with pytest.raises(IllegalMoveError, match=f"{source} -> {target}"):
        # A session without a database: nothing may be executed.
        transitions.move(Session(), table, ["1"], Change((source,), target, "test"))


def test_one_illegal_source_among_legal_ones_is_refused_too(engine: Engine) -> None:
    (one,) = make_allocations(engine, 1)
    with pytest.raises(IllegalMoveError):
        move(engine, [one], Change(("pending", "completed"), "cancelled", "test"))
    assert row_of(engine, Allocation).state == "pending"


def test_a_row_in_another_state_stays_and_is_not_counted(engine: Engine) -> None:
    first, second = make_allocations(engine, 2)
    assert move(engine, [first], Change(("pending",), "executing", "test")) == 1
    assert move(engine, [first, second], Change(("pending",), "cancelled", "test")) == 1
    assert building.states(engine, Allocation) == {first: "executing", second: "cancelled"}


def test_a_guard_that_does_not_hold_keeps_the_row(engine: Engine) -> None:
    (one,) = make_allocations(engine, 1)
    change = Change(("pending",), "executing", "test")
    moved = transact(
        engine, lambda session: transitions.move(session, Allocation, [one], change, Allocation.attempt == 2)
    )
    assert (moved, row_of(engine, Allocation).state) == (0, "pending")
    assert len(history_of(engine, one)) == 1


def test_a_move_that_changes_nothing_else_still_counts(engine: Engine) -> None:
    """MySQL tells changed rows unless asked for matched ones; the second move here changes the reason alone."""
    row = {"id": new_id(), "task_id": "t", "feed_id": "f", "receiver": "r", "receiver_kind": "webhook"}
    transact(engine, lambda session: transitions.create(session, Delivery, [row], "test", "same"))
    one = str(row["id"])
    assert move(engine, [one], Change(("waiting",), "assigned", "test", "same"), Delivery) == 1
    assert move(engine, [one], Change(("assigned",), "waiting", "test", "same"), Delivery) == 1


def test_moving_nothing_is_nothing(engine: Engine) -> None:
    assert move(engine, [], Change(("pending",), "executing", "test")) == 0


def test_values_travel_with_the_move_and_long_reasons_are_cut(engine: Engine) -> None:
    (one,) = make_allocations(engine, 1)
    assert move(engine, [one], Change(("pending",), "executing", "a" * 300, "r" * 900), execution="x") == 1
    row = row_of(engine, Allocation)
    assert (row.execution, row.reason) == ("x", "r" * 500)
    assert history_of(engine, one)[-1] == ("a" * 100, "pending", "executing", "r" * 500)


def test_the_history_of_a_run_and_its_allocation_says_who_from_to_and_why(engine: Engine) -> None:
    world = building.make_world(engine)
    order = building.begin(world)
    world.ledger.settle(outcome_of(order))
    transact(engine, lambda session: transitions.close_run_if_ended(session, world.run_id, "sweeper"))
    assert history_of(engine, order.allocation_id) == [
        ("pump", "", "pending", "waits for a worker of its node"),
        (f"node {world.node_id}", "pending", "executing", "begun"),
        ("worker", "executing", "completed", "the work ran to its end"),
    ]
    assert history_of(engine, world.run_id) == [
        ("ana", "", "expanding", "dispatched"),
        ("dispatch", "expanding", "running", "all items made"),
        ("sweeper", "running", "completed", "all items ended"),
    ]
    times = [row.at for row in rows_of(engine, History)]
    assert times == sorted(times)


def test_publish_tasks_are_recorded_and_items_and_deliveries_are_not(engine: Engine) -> None:
    row = {"id": new_id(), "user_id": "u", "account_id": "a"}
    transact(engine, lambda session: transitions.create(session, PublishTask, [row], "ana"))
    assert (
        move(engine, [str(row["id"])], Change(("pending",), "held", "beat", "cools down"), PublishTask) == 1
    )
    building.make_world(engine)
    recorded = {entry.noun for entry in rows_of(engine, History)}
    assert recorded == {"publish_task", "allocation", "run"}


def test_a_run_is_closed_once_and_only_when_its_items_have_ended(engine: Engine) -> None:
    world = building.make_world(engine, 2)

    def close() -> bool:
        return transact(engine, lambda session: transitions.close_run_if_ended(session, world.run_id, "t"))

    for number, one in enumerate(building.allocation_ids(engine)):
        assert not close()
        order = world.ledger.begin(one, 1, f"x{number}")
        assert order is not None
        world.ledger.settle(outcome_of(order))
    assert [close(), close()] == [True, False]
    assert row_of(engine, Run).ended_at is not None


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_of_many_movers_at_once_one_wins_and_one_history_row_is_written(engine: Engine) -> None:
    for one in make_allocations(engine, 5):
        change = Change(("pending",), "executing", "racer")
        moved = building.together(*[lambda one=one, change=change: move(engine, [one], change)] * 6)
        assert sorted(moved) == [0, 0, 0, 0, 0, 1]
        assert len(history_of(engine, one)) == 2


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(BACKEND.rglob("*.py")):
        name = path.relative_to(BACKEND).as_posix()
        if not name.startswith("store/migrations/"):
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def writes_of_state(tree: ast.AST) -> list[int]:
    """Lines that write a state column: `.values(state=…)`, `row.state = …`, an insert's or update's "state" key."""
    found: list[int] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            named = [keyword.arg for keyword in node.keywords]
            called = ast.unparse(node.func).rpartition(".")[2]
            nouns = {table.__name__ for table in transitions.NOUNS}
            if "state" in named and called in {"values", *nouns}:
                found.append(node.lineno)
            if called == "setattr" and len(node.args) > 1 and ast.unparse(node.args[1]).strip("'") == "state":
                found.append(node.lineno)
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [one.lineno for one in targets if isinstance(one, ast.Attribute) and one.attr == "state"]
        elif isinstance(node, ast.Dict):
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            found += [node.lineno] * ("state" in keys)
    return found


def test_only_transitions_writes_a_state_column() -> None:
    writers = {name for name, tree in trees() if name.startswith("store/") and writes_of_state(tree)}
    assert writers == {"store/transitions.py"}
    others = {
        name
        for name, tree in trees()
        if not name.startswith("store/")
        and any(isinstance(n, ast.Import | ast.ImportFrom) for n in ast.walk(tree))
        if _writes_tables(tree)
    }
    assert others == set()


def _writes_tables(tree: ast.AST) -> bool:
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy")
        for alias in node.names
    }
    return bool(imported & {"insert", "update", "delete"})


@pytest.mark.parametrize(
    "code",
    [
        "session.execute(update(Run).values(state='completed'))",
        "row.state = 'completed'",
        "session.add(Run(id='1', state='running'))",
        "insert(Run).values([{'id': '1', 'state': 'running'}])",
        "setattr(row, 'state', 'done')",
    ],
)
def test_the_guard_sees_every_way_of_writing_a_state(code: str) -> None:
    assert writes_of_state(ast.parse(code)) == [1]


def test_every_table_with_a_life_cycle_is_known_to_transitions() -> None:
    assert set(transitions.NOUNS.values()) == LIFE_CYCLES.keys()
    assert transitions.NOUNS[WorkItem] == "work_item"
