"""Publish tasks and accounts in the store: duplicates, people's decisions, health that tasks follow, and who may delete what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from backend.dispatch.account_repairs import cooled_accounts, unfollowed_accounts
from backend.dispatch.pump import pump
from backend.domain.errors import CascadeError, Conflict, NotFound
from backend.domain.identifiers import new_id
from backend.domain.publish_endings import PublishPolicy
from backend.domain.publishing import AccountVerdict, Credentials, Errand, Health, Manuscript
from backend.store import account_health, accounts, publish_views, publishing
from backend.store.accounts import NewAccount
from backend.store.columns import now
from backend.store.publishing import NewPublish
from backend.store.session import read, transact
from backend.store.tables import Allocation, History, PublishAccount, PublishTask
from tests import building
from tests.building import CIPHER, LIMITS, row_of, rows_of
from tests.publishing import make_account, make_tasks

LONG_AGO = datetime(2026, 11, 1, tzinfo=UTC)
ARTICLE = Manuscript("title", "text")
SECRET = Credentials(fields={"secret": "geheim"})
on_mariadb = pytest.mark.parametrize("backend", ["mariadb"], indirect=True)


def create(
    engine: Engine, *wanted: NewPublish, owner: str | None = None, force: bool = False
) -> list[tuple[str, CascadeError | None]]:
    """By id, why it was refused."""
    by_id = {new_id(): one for one in wanted}

    def make(session: Any) -> dict[str, CascadeError | None]:
        return publishing.create_tasks(session, "ana", by_id, owner=owner, force=force)

    return list(transact(engine, make).items())


def codes(made: list[tuple[str, CascadeError | None]]) -> list[str]:
    return [error.code if error else "" for _, error in made]


@on_mariadb
def test_of_a_batch_each_is_taken_or_refused_on_its_own(engine: Engine) -> None:
    mine, others = make_account(engine, "mine"), make_account(engine, "others", user_id="bob")
    wanted = [
        NewPublish(mine, ARTICLE),
        NewPublish(mine, ARTICLE),
        NewPublish(others, ARTICLE),
        NewPublish("nobody's", ARTICLE),
        NewPublish(mine, Manuscript("other", "text"), platform="zhihu"),
    ]
    refused = ["", "publish_duplicate", "not_found", "not_found", "publish_wrong_platform"]
    assert codes(create(engine, *wanted, owner="ana")) == refused
    assert building.counted(engine, PublishTask) == {"pending": 1}
    assert codes(create(engine, NewPublish(mine, ARTICLE), force=True)) == [""]


def test_an_impatient_user_has_one_task_however_often_it_is_sent_at_once(engine: Engine) -> None:
    account = make_account(engine)
    made = building.together(*[lambda: create(engine, NewPublish(account, ARTICLE))] * 3)
    assert sorted(codes([one for part in made for one in part])) == [
        "",
        "publish_duplicate",
        "publish_duplicate",
    ]


@on_mariadb
@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("success", "publish_duplicate"),
        ("unconfirmed", "publish_duplicate"),
        ("failed", ""),
        ("cancelled", ""),
    ],
)
def test_what_came_to_nothing_is_no_duplicate(engine: Engine, state: str, code: str) -> None:
    account = make_account(engine)
    create(engine, NewPublish(account, ARTICLE))
    building.change(engine, PublishTask, state=state)
    assert codes(create(engine, NewPublish(account, ARTICLE))) == [code]


@on_mariadb
def test_a_repeated_transaction_creates_nothing_twice(engine: Engine) -> None:
    wanted = {new_id(): NewPublish(make_account(engine), ARTICLE)}
    for _ in range(2):
        made = transact(engine, lambda session: publishing.create_tasks(session, "ana", wanted))
        assert list(made.values()) == [None]
    assert len(rows_of(engine, PublishTask)) == 1


@on_mariadb
def test_a_task_for_an_ill_account_is_held_with_the_reason_from_the_start(engine: Engine) -> None:
    account = make_account(engine, health="expired", health_reason="z_c0 ended")
    create(engine, NewPublish(account, ARTICLE, scheduled_at=LONG_AGO))
    task = row_of(engine, PublishTask)
    assert (task.state, task.reason_code, task.not_before) == ("held", "why_account_expired", LONG_AGO)
    assert "z_c0 ended" in task.reason


def cancel(engine: Engine, task_id: str, owner: str | None = None) -> tuple[str, str]:
    told = transact(engine, lambda session: publishing.cancel(session, task_id, "ana", owner=owner))
    return told.outcome, told.state


@on_mariadb
@pytest.mark.parametrize("state", ["pending", "held", "queued"])
def test_what_does_not_run_is_cancelled_at_once_and_gives_its_slot_back(engine: Engine, state: str) -> None:
    building.make_node(engine)
    (task,) = make_tasks(engine, make_account(engine))
    if state == "queued":
        assert pump(engine, None, LIMITS) == 1
    elif state == "held":
        building.change(engine, PublishTask, state="held")
    assert cancel(engine, task) == cancel(engine, task) == ("cancelled", "cancelled")
    assert row_of(engine, PublishTask).completed_at is not None
    assert [row.active_account_id for row in rows_of(engine, Allocation)] in ([], [None])


@on_mariadb
@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"state": "success"}, "publish_ended"),
        ({"state": "failed"}, "publish_ended"),
        ({"state": "unconfirmed", "submitted_at": LONG_AGO}, "publish_submitted"),
        ({"state": "held", "submitted_at": LONG_AGO}, "publish_submitted"),
        ({"state": "pending", "submitted_at": LONG_AGO}, "publish_submitted"),
    ],
)
def test_what_has_ended_or_was_submitted_is_not_cancelled(
    engine: Engine, values: dict[str, Any], code: str
) -> None:
    (task,) = make_tasks(engine, make_account(engine))
    building.change(engine, PublishTask, **values)
    with pytest.raises(Conflict) as refused:
        cancel(engine, task)
    assert refused.value.code == code
    assert row_of(engine, PublishTask).state == values["state"]


@on_mariadb
def test_nobody_touches_what_belongs_to_somebody_else(engine: Engine) -> None:
    account = make_account(engine)
    (task,) = make_tasks(engine, account)
    for verb in (
        lambda session: publishing.cancel(session, task, "bob", owner="bob"),
        lambda session: publishing.retry(session, task, "bob", owner="bob"),
        lambda session: publishing.confirm(session, task, "bob", published=True, owner="bob"),
        lambda session: publish_views.show_task(session, task, "bob"),
        lambda session: accounts.get_account(session, account, "bob"),
        lambda session: accounts.delete_account(session, account, owner="bob"),
        lambda session: accounts.want_errand(session, account, Errand.CHECK, owner="bob"),
        lambda session: accounts.login_prompt(session, CIPHER, account, "bob"),
        lambda session: accounts.replace_credentials(
            session, CIPHER, account, SECRET, actor="bob", owner="bob"
        ),
    ):
        with pytest.raises(NotFound):
            transact(engine, verb)
    assert transact(engine, lambda session: publishing.clear(session, owner="bob")) == 0


@on_mariadb
def test_a_retry_has_all_attempts_before_it_and_keeps_the_mark(engine: Engine) -> None:
    (task,) = make_tasks(engine, make_account(engine))
    spent: dict[str, Any] = {
        "attempts": 5,
        "confirmations": 3,
        "errors": [{"code": "x"}],
        "submitted_at": LONG_AGO,
    }
    building.change(engine, PublishTask, state="failed", error_code="x", completed_at=now(), **spent)
    transact(engine, lambda session: publishing.retry(session, task, "ana"))
    row = row_of(engine, PublishTask)
    assert (row.state, row.attempts, row.confirmations, row.errors, row.error_code) == (
        "pending",
        0,
        0,
        None,
        "",
    )
    assert (row.submitted_at, row.completed_at) == (LONG_AGO, None)
    with pytest.raises(Conflict) as refused:
        transact(engine, lambda session: publishing.retry(session, task, "ana"))
    assert refused.value.code == "publish_not_failed"


@on_mariadb
@pytest.mark.parametrize("published", [True, False])
def test_a_person_says_how_what_nobody_knows_has_ended(engine: Engine, published: bool) -> None:
    (task,) = make_tasks(engine, make_account(engine))

    def say(session: Any) -> None:
        publishing.confirm(session, task, "ana", published=published, url="https://p.example/1")

    with pytest.raises(Conflict) as refused:
        transact(engine, say)
    assert refused.value.code == "publish_not_unconfirmed"
    building.change(engine, PublishTask, state="unconfirmed", submitted_at=LONG_AGO, known_ids=["1"])
    transact(engine, say)
    row = row_of(engine, PublishTask)
    expected = ("success", "https://p.example/1", LONG_AGO) if published else ("pending", "", None)
    assert (row.state, row.result_url, row.submitted_at) == expected
    # Who decided is on record.
    assert any(step.actor == "ana" and "ana says" in step.reason for step in rows_of(engine, History))


@on_mariadb
def test_clearing_away_takes_what_has_ended_with_its_history_and_nothing_that_somebody_must_look_at(
    engine: Engine,
) -> None:
    account = make_account(engine)
    states = ("success", "failed", "cancelled", "unconfirmed", "pending")
    for state, task in zip(states, make_tasks(engine, account, 5), strict=True):
        building.change(engine, PublishTask, task, state=state)
    assert transact(engine, lambda session: publishing.clear(session, states=("success", "pending"))) == 1
    assert transact(engine, publishing.clear) == 2
    assert building.counted(engine, PublishTask) == {"unconfirmed": 1, "pending": 1}
    assert len({row.subject_id for row in rows_of(engine, History)}) == 2


@on_mariadb
def test_the_story_and_the_figures_of_a_users_tasks(engine: Engine) -> None:
    building.make_node(engine)
    account = make_account(engine)
    first, _ = make_tasks(engine, account, 2, tags=["a"])
    pump(engine, None, LIMITS)
    story = read(engine, lambda session: publish_views.show_task(session, first))
    assert (story.task.state, story.task.node_name, story.content) == ("queued", "n", "text")
    assert [step.to_state for step in story.timeline] == ["pending", "queued"]
    assert story.allocation_ids == [row_of(engine, Allocation).id]
    which = publish_views.PublishFilter(owner="ana", states=("pending",))
    tasks, total, totals = read(engine, lambda session: publish_views.list_tasks(session, which))
    assert ([one.title for one in tasks], total, totals) == (["article 1"], 1, {"pending": 1, "queued": 1})
    figures = read(engine, lambda session: publish_views.user_publishing(session, "ana"))
    assert (figures.in_flight, figures.admitted_last_minute, figures.submitted_last_day) == (1, 1, 0)


@on_mariadb
def test_an_account_is_made_once_read_without_secrets_and_deleted_when_nothing_is_open(
    engine: Engine,
) -> None:
    def make(account_id: str) -> Any:
        new = NewAccount("webhook", "blog", SECRET)
        return transact(
            engine, lambda session: accounts.create_account(session, CIPHER, account_id, "ana", new)
        )

    view = make(new_id())
    assert (view.health, view.busy, view.waiting) == (Health.UNKNOWN, False, 0)
    assert "geheim" not in row_of(engine, PublishAccount).credentials
    assert "geheim" not in repr(view)
    with pytest.raises(Conflict) as refused:
        make(new_id())
    assert refused.value.code == "account_exists"
    (task,) = make_tasks(engine, view.id)
    with pytest.raises(Conflict) as busy:
        transact(engine, lambda session: accounts.delete_account(session, view.id))
    assert busy.value.code == "account_in_use"
    cancel(engine, task)
    transact(engine, lambda session: accounts.delete_account(session, view.id))
    assert rows_of(engine, PublishAccount) == []


@on_mariadb
def test_more_tasks_than_one_transaction_moves_follow_their_account_in_the_sweep(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_health, "AT_ONCE", 2)
    account = make_account(engine)
    make_tasks(engine, account, 5)
    ill = AccountVerdict(account, 1, Health.NEEDS_LOGIN, reason="captcha")

    def learn(session: Any) -> bool:
        return account_health.apply_verdict(session, CIPHER, PublishPolicy(), ill, "worker")

    assert transact(engine, learn)
    assert building.counted(engine, PublishTask) == {"held": 2, "pending": 3}
    assert [unfollowed_accounts(engine).run().mended for _ in range(3)] == [2, 1, 0]
    transact(
        engine, lambda session: accounts.replace_credentials(session, CIPHER, account, SECRET, actor="ana")
    )
    assert [unfollowed_accounts(engine).run().mended for _ in range(3)] == [2, 1, 0]
    assert building.counted(engine, PublishTask) == {"pending": 5}


@on_mariadb
def test_an_account_whose_pause_is_over_goes_on_and_not_before(engine: Engine) -> None:
    account = make_account(engine, health="cooling", cooling_until=LONG_AGO + timedelta(days=400))
    make_tasks(engine, account)
    unfollowed_accounts(engine).run()
    assert (cooled_accounts(engine).run().mended, building.counted(engine, PublishTask)) == (0, {"held": 1})
    # New credentials do not end a pause that the platform asked for.
    transact(
        engine, lambda session: accounts.replace_credentials(session, CIPHER, account, SECRET, actor="ana")
    )
    assert row_of(engine, PublishAccount).health == "cooling"
    building.change(engine, PublishAccount, cooling_until=now(-1))
    assert cooled_accounts(engine).run().mended == 1
    assert (row_of(engine, PublishAccount).health, building.counted(engine, PublishTask)) == (
        "unknown",
        {"pending": 1},
    )


@on_mariadb
@pytest.mark.parametrize("published", [True, False])
def test_what_was_submitted_and_is_held_can_be_decided_too_as_its_login_may_never_come_back(
    engine: Engine, published: bool
) -> None:
    (task,) = make_tasks(engine, make_account(engine, health="expired"))

    def say(session: Any) -> None:
        publishing.confirm(session, task, "ana", published=published, url="https://p.example/1")

    building.change(engine, PublishTask, state="held")
    with pytest.raises(Conflict):
        transact(engine, say)
    building.change(engine, PublishTask, submitted_at=LONG_AGO)
    transact(engine, say)
    row = row_of(engine, PublishTask)
    assert (row.state, row.submitted_at) == (("success", LONG_AGO) if published else ("held", None))


@on_mariadb
def test_an_account_moves_to_another_site_without_its_drafts_and_not_while_anything_is_in_doubt(
    engine: Engine,
) -> None:
    one = NewAccount("wordpress", "blog", Credentials(fields={"url": "https://one.example", "password": "p"}))
    account_id = transact(
        engine, lambda session: accounts.create_account(session, CIPHER, new_id(), "ana", one)
    ).id
    make_tasks(engine, account_id, draft_id="17")

    def give(url: str) -> None:
        fresh = Credentials(fields={"url": url, "password": "other"})
        transact(
            engine,
            lambda session: accounts.replace_credentials(session, CIPHER, account_id, fresh, actor="ana"),
        )

    give("https://one.example")
    assert row_of(engine, PublishTask).draft_id == "17"
    building.change(engine, PublishTask, submitted_at=LONG_AGO)
    with pytest.raises(Conflict) as refused:
        give("https://two.example")
    assert refused.value.code == "account_moves"
    building.change(engine, PublishTask, submitted_at=None)
    give("https://two.example")
    assert row_of(engine, PublishTask).draft_id is None
