"""One account's conversation with CSDN's console: signed calls, and its refusals as errors (wire 3.1).

The key pair is the one of CSDN's own web editor; its secret is the operator's to find there (`csdn.app_secret`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

from backend.domain.errors import WorkError
from backend.domain.ports import Desk, HttpResponse
from backend.domain.publishing import Credentials
from backend.publishers import refusing
from backend.publishers.conversation import Exchange, object_of

NAME = "CSDN"
HOST = "bizapi.csdn.net"
EDITOR = "https://editor.csdn.net/"
APP_KEY = "203803574"
SECRET_OPTION = "csdn.app_secret"  # noqa: S105 - the option's name
JSON = "application/json"
OK = 200
LOGGED_OUT = frozenset({401, 100401})
SIGNED_HEADERS = "x-ca-key,x-ca-nonce"


def text_to_sign(method: str, url: str, content_type: str, nonce: str) -> str:
    """What CSDN's gateway signs: lines of method, accept, digest (none), content type, date (none), the named headers, the path."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return "\n".join(
        [method, "*/*", "", content_type, "", f"x-ca-key:{APP_KEY}", f"x-ca-nonce:{nonce}", path]
    )


def signature(secret: str, text: str) -> str:
    """Base64 of the HMAC-SHA256."""
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()


def signed(options: Mapping[str, str], method: str, url: str, content_type: str) -> dict[str, str]:
    """The headers of a signed call. Raises `WorkError` when the operator did not set the secret."""
    secret = options.get(SECRET_OPTION, "")
    if not secret:
        raise WorkError("platform_option_missing", permanent=True, platform=NAME, option=SECRET_OPTION)
    nonce = str(uuid.uuid4())
    headers = {
        "Accept": "*/*",
        "Origin": EDITOR.rstrip("/"),
        "Referer": EDITOR,
        "x-ca-key": APP_KEY,
        "x-ca-nonce": nonce,
        "x-ca-signature-headers": SIGNED_HEADERS,
        "x-ca-signature": signature(secret, text_to_sign(method, url, content_type, nonce)),
    }
    return headers | ({"Content-Type": content_type} if content_type else {})


class Console:
    """Calls to the blog's console with one account's cookies."""

    def __init__(self, credentials: Credentials, desk: Desk, seconds: float) -> None:
        self._exchange = Exchange(credentials, desk, seconds)
        self._credentials = credentials
        self._options = desk.options

    @property
    def user(self) -> str:
        """The account's name in addresses."""
        return self._exchange.cookie("UserName", HOST)

    def call(self, method: str, path: str, content: Any = None, *, repeatable: bool = True) -> dict[str, Any]:
        """One signed call; its `data`. Raises `WorkError`, also for a refusal that comes with HTTP 200."""
        url = f"https://{HOST}{path}"
        body = None if content is None else json.dumps(content).encode()
        headers = signed(self._options, method, url, JSON if body is not None else "")
        response = self._exchange.send(method, url, headers, body, repeatable=repeatable)
        answer = object_of(response)
        if response.status != OK or answer.get("code") != OK:
            self._raise_trouble(response, answer, repeatable=repeatable)
        data = answer.get("data")
        return data if isinstance(data, dict) else {}

    def _raise_trouble(self, response: HttpResponse, answer: dict[str, Any], *, repeatable: bool) -> NoReturn:
        code = answer.get("code")
        said = str(answer.get("msg") or answer.get("message") or "")
        told = refusing.words(response, self._credentials, said)
        if response.status == 401 or code in LOGGED_OUT:
            raise refusing.expired(NAME, response, told)
        if response.status == 429 or code == 429:
            raise refusing.too_fast(NAME, response, told)
        if response.status >= 500:
            raise refusing.failed(NAME, response, told, ambiguous=not repeatable)
        if code is None and response.status == OK:
            raise WorkError(
                "platform_changed", ambiguous=not repeatable, platform=NAME, what="no code in its answer"
            )
        raise refusing.rejected(NAME, response, told)
