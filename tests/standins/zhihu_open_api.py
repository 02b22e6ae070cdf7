"""Zhihu's OpenAPI on loopback (wire 2.8): one signed call that publishes, fifty articles a person and day.

    python -m tests.standins.zhihu_open_api --port 9000 --journal published.jsonl --account alice=the-app-secret

The one call's name is publish. An account's `app_key` is its name, and its `app_secret` signs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import Counter
from pathlib import Path
from typing import Any

from tests.standins.platform import Call, Fault, Kind, PlatformServer, Reply, serve_forever

HOST = "openapi.zhihu.com"
FIRST_ID = 1_950_000_000_000_000_000
A_DAY = 50
CLOCKS_APART = 300


class ZhihuOpenApi(PlatformServer):
    """The server."""

    hosts = (HOST,)

    def __init__(self, port: int = 0, journal: Path | None = None) -> None:
        super().__init__(port, journal)
        self.secrets: dict[str, str] = {}
        self.spent: Counter[str] = Counter()

    def add_account(self, name: str, **given: str) -> None:
        """An account whose `app_secret` is `secret`."""
        with self.lock:
            self.secrets[name] = given["secret"]

    def recognise(self, call: Call) -> tuple[str, str]:
        """By path, and by whose signature fits."""
        name = "publish" if (call.method, call.path) == ("POST", "/openapi/publish") else ""
        key = call.headers.get("x-app-key", "")
        return name, key if self._fits(key, call) else ""

    def _fits(self, key: str, call: Call) -> bool:
        stamp, log_id = call.headers.get("x-timestamp", ""), call.headers.get("x-log-id", "")
        if key not in self.secrets or "x-extra-info" not in call.headers or not stamp.isdigit():
            return False
        text = f"app_key:{key}|ts:{stamp}|logid:{log_id}|extra_info:{call.headers['x-extra-info']}"
        mac = hmac.new(self.secrets[key].encode(), text.encode(), hashlib.sha256).digest()
        late = abs(self.now() - int(stamp)) > CLOCKS_APART
        return call.headers.get("x-sign") == base64.b64encode(mac).decode() and bool(log_id) and not late

    def refusal(self, fault: Fault) -> Reply:
        """Refusals come with HTTP 200, but for bad keys and haste."""
        waits = [("Retry-After", f"{fault.seconds:.0f}")] * (fault.seconds > 0)
        replies = {
            Kind.EXPIRE: Reply(401, {"status": 101, "msg": "invalid sign", "data": None}),
            Kind.RATE_LIMIT: Reply(429, {"status": 1, "msg": "rate limit exceeded", "data": None}, waits),
            Kind.REFUSE: _refused(fault.text or "content rejected"),
        }
        return replies.get(fault.kind) or Reply(502, "<html>Bad Gateway</html>")

    def serve(self, name: str, account: str, call: Call) -> Reply:
        """Publish it; every call makes another article."""
        if not name:
            return Reply(404, "not found")
        if not account:
            return self.refusal(Fault(Kind.EXPIRE))
        if self.spent[account] >= A_DAY:
            return self.refusal(Fault(Kind.RATE_LIMIT))
        given: dict[str, Any] = call.json
        content = given.get("content") or {}
        title, html = str(content.get("title") or ""), str(content.get("html") or "")
        if given.get("type") != "article" or given.get("confirmed") is not True:
            return _refused("type must be article and confirmed true")
        if not 1 <= len(title) <= 100 or not 9 <= len(html) <= 100_000:
            return _refused("title or html has a bad length")
        self.spent[account] += 1
        token = str(FIRST_ID + len(self.journal()) + 1)
        self.note(account, token, title)
        data = {"type": "article", "content_token": token, "url": f"https://zhuanlan.zhihu.com/p/{token}"}
        return Reply(200, {"status": 0, "msg": "success", "data": data})


def _refused(message: str) -> Reply:
    return Reply(200, {"status": 1, "msg": message, "data": None})


if __name__ == "__main__":
    serve_forever(ZhihuOpenApi, __doc__ or "")
