"""What somebody outside says may repeat what we sent; secrets are taken out before anybody reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable

EXCERPT = 500
SHORTEST = 6
READ = 64 * 1024


def worth_hiding(values: Iterable[str]) -> tuple[str, ...]:
    """The values that are long enough to be secrets, longest first so that no part of one is left over."""
    return tuple(sorted({each for each in values if len(each) >= SHORTEST}, key=len, reverse=True))


def excerpt(body: str, secrets: tuple[str, ...]) -> str:
    """The beginning of an answer, on one line, with secrets replaced by `***`."""
    text = body[:READ]
    for secret in secrets:
        text = text.replace(secret, "***")
    return " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())[:EXCERPT]
