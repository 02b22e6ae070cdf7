"""What CSDN's gateway signs, how Juejin's ways are followed, and the budget of Zhihu's OpenAPI."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import InvalidInput, WorkError
from backend.domain.pacing import budget_of
from backend.domain.ports import Desk
from backend.domain.publish_checks import check_manuscript
from backend.domain.publishing import (
    Credentials,
    DraftSaved,
    Manuscript,
    Presence,
    PublishOrder,
    web_address,
)
from backend.publishers.csdn.wire import signature, signed, text_to_sign
from backend.publishers.evidence import Listed
from backend.publishers.juejin.finding import Evidence, decide, listed_of
from backend.publishers.juejin.publisher import brief_of
from backend.publishers.zhihu.open_api import OpenApiPublisher
from tests.unit.workers.fakes import NoHttp

NOW = datetime(2026, 11, 26, 5, tzinfo=UTC)


def test_the_text_that_is_signed_has_an_empty_line_for_what_is_not_sent() -> None:
    url = "https://bizapi.csdn.net/blog-console-api/v1/article/list?page=1&status=enable"
    assert text_to_sign("GET", url, "", "n-1").split("\n") == [
        "GET", "*/*", "", "", "", "x-ca-key:203803574", "x-ca-nonce:n-1",
        "/blog-console-api/v1/article/list?page=1&status=enable",
    ]  # fmt: skip


def test_the_signature_is_the_base64_of_hmac_sha256() -> None:
    # RFC 4231, test case 2.
    expected = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    assert base64.b64decode(signature("Jefe", "what do ya want for nothing?")) == expected


def test_without_the_editors_secret_nothing_is_sent_and_the_operator_is_told_what_to_set() -> None:
    with pytest.raises(WorkError) as refused:
        signed({}, "GET", "https://bizapi.csdn.net/x", "")
    assert (refused.value.code, refused.value.permanent) == ("platform_option_missing", True)
    assert "csdn.app_secret" in str(refused.value)


@given(st.text(max_size=300), st.text(min_size=1, max_size=80).filter(lambda text: text.strip() != ""))
def test_a_summary_has_as_many_characters_as_juejin_wants(text: str, title: str) -> None:
    assert 50 <= len(brief_of(Manuscript(title, text))) <= 100


def _evidence(article_id: str | None, listed: tuple[Listed, ...] | None, *known: str) -> Evidence:
    return Evidence(article_id, "A  Title", listed, known, NOW)


MINE = Listed("2", "a title", NOW + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("evidence", "presence", "article_id"),
    [
        (_evidence("9", None), Presence.THERE, "9"),
        (_evidence("", (MINE,)), Presence.THERE, "2"),
        (_evidence(None, (MINE,)), Presence.THERE, "2"),
        (_evidence("", ()), Presence.NOT_THERE, ""),
        (_evidence("", (MINE,), "2"), Presence.NOT_THERE, ""),
        (_evidence("", (Listed("1", "A title", NOW - timedelta(minutes=1)),)), Presence.NOT_THERE, ""),
        (_evidence("", (Listed("1", "Another", NOW),)), Presence.NOT_THERE, ""),
        (_evidence("", None), Presence.UNKNOWN, ""),
        (_evidence(None, ()), Presence.UNKNOWN, ""),
        (_evidence("", (MINE, Listed("3", "A title", NOW))), Presence.UNKNOWN, ""),
    ],
)
def test_an_article_counts_as_there_only_when_nothing_else_could_be_it(
    evidence: Evidence, presence: Presence, article_id: str
) -> None:
    finding = decide(evidence)
    assert finding.presence is presence
    assert (finding.published.platform_id if finding.published else "") == article_id
    assert finding.reason or finding.published


@pytest.mark.parametrize(
    ("platform", "fields", "limit"),
    [
        ("zhihu", {"app_key": "k", "app_secret": "s"}, 50),
        ("zhihu", {}, None),
        ("webhook", {"app_key": "k"}, None),
    ],
)
def test_an_account_with_a_key_has_what_the_open_api_gives_as_its_budget(
    platform: str, fields: dict[str, str], limit: int | None
) -> None:
    assert budget_of(platform, Credentials(fields=fields)) == limit


def test_rows_that_tell_neither_id_nor_time_are_no_articles() -> None:
    rows: list[dict[str, object]] = [
        {"article_id": "1", "article_info": {"title": "t", "ctime": "1764129600"}},
        {"article_info": {"article_id": "2", "title": "u", "ctime": "1764129600"}},
        {"article_id": "3"},
        {"article_info": {"ctime": "1"}},
        {"article_id": "4", "article_info": {"ctime": "soon"}},
    ]
    assert [one.id for one in listed_of(rows)] == ["1", "2"]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("https://p.example/1", "https://p.example/1"),
        ("http://p.example/1", "http://p.example/1"),
        ("javascript:alert(1)", ""),
        ("/p/1", ""),
        ("", ""),
    ],
)
def test_only_what_is_an_address_on_the_web_is_shown_as_one(told: str, shown: str) -> None:
    assert web_address(told) == shown


def test_a_title_that_can_not_be_stored_is_refused_before_anything_is() -> None:
    check_manuscript({}, "installed-on-nodes-only", Manuscript("x" * 255, "words"))
    with pytest.raises(InvalidInput) as refused:
        check_manuscript({}, "installed-on-nodes-only", Manuscript("x" * 256, "words"))
    assert "256" in refused.value.fields["article"]


def test_a_draft_that_was_made_with_cookies_is_forgotten_before_a_key_publishes() -> None:
    """Else it would still be a draft after the key's article is there, and count as proof that nothing is."""
    saved: list[DraftSaved] = []
    credentials = Credentials(fields={"app_key": "k", "app_secret": "s"})
    order = PublishOrder(
        "t", "a", "zhihu", 1, credentials, Manuscript("Title", "Some words of text."), draft_id="17"
    )
    nobody = NoHttp()
    desk = Desk(nobody, lambda _: None, lambda _: False, lambda: 60.0)
    assert OpenApiPublisher().prepare(order, desk, saved.append).draft_id == ""
    assert saved == [DraftSaved("")]
