"""The rules for a feed's address and name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import InvalidInput
from backend.domain.feeds import MAX_NAME, MAX_URL, check_url, clean_name, draft_feed


@pytest.mark.parametrize(
    ("given_url", "normal"),
    [
        ("https://example.com/feed.xml", "https://example.com/feed.xml"),
        ("  http://Example.COM  ", "http://example.com/"),
        ("HTTP://example.com:80/a", "http://example.com/a"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("http://example.com:443/a", "http://example.com:443/a"),
        ("http://example.com/A?B=c&d=%20#part", "http://example.com/A?B=c&d=%20"),
        ("feed://example.com/a", "http://example.com/a"),
        ("feed:https://example.com/a", "https://example.com/a"),
        ("http://[2001:DB8::1]:8080/a", "http://[2001:db8::1]:8080/a"),
        ("https://例子.测试/订阅", "https://例子.测试/订阅"),
    ],
)
def test_an_address_has_one_normal_form(given_url: str, normal: str) -> None:
    assert check_url(given_url) == normal
    assert check_url(normal) == normal


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/feed",
        "ftp://example.com/a",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "http:///a",
        "http://[::1",
        "http://example.com:99999/",
        "http://example.com:port/",
        "http://exa mple.com/",
        "http://example.com/a b",
        "http://example.com/a\nb",
        "http://example.com/\x00",
        "https://example.com/" + "a" * MAX_URL,
    ],
)
def test_what_cannot_be_fetched_is_no_address(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_url(url)
    assert refused.value.code == "bad_feed_url"


@pytest.mark.parametrize(
    "url", ["http://user@example.com/", "http://user:secret@example.com/", "http://:x@h/"]
)
def test_an_address_must_not_hold_a_secret_and_the_error_does_not_repeat_it(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_url(url)
    assert refused.value.code == "secret_in_url"
    assert "secret" not in str(refused.value)


@given(st.text())
def test_any_text_is_an_address_in_normal_form_or_refused(text: str) -> None:
    try:
        normal = check_url(text)
    except InvalidInput:
        return
    assert check_url(normal) == normal
    assert normal.startswith(("http://", "https://"))


def test_the_same_kind_and_address_are_the_same_feed_whatever_the_name() -> None:
    kinds = {"rss", "wechat"}
    one = draft_feed("http://Example.com", kind="rss", name="One", known_kinds=kinds)
    two = draft_feed("http://example.com/#x", kind="rss", name="Two", known_kinds=kinds)
    other = draft_feed("http://example.com/", kind="wechat", known_kinds=kinds)
    assert one.url_hash == two.url_hash != other.url_hash
    assert one.id != two.id


def test_every_bad_field_of_a_feed_is_named_in_both_languages() -> None:
    with pytest.raises(InvalidInput) as refused:
        draft_feed("nope", kind="pigeon", known_kinds={"rss"})
    assert set(refused.value.fields) == {"url", "kind"}
    assert "rss" in refused.value.fields["kind"]
    assert "订阅" in refused.value.field_sentences("zh")["kind"]


def test_a_name_is_one_line_of_at_most_what_the_store_holds() -> None:
    assert clean_name("  two\n lines ") == "two lines"
    assert len(clean_name("n" * 300)) == MAX_NAME


def test_a_feed_that_is_called_by_its_host_has_a_name_that_the_store_holds() -> None:
    draft = draft_feed(f"https://{'a' * 300}/", kind="rss", known_kinds={"rss"})
    assert draft.name == "a" * MAX_NAME
