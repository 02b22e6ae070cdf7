"""What holds for every route: envelope, language, ids, limits, headers, unexpected errors."""

from __future__ import annotations

import logging
import re
from io import BytesIO

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from tests.integration.api.harness import Api, data, field_errors

FEEDS = "/api/v1/feeds"


def test_an_unknown_path_is_a_404_in_the_envelope(api: Api) -> None:
    answer = api.client().get("/api/v1/nothing")
    assert data(answer, 404) == {"error": "no_route"}
    assert "/api/v1/nothing" in answer.get_json()["message"]


def test_a_wrong_method_is_a_405_that_names_the_right_ones(admin: FlaskClient) -> None:
    answer = admin.patch(FEEDS)
    assert data(answer, 405) == {"error": "bad_method"}
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


def test_a_slash_at_the_end_does_not_matter(admin: FlaskClient) -> None:
    assert data(admin.get(FEEDS + "/"))["total"] == 0


def test_a_body_that_is_not_json_is_refused(admin: FlaskClient) -> None:
    broken = admin.post(FEEDS, data="{", content_type="application/json")
    assert data(broken, 400) == {"error": "bad_json"}
    form = admin.post(FEEDS, data={"url": "https://example.com"})
    assert data(form, 415) == {"error": "bad_content_type"}
    assert "application/json" in form.get_json()["message"]
    assert list(field_errors(admin.post(FEEDS, json=["https://example.com"]))) == ["body"]
    latin = admin.post(FEEDS, data='{"url": "é"}'.encode("latin-1"), content_type="application/json")
    assert data(latin, 400) == {"error": "bad_json"}


@pytest.mark.parametrize("path", [FEEDS, "/api/v1/message-tasks"])
def test_a_body_over_a_megabyte_is_refused(admin: FlaskClient, path: str) -> None:
    answer = admin.post(path, json={"name": "x" * (1024 * 1024)})
    assert data(answer, 413) == {"error": "body_too_large"}
    assert "1 MB" in answer.get_json()["message"]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("created_after", "yesterday"),
        ("created_after", "2026-13-01"),
        ("created_after", "1999-01-01T00:00:00Z"),
        ("limit", "9" * 5000),
    ],
)
def test_a_refused_field_is_explained_without_english_in_chinese(api: Api, field: str, value: str) -> None:
    viewer = api.as_role("viewer", Accept_Language="zh")
    said = field_errors(viewer.get(f"/api/v1/cascade/allocations?{field}={value}"))[field]
    # ISO names the standard, T and Z belong to its example.
    assert set(re.findall("[A-Za-z]+", said)) <= {"ISO", "T", "Z"}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("path", "content_type", "limit"),
    [(FEEDS, "application/json", 1024 * 1024), (f"{FEEDS}/import", "text/x-opml", 10 * 1024 * 1024)],
)
def test_a_body_in_chunks_is_not_cut_at_the_limit(
    admin: FlaskClient, path: str, content_type: str, limit: int
) -> None:
    answer = admin.post(
        path,
        input_stream=BytesIO(b"x" * (limit + 1)),
        content_type=content_type,
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert data(answer, 413) == {"error": "body_too_large"}


@pytest.mark.parametrize(
    ("accepted", "message", "field"),
    [
        ("en-GB", "The request can't be used as it is; see data.errors for each field.", "is required"),
        ("zh-TW, en;q=0.5", "请求内容有误，请查看 data.errors 中每个字段的说明。", "必填"),
        (
            "de, en;q=0.2, zh;q=0.1",
            "The request can't be used as it is; see data.errors for each field.",
            "is required",
        ),
    ],
)
def test_messages_are_in_the_callers_language(api: Api, accepted: str, message: str, field: str) -> None:
    answer = api.as_role("admin", Accept_Language=accepted).post(FEEDS, json={})
    assert answer.get_json()["message"] == message
    assert field_errors(answer) == {"url": field}


def test_a_chinese_404_names_things_in_chinese(api: Api) -> None:
    answer = api.as_role("admin", Accept_Language="zh").get(f"{FEEDS}/nothing")
    assert answer.get_json()["message"] == "找不到订阅源 nothing。"


def test_a_request_keeps_the_id_it_came_with(api: Api) -> None:
    answer = api.client().get("/livez", headers={"X-Request-ID": "from-the-proxy.7"})
    assert answer.headers["X-Request-ID"] == "from-the-proxy.7"


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, "a%sb"])
def test_a_request_without_a_usable_id_gets_one(api: Api, given: str) -> None:
    answer = api.client().get("/livez", headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["X-Request-ID"])


def test_every_answer_is_hardened_and_api_answers_are_not_stored(admin: FlaskClient) -> None:
    for path in ("/livez", FEEDS, "/nothing", f"{FEEDS}/nothing"):
        headers = admin.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["X-Frame-Options"] == "DENY", path
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'", path
    assert admin.get(FEEDS).headers["Cache-Control"] == "no-store"


def test_an_unexpected_error_is_a_500_with_the_id_under_which_the_log_has_it(
    api: Api, admin: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with api.engine.begin() as connection:
        connection.execute(text("ALTER TABLE message_task_feeds RENAME TO gone"))
    try:
        answer = admin.post(
            "/api/v1/message-tasks",
            json={"name": "T", "feed_ids": "all", "cookies": "a=secret"},
            headers={"X-Request-ID": "trace-me"},
        )
    finally:
        with api.engine.begin() as connection:
            connection.execute(text("ALTER TABLE gone RENAME TO message_task_feeds"))
    assert data(answer, 500) == {"error": "internal_error"}
    assert "trace-me" in answer.get_json()["message"]
    assert "message_task_feeds" not in answer.text
    (logged,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert logged.exc_info is not None
    assert "trace-me" in logged.getMessage()
    assert "secret" not in caplog.text


def test_each_request_is_one_log_line_without_query_or_secrets(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    api.add_user("ana", "viewer")
    token = api.log_in("ana")
    caplog.clear()
    with caplog.at_level(logging.INFO, "backend.api.tracing"):
        api.client(token).get(f"{FEEDS}?q=private")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "backend.api.tracing"]
    assert re.fullmatch(r"GET /api/v1/feeds 200 \d+ ms ana", line)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_path_can_not_write_a_log_line_of_its_own(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "backend.api.tracing"):
        api.client().get("/zz%0AINFO%20forged%1B[31m%00")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "backend.api.tracing"]
    assert line.isprintable()
    assert line.startswith("GET /zz%0AINFO%20forged%1B%5B31m%00 404")
