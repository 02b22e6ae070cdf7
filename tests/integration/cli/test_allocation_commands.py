"""`allocation`, `failures` and `why` on a data directory of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from backend.bootstrap import build_engine, load_settings
from tests.building import GONE, World, allocation_ids, begin, make_world, outcome_of
from tests.integration.cli.conftest import Cascade


@pytest.fixture
def engine(cli: Cascade) -> Iterator[Engine]:
    """The data directory's own database."""
    cli.ok("feed", "list")
    engine = build_engine(load_settings(data_dir=cli.data_dir), pooled=False)
    yield engine
    engine.dispose()


def failed(engine: Engine, feeds: int = 2) -> tuple[World, str]:
    world = make_world(engine, feeds)
    order = begin(world)
    world.ledger.settle(outcome_of(order, GONE))
    return world, order.allocation_id


def test_allocations_are_listed_with_why_and_shown_with_their_story(cli: Cascade, engine: Engine) -> None:
    _, ended = failed(engine)
    pending, first = cli.rows("allocation", "list")
    assert (first["allocation_id"], first["status"], first["why"]) == (ended, "completed", None)
    assert pending["why"] == "It waits for a free worker of the node n, of which 1 run."
    assert [one["allocation_id"] for one in cli.rows("allocation", "list", "--status", "completed")] == [
        ended
    ]
    story = json.loads(cli.ok("allocation", "show", ended, "--json"))
    assert [step["to_state"] for step in story["timeline"]] == ["pending", "executing", "completed"]
    shown = cli.run("allocation", "show", ended).stdout
    assert GONE.code in shown
    assert "the work ran to its end" in shown
    assert cli.ok("why", pending["allocation_id"]) == pending["why"]


def test_one_is_cancelled_and_what_failed_is_tried_again(cli: Cascade, engine: Engine) -> None:
    _, ended = failed(engine)
    [waiting] = allocation_ids(engine)
    assert cli.ok("allocation", "cancel", waiting) == "cancelled"
    assert "ended already: completed" in cli.refusal("allocation", "cancel", ended)
    assert cli.ok("allocation", "retry", ended) == "tried_again"
    assert "nothing_failed" not in cli.refusal("allocation", "retry", ended)


def test_many_are_counted_before_anything_changes(cli: Cascade, engine: Engine) -> None:
    world = make_world(engine, 3)
    assert "--task" in cli.refusal("allocation", "cancel")
    refused = cli.run("allocation", "cancel", "--task", world.task_id, input="n\n")
    assert "3 allocations would be cancelled (3 pending)" in refused.stderr
    assert len(allocation_ids(engine)) == 3
    assert cli.ok("allocation", "cancel", "--task", world.task_id, "--yes") == "cancelled=3"
    assert allocation_ids(engine) == []


def test_failures_are_grouped(cli: Cascade, engine: Engine) -> None:
    world, _ = failed(engine)
    [group] = cli.rows("failures", "--run", world.run_id)
    assert (group["error_code"], group["count"], group["pattern"]) == (
        GONE.code,
        1,
        "the server answered 410",
    )
    assert "the server answered 410" in cli.run("failures").stdout


def test_what_nobody_knows_has_no_reason(cli: Cascade, engine: Engine) -> None:
    assert "nobody" in cli.refusal("why", "nobody")
