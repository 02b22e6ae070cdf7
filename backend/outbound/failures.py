"""What went wrong underneath, as the errors that the port promises. Texts name the host and never the URL."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator

import urllib3.exceptions

from backend.domain.errors import WorkError
from backend.outbound.exchange import Exchange

UNDERNEATH = (
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)
"""Everything that urllib3, http.client and the socket raise while sending, and `requests`, whose errors are `OSError`s."""


def translate(error: BaseException, host: str, exchange: Exchange) -> WorkError:
    """The `WorkError` for what was raised; `ambiguous` follows from how far the exchange got."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, WorkError):
            return cause
    if _is_any(causes, (TimeoutError, urllib3.exceptions.TimeoutError)):
        return WorkError("timed_out", ambiguous=exchange.sent, host=host)
    if exchange.sent:
        return WorkError("broken_answer", ambiguous=True, host=host, detail=_words(causes))
    if _is_any(causes, (ssl.SSLError, urllib3.exceptions.SSLError)):
        return WorkError("tls_failed", host=host, detail=_tls_words(causes))
    if _is_any(causes, (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException)):
        return WorkError("connect_failed", host=host, detail=_words(causes))
    return WorkError("unsendable_request", permanent=True, host=host)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything that it wraps; urllib3 and requests keep causes in their arguments."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inner = [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]
        waiting.extend(cause for cause in inner if isinstance(cause, BaseException))


def _is_any(causes: list[BaseException], kinds: tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)


def _tls_words(causes: list[BaseException]) -> str:
    for cause in causes:
        message = getattr(cause, "verify_message", "")
        if message:
            return str(message)
    return _words(causes)


def _words(causes: list[BaseException]) -> str:
    """The innermost technical words that can't hold a URL: the system's, OpenSSL's, or the class name."""
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return (cause.reason or "TLS error").replace("_", " ").lower()
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return type(causes[-1]).__name__
