"""What an attempt to reach a node means, and what to do about it: pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.domain.errors import WorkError
from backend.domain.messages import render
from backend.domain.ports import HttpResponse

CONNECTED = "connected"
REFUSED_WORDS = "Connection refused"
MAX_SHOWN = 16 * 1024
SUCCESS_CODES = (0, 200)
NO_ENVELOPE = -1
# What the port's errors mean here; each has a sentence of its own, and a hint.
HINTS = {
    "connection_refused": "hint_connection_refused",
    "dns_failed": "hint_dns_failed",
    "tls_failed": "hint_tls_failed",
    "timed_out": "hint_timed_out",
    "connect_failed": "hint_connect_failed",
    "egress_refused": "hint_egress_refused",
    "egress_fake_ip": "hint_egress_refused",
    "broken_answer": "hint_not_cascade",
    "too_large": "hint_not_cascade",
    "node_unauthorized": "hint_node_unauthorized",
    "node_signature_refused": "hint_node_signature_refused",
    "node_route_missing": "hint_node_route_missing",
    "node_moved": "hint_node_moved",
    "node_failing": "hint_node_failing",
    "node_answers_oddly": "hint_not_cascade",
    "no_node_address": "hint_no_node_address",
    "no_node_credentials": "hint_no_node_credentials",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an attempt. `code` is `connected`, or says what went wrong; `answer` is what a node sent."""

    code: str
    params: Mapping[str, object] = field(default_factory=dict)
    http_status: int | None = None
    answer: dict[str, Any] | None = None

    @property
    def connected(self) -> bool:
        """Whether the node answered as a node does."""
        return self.code == CONNECTED

    def error(self, language: str) -> str | None:
        """What went wrong, in words."""
        return None if self.connected else render(self.code, language, self.params)

    def hint(self, language: str) -> str | None:
        """What to do about it."""
        hint = HINTS.get(self.code)
        return None if hint is None else render(hint, language, self.params)


def judge_error(error: WorkError) -> Verdict:
    """What an error of the HTTP client means."""
    code = error.code
    if code == "connect_failed" and error.detail == REFUSED_WORDS:
        code = "connection_refused"
    return Verdict(code, error.params)


def judge_answer(response: HttpResponse, host: str, *, signed: bool) -> Verdict:
    """What the answer to a heartbeat, or to a `signed` ping, means."""
    content = _content(response.body)
    status = _true_status(response.status, content)
    if status in SUCCESS_CODES and content is not None:
        return Verdict(CONNECTED, {}, response.status, content)
    params = {"host": host, "status": response.status, "detail": _words(content)}
    return Verdict(_trouble(status, signed=signed), params, response.status)


def _true_status(status: int, content: dict[str, Any] | None) -> int:
    """What the answer means: WeRSS refuses with HTTP 200 or 201 too, and says so in the envelope's `code` (40101: 401)."""
    if not 200 <= status < 300:
        return status
    code = (content or {}).get("code")
    # Without an envelope it is no node, whatever its status.
    return int(str(abs(code))[:3]) if isinstance(code, int) else NO_ENVELOPE


def _trouble(status: int, *, signed: bool) -> str:
    if status in {401, 403}:
        return "node_signature_refused" if signed else "node_unauthorized"
    if status in {404, 405}:
        return "node_route_missing"
    if 300 <= status < 400:
        return "node_moved"
    return "node_failing" if status >= 500 else "node_answers_oddly"


def _content(body: bytes) -> dict[str, Any] | None:
    if len(body) > MAX_SHOWN:
        return None
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _words(content: dict[str, Any] | None) -> str:
    """The other side's own sentence, where it has one (FastAPI keeps it below `detail`)."""
    found: object = (content or {}).get("message") or (content or {}).get("detail") or ""
    if isinstance(found, dict):
        found = found.get("message", "")
    return str(found)[:200]
