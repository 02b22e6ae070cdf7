"""What every ledger promises of publish and account work: the mark, the slot, verdicts, and what late reports may change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from backend.dispatch.pump import pump
from backend.dispatch.repairs import recover_expired
from backend.domain.errors import Conflict
from backend.domain.orders import Failure, Outcome, WorkOrder
from backend.domain.ports import Ledger, Standing
from backend.domain.protocol import PROTOCOL
from backend.domain.publishing import (
    AccountVerdict,
    Cookie,
    Credentials,
    DraftSaved,
    Errand,
    Finding,
    Health,
    LoginPrompt,
    Mode,
    Presence,
    Published,
    PublishReport,
    Submission,
)
from backend.store import accounts, publishing
from backend.store.account_health import clock, sealed, unsealed
from backend.store.columns import now
from backend.store.session import read, transact
from backend.store.tables import Allocation, History, Node, PublishAccount, PublishTask
from tests import building
from tests.building import CIPHER, LIMITS, row_of, rows_of
from tests.contracts.test_ledgers import LEDGERS, MakeLedger
from tests.publishing import make_account, make_tasks

# What the store decides alike on both: the ledgers' own tests and those of races run on both.
everywhere = pytest.mark.parametrize(
    ("backend", "make_ledger"), [("sqlite", "sql"), ("mariadb", "sql"), ("mariadb", "http")], indirect=True
)
on_mariadb = pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
SECRET = Credentials(fields={"url": "https://hook.example/", "secret": "geheim"})
DONE = Published("17", "https://p.example/17")
BROKEN = Failure("http_status", "the platform answered 503")
EXPIRED = Failure("session_expired", "log in again")
LONG_AGO = datetime(2026, 11, 1, tzinfo=UTC)
MANUSCRIPT: dict[str, Any] = {
    "title": "标题",
    "content": "# text",
    "content_format": "markdown",
    "cover": "https://img.example/1",
    "tags": ["a", "b"],
    "draft": False,
    "key": "k",
}


@dataclass(frozen=True)
class World:
    """A node, an account with credentials, one article, and a ledger of the node."""

    engine: Engine
    node_id: str
    account_id: str
    task_id: str
    ledger: Ledger

    def place(self) -> str:
        """Let the pump give the account's slot away; the allocation's id."""
        assert pump(self.engine, None, LIMITS) == 1
        (one,) = [row.id for row in rows_of(self.engine, Allocation) if row.state == "pending"]
        return str(one)

    def begin(self, execution: str = "x1", attempt: int = 1) -> WorkOrder:
        """Place, if nothing is, and begin."""
        waiting = [row.id for row in rows_of(self.engine, Allocation) if row.state == "pending"]
        order = self.ledger.begin(waiting[0] if waiting else self.place(), attempt, execution)
        assert order is not None
        return order

    def submitted(self) -> WorkOrder:
        """Begun and past the point of no return."""
        order = self.begin()
        assert self.ledger.checkpoint(order, Submission(("old",))) is Standing.HELD
        return order

    def change_task(self, **values: Any) -> None:
        """Write into the task beside the code under test."""
        building.change(self.engine, PublishTask, self.task_id, **values)

    @property
    def task(self) -> Any:
        """The task's row."""
        return row_of(self.engine, PublishTask, self.task_id)

    @property
    def account(self) -> Any:
        """The account's row."""
        return row_of(self.engine, PublishAccount)

    @property
    def slots(self) -> list[str]:
        """Whose slots are taken."""
        rows = rows_of(self.engine, Allocation)
        return [row.active_account_id for row in rows if row.active_account_id is not None]


@pytest.fixture(params=LEDGERS)
def make_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeLedger]:
    with LEDGERS[request.param](tmp_path) as make:
        yield make


def make_world(engine: Engine, make_ledger: MakeLedger) -> World:
    node_id = building.make_node(engine)
    account_id = make_account(engine, credentials=sealed(CIPHER, SECRET))
    (task_id,) = make_tasks(engine, account_id, **MANUSCRIPT)
    ledger = make_ledger(engine, node_id)
    said = {"kinds": ["update", "publish", "account"], "publishers": ["webhook"], "protocol": PROTOCOL}
    building.change(engine, Node, node_id, **said)
    return World(engine, node_id, account_id, task_id, ledger)


@pytest.fixture
def any_world(engine: Engine, make_ledger: MakeLedger) -> World:
    """Behind every kind of ledger."""
    return make_world(engine, make_ledger)


@pytest.fixture
def world(engine: Engine) -> World:
    """Straight on the database: for what the store decides, whichever ledger asks."""
    return make_world(engine, building.ledger_for)


def clock_of(engine: Engine) -> datetime:
    """The database's clock."""
    return read(engine, clock)


def outcome(order: WorkOrder, failure: Failure | None = None, **values: Any) -> Outcome:
    """How the execution of a publish or account order ended."""
    one = Outcome(order.allocation_id, order.attempt, order.execution, order.kind, failure=failure)
    if order.publish is not None and "publish" not in values:
        one = replace(one, publish=PublishReport(order.publish.task_id))
    return replace(one, **values)


def reported(order: WorkOrder, failure: Failure | None = None, **facts: Any) -> Outcome:
    """A publish order's outcome with these facts in its report."""
    assert order.publish is not None
    return outcome(order, failure, publish=PublishReport(order.publish.task_id, **facts))


def found(order: WorkOrder, presence: Presence, **facts: Any) -> Outcome:
    """What a confirming execution found."""
    published = DONE if presence is Presence.THERE else None
    return reported(order, finding=Finding(presence, published), **facts)


def verdict(world: World, health: Health, version: int = 1, **values: Any) -> AccountVerdict:
    return AccountVerdict(world.account_id, version, health, **values)


@everywhere
def test_begin_gives_the_order_with_all_that_publishing_needs(any_world: World) -> None:
    order = any_world.begin()
    assert (order.kind, order.queue, order.size) == ("publish", "node:n:publish", 1)
    assert order.seconds > 0
    publish = order.publish
    assert publish is not None
    assert (publish.task_id, publish.account_id, publish.platform) == (
        any_world.task_id,
        any_world.account_id,
        "webhook",
    )
    assert (publish.credential_version, publish.credentials) == (1, SECRET)
    assert (publish.manuscript.title, publish.manuscript.tags) == ("标题", ("a", "b"))
    assert (publish.mode, publish.draft_id, publish.submitted_at, publish.key) == (
        Mode.PUBLISH,
        "",
        None,
        "k",
    )
    assert (any_world.task.state, any_world.task.started_at is None) == ("running", False)
    assert any_world.slots == [any_world.account_id]


@everywhere
def test_begin_repeated_gives_the_same_order_and_another_execution_nothing(any_world: World) -> None:
    order = any_world.begin()
    assert any_world.ledger.begin(order.allocation_id, 1, "x1") == order
    assert any_world.ledger.begin(order.allocation_id, 1, "x2") is None
    assert any_world.task.attempts == 0


@on_mariadb
def test_begin_next_takes_publish_work_of_its_queue(world: World) -> None:
    one = world.place()
    order = world.ledger.begin_next("node:n:publish", "x1", 1)
    assert order is not None
    assert order.publish is not None
    assert order.allocation_id == one


@pytest.mark.parametrize(
    ("values", "state", "code"),
    [
        ({"health": "expired"}, "held", "why_account_expired"),
        ({"health": "needs_login"}, "held", "why_account_needs_login"),
        ({"health": "cooling", "cooling_until": LONG_AGO}, "held", "why_account_cooling_until"),
        ({"is_active": False}, "held", "why_account_off"),
        ({"node_id": "another"}, "pending", "account_moved"),
    ],
)
@on_mariadb
def test_begin_gives_back_what_its_account_does_not_allow_any_more(
    world: World, values: dict[str, Any], state: str, code: str
) -> None:
    one = world.place()
    building.change(world.engine, PublishAccount, **values)
    assert world.ledger.begin(one, 1, "x1") is None
    assert (world.task.state, world.task.reason_code, world.task.allocation_id) == (state, code, None)
    assert world.task.reason
    assert row_of(world.engine, Allocation).state == "cancelled"
    assert world.slots == []


@pytest.mark.parametrize("limit", [{"min_gap_seconds": 300}, {"daily_limit": 1}], ids=["gap", "day"])
@on_mariadb
def test_begin_looks_at_the_accounts_pace_again_but_not_to_confirm(
    world: World, limit: dict[str, int]
) -> None:
    one = world.place()
    make_tasks(world.engine, world.account_id, start="", submitted_at=datetime.now(UTC))
    building.change(world.engine, PublishAccount, last_used_at=now(), **limit)
    assert world.ledger.begin(one, 1, "x1") is None
    assert (world.task.state, world.task.reason_code) == ("pending", "account_gap")
    assert world.task.not_before is not None
    assert world.slots == []
    world.change_task(submitted_at=LONG_AGO, not_before=None)
    assert world.begin("x2").publish is not None


@on_mariadb
def test_begin_gives_nothing_for_a_task_that_nobody_wants_any_more(world: World) -> None:
    one = world.place()
    world.change_task(state="cancelled")
    assert world.ledger.begin(one, 1, "x1") is None
    assert (row_of(world.engine, Allocation).state, world.task.state) == ("cancelled", "cancelled")
    assert world.slots == []


@on_mariadb
def test_cookies_bind_the_account_to_the_node_that_first_uses_them(world: World) -> None:
    cookies = replace(SECRET, cookies=(Cookie("z_c0", "v", expires=LONG_AGO),))
    building.change(world.engine, PublishAccount, credentials=sealed(CIPHER, cookies))
    order = world.begin()
    assert order.publish is not None
    assert order.publish.credentials == cookies
    assert world.account.node_id == world.node_id


@on_mariadb
def test_without_cookies_an_account_belongs_to_no_node(world: World) -> None:
    world.begin()
    assert world.account.node_id is None


@everywhere
def test_every_retry_continues_the_draft_that_was_saved(any_world: World) -> None:
    order = any_world.begin()
    assert any_world.ledger.checkpoint(order, DraftSaved("d1")) is Standing.HELD
    any_world.ledger.settle(outcome(order, BROKEN))
    any_world.change_task(not_before=None)
    again = any_world.begin("x2")
    assert again.publish is not None
    assert (again.publish.draft_id, again.publish.mode) == ("d1", Mode.PUBLISH)


@on_mariadb
def test_a_submission_is_marked_by_the_databases_clock_before_the_call(world: World) -> None:
    order = world.begin()
    assert world.ledger.checkpoint(order, Submission(("1", "2"))) is Standing.HELD
    at = clock_of(world.engine)
    assert at - timedelta(seconds=30) < world.task.submitted_at <= at
    assert world.task.known_ids == ["1", "2"]
    assert world.account.last_used_at is not None


@everywhere
def test_a_submission_repeated_by_its_execution_holds_and_keeps_its_time(any_world: World) -> None:
    order = any_world.submitted()
    first = any_world.task.submitted_at
    assert any_world.ledger.checkpoint(order, Submission(("other",))) is Standing.HELD
    assert (any_world.task.submitted_at, any_world.task.known_ids) == (first, ["old"])


@on_mariadb
def test_an_execution_that_began_after_the_mark_may_not_submit(world: World) -> None:
    world.change_task(submitted_at=LONG_AGO)
    order = world.begin()
    assert order.publish is not None
    assert order.publish.mode is Mode.CONFIRM
    assert world.ledger.checkpoint(order, Submission()) is Standing.SUPERSEDED
    assert world.task.submitted_at == LONG_AGO


@everywhere
def test_an_execution_whose_place_was_taken_may_not_submit(any_world: World) -> None:
    order = any_world.begin()
    building.expire(any_world.engine)
    assert recover_expired(any_world.engine, 6) == 1
    assert any_world.ledger.checkpoint(order, Submission()) is Standing.SUPERSEDED
    assert any_world.task.submitted_at is None
    assert any_world.ledger.checkpoint(order, DraftSaved("d1")) is Standing.SUPERSEDED
    assert any_world.task.draft_id is None


@on_mariadb
def test_the_submission_wins_over_a_later_cancel(world: World) -> None:
    order = world.submitted()
    with pytest.raises(Conflict) as refused:
        transact(world.engine, lambda session: publishing.cancel(session, world.task_id, "ana"))
    assert refused.value.code == "publish_submitted"
    assert world.ledger.settle(reported(order, published=DONE, submitted=True)) is Standing.HELD
    assert world.task.state == "success"


@everywhere
def test_a_cancel_wins_over_a_later_submission(any_world: World) -> None:
    order = any_world.begin()
    told = transact(any_world.engine, lambda session: publishing.cancel(session, any_world.task_id, "ana"))
    assert (told.outcome, told.state) == ("cancel_requested", "running")
    assert any_world.ledger.checkpoint(order, Submission()) is Standing.CANCELLED
    assert any_world.task.submitted_at is None
    assert any_world.ledger.settle(outcome(order, handed_back=(any_world.task_id,))) is Standing.HELD
    assert (any_world.task.state, row_of(any_world.engine, Allocation).state) == ("cancelled", "cancelled")
    assert any_world.slots == []


@pytest.mark.parametrize("turn", range(2))
def test_of_cancel_and_submission_at_once_exactly_one_wins(world: World, turn: int) -> None:
    order = world.begin(f"x{turn}")

    def cancel() -> bool:
        try:
            transact(world.engine, lambda session: publishing.cancel(session, world.task_id, "ana"))
        except Conflict:
            return False
        return True

    def submit() -> bool:
        return world.ledger.checkpoint(order, Submission()) is Standing.HELD

    assert sorted(building.together(cancel, submit)) == [False, True]
    assert (world.task.submitted_at is None) == bool(world.task.cancel_requested)


@everywhere
def test_settle_stores_everything_that_the_outcome_brings_in_one_commit(any_world: World) -> None:
    order = any_world.submitted()
    good = verdict(any_world, Health.OK, profile="Ana")
    report = reported(order, published=DONE, submitted=True, warnings=("no tables",))
    assert any_world.ledger.settle(replace(report, verdict=good)) is Standing.HELD
    task, allocation = any_world.task, row_of(any_world.engine, Allocation)
    assert (task.state, task.platform_id, task.result_url) == ("success", "17", DONE.url)
    assert (task.warnings, task.attempts, task.confirmations) == (["no tables"], 1, 0)
    assert (allocation.state, allocation.settled_by, allocation.lease_until) == ("completed", "x1", None)
    assert (any_world.account.health, any_world.account.profile) == ("ok", "Ana")
    assert any_world.slots == []


@everywhere
def test_settle_repeated_is_held_and_changes_nothing_more(any_world: World) -> None:
    one = outcome(any_world.begin(), BROKEN)
    assert any_world.ledger.settle(one) is Standing.HELD
    before = (any_world.task.attempts, any_world.task.not_before, len(any_world.task.errors))
    assert any_world.ledger.settle(one) is Standing.HELD
    assert (any_world.task.attempts, any_world.task.not_before, len(any_world.task.errors)) == before
    assert before[0] == 1


@everywhere
def test_a_late_report_is_refused_recorded_and_changes_nothing(any_world: World) -> None:
    order = any_world.submitted()
    building.expire(any_world.engine)
    assert recover_expired(any_world.engine, 6) == 1
    second = any_world.begin("x2", attempt=2)
    late = reported(order, published=DONE, submitted=True)
    spoilt = replace(late, verdict=verdict(any_world, Health.EXPIRED))
    assert any_world.ledger.settle(spoilt) is Standing.SUPERSEDED
    assert (any_world.task.state, any_world.task.result_url, any_world.account.health) == (
        "running",
        "",
        "ok",
    )
    (note,) = [row for row in rows_of(any_world.engine, History) if row.noun == "publish_report"]
    assert DONE.url in note.reason
    assert second.publish is not None
    assert second.publish.mode is Mode.CONFIRM
    assert second.publish.known_ids == ("old",)


@on_mariadb
def test_transient_failures_are_tried_again_with_backoff_and_then_fail(world: World) -> None:
    for attempt in range(1, 6):
        order = world.begin(f"x{attempt}")
        assert world.ledger.settle(outcome(order, BROKEN)) is Standing.HELD
        assert (world.task.attempts, len(world.task.errors)) == (attempt, attempt)
        assert (world.task.error_code, world.slots) == (BROKEN.code, [])
        if attempt < 5:
            assert (world.task.state, world.task.allocation_id) == ("pending", None)
            assert world.task.not_before is not None
            assert pump(world.engine, None, LIMITS) == 0
            world.change_task(not_before=now(-1))
    assert (world.task.state, world.task.error_message) == ("failed", BROKEN.message)
    assert world.task.completed_at is not None


@on_mariadb
def test_a_rejected_article_fails_with_the_platforms_words(world: World) -> None:
    order = world.submitted()
    words = Failure("rejected", "内容违反社区规定", permanent=True)
    world.ledger.settle(reported(order, words, submitted=True))
    assert (world.task.state, world.task.error_message) == ("failed", "内容违反社区规定")
    # Trying again begins with a look: the mark stays.
    assert world.task.submitted_at is not None


@everywhere
def test_in_doubt_the_next_execution_asks_the_platform_and_finds_it(any_world: World) -> None:
    order = any_world.submitted()
    lost = Failure("timed_out", "no answer", ambiguous=True)
    any_world.ledger.settle(reported(order, lost, submitted=True, quiet_seconds=60.0))
    assert (any_world.task.state, any_world.task.reason_code) == ("pending", "publish_doubtful")
    at = clock_of(any_world.engine)
    assert timedelta(seconds=30) < any_world.task.not_before - at <= timedelta(seconds=60)
    any_world.change_task(not_before=now(-1))
    again = any_world.begin("x2")
    assert again.publish is not None
    assert (again.publish.mode, again.publish.known_ids) == (Mode.CONFIRM, ("old",))
    assert again.publish.submitted_at == any_world.task.submitted_at
    any_world.ledger.settle(found(again, Presence.THERE))
    assert (any_world.task.state, any_world.task.result_url, any_world.task.confirmations) == (
        "success",
        DONE.url,
        1,
    )


@on_mariadb
def test_what_is_not_there_is_published_again_only_after_the_quiet_period_and_where_that_is_repeatable(
    world: World,
) -> None:
    world.submitted()
    building.expire(world.engine)
    recover_expired(world.engine, 6)
    early = world.begin("x2", attempt=2)
    world.ledger.settle(found(early, Presence.NOT_THERE, repeatable=True))
    assert (world.task.state, world.task.reason_code) == ("pending", "publish_quiet")
    assert world.task.submitted_at is not None
    world.change_task(not_before=None, submitted_at=LONG_AGO)
    world.ledger.settle(found(world.begin("x3"), Presence.NOT_THERE, repeatable=True))
    assert (world.task.state, world.task.submitted_at, world.task.known_ids) == ("pending", None, None)
    last = world.begin("x4")
    assert last.publish is not None
    assert last.publish.mode is Mode.PUBLISH
    # The decision that cleared the mark is recorded.
    assert any("not there" in row.reason for row in rows_of(world.engine, History))


@pytest.mark.parametrize("presence", [Presence.NOT_THERE, Presence.UNKNOWN])
@on_mariadb
def test_what_nobody_knows_waits_for_a_person(world: World, presence: Presence) -> None:
    world.change_task(submitted_at=LONG_AGO)
    world.ledger.settle(found(world.begin(), presence))
    assert (world.task.state, world.task.submitted_at) == ("unconfirmed", LONG_AGO)
    assert world.task.error_message
    assert world.slots == []


@pytest.mark.parametrize("told", [True, False], ids=["with a verdict", "by the failure alone"])
@on_mariadb
def test_an_expired_login_holds_all_tasks_of_the_account_and_new_credentials_let_them_go_on(
    world: World, told: bool
) -> None:
    waiting = make_tasks(world.engine, world.account_id, 3)
    order = world.begin()
    ill = verdict(world, Health.EXPIRED, code="session_expired", reason="z_c0 ended") if told else None
    world.ledger.settle(outcome(order, EXPIRED, verdict=ill))
    assert world.account.health == "expired"
    assert building.counted(world.engine, PublishTask) == {"held": 4}
    for one in (world.task_id, *waiting):
        row = row_of(world.engine, PublishTask, one)
        assert (row.reason_code, row.allocation_id) == ("why_account_expired", None)
    # A visit of the account tries what needs no person; nothing else of it is placed.
    building.change(world.engine, PublishAccount, check_due_at=None)
    assert (world.slots, pump(world.engine, None, LIMITS)) == ([], 0)
    _replace(world)
    assert building.counted(world.engine, PublishTask) == {"pending": 4}
    assert (world.account.health, world.account.credential_version) == ("unknown", 2)


def _replace(world: World) -> None:
    transact(
        world.engine,
        lambda session: accounts.replace_credentials(session, CIPHER, world.account_id, SECRET, actor="ana"),
    )
    # What is asked for by the schedule would take the account's slot first.
    building.change(world.engine, PublishAccount, check_due_at=None)


@on_mariadb
def test_a_verdict_about_replaced_credentials_changes_nothing_and_the_task_goes_on(world: World) -> None:
    order = world.begin()
    _replace(world)
    stale = verdict(world, Health.EXPIRED, refreshed=Credentials(fields={"secret": "stale"}))
    assert world.ledger.settle(outcome(order, EXPIRED, verdict=stale)) is Standing.HELD
    assert (world.account.health, world.account.credential_version) == ("unknown", 2)
    assert unsealed(CIPHER, world.account.credentials) == SECRET
    assert (world.task.state, world.task.reason_code) == ("pending", "credentials_replaced")


@on_mariadb
def test_a_held_task_that_was_submitted_resumes_to_be_confirmed(world: World) -> None:
    order = world.submitted()
    world.ledger.settle(reported(order, EXPIRED, submitted=True))
    assert world.task.state == "held"
    _replace(world)
    assert world.task.state == "pending"
    again = world.begin("x2")
    assert again.publish is not None
    assert again.publish.mode is Mode.CONFIRM


@everywhere
def test_a_refreshed_cookie_makes_a_new_version(any_world: World) -> None:
    order = any_world.begin()
    fresh = Credentials(cookies=(Cookie("z_c0", "new"),))
    any_world.ledger.settle(
        replace(reported(order, published=DONE), verdict=verdict(any_world, Health.OK, refreshed=fresh))
    )
    assert unsealed(CIPHER, any_world.account.credentials) == fresh
    assert any_world.account.credential_version == 2


@on_mariadb
def test_what_a_stop_handed_back_goes_on_without_an_attempt(world: World) -> None:
    world.ledger.settle(outcome(world.begin(), handed_back=(world.task_id,), publish=None))
    assert (world.task.state, world.task.attempts, world.task.not_before) == ("pending", 0, None)
    assert (row_of(world.engine, Allocation).state, world.slots) == ("cancelled", [])


def errand(world: World, what: Errand) -> WorkOrder:
    """The errand, asked for by a person, placed and begun."""
    world.change_task(state="cancelled")
    transact(world.engine, lambda session: accounts.want_errand(session, world.account_id, what))
    return world.begin()


@everywhere
def test_begin_gives_an_errand_with_the_accounts_credentials_however_ill_it_is(any_world: World) -> None:
    building.change(any_world.engine, PublishAccount, health="expired")
    order = errand(any_world, Errand.LOGIN)
    assert order.kind == "account"
    assert order.account is not None
    assert (order.account.account_id, order.account.errand) == (any_world.account_id, Errand.LOGIN)
    assert (order.account.credential_version, order.account.credentials) == (1, SECRET)
    assert any_world.ledger.begin(order.allocation_id, 1, "x1") == order
    assert any_world.slots == [any_world.account_id]


@everywhere
def test_a_login_shows_its_prompt_encrypted_and_ends_with_new_credentials(any_world: World) -> None:
    (held,) = make_tasks(any_world.engine, any_world.account_id, title="held")
    order = errand(any_world, Errand.LOGIN)
    building.change(any_world.engine, PublishTask, held, state="held")
    building.change(any_world.engine, PublishAccount, health="expired")
    until = datetime.now(UTC) + timedelta(minutes=2)
    shown = LoginPrompt(any_world.account_id, "https://zhihu.example/scan", until)
    assert any_world.ledger.checkpoint(order, shown) is Standing.HELD
    assert "zhihu" not in any_world.account.login_prompt
    prompt = read(
        any_world.engine, lambda session: accounts.login_prompt(session, CIPHER, any_world.account_id)
    )
    assert prompt is not None
    assert prompt.link == shown.link
    fresh = Credentials(cookies=(Cookie("z_c0", "new"),))
    assert (
        any_world.ledger.settle(outcome(order, verdict=verdict(any_world, Health.OK, refreshed=fresh)))
        is Standing.HELD
    )
    assert (any_world.account.health, any_world.account.credential_version) == ("ok", 2)
    assert (any_world.account.login_prompt, any_world.slots) == (None, [])
    assert row_of(any_world.engine, PublishTask, held).state == "pending"


@on_mariadb
def test_an_errand_that_failed_says_why_and_is_looked_at_again_soon(world: World) -> None:
    order = errand(world, Errand.CHECK)
    world.ledger.settle(outcome(order, BROKEN))
    allocation = row_of(world.engine, Allocation, order.allocation_id)
    assert (allocation.state, allocation.error_code, allocation.settled_by) == ("failed", BROKEN.code, "x1")
    assert (world.account.health, world.account.errand_wanted, world.slots) == ("ok", None, [])
    at = clock_of(world.engine)
    assert timedelta() < world.account.check_due_at - at < timedelta(minutes=6)


@on_mariadb
def test_an_errand_that_a_stop_handed_back_is_wanted_still(world: World) -> None:
    order = errand(world, Errand.LOGIN)
    world.ledger.settle(outcome(order, handed_back=(world.account_id,)))
    assert (world.account.errand_wanted, world.slots) == ("login", [])


@on_mariadb
def test_a_platform_that_wants_a_pause_cools_the_account_until_then(world: World) -> None:
    order = world.begin()
    world.ledger.settle(outcome(order, Failure("rate_limited", "slow down", retry_after=120.0)))
    at = clock_of(world.engine)
    assert (world.account.health, world.task.state) == ("cooling", "held")
    assert timedelta(seconds=90) < world.account.cooling_until - at <= timedelta(seconds=120)
    assert world.task.reason_code == "why_account_cooling_until"
