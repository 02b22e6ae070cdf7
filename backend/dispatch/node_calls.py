"""What the parent sends to its nodes: notifications, and attempts to reach them. No database here."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from backend.domain.connecting import Verdict, judge_answer, judge_error
from backend.domain.errors import WorkError
from backend.domain.ports import HttpClient, HttpRequest
from backend.domain.signing import signature_headers

HEARTBEAT_PATHS = ("/api/v1/cascade/heartbeat", "/api/v1/wx/cascade/heartbeat")
NOTIFY_PATH = "/api/v1/cascade/notify"
JSON_TYPE = {"Content-Type": "application/json", "Accept": "application/json"}
TEST_SECONDS = 10.0
ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was tried, and what became of it."""

    url: str
    verdict: Verdict


def try_credentials(http: HttpClient, api_url: str, api_key: str, api_secret: str) -> Attempt:
    """Send a heartbeat with the pair; a server that knows our path under WeRSS's prefix only is found there."""
    if not api_url:
        return Attempt("", Verdict("no_node_address"))
    headers = {"Authorization": f"AK-SK {api_key}:{api_secret}"} | JSON_TYPE
    deadline = time.monotonic() + TEST_SECONDS
    attempt = Attempt(api_url, Verdict("timed_out", {"host": _host(api_url)}))
    for path in HEARTBEAT_PATHS:
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            break
        attempt = _attempt(http, f"{api_url.rstrip('/')}{path}", headers, b"{}", seconds)
        if attempt.verdict.code != "node_route_missing":
            break
    return attempt


def ping(http: HttpClient, base_url: str, secret_hashes: Sequence[str]) -> Attempt:
    """Send a signed `ping`: only the node's own secret lets it answer."""
    if not base_url:
        return Attempt("", Verdict("no_node_address"))
    if not secret_hashes:
        return Attempt(base_url, Verdict("no_node_credentials"))
    headers, body = signed({"type": "ping"}, secret_hashes)
    return _attempt(http, notify_url(base_url), headers, body, TEST_SECONDS, is_signed=True)


def notify_url(base_url: str) -> str:
    """Where a child that gave this address is told something."""
    return base_url.rstrip("/") + NOTIFY_PATH


def signed(content: Mapping[str, Any], secret_hashes: Sequence[str]) -> tuple[dict[str, str], bytes]:
    """The headers and body of a notification that is sent now."""
    moment = datetime.now(UTC)
    body = json.dumps({**content, "timestamp": moment.isoformat()}).encode()
    return signature_headers(secret_hashes, int(moment.timestamp()), body) | JSON_TYPE, body


def _attempt(
    http: HttpClient,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    seconds: float,
    *,
    is_signed: bool = False,
) -> Attempt:
    request = HttpRequest(
        "POST",
        url,
        headers,
        body,
        seconds=seconds,
        max_bytes=ANSWER_BYTES,
        # A redirect would carry the secret somewhere else.
        follow_redirects=False,
    )
    try:
        response = http.send(request)
    except WorkError as error:
        return Attempt(url, judge_error(error))
    return Attempt(url, judge_answer(response, _host(url), signed=is_signed))


def _host(url: str) -> str:
    return urlsplit(url).hostname or url
