"""Rows of WeRSS as ours: what is kept, what is turned, and what is left with which reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.werss import move_article, move_feed, move_task, move_user
from backend.domain.werss_nodes import move_node, renamed
from backend.domain.werss_rows import Left, local_moment
from tests.standins.werss import FEED, KEY, article, feed, node, task, user

SHANGHAI = ZoneInfo("Asia/Shanghai")
ZONE = "Asia/Shanghai"


def left(move: Any) -> str:
    """The code of the reason for which a row is left."""
    with pytest.raises(Left) as caught:
        move()
    assert caught.value.why.sentence("zh") != caught.value.why.sentence("en")
    return caught.value.why.code


def test_an_account_keeps_its_id_and_gets_its_page() -> None:
    moved = move_feed(feed(), SHANGHAI)
    assert (moved.draft.id, moved.draft.name, moved.is_active) == (FEED, "公众号 0", True)
    assert moved.draft.url.endswith("__biz=MzAwMDAwMDAwMQ==")
    assert moved.created_at == datetime(2026, 1, 2, tzinfo=UTC)
    assert moved.collected_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert not move_feed(feed(status=0), SHANGHAI).is_active


def test_an_account_s_fakeid_follows_from_its_id() -> None:
    assert move_feed(feed(faker_id=None), SHANGHAI).draft.faker_id == "MzAwMDAwMDAwMQ=="
    assert left(lambda: move_feed(feed(id="featured", faker_id=""), SHANGHAI)) == "werss_unusable"
    assert left(lambda: move_feed(feed(id="has space"), SHANGHAI)) == "werss_bad_id"
    assert left(lambda: move_feed(feed(id="x" * 65), SHANGHAI)) == "werss_bad_id"


def test_an_article_keeps_its_id_and_its_moments() -> None:
    moved = move_article(article(1), SHANGHAI, {FEED})
    assert (moved.draft.id, moved.draft.key) == (article(1)["id"], article(1)["id"])
    assert moved.created_at == datetime(2026, 1, 2, 1, tzinfo=UTC)
    assert moved.draft.published_at == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"status": 1000}, "werss_deleted"),
        ({"content": "DELETED"}, "werss_content_deleted"),
        ({"mp_id": "MP_WXS_404"}, "werss_no_feed"),
        ({"mp_id": None}, "werss_no_feed"),
        ({"id": "", "url": ""}, "werss_empty_article"),
    ],
)
def test_articles_that_are_gone_are_left(values: dict[str, Any], code: str) -> None:
    assert left(lambda: move_article(article(1, **values), SHANGHAI, {FEED})) == code


def test_a_task_keeps_what_it_does() -> None:
    moved = move_task(task(7), ZONE, {FEED})
    content = moved.task.content
    assert (moved.id, content.feed_ids, content.enabled) == ("7", (FEED,), True)
    assert (content.cron_exp, content.time_zone) == ("0 9 * * *", ZONE)
    assert json.loads(content.headers) == {"X-From": "werss"}
    assert moved.remarks == ()
    assert move_task(task(mps_id="[]"), ZONE, {FEED}).task.content.feed_ids == "all"
    assert not move_task(task(status=0), ZONE, {FEED}).task.content.enabled
    assert move_task(task(cron_exp=None), ZONE, {FEED}).task.content.cron_exp == ""


def test_what_is_different_of_a_task_is_remarked() -> None:
    ids = json.dumps([{"id": FEED}, {"id": "MP_WXS_404"}])
    moved = move_task(task(mps_id=ids, cron_exp="30 0 1~9 * * *", message_template="a\n\n\nb"), ZONE, {FEED})
    assert moved.task.content.cron_exp == "0 5 * * *"
    assert [one.code for one in moved.remarks] == [
        "werss_feeds_missing",
        "werss_random_fixed",
        "werss_second_dropped",
        "werss_template_blank_lines",
    ]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"mps_id": ""}, "werss_bad_feed_list"),
        ({"mps_id": "{}"}, "werss_bad_feed_list"),
        ({"mps_id": '[{"id": "MP_WXS_404"}]'}, "werss_no_feed_here"),
        ({"message_template": "{{ now | upper }}"}, "werss_template_differs"),
        ({"cron_exp": "*/5 * * * * *"}, "werss_unusable"),
        ({"cron_exp": "0 9 1 * 1"}, "werss_unusable"),
        ({"web_hook_url": "ftp://x"}, "werss_unusable"),
        ({"headers": "no json"}, "werss_unusable"),
        ({"message_type": 5}, "werss_unusable"),
        ({"id": "x" * 37}, "werss_bad_id"),
    ],
)
def test_tasks_that_would_do_something_else_are_left(values: dict[str, Any], code: str) -> None:
    assert left(lambda: move_task(task(**values), ZONE, {FEED})) == code


def test_every_reason_of_a_refused_task_is_said() -> None:
    with pytest.raises(Left) as caught:
        move_task(task(web_hook_url="ftp://x", headers="[]"), ZONE, {FEED})
    said = caught.value.why.sentence("en")
    assert "headers" in said
    assert "https://" in said


def test_users_keep_their_hash_and_get_our_roles() -> None:
    def role(theirs: str | None) -> str:
        return move_user(user("ana", role=theirs), SHANGHAI, bool).role

    assert [role(one) for one in ("admin", "editor", "user", None, "boss")] == [
        "admin",
        "operator",
        "viewer",
        "viewer",
        "viewer",
    ]
    assert [one.code for one in move_user(user("ana", role="boss"), SHANGHAI, bool).remarks] == [
        "werss_role_unknown"
    ]
    assert not move_user(user("ana", is_active=0), SHANGHAI, bool).is_active
    assert move_user(user("ana", is_active=None), SHANGHAI, bool).is_active
    assert left(lambda: move_user(user("ana"), SHANGHAI, lambda _: False)) == "werss_password_kind"


def test_a_child_keeps_its_credentials_and_settings() -> None:
    moved = move_node(node())
    assert (moved.api_key, moved.secret_hash) == (KEY, node()["api_secret_hash"])
    assert (moved.settings.max_capacity, moved.settings.feed_quota) == (20, {FEED: 5})
    assert moved.created_at == datetime(2026, 1, 2, tzinfo=UTC)
    assert moved.settings.is_active
    assert not move_node(node(status=2)).settings.is_active
    assert left(lambda: move_node(node(node_type=0))) == "werss_not_a_child"


def test_settings_that_can_t_be_used_never_cost_a_child_its_credentials() -> None:
    config = json.dumps({"max_capacity": 0, "feed_quota": {"no id!": -1, "公众号": 1}})
    moved = move_node(node(api_url="not an address", sync_config=config))
    assert moved.api_key == KEY
    assert (moved.settings.max_capacity, moved.settings.feed_quota, moved.settings.api_url) == (10, {}, "")
    assert [one.params["setting"] for one in moved.remarks] == ["api_url", "max_capacity", "feed_quota"]
    assert move_node(node(sync_config="no json")).settings.max_capacity == 10


def test_a_child_without_a_pair_says_how_to_make_one() -> None:
    moved = move_node(node(api_secret_hash="short"))
    assert (moved.api_key, moved.secret_hash) == ("", "")
    assert [one.code for one in moved.remarks] == ["werss_no_credentials"]


def test_a_name_that_is_taken_is_changed() -> None:
    moved = renamed(move_node(node("x" * 100)), {"x" * 100})
    assert moved.settings.name == "x" * 91 + " 55440000"
    assert [one.code for one in moved.remarks] == ["werss_renamed"]
    assert renamed(move_node(node()), {"other"}) == move_node(node())


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001  (what databases give)
def test_a_time_without_zone_is_the_server_s(moment: datetime) -> None:
    expected = moment.replace(tzinfo=SHANGHAI).astimezone(UTC)
    assert local_moment(moment, SHANGHAI) == expected
    assert local_moment(moment.isoformat(" "), SHANGHAI) == expected


def test_a_time_with_zone_is_what_it_says_and_nonsense_is_none() -> None:
    assert local_moment("2026-01-01T00:00:00+09:00", SHANGHAI) == datetime(2025, 12, 31, 15, tzinfo=UTC)
    assert local_moment("nonsense", SHANGHAI) is None
    assert local_moment(None, SHANGHAI) is None
    assert local_moment(1_767_225_600, SHANGHAI) == datetime(2026, 1, 1, tzinfo=UTC) + timedelta()
