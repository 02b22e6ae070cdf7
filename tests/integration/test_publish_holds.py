"""An account that must be logged in again holds its tasks, is one alarm, and everything goes on by itself when it is healthy."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from backend.dispatch.account_repairs import cooled_accounts, unfollowed_accounts
from backend.dispatch.pump import pump
from backend.domain.identifiers import new_id
from backend.domain.orders import Failure, Outcome, WorkOrder
from backend.domain.ports import Standing
from backend.domain.publish_endings import PublishPolicy
from backend.domain.publishing import (
    AccountVerdict,
    Cookie,
    Credentials,
    Health,
    LoginScreenshot,
    Mode,
    Published,
    PublishReport,
    Submission,
)
from backend.store import accounts, login_screenshots, publishing
from backend.store.account_health import apply_verdict
from backend.store.accounts import NewAccount
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import Allocation, PublishAccount, PublishTask
from backend.store.tables import LoginScreenshot as ScreenshotRow
from tests import building
from tests.building import CIPHER, LIMITS, change, row_of
from tests.integration.test_alarms import only, open_rules, watching_of
from tests.publishing import make_account, make_tasks

QUEUE = "node:n:publish"
EXPIRED = Failure("session_expired", "zhihu takes this login no longer.")


def cookies(value: str) -> Credentials:
    return Credentials(cookies=(Cookie("z_c0", value),))


@pytest.fixture
def node_id(engine: Engine) -> str:
    return building.make_node(engine)


@pytest.fixture
def account(engine: Engine, node_id: str) -> str:
    """An account with cookies, already checked."""
    one = NewAccount("zhihu", "ana", cookies("old"), min_gap_seconds=0, daily_limit=0)
    made = transact(engine, lambda session: accounts.create_account(session, CIPHER, new_id(), "ana", one))
    change(engine, PublishAccount, check_due_at=None, health="ok")
    assert made.node_id is None
    return made.id


def begin(engine: Engine, node_id: str) -> WorkOrder:
    """What the pump places next, begun by its node."""
    assert pump(engine, None, LIMITS) == 1
    order = building.ledger_for(engine, node_id).begin_next(QUEUE, new_id(), 1)
    assert order is not None
    return order


def settle(
    engine: Engine,
    node_id: str,
    order: WorkOrder,
    failure: Failure | None = None,
    verdict: AccountVerdict | None = None,
) -> None:
    """Its outcome: published, or the failure; `verdict` is what its look at the login found."""
    assert order.publish is not None
    task_id = order.publish.task_id
    there = None if failure else Published(task_id, f"https://zhihu/p/{task_id}")
    report = PublishReport(task_id, published=there, submitted=failure is None)
    ids = (order.allocation_id, order.attempt, order.execution, order.kind)
    building.ledger_for(engine, node_id).settle(
        Outcome(*ids, publish=report, failure=failure, verdict=verdict)
    )


def states(engine: Engine) -> dict[str, int]:
    return building.counted(engine, PublishTask)


def test_cookies_that_expire_fail_nothing_are_one_alarm_and_all_goes_on_with_new_ones(
    engine: Engine, node_id: str, account: str, tmp_path: Path
) -> None:
    make_tasks(engine, account, 12)
    watching = watching_of(engine, tmp_path, thresholds=only("alert_account_login"))
    settle(engine, node_id, begin(engine, node_id), EXPIRED)
    assert states(engine) == {"held": 12}
    assert row_of(engine, PublishAccount).node_id == node_id, "its cookies belong to the node that used them"
    for _ in range(2):
        watching.look(1e6)
        assert open_rules(engine) == {("alert_account_login", account)}
    # One visit looks whether something can be done without a person; then nothing begins.
    assert pump(engine, None, LIMITS) == 1
    visit = building.ledger_for(engine, node_id).begin_next(QUEUE, new_id(), 1)
    assert visit is not None
    assert visit.account is not None
    found = AccountVerdict(account, visit.account.credential_version, Health.EXPIRED, "session_expired")
    ids = (visit.allocation_id, visit.attempt, visit.execution, visit.kind)
    building.ledger_for(engine, node_id).settle(Outcome(*ids, verdict=found))
    assert pump(engine, None, LIMITS) == 0
    transact(
        engine,
        lambda session: accounts.replace_credentials(session, CIPHER, account, cookies("new"), actor="ana"),
    )
    assert states(engine) == {"pending": 12}
    late = AccountVerdict(account, 1, Health.EXPIRED, "session_expired", "said of the old ones")
    assert not transact(engine, lambda session: apply_verdict(session, CIPHER, PublishPolicy(), late, "w"))
    assert states(engine) == {"pending": 12}
    change(engine, PublishAccount, check_due_at=None)
    for _ in range(12):
        order = begin(engine, node_id)
        assert order.publish is not None
        assert order.publish.credentials.cookies[0].value == "new"
        settle(engine, node_id, order)
    assert states(engine) == {"success": 12}
    watching.look(1e6)
    assert open_rules(engine) == set()


def test_a_cooling_account_is_looked_at_when_its_time_is_over_and_its_tasks_go_on(
    engine: Engine, node_id: str, account: str
) -> None:
    (task,) = make_tasks(engine, account)
    settle(engine, node_id, begin(engine, node_id), Failure("rate_limited", "slow down", retry_after=600.0))
    assert (row_of(engine, PublishAccount).health, states(engine)) == ("cooling", {"held": 1})
    assert cooled_accounts(engine).run().found == 0
    assert pump(engine, None, LIMITS) == 0
    change(engine, PublishAccount, cooling_until=now(-1), check_due_at=now(-1))
    assert cooled_accounts(engine).run().mended == 1
    assert states(engine) == {"pending": 1}
    # The look goes first: what it finds out may save the article's try.
    assert pump(engine, None, LIMITS) == 1
    looked = [row for row in building.rows_of(engine, Allocation) if row.state == "pending"]
    assert [(row.kind, row.errand, row.account_id) for row in looked] == [("account", "check", account)]
    assert row_of(engine, PublishTask, task).state == "pending"


@pytest.mark.parametrize(
    ("failure", "health"),
    [
        (Failure("rate_limited", "slow down", retry_after=600.0), "cooling"),
        (Failure("login_required", "a captcha"), "needs_login"),
    ],
)
def test_a_login_that_was_good_a_call_ago_holds_its_tasks_when_a_later_call_is_refused(
    engine: Engine, node_id: str, account: str, failure: Failure, health: str
) -> None:
    make_tasks(engine, account, 2)
    fresh = cookies("renewed")
    good = AccountVerdict(account, 1, Health.OK, refreshed=fresh, profile="Ana")
    settle(engine, node_id, begin(engine, node_id), failure, good)
    row = row_of(engine, PublishAccount)
    assert (row.health, states(engine)) == (health, {"held": 2})
    assert (row.profile, row.credential_version) == ("Ana", 2), "what was learnt besides is kept"


@pytest.mark.parametrize("permanent", [False, True])
def test_a_call_that_reached_nobody_leaves_no_mark_and_what_comes_next_publishes(
    engine: Engine, node_id: str, account: str, permanent: bool
) -> None:
    (task,) = make_tasks(engine, account)
    order = begin(engine, node_id)
    assert building.ledger_for(engine, node_id).checkpoint(order, Submission(("7",))) is Standing.HELD
    assert row_of(engine, PublishTask, task).submitted_at is not None
    settle(engine, node_id, order, Failure("connect_failed", "nobody listens", permanent=permanent))
    row = row_of(engine, PublishTask, task)
    assert (row.state, row.error_code) == ("failed" if permanent else "pending", "connect_failed")
    assert (row.submitted_at, row.known_ids) == (None, None)
    if permanent:
        transact(engine, lambda session: publishing.retry(session, task, "ana"))
    change(engine, PublishTask, not_before=None)
    again = begin(engine, node_id).publish
    assert again is not None
    assert again.mode is Mode.PUBLISH


def test_tasks_that_do_not_follow_their_account_are_found_however_many(engine: Engine) -> None:
    well, ill = make_account(engine, "well"), make_account(engine, "ill", health="expired")
    for task in make_tasks(engine, well, 230):
        change(engine, PublishTask, task, state="held")
    make_tasks(engine, ill, 3)
    repair = unfollowed_accounts(engine)
    while repair.run().found:
        pass
    assert states(engine) == {"pending": 230, "held": 3}


def test_a_lost_login_with_a_password_is_followed_by_a_login_whose_screenshot_goes_with_its_success(
    engine: Engine, node_id: str
) -> None:
    fields = {"username": "ana", "password": "secret-pass"}
    one = NewAccount("zhihu", "ana", Credentials((Cookie("z_c0", "old"),), fields))
    account_id = transact(
        engine, lambda session: accounts.create_account(session, CIPHER, new_id(), "ana", one)
    ).id
    change(engine, PublishAccount, check_due_at=None, health="ok")

    def learn(verdict: AccountVerdict) -> bool:
        return transact(
            engine, lambda session: apply_verdict(session, CIPHER, PublishPolicy(), verdict, "node")
        )

    assert learn(AccountVerdict(account_id, 1, Health.EXPIRED, "session_expired"))
    assert row_of(engine, PublishAccount).errand_wanted == "login"
    assert pump(engine, None, LIMITS) == 1
    ledger = building.ledger_for(engine, node_id)
    order = ledger.begin_next(QUEUE, new_id(), 1)
    assert order is not None
    assert order.account is not None
    assert (order.account.errand, order.account.credentials.fields) == ("login", fields)
    assert ledger.checkpoint(order, LoginScreenshot(account_id, "aW1hZ2U=")) is Standing.HELD
    assert ledger.checkpoint(order, LoginScreenshot(account_id, "bmV3ZXI=")) is Standing.HELD
    stored = row_of(engine, ScreenshotRow)
    assert "bmV3ZXI" not in stored.image
    assert transact(engine, lambda session: login_screenshots.find(session, CIPHER, account_id)) == "bmV3ZXI="

    fresh = Credentials((Cookie("z_c0", "new"),), fields)
    verdict = AccountVerdict(account_id, 1, Health.OK, refreshed=fresh)
    outcome = Outcome(order.allocation_id, order.attempt, order.execution, order.kind, verdict=verdict)
    assert ledger.settle(outcome) is Standing.HELD
    account = row_of(engine, PublishAccount)
    assert (account.health, account.credential_version, account.errand_wanted) == ("ok", 2, None)
    assert transact(engine, lambda session: login_screenshots.find(session, CIPHER, account_id)) is None


def test_a_password_login_that_failed_without_a_verdict_is_left_to_a_person(
    engine: Engine, node_id: str
) -> None:
    fields = {"username": "ana", "password": "secret-pass"}
    one = NewAccount("zhihu", "ana", Credentials((Cookie("z_c0", "old"),), fields))
    transact(engine, lambda session: accounts.create_account(session, CIPHER, new_id(), "ana", one))
    change(engine, PublishAccount, check_due_at=None, health="expired", errand_wanted="login")
    assert pump(engine, None, LIMITS) == 1
    ledger = building.ledger_for(engine, node_id)
    order = ledger.begin_next(QUEUE, new_id(), 1)
    assert order is not None
    ids = (order.allocation_id, order.attempt, order.execution, order.kind)
    assert ledger.settle(Outcome(*ids, failure=Failure("deadline_exceeded", "too late"))) is Standing.HELD
    account = row_of(engine, PublishAccount)
    assert (account.health, account.health_code) == ("needs_login", "deadline_exceeded")
    assert (account.check_due_at, account.errand_wanted) == (None, None), "it would type the password again"
