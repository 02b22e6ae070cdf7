"""Zhihu's official OpenAPI: one signed call that publishes, with a key and a secret instead of cookies (wire 2.8)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from backend.domain.errors import CascadeError, InvalidInput, WorkError
from backend.domain.ports import Desk, HttpRequest, HttpResponse
from backend.domain.publishing import (
    AccountVerdict,
    CredentialKind,
    Credentials,
    DraftSaved,
    Finding,
    Health,
    Manuscript,
    Prepared,
    Presence,
    Promise,
    Published,
    PublishOrder,
)
from backend.publishers import refusing
from backend.publishers.content import html_of, left_out
from backend.publishers.conversation import object_of, part
from backend.publishers.fitting import unfit
from backend.publishers.logins import WithoutLogin

NAME = "Zhihu's OpenAPI"
URL = "https://openapi.zhihu.com/openapi/publish"
SECONDS = 30.0
MAX_TITLE = 100
HTML_LENGTH = (9, 100_000)
BAD_SIGNATURE = 101
# Fifty articles a person and day: who has spent them is asked to come back later, and an hour is when it first may help.
SPENT_SECONDS = 3600.0
KEY_FIELDS = ("app_key", "app_secret")


def has_key(credentials: Credentials) -> bool:
    """Whether the account is to be used through the OpenAPI."""
    return all(credentials.fields.get(name) for name in KEY_FIELDS)


def signature(credentials: Credentials, stamp: str, log_id: str, extra: str) -> str:
    """`X-Sign`: the base64 of an HMAC-SHA256 over key, time, log id and extra information."""
    text = f"app_key:{credentials.fields['app_key']}|ts:{stamp}|logid:{log_id}|extra_info:{extra}"
    mac = hmac.new(credentials.fields["app_secret"].encode(), text.encode(), hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()


class OpenApiPublisher(WithoutLogin):
    """Implements `Publisher` for accounts that have a key. There are no drafts, and nothing that could be asked or repeated."""

    platform = "zhihu"
    called = NAME
    promise = Promise(repeatable=False, finds=False, quiet_seconds=2 * SECONDS)
    credential_kinds = frozenset({CredentialKind.TOKEN})

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def credential_troubles(self, credentials: Credentials) -> tuple[CascadeError, ...]:
        """A key without its secret, or the reverse."""
        missing = [name for name in KEY_FIELDS if not credentials.fields.get(name)]
        return (
            (InvalidInput("credential_missing", platform=NAME, names=", ".join(missing)),) if missing else ()
        )

    def refusals(self, manuscript: Manuscript) -> tuple[CascadeError, ...]:
        """What does not fit, drafts, and articles that are too short or too long."""
        found = list(unfit(NAME, manuscript, MAX_TITLE, embedded=False))
        if manuscript.draft:
            found.append(InvalidInput("no_drafts", platform=NAME))
        length, (least, most) = len(_html(manuscript)), HTML_LENGTH
        if not found and not least <= length <= most:
            found.append(
                InvalidInput("bad_content_length", platform=NAME, length=length, least=least, most=most)
            )
        return tuple(found)

    def check_session(
        self, account_id: str, version: int, credentials: Credentials, desk: Desk
    ) -> AccountVerdict:
        """Nothing is sent: there is no call but the one that publishes."""
        return AccountVerdict(account_id, version, Health.OK, profile=credentials.fields.get("app_key", ""))

    def prepare(self, order: PublishOrder, desk: Desk, save: Callable[[DraftSaved], None]) -> Prepared:
        """Nothing is sent. Raises `WorkError` for what can't be published."""
        manuscript = order.manuscript
        refusing.insist(NAME, (*self.credential_troubles(order.credentials), *self.refusals(manuscript)))
        if order.draft_id:
            # A draft that was made with cookies tells nothing about what this key publishes.
            save(DraftSaved(""))
        warnings = list(left_out(manuscript.content, manuscript.content_format))
        if manuscript.tags:
            warnings.append("tags left out: the OpenAPI knows topics by tokens of its own")
        if manuscript.cover:
            warnings.append("cover left out: the OpenAPI has none")
        return Prepared("", tuple(warnings))

    def recent_ids(self, order: PublishOrder, desk: Desk) -> tuple[str, ...]:
        """None: it can't be asked."""
        return ()

    def publish(self, order: PublishOrder, prepared: Prepared, desk: Desk) -> Published:
        """The one call, sent once. Raises `WorkError`."""
        body = json.dumps(_article(order.manuscript), ensure_ascii=False).encode("utf-8", "replace")
        headers = _headers(order.credentials)
        seconds = max(1.0, min(self._seconds, desk.seconds_left()))
        response = desk.http.send(HttpRequest("POST", URL, headers, body, seconds, follow_redirects=False))
        answer = object_of(response)
        if response.status != 200 or answer.get("status") != 0:
            raise _trouble(response, answer, order.credentials)
        data = part(answer, "data")
        token = str(data.get("content_token") or "")
        if not token:
            raise WorkError(
                "platform_changed", ambiguous=True, platform=NAME, what="no content_token in its answer"
            )
        return Published(token, str(data.get("url") or f"https://zhuanlan.zhihu.com/p/{token}"))

    def find_published(self, order: PublishOrder, desk: Desk) -> Finding:
        """A person must look: neither key nor answer tells what is there."""
        return Finding(Presence.UNKNOWN, reason="Zhihu's OpenAPI can't be asked what is there")


def _html(manuscript: Manuscript) -> str:
    return html_of(manuscript.content, manuscript.content_format)


def _article(manuscript: Manuscript) -> dict[str, Any]:
    return {
        "type": "article",
        "confirmed": True,
        "confirm_note": "",
        "content": {
            "title": manuscript.title.strip(),
            "html": _html(manuscript),
            "comment_permission": "all",
            "table_of_contents": False,
        },
    }


def _headers(credentials: Credentials) -> dict[str, str]:
    stamp, log_id, extra = str(int(time.time())), uuid.uuid4().hex, ""
    return {
        "Content-Type": "application/json",
        "X-App-Key": credentials.fields["app_key"],
        "X-Timestamp": stamp,
        "X-Log-Id": log_id,
        "X-Extra-Info": extra,
        "X-Sign": signature(credentials, stamp, log_id, extra),
    }


def _trouble(response: HttpResponse, answer: dict[str, Any], credentials: Credentials) -> WorkError:
    told = refusing.words(response, credentials, str(answer.get("msg") or ""))
    if response.status == 401 or answer.get("status") == BAD_SIGNATURE:
        return refusing.expired(NAME, response, told)
    if response.status == 429:
        return refusing.too_fast(NAME, response, told, SPENT_SECONDS)
    if response.status >= 500:
        return refusing.failed(NAME, response, told, ambiguous=True)
    if response.status == 200 and answer.get("status") is None:
        return WorkError("platform_changed", ambiguous=True, platform=NAME, what="no status in its answer")
    return refusing.rejected(NAME, response, told)
