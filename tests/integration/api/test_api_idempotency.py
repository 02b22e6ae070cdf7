"""`Idempotency-Key`: what is asked twice is made once, whoever dies or races meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from backend.domain.errors import Conflict
from backend.store import requests
from backend.store.columns import now
from backend.store.requests import KEEP_SECONDS, Reservation
from backend.store.session import read, transact
from backend.store.tables import IdempotentRequest, MessageTask, Run
from tests import building
from tests.integration.api.harness import Api, add_task, data

TASKS = "/api/v1/message-tasks"
TASK = {"name": "Morning", "feed_ids": "all", "cookies": "session=very-secret"}


def create(client: FlaskClient, key: str, **fields: object) -> TestResponse:
    return client.post(TASKS, json={**TASK, **fields}, headers={"Idempotency-Key": key})


def count(api: Api, table: Any) -> int:
    return read(api.engine, lambda session: session.scalar(select(func.count()).select_from(table)) or 0)


def age(api: Api, seconds: float, **values: Any) -> None:
    """Let the requests be that old."""
    old = {"taken_at": now(-seconds), "created_at": now(-seconds), **values}
    transact(api.engine, lambda session: session.execute(update(IdempotentRequest).values(**old)))


def test_the_same_request_again_makes_nothing_and_is_answered_the_same(api: Api, admin: FlaskClient) -> None:
    first, again = create(admin, "a-key"), create(admin, "a-key")
    assert data(again) == data(first)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.content_type == first.content_type
    assert count(api, MessageTask) == 1


def test_the_same_key_with_other_content_is_refused(api: Api, admin: FlaskClient) -> None:
    create(admin, "a-key")
    assert data(create(admin, "a-key", name="Evening"), 422)["error"] == "idempotency_key_reused"
    assert count(api, MessageTask) == 1


def test_keys_belong_to_whoever_sends_them_and_to_the_route(api: Api, admin: FlaskClient) -> None:
    mine, theirs = create(admin, "a-key"), create(api.as_role("operator"), "a-key")
    assert data(mine)["id"] != data(theirs)["id"]
    feed = admin.post(
        "/api/v1/feeds", json={"url": "https://example.com/feed"}, headers={"Idempotency-Key": "a-key"}
    )
    assert data(feed)["url"] == "https://example.com/feed"


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "schlüssel"])
def test_a_key_that_cannot_be_used_is_pointed_out(admin: FlaskClient, key: str) -> None:
    answer = create(admin, key)
    assert list(data(answer, 422)["errors"]) == ["Idempotency-Key"]


def test_a_refused_request_may_be_tried_again_with_its_key(admin: FlaskClient) -> None:
    assert data(create(admin, "a-key", feed_ids=["nothing"]), 422)
    assert data(create(admin, "a-key"))["name"] == "Morning"


def test_of_many_at_the_same_time_one_creates(api: Api) -> None:
    token = api.as_role("admin").environ_base["HTTP_AUTHORIZATION"]
    barrier = threading.Barrier(8)

    def race(_number: int) -> TestResponse:
        barrier.wait()
        return create(api.client(Authorization=token), "a-key")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(race, range(8)))
    made = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len({data(answer)["id"] for answer in made}) == 1
    assert {data(answer, 409)["error"] for answer in refused} <= {"request_in_hand"}
    assert all(answer.headers["Retry-After"] == "1" for answer in refused)
    assert count(api, MessageTask) == 1


def test_a_dispatch_repeated_starts_one_run(api: Api, admin: FlaskClient) -> None:
    task_id = add_task(admin)
    answers = [
        admin.post(f"/api/v1/cascade/dispatch-task?task_id={task_id}", headers={"Idempotency-Key": "a-key"})
        for _ in range(2)
    ]
    assert data(answers[0]) == data(answers[1])
    assert count(api, Run) == 1


def test_what_a_dead_process_left_undone_is_taken_over(api: Api, admin: FlaskClient) -> None:
    create(admin, "a-key")
    transact(api.engine, lambda session: session.execute(text("DELETE FROM message_tasks")))
    age(api, 5, took_effect=False, answer=None, execution="dead")
    assert data(create(admin, "a-key"), 409)["error"] == "request_in_hand"
    # Callers ask each second: longer than this would look like for ever to them.
    age(api, 60)
    assert data(create(admin, "a-key"))["name"] == "Morning"
    assert count(api, MessageTask) == 1


def test_a_process_that_was_taken_for_dead_cannot_commit(api: Api) -> None:
    slow, quick = Reservation("one", "content", "slow"), Reservation("one", "content", "quick")
    assert transact(api.engine, lambda session: requests.reserve(session, slow)).ours
    age(api, 400)
    assert transact(api.engine, lambda session: requests.reserve(session, quick)).ours

    def work(session: Session) -> None:
        session.execute(text("INSERT INTO locks (name) VALUES ('made twice')"))

    marked = api.engine.execution_options(before_commit=lambda session: requests.mark_effect(session, slow))
    with pytest.raises(Conflict):
        transact(marked, work)
    made = read(
        api.engine, lambda session: session.scalar(text("SELECT COUNT(*) FROM locks WHERE name='made twice'"))
    )
    assert made == 0


def test_an_effect_whose_answer_was_lost_is_not_repeated(api: Api, admin: FlaskClient) -> None:
    create(admin, "a-key")
    age(api, 400, answer=None)
    assert data(create(admin, "a-key"), 409)["error"] == "first_answer_lost"
    assert count(api, MessageTask) == 1


def test_one_that_takes_several_commits_counts_as_alive_with_each(api: Api) -> None:
    long, again = Reservation("one", "content", "long"), Reservation("one", "content", "again")
    transact(api.engine, lambda session: requests.reserve(session, long))
    age(api, 60)
    transact(api.engine, lambda session: requests.mark_effect(session, long))
    standing = transact(api.engine, lambda session: requests.reserve(session, again))
    assert (standing.ours, standing.answer_lost) == (False, False)
    age(api, 60)
    assert transact(api.engine, lambda session: requests.reserve(session, again)).answer_lost


def test_answers_are_kept_encrypted(api: Api, admin: FlaskClient) -> None:
    create(admin, "a-key")
    kept = read(api.engine, lambda session: session.scalar(select(IdempotentRequest.answer)))
    assert kept
    assert "very-secret" not in kept
    assert "very-secret" in api.parts.cipher.decrypt(kept)


def test_a_day_later_the_key_is_free_and_the_beat_forgets_it(api: Api, admin: FlaskClient) -> None:
    first = create(admin, "a-key")
    age(api, KEEP_SECONDS + 60)
    second = create(admin, "a-key")
    assert data(first)["id"] != data(second)["id"]
    assert building.forget(api.engine) == {}
    age(api, KEEP_SECONDS + 60)
    assert building.forget(api.engine) == {"sweep_old_requests": 1}
    assert count(api, IdempotentRequest) == 0


def test_without_a_key_every_request_creates(api: Api, admin: FlaskClient) -> None:
    assert data(admin.post(TASKS, json=TASK))["id"] != data(admin.post(TASKS, json=TASK))["id"]
    assert count(api, IdempotentRequest) == 0
