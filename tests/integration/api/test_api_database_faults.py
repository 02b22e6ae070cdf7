"""What children call, with a database that fails at every single statement: right once, or 503 and nothing changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from backend.domain.errors import Unavailable
from backend.store.tables import Allocation, Article, Delivery, Result, SyncLog, WorkItem
from tests import building
from tests.faults import WAYS_OF_REQUESTS, Weak, weakened
from tests.integration.api.harness import Api, build, data
from tests.integration.api.playing import Child, article, make_accounts, make_child
from tests.servers import MariaDb

pytestmark = pytest.mark.parametrize(("backend", "way"), WAYS_OF_REQUESTS, indirect=["backend"])


@pytest.fixture
def weak(engine: Engine, backend: str, way: str, request: pytest.FixtureRequest) -> Iterator[Weak]:
    server: MariaDb | None = request.getfixturevalue("mariadb") if backend == "mariadb" else None
    with weakened(engine, way, server) as made:
        yield made


@pytest.fixture
def weak_api(weak: Weak, tmp_path: Path) -> Iterator[Api]:
    """The application on the weak database."""
    api = build(weak.url, tmp_path)
    weak.failing.hook(api.engine)
    yield api
    api.close()


def call(weak: Weak, request: Callable[[], TestResponse]) -> Any:
    """What the request is answered; a 503 says why and when to come again, and the request is then made again."""

    def act(_engine: Engine) -> Any:
        answer = request()
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
            raise Unavailable(answer.get_json()["data"]["error"], part="The database")
        return data(answer)

    return weak.call(act)


def test_a_child_s_work_is_given_once_stored_once_and_ended_once(weak: Weak, weak_api: Api) -> None:
    child = Child(weak_api, *make_child(weak.engine))

    def run(number: int) -> None:
        (feed,) = make_accounts(weak.engine, 1, number + 1)
        building.dispatch(weak.engine, building.make_task(weak.engine, [feed]))
        package = call(weak, lambda: child.post("/claim-task"))
        assert building.allocation_ids(weak.engine) == []
        assert [one["id"] for one in package["feeds"]] == [feed]
        one = package["allocation_id"]
        assert call(weak, lambda: child.status(one, "executing"))["status"] == "executing"
        assert call(weak, lambda: child.upload(one, [article(feed, 1), article(feed, 2)]))["kept"] == 2
        ended = call(weak, lambda: child.complete(package, [{"mp_id": feed, "article_count": 2}]))
        assert ended["status"] == "completed"
        check_done(weak.engine, one, feed)

    assert "COMMIT" in weak.at_every_statement(run)


def check_done(engine: Engine, allocation_id: str, feed: str) -> None:
    """One allocation ended, its item is done, two articles are there in one delivery; each call is logged once."""
    assert building.row_of(engine, Allocation, allocation_id).state == "completed"
    (item,) = [row for row in building.rows_of(engine, WorkItem) if row.feed_id == feed]
    assert (item.state, item.attempts) == ("done", 1)
    assert len([row for row in building.rows_of(engine, Article) if row.feed_id == feed]) == 2
    assert len([row for row in building.rows_of(engine, Delivery) if row.feed_id == feed]) == 1
    kept = [row for row in building.rows_of(engine, Result) if row.allocation_id == allocation_id]
    assert len(kept) == 1
    logged = [row.operation for row in building.rows_of(engine, SyncLog) if names(row, allocation_id)]
    assert sorted(set(logged)) == ["claim_task", "task_completion", "upload_articles"]
    assert (logged.count("claim_task"), logged.count("task_completion")) == (1, 1)


def names(row: SyncLog, allocation_id: str) -> bool:
    """Whether the entry is about the allocation."""
    return allocation_id in str(vars(row))


def test_a_poller_s_report_counts_once(weak: Weak, weak_api: Api) -> None:
    child = Child(weak_api, *make_child(weak.engine))

    def run(number: int) -> None:
        (feed,) = make_accounts(weak.engine, 1, number + 1)
        task_id = building.make_task(weak.engine, [feed])
        building.dispatch(weak.engine, task_id)
        package = call(weak, lambda: child.get("/pending-tasks"))
        assert package["task_id"] == task_id
        call(weak, lambda: child.post("/heartbeat"))
        report = {"task_id": task_id, "results": [{"mp_id": feed, "article_count": 3}]}
        call(weak, lambda: child.post("/report-result", report))
        (item,) = [row for row in building.rows_of(weak.engine, WorkItem) if row.feed_id == feed]
        assert (item.state, item.article_count) == ("done", 3)
        assert len([row for row in building.rows_of(weak.engine, Result) if row.task_id == task_id]) == 1

    assert "COMMIT" in weak.at_every_statement(run)
