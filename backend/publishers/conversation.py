"""One account's calls to a platform that knows it by its cookies: bounded in time, and never in doubt about what may be repeated."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from backend.domain.credentials import cookie_line, live_cookies, renewed
from backend.domain.errors import WorkError
from backend.domain.ports import Desk, HttpRequest, HttpResponse
from backend.domain.publishing import Cookie, Credentials

# Cookies belong to a browser: platforms look askance at a session that changes it with every call.
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36"


@dataclass(slots=True)
class Exchange:
    """Sends with the account's cookies, which the platform may renew meanwhile."""

    credentials: Credentials
    desk: Desk
    seconds: float
    cookies: tuple[Cookie, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.cookies = self.credentials.cookies

    def send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | None = None,
        *,
        repeatable: bool = True,
    ) -> HttpResponse:
        """One exchange, whatever its answer. Raises `WorkError`, never ambiguous when it is repeatable."""
        host, now = urlsplit(url).hostname or "", datetime.now(UTC)
        own = {"User-Agent": BROWSER, "Cookie": cookie_line(self.cookies, host, now)}
        seconds = max(1.0, min(self.seconds, self.desk.seconds_left()))
        request = HttpRequest(method, url, own | headers, body, seconds, follow_redirects=False)
        try:
            response = self.desk.http.send(request)
        except WorkError as error:
            error.ambiguous = error.ambiguous and not repeatable
            raise
        self.cookies = renewed(self.cookies, response.cookies, host, datetime.now(UTC))
        return response

    def cookie(self, name: str, host: str) -> str:
        """The value of a cookie that would be sent there, empty without it."""
        return live_cookies(self.cookies, host, datetime.now(UTC)).get(name, "")


def object_of(response: HttpResponse) -> dict[str, Any]:
    """The answer's JSON object, empty when it is none."""
    try:
        answer = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def part(answer: Any, *names: str) -> dict[str, Any]:
    """An object inside of the answer, empty where there is none."""
    for name in names:
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer if isinstance(answer, dict) else {}


def rows(answer: Any, *names: str) -> list[dict[str, Any]] | None:
    """A list of objects inside of the answer; `None` where there is no list, which is not the same as an empty one."""
    for name in names:
        answer = answer.get(name) if isinstance(answer, dict) else None
    return [one for one in answer if isinstance(one, dict)] if isinstance(answer, list) else None
