"""One site's REST interface (wire 3.4): its address in either form, Basic authorization, its refusals as errors."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Collection, Mapping
from typing import Any, NoReturn
from urllib.parse import urlencode

from backend.domain.errors import WorkError
from backend.domain.ports import Desk, HttpRequest, HttpResponse
from backend.domain.publishing import Credentials
from backend.publishers import refusing
from backend.publishers.conversation import object_of

NAME = "WordPress"
SECONDS = 30.0
MEDIA_SECONDS = 60.0


class Site:
    """Calls with one account's application password."""

    def __init__(self, credentials: Credentials, desk: Desk, seconds: float = SECONDS) -> None:
        self._credentials = credentials
        self._desk = desk
        self._seconds = seconds
        self._pretty = True
        self.home = home_of(credentials.fields.get("url", ""))

    def call(
        self,
        method: str,
        route: str,
        *,
        query: Mapping[str, object] | None = None,
        content: object = None,
        media: tuple[bytes, str, str] | None = None,
        expected: Collection[int] = (),
        repeatable: bool = True,
    ) -> HttpResponse:
        """One exchange; `media` is bytes, media type and file name. Raises `WorkError`, never ambiguous when repeatable."""
        headers, body = self._headers(), None
        if media is not None:
            body, kind, name = media
            headers |= {"Content-Type": kind, "Content-Disposition": f'attachment; filename="{name}"'}
        elif content is not None:
            body = json.dumps(content).encode()
            headers["Content-Type"] = "application/json"
        response = self._send(method, route, query or {}, headers, body, repeatable)
        if not (200 <= response.status < 300 or response.status in expected):
            _raise_trouble(response, self._credentials, repeatable=repeatable)
        return response

    def _send(
        self,
        method: str,
        route: str,
        query: Mapping[str, object],
        headers: dict[str, str],
        body: bytes | None,
        repeatable: bool,
    ) -> HttpResponse:
        seconds = max(
            1.0, min(MEDIA_SECONDS if route == "/media" else self._seconds, self._desk.seconds_left())
        )
        url = self._address(route, query)
        request = HttpRequest(method, url, headers, body, seconds, follow_redirects=False)
        try:
            response = self._desk.http.send(request)
        except WorkError as error:
            error.ambiguous = error.ambiguous and not repeatable
            raise
        if self._pretty and _passed_by(response, url):
            # Without pretty permalinks the REST interface never saw it: nothing was done.
            self._pretty = False
            return self._send(method, route, query, headers, body, repeatable)
        return response

    def _address(self, route: str, query: Mapping[str, object]) -> str:
        if self._pretty:
            return f"{self.home}/wp-json/wp/v2{route}" + (f"?{urlencode(query)}" if query else "")
        return f"{self.home}/?{urlencode({'rest_route': f'/wp/v2{route}', **query})}"

    def _headers(self) -> dict[str, str]:
        fields = self._credentials.fields
        # WordPress shows application passwords in groups and ignores the spaces between them.
        pair = f"{fields.get('username', '')}:{fields.get('password', '').replace(' ', '')}"
        return {
            "Accept": "application/json",
            "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
        }


def _passed_by(response: HttpResponse, url: str) -> bool:
    """Whether the web server or the blog's pages answered instead: not found, some page, or the same address with a slash."""
    if "json" in response.headers.get("content-type", ""):
        return False
    target = response.headers.get("location", "").partition("?")[0]
    redirected_to_itself = target.rstrip("/") == url.partition("?")[0].rstrip("/")
    return response.status in {200, 404} or (300 <= response.status < 400 and redirected_to_itself)


def home_of(url: str) -> str:
    """The site's own address, whatever page of it was entered."""
    home = url.strip().partition("?")[0].partition("#")[0].rstrip("/")
    for tail in ("/wp-json", "/wp-admin", "/wp-login.php", "/xmlrpc.php"):
        home = home.partition(tail)[0]
    return home.rstrip("/")


def _raise_trouble(response: HttpResponse, credentials: Credentials, *, repeatable: bool) -> NoReturn:
    answer = object_of(response)
    said = f"{answer.get('code', '')}: {_plain(answer.get('message'))}" if answer.get("code") else ""
    told = refusing.words(response, credentials, said)
    if response.status == 401:
        raise refusing.expired(NAME, response, told)
    if response.status == 429:
        raise refusing.too_fast(NAME, response, told)
    if response.status >= 500:
        raise refusing.failed(NAME, response, told, ambiguous=not repeatable)
    if 300 <= response.status < 400:
        raise refusing.moved(NAME, response)
    raise refusing.rejected(NAME, response, told)


def _plain(said: object) -> str:
    return html.unescape(str(said or ""))


def list_of(response: HttpResponse) -> list[dict[str, Any]] | None:
    """The answer's JSON list of objects, `None` when it is none."""
    try:
        answer = json.loads(response.body)
    except (ValueError, RecursionError):
        return None
    return [one for one in answer if isinstance(one, dict)] if isinstance(answer, list) else None


def id_of(answer: Mapping[str, Any]) -> str:
    """The id that an answer must have. Raises `WorkError`."""
    if not answer.get("id"):
        raise WorkError("platform_changed", platform=NAME, what="no id in its answer")
    return str(answer["id"])
