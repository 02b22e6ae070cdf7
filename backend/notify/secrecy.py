"""What a receiver says may repeat what we sent it; secrets are taken out before anybody reads it."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from backend.domain.errors import InvalidInput, WorkError
from backend.domain.orders import DeliveryOrder, Failure
from backend.domain.receivers import parse_cookies, parse_headers
from backend.domain.secrecy import excerpt, worth_hiding

# Names of headers whose values everybody may see.
OPEN_HEADERS = frozenset({"accept", "accept-language", "content-type", "user-agent"})


def secrets_of(delivery: DeliveryOrder) -> tuple[str, ...]:
    """Everything secret that a delivery carries, longest first so that no part of one is left over."""
    found = {*_in_url(delivery.web_hook_url), *_in_headers(delivery.headers), *_in_cookies(delivery.cookies)}
    return worth_hiding(found)


def refusal(failure: Failure, status: int, secrets: tuple[str, ...], body: str = "") -> WorkError:
    """The failure as the error to raise, with the receiver's own words."""
    words = f"{failure.message}: {body}" if body.strip() else failure.message
    return WorkError(
        failure.code,
        permanent=failure.permanent,
        ambiguous=failure.ambiguous,
        retry_after=failure.retry_after,
        detail=excerpt(words, secrets),
        response_status=status,
    )


def _in_url(url: str) -> set[str]:
    parts = urlsplit(url)
    # Robots and web hooks carry tokens as long path segments; short ones are words.
    segments = [segment for segment in parts.path.split("/") if len(segment) >= 12]
    # Apprise's addresses carry them where others have a host, and in short segments too.
    if parts.scheme not in {"http", "https"}:
        segments = [*parts.path.split("/"), *re.split(r"[@:]", parts.netloc)]
    values = [value for _, value in parse_qsl(parts.query)]
    userinfo = parts.netloc.rpartition("@")[0].split(":")
    raw = {url, parts.query, *segments, *values, *userinfo}
    return raw | {unquote(each) for each in raw} | {quote(each, safe="") for each in raw}


def _in_headers(headers: str) -> set[str]:
    try:
        parsed = parse_headers(headers)
    except InvalidInput:
        return {headers}
    values = {value for name, value in parsed.items() if name.casefold() not in OPEN_HEADERS}
    return values | {word for value in values for word in value.split()}


def _in_cookies(cookies: str) -> set[str]:
    try:
        parsed = parse_cookies(cookies)
    except InvalidInput:
        return {cookies}
    return {pair.partition("=")[2].strip() for pair in parsed.split(";")}
