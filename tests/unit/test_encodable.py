"""Texts that no driver can encode are mended before they reach one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.orders import ArticleDraft, FetchResult, encodable, encodable_result


@given(st.text(st.characters(codec=None)))
def test_every_text_can_be_encoded_afterwards(text: str) -> None:
    assert encodable(text).encode() is not None


@given(st.text(st.characters(codec="utf-8")))
def test_a_text_that_can_be_encoded_stays_as_it_is(text: str) -> None:
    assert encodable(text) == text


def test_a_lone_surrogate_anywhere_in_a_result_is_replaced() -> None:
    bad = "a\ud83d"
    draft = ArticleDraft(bad, bad, bad, bad, bad, bad, bad)
    result = encodable_result(FetchResult((draft,), bad, bad, bad, final_url=bad))
    texts = [result.title, result.etag, result.last_modified, result.final_url]
    [article] = result.articles
    texts += [
        article.key,
        article.title,
        article.url,
        article.summary,
        article.content,
        article.author,
        article.cover_url,
    ]
    assert texts == ["a?"] * 11
