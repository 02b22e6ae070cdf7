"""What somebody outside says may repeat what we sent; secrets are taken out before anybody reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

EXCERPT = 500
SHORTEST = 6
# Words of a path are shorter.
KEY_LENGTH = 16
READ = 64 * 1024


def worth_hiding(values: Iterable[str]) -> tuple[str, ...]:
    """The values that are long enough to be secrets, longest first so that no part of one is left over.

    Also as JSON, HTML and URLs spell them: answers repeat them so.
    """
    found = {form for each in values if len(each) >= SHORTEST for form in _spellings(each)}
    return tuple(sorted(found, key=len, reverse=True))


def _spellings(value: str) -> Iterator[str]:
    yield from (value, quote(value, safe=""), quote_plus(value), escape(value))
    yield from (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])


def keys_in(address: str) -> Iterator[str]:
    """What may be a key within the address of a web hook: the values of its query, and long parts of its path."""
    parts = urlsplit(address)
    yield from (value for _, value in parse_qsl(parts.query))
    yield from (part for part in parts.path.split("/") if len(part) >= KEY_LENGTH)


def excerpt(body: str, secrets: tuple[str, ...]) -> str:
    """The beginning of an answer, on one line, with secrets replaced by `***`."""
    text = body[:READ]
    for secret in secrets:
        text = text.replace(secret, "***")
    return " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())[:EXCERPT]
