"""Zhihu's own ways, against its stand-in: pictures, topics, lost drafts, hidden lists, clocks, QR codes, renewed cookies."""

from __future__ import annotations

import dataclasses
import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from backend.domain.publishing import (
    Cookie,
    Credentials,
    Health,
    LoginPrompt,
    Presence,
)
from backend.publishers.zhihu.publisher import ZhihuPublisher
from tests.desks import EMBEDDED, PNG, Desktop, failure
from tests.standins.platform import Kind
from tests.standins.zhihu import ZhihuServer

SECRET = "s3cr3t|of|alice"
CREDENTIALS = Credentials((Cookie("z_c0", SECRET), Cookie("_xsrf", "a%7Cb"), Cookie("d_c0", "device")))


Zhihu = Desktop[ZhihuServer]


@pytest.fixture
def zhihu() -> Iterator[Zhihu]:
    """A publisher, and the stand-in with one account."""
    with ZhihuServer() as server:
        server.add_account("alice", secret=SECRET)
        yield Desktop(server, ZhihuPublisher(), CREDENTIALS)


def test_pictures_are_brought_by_address_and_by_upload_and_the_cover_too(zhihu: Zhihu) -> None:
    content = f"![far](https://example.com/a.png?token=1)\n\n![here]({EMBEDDED})\n\n![own](https://pic1.zhimg.com/v2-x.jpg)"
    prepared = zhihu.prepare(zhihu.order(content, cover="https://example.com/cover.jpg"))
    draft = zhihu.server.drafts[prepared.draft_id]
    assert draft.content.count("<figure") == 3
    assert "example.com" not in draft.content
    assert "data:" not in draft.content
    assert "v2-x.jpg" in draft.content
    assert draft.cover.startswith("https://pic1.zhimg.com/v2-")
    assert PNG in zhihu.server.pictures.values()
    assert [one for one in zhihu.told if one.startswith("upload")] == [
        "upload 1/3",
        "upload 2/3",
        "upload 3/3",
    ]


def test_a_picture_that_is_there_already_is_not_sent_again(zhihu: Zhihu) -> None:
    for _ in range(2):
        zhihu.prepare(zhihu.order(f"![here]({EMBEDDED})"))
    assert [call.method for call in zhihu.server.calls].count("PUT") == 1


def test_a_picture_that_zhihu_can_not_fetch_is_fetched_by_us(zhihu: Zhihu) -> None:
    zhihu.server.tell(Kind.REFUSE, call="image_url")
    inside = zhihu.server.keep_file("inside.png", PNG)
    prepared = zhihu.prepare(zhihu.order(f"![inside]({inside})"))
    assert "https://pic4.zhimg.com/v2-" in zhihu.server.drafts[prepared.draft_id].content


@pytest.mark.parametrize(
    ("content", "permanent", "says"), [(b"<html>", True, "neither PNG"), (None, True, "404")], ids=str
)
def test_a_picture_that_nobody_can_use_stops_the_article_before_it_is_published(
    zhihu: Zhihu, content: bytes | None, permanent: bool, says: str
) -> None:
    zhihu.server.tell(Kind.REFUSE, call="image_url")
    address = f"{zhihu.server.base}/files/picture.png?token=s3cr3t"
    if content is not None:
        zhihu.server.keep_file("picture.png", content)
    error = failure(lambda: zhihu.prepare(zhihu.order(f"![x]({address})")))
    assert (error.code, error.permanent) == ("image_unusable", permanent)
    assert says in str(error)
    assert "s3cr3t" not in str(error)


def test_pictures_that_only_their_author_can_read_are_refused_before_anything_is_sent(zhihu: Zhihu) -> None:
    article = zhihu.order(
        "![a](img/a.png) ![b](data:image/png;base64,AAAA) ![c](C:/x.png)", cover="cover.jpg"
    ).manuscript
    codes = sorted(one.code for one in zhihu.publisher.refusals(article))
    assert codes == ["bad_data_image", "local_image", "local_image", "local_image"]
    assert zhihu.server.calls == []


def test_topics_come_from_the_first_three_tags_and_missing_ones_are_told(zhihu: Zhihu) -> None:
    prepared = zhihu.prepare(zhihu.order(tags=("Python", "no such topic", "数据库", "Fourth")))
    assert [one["name"] for one in zhihu.server.drafts[prepared.draft_id].topics] == ["Python", "数据库"]
    assert any("Fourth" in one for one in prepared.warnings)
    assert any("no such topic" in one for one in prepared.warnings)


def test_a_draft_that_is_gone_is_told_and_replaced_while_nothing_was_submitted(zhihu: Zhihu) -> None:
    order, first = zhihu.submit(zhihu.order())
    del zhihu.server.drafts[first.draft_id]
    again = zhihu.prepare(dataclasses.replace(order, submitted_at=None))
    assert again.draft_id != first.draft_id
    assert zhihu.saved == [first.draft_id, again.draft_id]
    assert any(first.draft_id in one for one in again.warnings)


def test_a_draft_that_is_gone_after_its_submission_is_never_replaced(zhihu: Zhihu) -> None:
    order, first = zhihu.submit(zhihu.order())
    del zhihu.server.drafts[first.draft_id]
    error = failure(lambda: zhihu.prepare(order))
    assert (error.code, error.permanent) == ("draft_gone", True)
    assert zhihu.saved == [first.draft_id]
    assert zhihu.find(order).presence is Presence.UNKNOWN


def test_where_one_list_is_hidden_the_other_answers(zhihu: Zhihu) -> None:
    zhihu.server.open_members = True
    zhihu.server.tell(Kind.HIDE, call="list")
    order, prepared = zhihu.submit(zhihu.order())
    zhihu.publish(order, prepared)
    assert zhihu.publisher.recent_ids(order, zhihu.desk) == (prepared.draft_id,)


@pytest.mark.parametrize("ahead", [-7200.0, 0.0, 7200.0], ids=["behind", "right", "ahead"])
def test_articles_are_told_apart_by_zhihus_own_clock(zhihu: Zhihu, ahead: float) -> None:
    zhihu.server.clock_offset = ahead - 600
    old = zhihu.submit(zhihu.order())
    zhihu.publish(*old)
    zhihu.server.clock_offset = ahead
    order, prepared = zhihu.submit(zhihu.order())
    # As if the lists had been hidden before: nothing but the time tells the older one apart.
    order = dataclasses.replace(order, known_ids=(), draft_id="")
    assert zhihu.find(order).presence is Presence.UNKNOWN
    zhihu.publish(order, prepared)
    finding = zhihu.find(order)
    assert finding.published is not None
    assert finding.published.platform_id == prepared.draft_id


def test_a_stop_between_two_steps_ends_the_preparation(zhihu: Zhihu) -> None:
    zhihu.stopping = True
    assert failure(lambda: zhihu.prepare(zhihu.order(f"![x]({EMBEDDED})"))).code == "publish_stopped"


def test_a_session_that_zhihu_renews_comes_with_the_verdict_and_others_do_not(zhihu: Zhihu) -> None:
    assert zhihu.check().refreshed is None
    zhihu.server.renew_session = "renewed|session"
    verdict = zhihu.check()
    assert verdict.refreshed is not None
    values = {one.name: one.value for one in verdict.refreshed.cookies}
    assert values["z_c0"] == "renewed|session"
    assert verdict.expires_at is not None
    assert verdict.expires_at > datetime.now(UTC) + timedelta(days=29)


def test_a_session_that_ends_soon_is_expiring(zhihu: Zhihu) -> None:
    ends = datetime.now(UTC) + timedelta(hours=71)
    soon = Credentials((Cookie("z_c0", SECRET, "zhihu.com", "/", ends),))
    verdict = zhihu.check(soon)
    assert (verdict.health, verdict.expires_at) == (Health.EXPIRING, ends)


def test_without_the_token_of_its_own_pages_zhihu_refuses_to_write(zhihu: Zhihu) -> None:
    bare = dataclasses.replace(zhihu.order(), credentials=Credentials((Cookie("z_c0", SECRET),)))
    error = failure(lambda: zhihu.prepare(bare))
    assert (error.code, error.permanent) == ("rejected", True)
    zhihu.server.strict = False
    assert zhihu.prepare(bare).draft_id


def test_a_login_shows_a_code_until_it_is_confirmed_and_brings_a_good_session(zhihu: Zhihu) -> None:
    verdict = zhihu.log_in()
    assert [one.link for one in zhihu.prompts if isinstance(one, LoginPrompt)] == [
        "https://www.zhihu.com/account/scan/login/code-1?/api/login/qrcode"
    ]
    assert verdict.refreshed is not None
    assert (verdict.health, verdict.profile) == (Health.OK, "alice")
    assert any("scanned" in one for one in zhihu.told)
    again = zhihu.check(verdict.refreshed)
    assert again.health is Health.OK


def test_a_code_that_runs_out_is_followed_by_another(zhihu: Zhihu) -> None:
    zhihu.server.scans = [0, 4]
    zhihu.log_in()
    assert len(zhihu.prompts) == 2


def test_a_login_that_is_cancelled_in_the_app_or_suspected_says_so(zhihu: Zhihu) -> None:
    zhihu.server.scans = [1, 3]
    error = failure(zhihu.log_in)
    assert (error.code, "cancelled" in str(error)) == ("login_refused", True)
    zhihu.server.tell(Kind.RISK, call="scan")
    assert failure(zhihu.log_in).code == "rate_limited"


def test_the_answer_to_publishing_counts_even_where_its_inner_part_is_broken(zhihu: Zhihu) -> None:
    order, prepared = zhihu.submit(zhihu.order())
    zhihu.server.result_text = "{broken"
    published = zhihu.publish(order, prepared)
    assert published.platform_id == prepared.draft_id


def test_the_stand_in_is_told_and_read_by_other_processes_over_http(zhihu: Zhihu) -> None:
    def control(verb: str, **given: object) -> object:
        request = urllib.request.Request(f"{zhihu.server.base}/_control/{verb}", json.dumps(given).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    control("tell", kind="expire", account="alice", times=1)
    assert failure(lambda: zhihu.prepare(zhihu.order())).code == "session_expired"
    order, prepared = zhihu.submit(zhihu.order())
    zhihu.publish(order, prepared)
    journal = control("journal")
    assert isinstance(journal, list)
    assert [(one["account"], one["title"], one["article_id"]) for one in journal] == [
        ("alice", "A title", prepared.draft_id)
    ]
    control("accounts", name="alice", secret="another session")
    assert failure(lambda: zhihu.prepare(zhihu.order())).code == "session_expired"
