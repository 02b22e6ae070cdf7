"""Web hooks as a platform: one signed POST with the article, told apart from its repeats by an `Idempotency-Key`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from backend.domain.errors import CascadeError, InvalidInput, WorkError
from backend.domain.ports import Desk, HttpRequest, HttpResponse
from backend.domain.publishing import (
    AccountVerdict,
    CredentialKind,
    Credentials,
    DraftSaved,
    Finding,
    Manuscript,
    Prepared,
    Presence,
    Promise,
    Published,
    PublishOrder,
)
from backend.domain.signing import signature_headers
from backend.publishers import fitting, refusing
from backend.publishers.content import html_of, left_out, markdown_of
from backend.publishers.conversation import object_of
from backend.publishers.logins import WithoutLogin

NAME = "Webhook"
SECONDS = 30.0


class WebhookPublisher(WithoutLogin):
    """Implements `Publisher` for web hooks. The signature's key is the account's secret as it is.

    Repeating is safe because the receiver gets the same `Idempotency-Key` (and `id`) every time; that it drops repeats is what
    we ask of receivers. It can't be asked what it has.
    """

    platform = "webhook"
    called = NAME
    promise = Promise(repeatable=True, finds=False, quiet_seconds=2 * SECONDS)
    credential_kinds = frozenset({CredentialKind.TOKEN})

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def credential_troubles(self, credentials: Credentials) -> tuple[CascadeError, ...]:
        """A missing address or secret."""
        return fitting.lacking(NAME, credentials, ("url", "secret"))

    def refusals(self, manuscript: Manuscript) -> tuple[CascadeError, ...]:
        """A web hook takes every article that has a title and content, but keeps no drafts."""
        found = list(fitting.empty(NAME, manuscript))
        if manuscript.draft:
            found.append(InvalidInput("no_drafts", platform=NAME))
        return tuple(found)

    def check_session(
        self, account_id: str, version: int, credentials: Credentials, desk: Desk
    ) -> AccountVerdict:
        """A signed HEAD: whatever answers is there; 401 and 403 say that the secret is refused."""
        response = self._send("HEAD", b"", credentials, desk, {})
        # Many receivers know POST only, which is no fault.
        if response.status >= 400 and response.status not in {405, 501}:
            return refusing.verdict(self._trouble(response, credentials), account_id, version)
        host = urlsplit(credentials.fields.get("url", "")).hostname or ""
        return refusing.well(account_id, version, host)

    def prepare(self, order: PublishOrder, desk: Desk, save: Callable[[DraftSaved], None]) -> Prepared:
        """Nothing is sent: the receiver has no drafts. Raises `WorkError` for what can't be published."""
        troubles = (*self.credential_troubles(order.credentials), *self.refusals(order.manuscript))
        refusing.insist(NAME, troubles)
        return Prepared("", left_out(order.manuscript.content, order.manuscript.content_format))

    def recent_ids(self, order: PublishOrder, desk: Desk) -> tuple[str, ...]:
        """None: a receiver can't be asked."""
        return ()

    def publish(self, order: PublishOrder, prepared: Prepared, desk: Desk) -> Published:
        """POST it once; redirects are not followed. Raises `WorkError`."""
        body = json.dumps(_article(order), ensure_ascii=False).encode("utf-8", "replace")
        response = self._send("POST", body, order.credentials, desk, {"Idempotency-Key": order.key})
        if not 200 <= response.status < 300:
            raise self._trouble(response, order.credentials)
        answer = object_of(response)
        return Published(str(answer.get("id") or order.key), _address(answer.get("url")))

    def find_published(self, order: PublishOrder, desk: Desk) -> Finding:
        """It can't be found out, and need not: sent again with the same key it is the same article to the receiver."""
        return Finding(
            Presence.NOT_THERE, reason="a web hook can't be asked; it knows a repeat by its Idempotency-Key"
        )

    def _send(
        self, method: str, body: bytes, credentials: Credentials, desk: Desk, headers: dict[str, str]
    ) -> HttpResponse:
        stamp = int(datetime.now(UTC).timestamp())
        signed = signature_headers([credentials.fields.get("secret", "")], stamp, body)
        content = {"Content-Type": "application/json; charset=utf-8"} if body else {}
        seconds = max(1.0, min(self._seconds, desk.seconds_left()))
        url = credentials.fields.get("url", "").strip()
        return desk.http.send(
            HttpRequest(
                method, url, {**content, **signed, **headers}, body or None, seconds, follow_redirects=False
            )
        )

    def _trouble(self, response: HttpResponse, credentials: Credentials) -> WorkError:
        said = refusing.words(response, credentials)
        if response.status in {401, 403}:
            return refusing.expired(NAME, response, said)
        if response.status == 429:
            return refusing.too_fast(NAME, response, said)
        if response.status in {408, 425} or response.status >= 500:
            return refusing.failed(NAME, response, said, ambiguous=True)
        return refusing.rejected(NAME, response, said)


def _article(order: PublishOrder) -> dict[str, Any]:
    manuscript = order.manuscript
    return {
        "id": order.task_id,
        "title": manuscript.title,
        "content_html": html_of(manuscript.content, manuscript.content_format),
        "content_markdown": markdown_of(manuscript.content, manuscript.content_format),
        "tags": list(manuscript.tags),
        "cover": manuscript.cover,
        "author": order.credentials.fields.get("author", ""),
    }


def _address(value: object) -> str:
    return value if isinstance(value, str) and fitting.is_address(value) else ""
