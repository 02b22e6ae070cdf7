"""Feeds over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from backend.dispatch.pump import pump
from backend.domain.orders import ArticleDraft
from backend.store.session import read
from backend.store.tables import Article, MessageTaskFeed
from tests import building
from tests.integration.api.harness import Api, add_feed, add_task, data, field_errors

FEEDS = "/api/v1/feeds"


def test_a_new_feed_is_called_by_its_host_unless_it_has_a_name(admin: FlaskClient) -> None:
    created = data(admin.post(FEEDS, json={"url": "HTTPS://Example.com:443"}))
    assert (created["kind"], created["name"], created["url"]) == (
        "rss",
        "example.com",
        "https://example.com/",
    )
    assert created["created_at"].endswith("Z")
    assert data(admin.get(f"{FEEDS}/{created['id']}")) == created | {"moves": []}


def test_the_same_address_again_is_a_conflict_that_names_the_feed(admin: FlaskClient) -> None:
    feed_id = add_feed(admin, "https://example.com/a", "First")
    answer = admin.post(FEEDS, json={"url": "https://EXAMPLE.com/a#top", "name": "Second"})
    assert data(answer, 409) == {"error": "feed_exists", "existing_id": feed_id}
    assert "First" in answer.get_json()["message"]
    assert data(admin.get(FEEDS))["total"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "ftp://example.com/a"}, "url"),
        ({"url": "https://user:secret@example.com/a"}, "url"),
        ({"url": "https://example.com/" + "a" * 2048}, "url"),
        ({"url": 7}, "url"),
        ({"url": "https://example.com/", "kind": "carrier-pigeon"}, "kind"),
        ({"url": "https://example.com/", "name": "n" * 256}, "name"),
        ({"url": "https://example.com/", "colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_a_feed_is_refused_by_field(
    admin: FlaskClient, body: dict[str, object], field: str
) -> None:
    answer = admin.post(FEEDS, json=body)
    assert list(field_errors(answer)) == [field]
    assert "secret" not in answer.text
    assert data(admin.get(FEEDS))["total"] == 0


def test_the_list_is_newest_first_filtered_and_paged(admin: FlaskClient) -> None:
    ids = [add_feed(admin, f"https://example.com/{number}", f"Feed {number}") for number in range(5)]
    whole = data(admin.get(FEEDS))
    assert [feed["id"] for feed in whole["list"]] == ids[::-1]
    page = data(admin.get(f"{FEEDS}?limit=2&offset=1"))
    assert ([feed["id"] for feed in page["list"]], page["total"]) == ([ids[3], ids[2]], 5)
    found = data(admin.get(f"{FEEDS}?q=feed 3"))
    assert ([feed["id"] for feed in found["list"]], found["total"]) == ([ids[3]], 1)
    assert data(admin.get(f"{FEEDS}?kind=rss"))["total"] == 5
    assert data(admin.get(f"{FEEDS}?kind=wechat"))["total"] == 0


def test_wildcards_in_a_search_mean_themselves(admin: FlaskClient) -> None:
    percent = add_feed(admin, "https://example.com/1", "100% sure")
    add_feed(admin, "https://example.com/2", "100 sure")
    found = data(admin.get(FEEDS, query_string={"q": "0%"}))
    assert [feed["id"] for feed in found["list"]] == [percent]


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=501", "limit"), ("offset=-1", "offset"), ("limt=5", "limt")],
)
def test_a_query_that_makes_no_sense_is_refused(admin: FlaskClient, query: str, field: str) -> None:
    assert list(field_errors(admin.get(f"{FEEDS}?{query}"))) == [field]


def test_a_change_keeps_what_it_leaves_out(admin: FlaskClient) -> None:
    feed_id = add_feed(admin, "https://example.com/a", "Old")
    renamed = data(admin.put(f"{FEEDS}/{feed_id}", json={"name": "New"}))
    assert (renamed["name"], renamed["url"], renamed["is_active"]) == ("New", "https://example.com/a", True)
    moved = data(admin.put(f"{FEEDS}/{feed_id}", json={"url": "https://example.com/b", "is_active": False}))
    assert (moved["name"], moved["url"], moved["is_active"]) == ("New", "https://example.com/b", False)


def test_a_change_to_an_address_that_another_feed_has_is_a_conflict(admin: FlaskClient) -> None:
    first = add_feed(admin, "https://example.com/a")
    second = add_feed(admin, "https://example.com/b")
    answer = admin.put(f"{FEEDS}/{second}", json={"url": "https://example.com/a"})
    assert data(answer, 409) == {"error": "feed_exists", "existing_id": first}
    assert data(admin.get(f"{FEEDS}/{second}"))["url"] == "https://example.com/b"


def test_deleting_a_feed_takes_its_articles_and_its_place_in_tasks_along(
    api: Api, admin: FlaskClient
) -> None:
    doomed, kept = add_feed(admin, "https://example.com/a"), add_feed(admin, "https://example.com/b")
    task_id = add_task(admin, [doomed, kept])
    api.store_articles(doomed, *[ArticleDraft(str(n), f"A {n}", "") for n in range(3)])
    api.store_articles(kept, ArticleDraft("k", "Kept", ""))
    assert data(admin.delete(f"{FEEDS}/{doomed}")) is None
    assert data(admin.get(f"{FEEDS}/{doomed}"), 404) == {"error": "not_found"}
    assert data(admin.get(f"/api/v1/message-tasks/{task_id}"))["feed_ids"] == [kept]
    left = read(api.engine, lambda session: session.scalars(select(Article.title)).all())
    assert left == ["Kept"]
    rows = read(api.engine, lambda session: session.scalar(select(func.count()).select_from(MessageTaskFeed)))
    assert rows == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_feed_that_does_not_exist_is_not_found(admin: FlaskClient, method: str) -> None:
    answer = admin.open(f"{FEEDS}/nothing", method=method, json={})
    assert data(answer, 404) == {"error": "not_found"}
    assert "nothing" in answer.get_json()["message"]


def test_an_id_outside_ascii_is_no_route(admin: FlaskClient) -> None:
    assert data(admin.get(f"{FEEDS}/é"), 404) == {"error": "no_route"}


def test_of_many_who_add_the_same_feed_at_once_one_wins_and_all_learn_its_id(api: Api) -> None:
    api.add_user("ana", "admin")
    token = api.log_in("ana")

    def add(number: int) -> tuple[int, str]:
        body = {"url": f"https://example.com/{number % 5}"}
        answer = api.client(token).post(FEEDS, json=body)
        found = answer.get_json()["data"]
        return number % 5, found.get("id") or found["existing_id"]

    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(add, range(40)))
    assert len(answers) == 5
    assert data(api.client(token).get(FEEDS))["total"] == 5


def test_an_official_account_is_added_by_its_fakeid_and_waits_for_a_werss_child(
    api: Api, admin: FlaskClient
) -> None:
    asked = {"kind": "wechat", "faker_id": "MzA4NDE4NDU1Nw==", "name": "公众号1", "intro": "简介"}
    added = data(admin.post("/api/v1/feeds", json=asked))
    assert (added["id"], added["kind"], added["name"]) == ("MP_WXS_3084184557", "wechat", "公众号1")
    again = admin.post("/api/v1/feeds", json={"kind": "wechat", "id": added["id"], "name": "other"})
    assert data(again) == added
    changed = data(admin.put(f"/api/v1/feeds/{added['id']}", json={"name": "新名"}))
    assert (changed["name"], changed["faker_id"], changed["url"]) == ("新名", asked["faker_id"], added["url"])
    add_task(admin, [added["id"]])
    report = data(admin.post("/api/v1/cascade/dispatch-task"))
    assert (report["allocations_created"], report["items_waiting"]) == (0, 1)
    assert "MP_WXS" not in admin.get("/api/v1/feeds/export").text
    building.make_third_party(api.engine)
    assert pump(api.engine, None, building.LIMITS) == 1


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"kind": "wechat", "name": "n"}, {"faker_id"}),
        ({"kind": "wechat", "faker_id": "MQ=="}, {"name"}),
        ({"url": "https://a.example/f", "faker_id": "MQ=="}, {"faker_id"}),
        ({}, {"url"}),
    ],
)
def test_a_feed_needs_what_its_kind_needs(admin: FlaskClient, body: dict[str, str], fields: set[str]) -> None:
    assert field_errors(admin.post("/api/v1/feeds", json=body)).keys() == fields
