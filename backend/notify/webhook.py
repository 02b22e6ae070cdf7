"""Web hooks: one POST, told apart from its repeats by an `Idempotency-Key`."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from backend.domain.answers import ROBOTS, classify_robot_answer, classify_status
from backend.domain.errors import InvalidInput, WorkError
from backend.domain.orders import DeliveryOrder, FrozenMessage, Receipt
from backend.domain.ports import HttpClient, HttpRequest
from backend.domain.receivers import Kind, parse_cookies, parse_headers, receiver_of
from backend.domain.rendering import RAW
from backend.domain.secrecy import excerpt
from backend.notify.secrecy import refusal, secrets_of

SECONDS = 30.0


class WebhookNotifier:
    """Implements `Notifier` for web hooks: raw bodies (message type 1), or `{title, content}` as WeRSS sends them."""

    name = "webhook"
    recognises_repeats = True

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def send(self, delivery: DeliveryOrder, message: FrozenMessage, http: HttpClient) -> Receipt:
        """POST it once; redirects are not followed. Raises `WorkError`."""
        kind, request = _prepare(delivery, message, self._seconds)
        response = http.send(request)
        secrets = secrets_of(delivery)
        body = response.body.decode("utf-8", "replace")
        # A robot refuses raw messages as it refuses others: with HTTP 200.
        if kind in ROBOTS and (failure := classify_robot_answer(kind, response.status, body)):
            raise refusal(failure, response.status, secrets)
        if failure := classify_status(response.status, response.headers, datetime.now(UTC)):
            raise refusal(failure, response.status, secrets, body)
        return Receipt(delivery.delivery_id, response.status, excerpt(body, secrets), message.warning)


def _prepare(delivery: DeliveryOrder, message: FrozenMessage, seconds: float) -> tuple[Kind, HttpRequest]:
    try:
        kind = receiver_of(delivery.web_hook_url, delivery.message_type).kind
        headers = _headers(delivery)
    except InvalidInput as error:
        detail = error.params.get("detail", "")
        raise WorkError(error.code, permanent=True, detail=str(detail)) from error
    raw = delivery.message_type == RAW
    text = message.body if raw else _notice(message)
    body = text.encode("utf-8", "replace")
    request = HttpRequest(
        "POST", delivery.web_hook_url.strip(), headers, body, seconds, follow_redirects=False
    )
    return kind, request


def _notice(message: FrozenMessage) -> str:
    return json.dumps({"title": message.title, "content": message.body}, ensure_ascii=False)


def _headers(delivery: DeliveryOrder) -> dict[str, str]:
    headers = {"Idempotency-Key": delivery.idempotency_key}
    given = parse_headers(delivery.headers)
    if not any(name.casefold() == "content-type" for name in given):
        headers["Content-Type"] = "application/json"
    headers.update(given)
    cookies = parse_cookies(delivery.cookies)
    if cookies:
        before = next((name for name in given if name.casefold() == "cookie"), "Cookie")
        headers[before] = f"{given[before]}; {cookies}" if before in given else cookies
    return headers
