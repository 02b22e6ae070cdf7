"""`ETag`, `If-Match`, `If-None-Match` on message tasks: no update is lost."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.integration.api.harness import Api, add_task, data


@pytest.fixture
def path(admin: FlaskClient) -> str:
    return f"/api/v1/message-tasks/{add_task(admin, name='Morning', cookies='a=secret')}"


def test_an_update_of_what_was_seen_goes_through_and_names_the_next_version(
    admin: FlaskClient, path: str
) -> None:
    seen = admin.get(path).headers["ETag"]
    changed = admin.put(path, json={"name": "Noon"}, headers={"If-Match": seen})
    assert data(changed)["name"] == "Noon"
    assert changed.headers["ETag"] == admin.get(path).headers["ETag"] != seen


def test_a_stale_update_is_refused_and_changes_nothing(admin: FlaskClient, path: str) -> None:
    seen = admin.get(path).headers["ETag"]
    admin.put(path, json={"name": "Noon"})
    late = admin.put(path, json={"name": "Evening"}, headers={"If-Match": seen})
    assert data(late, 412) == {"error": "changed_meanwhile"}
    assert data(admin.get(path))["name"] == "Noon"


@pytest.mark.parametrize(
    ("given", "status"), [("*", 200), ('"other", "more"', 412), ("nonsense", 412), ("", 412)]
)
def test_what_if_match_may_say(admin: FlaskClient, path: str, given: str, status: int) -> None:
    assert admin.put(path, json={"name": "Noon"}, headers={"If-Match": given}).status_code == status


def test_a_weak_tag_is_no_ground_for_an_update(admin: FlaskClient, path: str) -> None:
    weak = "W/" + admin.get(path).headers["ETag"]
    assert admin.put(path, json={"name": "Noon"}, headers={"If-Match": weak}).status_code == 412


def test_without_if_match_the_last_one_wins_as_ever(admin: FlaskClient, path: str) -> None:
    assert data(admin.put(path, json={"name": "Noon"}))["name"] == "Noon"


def test_what_did_not_change_is_not_sent_again(admin: FlaskClient, path: str) -> None:
    seen = admin.get(path).headers["ETag"]
    same = admin.get(path, headers={"If-None-Match": seen})
    assert (same.status_code, same.data) == (304, b"")
    admin.put(path, json={"name": "Noon"})
    assert data(admin.get(path, headers={"If-None-Match": seen}))["name"] == "Noon"


def test_everybody_sees_the_same_tag(api: Api, admin: FlaskClient, viewer: FlaskClient, path: str) -> None:
    assert viewer.get(path).headers["ETag"] == admin.get(path).headers["ETag"]
