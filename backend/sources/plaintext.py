"""Markup to plain text, for titles and summaries. Regular expressions, because a parser costs ten times more."""

from __future__ import annotations

import html
import re

from backend.sources.raw import Markup

_INVISIBLE = re.compile(r"(?is)<!--.*?-->|<(script|style|head|template)\b.*?</\1\s*>")
_ANY_TAG = re.compile(r"<[/!?]?[a-zA-Z][^<>]*>")
_BLOCK_TAG = re.compile(
    r"(?i)</?(?:p|div|br|li|ul|ol|tr|td|th|h[1-6]|blockquote|section|article|hr)\b[^<>]*>"
)
# In RSS a title may be text such as "List<String>", so only what is surely markup counts as markup.
_INLINE_TAG = re.compile(
    r"(?i)</?(?:a|abbr|b|big|br|center|cite|code|del|div|em|font|h[1-6]|i|img|ins|mark|p|q|s|small|span|strike|"
    r"strong|sub|sup|tt|u|wbr)(?:\s[^<>]*)?/?>"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\u200b\u2028\u2029]")


def plain(text: str, markup: Markup, limit: int) -> str:
    """One line of plain text, at most `limit` characters."""
    if markup is not Markup.TEXT and ("<" in text or "&" in text):
        text = _without_markup(text, markup)
    text = " ".join(_CONTROL.sub("", text).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _without_markup(text: str, markup: Markup) -> str:
    if markup is Markup.HTML:
        text = _INVISIBLE.sub(" ", text)
        text = _ANY_TAG.sub("", _BLOCK_TAG.sub(" ", text))
    else:
        text = _INLINE_TAG.sub("", text)
    return html.unescape(text)
