"""One account's conversation with Juejin: its envelope, its token against forgery, and its refusals as errors (wire 3.2)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, NoReturn

from backend.domain.errors import WorkError
from backend.domain.ports import Desk, HttpResponse
from backend.domain.publishing import Credentials
from backend.publishers import refusing
from backend.publishers.conversation import Exchange, object_of

NAME = "Juejin"
HOST = "api.juejin.cn"
SITE = "https://juejin.cn"
APP = "2608"
SESSION = "sessionid"
LOGGED_OUT, TOO_FAST = 403, 429
TOKEN_PATH = "/user_api/v1/sys/token"  # noqa: S105 - an address
PATHS = {
    "check": "/user_api/v1/user/get",
    "categories": "/tag_api/v1/query_category_list",
    "tags": "/tag_api/v1/query_tag_list",
    "draft": "/content_api/v1/article_draft/create",
    "save": "/content_api/v1/article_draft/update",
    "read": "/content_api/v1/article_draft/detail",
    "publish": "/content_api/v1/article/publish",
    "list": "/content_api/v1/article/list_by_user",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a successful call brought, and the answer around it."""

    data: Any
    response: HttpResponse


class Conversation:
    """Calls with one account's cookies. The token against forgery is asked for once."""

    def __init__(self, credentials: Credentials, desk: Desk, seconds: float) -> None:
        self._exchange = Exchange(credentials, desk, seconds)
        self._credentials = credentials
        session = self._exchange.cookie(SESSION, HOST)
        # Juejin wants some number that stays the same for one browser.
        self._browser = str(int(hashlib.sha256(session.encode()).hexdigest()[:15], 16))
        self._token: str | None = None

    def call(self, name: str, content: dict[str, Any] | None = None, *, repeatable: bool = True) -> Answer:
        """One call by its name. Raises `WorkError`, also for a refusal that comes with HTTP 200."""
        headers = {"Origin": SITE, "Referer": f"{SITE}/"}
        body = None
        if content is not None:
            headers |= {"Content-Type": "application/json"} | self._token_header()
            body = json.dumps(content).encode()
        response = self._exchange.send(
            "GET" if body is None else "POST", self._url(PATHS[name]), headers, body, repeatable=repeatable
        )
        answer = object_of(response)
        if response.status != 200 or answer.get("err_no") != 0:
            self._raise_trouble(response, answer, repeatable=repeatable)
        return Answer(answer.get("data"), response)

    def _url(self, path: str) -> str:
        return f"https://{HOST}{path}?aid={APP}&uuid={self._browser}"

    def _token_header(self) -> dict[str, str]:
        if self._token is None:
            asked = {"x-secsdk-csrf-request": "1", "x-secsdk-csrf-version": "1.2.10", "Referer": f"{SITE}/"}
            response = self._exchange.send("HEAD", f"https://{HOST}{TOKEN_PATH}", asked)
            parts = response.headers.get("x-ware-csrf-token", "").split(",")
            self._token = parts[1] if len(parts) > 1 else ""
        # Not every session needs one.
        return {"x-secsdk-csrf-token": self._token} if self._token else {}

    def _raise_trouble(self, response: HttpResponse, answer: dict[str, Any], *, repeatable: bool) -> NoReturn:
        number = answer.get("err_no")
        told = refusing.words(response, self._credentials, str(answer.get("err_msg") or ""))
        if response.status in {401, 403} or number == LOGGED_OUT:
            raise refusing.expired(NAME, response, told)
        if response.status == 429 or number == TOO_FAST:
            raise refusing.too_fast(NAME, response, told)
        if response.status >= 500:
            raise refusing.failed(NAME, response, told, ambiguous=not repeatable)
        if number is None and response.status == 200:
            raise WorkError(
                "platform_changed", ambiguous=not repeatable, platform=NAME, what="no err_no in its answer"
            )
        raise refusing.rejected(NAME, response, told)
