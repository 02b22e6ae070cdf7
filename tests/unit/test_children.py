"""What WeRSS children send, in every shape that they are known to send it in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.children import (
    ChildResult,
    HeldItem,
    count,
    item_outcomes,
    moment,
    read_articles,
    read_results,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = [
    "id",
    "mp_id",
    "feed_id",
    "mp_name",
    "success",
    "status",
    "article_count",
    "new_article_count",
    "success_count",
    "error",
    "timestamp",
    "title",
    "url",
    "pic_url",
    "description",
    "content",
    "content_markdown",
    "publish_time",
]
RECORDS = st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8), max_size=4)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            {"mp_id": "MP_WXS_1", "mp_name": "A", "status": "success", "article_count": 3},
            ChildResult("MP_WXS_1", "A", success=True, article_count=3),
        ),
        (
            {"mp_id": "MP_WXS_1", "mp_name": "A", "status": "failed", "error": "freq control"},
            ChildResult("MP_WXS_1", "A", success=False, error="freq control"),
        ),
        (
            {
                "feed_id": "MP_WXS_1",
                "mp_name": "A",
                "success": True,
                "article_count": 5,
                "new_article_count": 2,
                "error": None,
            },
            ChildResult("MP_WXS_1", "A", success=True, article_count=5, success_count=2),
        ),
        (
            {"feed_id": "MP_WXS_1", "mp_name": "A", "success": False, "error": "公众号不存在"},
            ChildResult("MP_WXS_1", "A", success=False, error="公众号不存在"),
        ),
        (
            {
                "mp_id": "mp-uuid",
                "mp_name": "公众号名称",
                "article_count": 10,
                "success_count": 9,
                "timestamp": "2024-01-01T00:00:00",
            },
            ChildResult(
                "mp-uuid",
                "公众号名称",
                success=True,
                article_count=10,
                success_count=9,
                reported_at="2024-01-01T00:00:00",
            ),
        ),
        ({"mp_id": "a", "error": "boom"}, ChildResult("a", "", success=False, error="boom")),
        ({"mp_id": "a", "status": "FAILED"}, ChildResult("a", "", success=False)),
        ({"mp_id": "a", "success": "false"}, ChildResult("a", "", success=False)),
        ({"mp_id": "a", "success": 0}, ChildResult("a", "", success=False)),
        (
            {"mp_id": "a", "status": "success", "article_count": "7"},
            ChildResult("a", "", success=True, article_count=7),
        ),
    ],
)
def test_a_result_is_read_in_each_shape(raw: dict[str, object], expected: ChildResult) -> None:
    assert read_results([raw]) == (expected,)


def test_of_a_feed_that_is_named_twice_the_last_result_counts_and_a_nameless_one_is_left_out() -> None:
    raw = [{"mp_id": "a", "status": "failed"}, {"status": "success"}, {"mp_id": "a", "status": "success"}]
    assert read_results(raw) == (ChildResult("a", "", success=True),)


def test_only_items_that_a_result_names_get_an_outcome() -> None:
    items = [HeldItem("i1", "a"), HeldItem("i2", "b"), HeldItem("i3", "c")]
    results = read_results(
        [{"mp_id": "a", "status": "success", "article_count": 4}, {"mp_id": "b", "error": "boom"}]
    )
    done, failed = item_outcomes(items, results)
    assert (done.item_id, done.failure) == ("i1", None)
    assert done.result is not None
    assert (done.result.reported_count, done.result.articles, done.result.not_modified) == (4, (), True)
    assert failed.failure is not None
    assert (failed.item_id, failed.result, failed.failure.code) == ("i2", None, "child_failed")
    assert "boom" in failed.failure.message
    assert not failed.failure.permanent


ARTICLE: dict[str, Any] = {
    "id": "3895432109-2652917055_2",
    "mp_id": "MP_WXS_3895432109",
    "title": "标题",
    "pic_url": "https://mmbiz.qpic.cn/1",
    "url": "https://mp.weixin.qq.com/s/abc",
    "description": "摘要",
    "content": "<p>正文</p>",
    "status": 1,
    "publish_time": 1700000000,
}


def test_an_article_keeps_the_id_that_werss_gave_it() -> None:
    (found,) = read_articles([ARTICLE])
    draft = found.draft
    assert found.feed_id == "MP_WXS_3895432109"
    assert (draft.id, draft.key) == (ARTICLE["id"], ARTICLE["id"])
    assert (draft.title, draft.url, draft.summary) == ("标题", "https://mp.weixin.qq.com/s/abc", "摘要")
    assert (draft.content, draft.cover_url) == ("<p>正文</p>", "https://mmbiz.qpic.cn/1")
    assert draft.published_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize("change", [{"status": 1000}, {"content": "DELETED"}, {"mp_id": ""}, {"mp_id": None}])
def test_an_article_that_was_taken_back_or_has_no_feed_is_left_out(change: dict[str, object]) -> None:
    assert read_articles([ARTICLE | change]) == ()


@pytest.mark.parametrize(
    ("change", "id_", "key"),
    [
        ({"id": "标识"}, "", "标识"),
        ({"id": "x" * 65}, "", "x" * 65),
        ({"id": None}, "", "https://mp.weixin.qq.com/s/abc"),
        ({"id": 17}, "17", "17"),
    ],
)
def test_an_id_that_no_column_can_hold_is_its_key_only(change: dict[str, object], id_: str, key: str) -> None:
    (found,) = read_articles([ARTICLE | change])
    assert (found.draft.id, found.draft.key) == (id_, key)


def test_markdown_stands_in_for_content_that_is_missing() -> None:
    (found,) = read_articles([ARTICLE | {"content": None, "content_markdown": "# 正文"}])
    assert found.draft.content == "# 正文"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1700000000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (1700000000000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("2023-11-14T22:13:20", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("2023-11-15 06:13:20+08:00", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (0, None),
        (-5, None),
        (None, None),
        ("yesterday", None),
        ("1e400", None),
        ("nan", None),
        (True, None),
    ],
)
def test_times_are_read_as_seconds_milliseconds_or_words(value: object, expected: datetime | None) -> None:
    assert moment(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), ("4", 4), (2.9, 2), (-1, 0), (None, 0), ("x", 0), (1e300, 1_000_000), ([], 0)],
)
def test_a_count_is_a_number_that_a_column_can_hold(value: object, expected: int) -> None:
    assert count(value) == expected


@given(RECORDS)
def test_whatever_arrives_is_read_without_an_error_and_each_feed_once(raw: list[dict[str, object]]) -> None:
    results = read_results(raw)
    feeds = [one.feed_id for one in results]
    assert len(feeds) == len(set(feeds))
    for one in results:
        assert 1 <= len(one.feed_id) <= 64
        assert 0 <= one.article_count <= 1_000_000
        (one.feed_name + one.error + one.reported_at).encode()
    for article in read_articles(raw):
        assert article.draft.key
        (article.draft.title + article.draft.content).encode()
        moved = article.draft.published_at
        assert moved is None or moved.tzinfo is UTC
