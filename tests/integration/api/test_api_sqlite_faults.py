"""SQLite that is locked, full or read-only: 503 with the reason, in time, and everything as before afterwards."""

from __future__ import annotations

import dataclasses
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, make_url

from backend.api.app import create_app
from tests.faults import everything
from tests.integration.api.harness import Api, data, settings_for

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

PATIENCE_SECONDS = 1.0


@pytest.fixture
def impatient(migrated_url: str, tmp_path: Path) -> Iterator[Api]:
    """The application, which waits a second for its database."""
    settings = dataclasses.replace(settings_for(migrated_url, tmp_path), database_seconds=PATIENCE_SECONDS)
    api = Api(create_app(settings))
    yield api
    api.close()


def add_feed(client: FlaskClient, name: str) -> Any:
    """A request that must write."""
    return client.post("/api/v1/feeds", json={"url": f"https://example.com/{name}/{'x' * 900}", "name": name})


def check_refused(answer: Any, code: str) -> None:
    """503, with the reason and a time to come again."""
    assert data(answer, 503) == {"error": code}
    assert int(answer.headers["Retry-After"]) > 0


def test_a_file_that_another_process_has_locked(impatient: Api) -> None:
    admin = impatient.as_role("admin")
    with sqlite3.connect(str(make_url(impatient.engine.url).database), isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        before, began = everything(impatient.engine), time.monotonic()
        check_refused(add_feed(admin, "a"), "database_busy")
        assert PATIENCE_SECONDS <= time.monotonic() - began < 10 * PATIENCE_SECONDS
        assert data(admin.get("/api/v1/feeds"))["total"] == 0
        assert everything(impatient.engine) == before
        other.execute("ROLLBACK")
    data(add_feed(admin, "a"))
    other.close()


@pytest.mark.parametrize(
    ("pragma", "code"),
    [("query_only = 1", "database_read_only"), ("max_page_count = 1", "database_full")],
)
def test_a_file_that_takes_nothing_more(impatient: Api, pragma: str, code: str) -> None:
    admin, trouble = impatient.as_role("admin"), [pragma]

    @event.listens_for(impatient.engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        # No file can have fewer pages than it has: the limit is where it stands.
        for one in trouble:
            connection.execute(f"PRAGMA {one}")

    answers = [add_feed(admin, f"{number}") for number in range(12)]
    check_refused(answers[-1], code)
    assert data(admin.get("/api/v1/feeds"))["total"] == [one.status_code for one in answers].count(200)
    trouble.clear()
    data(add_feed(admin, "after"))
