"""The start page."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from backend.domain.orders import ArticleDraft
from tests.integration.api.harness import Api, add_feed, add_task, data
from tests.integration.api.test_api_cascade import add_node


def test_the_page_needs_no_login_and_no_outside_asset(api: Api) -> None:
    answer = api.client().get("/")
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    assert re.findall(r'(?:src|href)="(?!/)', answer.text) == []
    assert "style=" not in answer.text
    assert "<script" not in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")


def test_its_style_sheet_is_served_by_us(api: Api) -> None:
    page = api.client().get("/").text
    (sheet,) = re.findall(r'rel="stylesheet" href="([^"]+)"', page)
    with api.client().get(sheet) as answer:
        assert answer.status_code == 200
        assert answer.mimetype == "text/css"
        assert b"url(" not in answer.data


@pytest.mark.parametrize(
    ("path", "accepted", "language", "words"),
    [
        ("/", "en", "en", "Message tasks"),
        ("/", "zh-CN,zh;q=0.9,en;q=0.8", "zh", "消息任务"),
        ("/", "fr", "en", "Message tasks"),
        ("/?lang=zh", "en", "zh", "消息任务"),
        ("/?lang=en", "zh", "en", "Message tasks"),
        ("/?lang=xx", "zh", "zh", "消息任务"),
    ],
)
def test_the_page_speaks_english_and_chinese(
    api: Api, path: str, accepted: str, language: str, words: str
) -> None:
    answer = api.client(Accept_Language=accepted).get(path)
    assert answer.headers["Content-Language"] == language
    assert words in answer.text


def test_the_page_shows_what_runs(api_with_redis: Api) -> None:
    api = api_with_redis
    admin = api.as_role("admin")
    add_node(api, "上海-1")
    feed_id = add_feed(admin, name="<b>bold</b>")
    add_task(admin, name="<i>Morning</i>")
    api.store_articles(feed_id, *[ArticleDraft(str(n), f"A {n}", "") for n in range(7)])
    data(admin.post("/api/v1/cascade/dispatch-task"))
    page = api.client().get("/").text
    assert "上海-1" in page
    assert "&lt;i&gt;Morning&lt;/i&gt;" in page
    assert "<i>" not in page
    assert "<b>7</b><span>Articles</span>" in page
    assert "<td>0 / 1</td>" in page


def test_the_page_shows_nothing_secret(api: Api, admin: FlaskClient) -> None:
    add_task(admin, web_hook_url="https://hooks.example.com/secret-hook", cookies="a=secret-cookie")
    add_feed(admin, "https://example.com/?key=secret-key")
    assert "secret" not in api.client().get("/").text
