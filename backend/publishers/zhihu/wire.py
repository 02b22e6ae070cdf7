"""One account's conversation with Zhihu: headers, cookies that it renews, and its refusals as errors.

Facts: wire 2.1 and 2.6. The platform's words are kept, secrets are taken out of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any, NoReturn
from urllib.parse import unquote, urlencode, urlsplit

from backend.domain.errors import WorkError
from backend.domain.ports import Desk, HttpResponse
from backend.domain.publishing import Cookie, Credentials
from backend.publishers import refusing
from backend.publishers.conversation import Exchange, object_of

NAME = "Zhihu"
WWW = "https://www.zhihu.com"
ZHUANLAN = "https://zhuanlan.zhihu.com"
API = "https://api.zhihu.com"
SECONDS = 30.0
HUMAN_CHECK, RISK, SIGNATURE, TICKET = 40352, 40362, 10003, 100
RISK_SECONDS = 1800.0


class Hidden(WorkError):
    """Zhihu shows this to its own web pages only (x-zse-96)."""


class Conversation:
    """Calls with one account's cookies, which it may renew meanwhile."""

    def __init__(self, credentials: Credentials, desk: Desk, seconds: float = SECONDS) -> None:
        self._exchange = Exchange(credentials, desk, seconds)

    @property
    def cookies(self) -> tuple[Cookie, ...]:
        """The cookies as they are now."""
        return self._exchange.cookies

    def call(
        self,
        method: str,
        url: str,
        *,
        content: object = None,
        form: dict[str, str] | None = None,
        referer: str = f"{ZHUANLAN}/write",
        expected: Collection[int] = (),
        repeatable: bool = True,
    ) -> HttpResponse:
        """One exchange; a status outside 2xx is an error unless it is expected. Raises `WorkError`, never ambiguous when repeatable."""
        headers = self._headers(url, referer)
        body = None
        if content is not None:
            headers["Content-Type"], body = "application/json", json.dumps(content).encode()
        elif form is not None:
            headers["Content-Type"], body = "application/x-www-form-urlencoded", urlencode(form).encode()
        response = self._exchange.send(method, url, headers, body, repeatable=repeatable)
        if not (200 <= response.status < 300 or response.status in expected):
            raise_trouble(response, self._exchange.credentials, repeatable=repeatable)
        return response

    def _headers(self, url: str, referer: str) -> dict[str, str]:
        origin = urlsplit(referer)
        headers = {
            "Accept": "application/json, text/plain, */*",
            "x-requested-with": "fetch",
            "Origin": f"{origin.scheme}://{origin.netloc}",
            "Referer": referer,
        }
        if token := self._exchange.cookie("_xsrf", urlsplit(url).hostname or ""):
            headers["x-xsrftoken"] = unquote(token)
        return headers


def raise_trouble(response: HttpResponse, credentials: Credentials, *, repeatable: bool) -> NoReturn:
    """The answer as the error that it means (wire 2.6). Raises `WorkError`."""
    code, said = error_of(response)
    told = refusing.words(response, credentials, said)
    if response.status in {301, 302, 303, 307, 308}:
        _raise_redirected(response, told)
    if response.status == 401 or code == TICKET:
        raise refusing.expired(NAME, response, told)
    if code == HUMAN_CHECK:
        raise refusing.human_check(NAME, response, told, WWW)
    if code == RISK:
        raise refusing.too_fast(NAME, response, told, RISK_SECONDS)
    if code == SIGNATURE:
        raise Hidden(
            "platform_changed", permanent=True, platform=NAME, what="it asks for x-zse-96", detail=told
        )
    if response.status == 429:
        raise refusing.too_fast(NAME, response, told)
    if response.status >= 500:
        raise refusing.failed(NAME, response, told, ambiguous=not repeatable)
    raise refusing.rejected(NAME, response, told)


def _raise_redirected(response: HttpResponse, told: str) -> NoReturn:
    target = response.headers.get("location", "")
    if "/account/unhuman" in target:
        raise refusing.human_check(NAME, response, told, WWW)
    if "/signin" in target:
        raise refusing.expired(NAME, response, told)
    raise WorkError(
        "platform_changed", permanent=True, platform=NAME, what="it redirects elsewhere", detail=told
    )


def error_of(response: HttpResponse) -> tuple[int, str]:
    """The code and the words of a refusal, 0 and none where it has none."""
    answer = object_of(response)
    inner = answer.get("error")
    told = inner if isinstance(inner, dict) else answer
    code = told.get("code")
    said = told.get("toast_message") or told.get("message") or ""
    number = code if isinstance(code, int) and not isinstance(code, bool) else 0
    return number, str(said)


def needed(answer: dict[str, Any], name: str, read: Callable[[Any], str] = str) -> str:
    """A text that the answer must have. Raises `WorkError`."""
    value = answer.get(name)
    if value in (None, ""):
        raise WorkError("platform_changed", platform=NAME, what=f"no {name} in its answer")
    return read(value)
